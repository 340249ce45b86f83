// Command modbuild builds a Spark node module from the folder of a Go program:
//
//	modbuild -o greet.wasm ./greet
//
// The folder holds a package main that registers its node types and the
// manifest.json that describes them. It prints the digest, size and path of the
// module. Exit status 2 for bad input, 1 when writing failed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/modbuild"
)

func main() {
	out := flag.String("o", "", "`file` to write, such as greet.wasm")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: modbuild -o FILE.wasm FOLDER")
		flag.PrintDefaults()
	}
	flag.Parse()
	if *out == "" || flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r, err := modbuild.Build(ctx, flag.Arg(0), *out)
	if err != nil {
		fmt.Fprintln(os.Stderr, "modbuild:", err)
		if hint := fault.HintOf(err); hint != "" {
			fmt.Fprintln(os.Stderr, "hint:", hint)
		}
		os.Exit(fault.ExitStatus(err))
	}
	fmt.Printf("%s  %d  %s\n", r.Digest, r.Size, *out)
}
