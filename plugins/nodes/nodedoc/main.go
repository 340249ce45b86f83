// Command nodedoc writes the reference of a module's node types, made of its
// manifest and of the texts beside the node types' descriptions:
//
//	nodedoc -o docs/NODES.md ./plugins/nodes/stock
//
// With -check it writes nothing and exits with status 1 when the file is not what
// it would write. Exit status 2 for bad input.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"

	"github.com/sparkrsi/spark/sdk/fault"
)

func main() {
	out := flag.String("o", "", "`file` to write, such as docs/NODES.md")
	check := flag.Bool("check", false, "write nothing, fail when the file is not current")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: nodedoc [-check] -o FILE.md FOLDER")
		flag.PrintDefaults()
	}
	flag.Parse()
	if *out == "" || flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*out, flag.Arg(0), *check); err != nil {
		fmt.Fprintln(os.Stderr, "nodedoc:", err)
		if hint := fault.HintOf(err); hint != "" {
			fmt.Fprintln(os.Stderr, "hint:", hint)
		}
		os.Exit(fault.ExitStatus(err))
	}
}

func run(out, dir string, check bool) error {
	doc, err := reference(dir)
	if err != nil {
		return err
	}
	if !check {
		if err := os.WriteFile(out, doc, 0o644); err != nil {
			return fault.Wrap(fault.ReadOnly, out, err, "reference cannot be written")
		}
		return nil
	}
	have, err := os.ReadFile(out)
	if err != nil {
		return fault.Wrap(fault.NotFound, out, err, "no reference")
	}
	if !bytes.Equal(have, doc) {
		return fault.New(fault.Corrupt, out, "is not what the manifests say").WithHint("run the same command without -check")
	}
	return nil
}
