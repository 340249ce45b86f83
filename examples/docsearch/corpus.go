// Package docsearch is the story `spark demo` tells: which symbol of the Go
// standard library do I need? It makes the corpus from the documentation
// comments of a Go installation, read when it is asked for, and holds the
// labelled questions that measure a search over it.
//
// Start with Find and Build for the corpus and with Questions for the labels.
// The package never stores Go's source or documentation and never writes
// anywhere but to the writer it is given.
package docsearch

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"github.com/sparkrsi/spark/sdk/fault"
)

// maxLine bounds one line of a corpus file, in bytes.
const maxLine = 1 << 20

// Symbol is one line of the corpus: an exported, documented name.
type Symbol struct {
	ID   string `json:"id"`   // full import path and name: "encoding/json.Decoder.Decode"
	Pkg  string `json:"pkg"`  // import path: "encoding/json"
	Name string `json:"name"` // without the package: "Decoder.Decode"
	Kind string `json:"kind"` // func, type, method, const or var
	Sig  string `json:"sig"`  // the declaration on one line, without bodies, fields and long values
	Doc  string `json:"doc"`  // the documentation as plain text, never empty
}

// Stats says what Build wrote.
type Stats struct {
	Symbols  int // lines
	Packages int // distinct import paths
	Bytes    int // length of all lines with their line ends
}

// Build writes the corpus made from source to w as JSON lines in order of id
// and returns how much that was. Source is a result of Find: a Go installation,
// or a corpus file, which is validated and then copied as it is.
//
// The result depends on the installation's version only: symbols are those of
// linux/amd64 with cgo and without experiments on every platform. Commands,
// internal, vendored and test code are left out. All processors take part in
// the parsing. Nothing is written before all of it was read without error. A
// source that is not what it should be gives a fault of kind invalid; ctx ends
// the work early with its error.
func Build(ctx context.Context, source string, w io.Writer) (Stats, error) {
	build := buildFromSource
	if isCorpusFile(source) {
		build = readCorpus
	}
	out, stats, err := build(ctx, source)
	if err != nil {
		return Stats{}, err
	}
	if _, err := w.Write(out); err != nil {
		return Stats{}, fault.Wrap("", source, err, "write corpus")
	}
	return stats, nil
}

func buildFromSource(ctx context.Context, root string) ([]byte, Stats, error) {
	if err := checkRoot(root); err != nil {
		return nil, Stats{}, err
	}
	packages, err := listPackages(root)
	if err != nil {
		return nil, Stats{}, err
	}
	parsed := make([][]Symbol, len(packages))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, p := range packages {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return fault.Wrap("", root, err, "build corpus")
			}
			var err error
			parsed[i], err = p.symbols()
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, Stats{}, err
	}
	symbols := slices.Concat(parsed...)
	if len(symbols) == 0 {
		return nil, Stats{}, fault.New(fault.Invalid, root, "no documented symbol found").WithOp("build corpus").WithHint(findHint)
	}
	slices.SortFunc(symbols, func(a, b Symbol) int { return strings.Compare(a.ID, b.ID) })
	return encodeCorpus(symbols)
}

func encodeCorpus(symbols []Symbol) ([]byte, Stats, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	packages := map[string]bool{}
	for _, s := range symbols {
		packages[s.Pkg] = true
		if err := enc.Encode(s); err != nil {
			return nil, Stats{}, fault.Wrap(fault.Internal, s.ID, err, "encode corpus")
		}
	}
	return buf.Bytes(), Stats{Symbols: len(symbols), Packages: len(packages), Bytes: buf.Len()}, nil
}

// readCorpus returns the bytes of a corpus file after checking every line.
func readCorpus(ctx context.Context, path string) ([]byte, Stats, error) {
	if err := checkFile(path); err != nil {
		return nil, Stats{}, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, Stats{}, &fault.Error{Kind: fault.Invalid, Op: "read corpus", Path: path, Msg: "cannot be read", Hint: findHint, Err: err}
	}
	symbols, err := decodeCorpus(ctx, data)
	if err != nil {
		return nil, Stats{}, fault.Wrap("", path, err, "read corpus")
	}
	packages := map[string]bool{}
	for _, s := range symbols {
		packages[s.Pkg] = true
	}
	return data, Stats{Symbols: len(symbols), Packages: len(packages), Bytes: len(data)}, nil
}

// decodeCorpus parses a corpus strictly: known fields only, all of id, pkg,
// name and doc present, ids unique, lines up to maxLine bytes.
func decodeCorpus(ctx context.Context, data []byte) ([]Symbol, error) {
	const hint = "each line is an object with the strings id, pkg, name, kind, sig and doc; build a corpus by naming a Go installation"
	bad := func(line int, format string, args ...any) error {
		return fault.New(fault.Invalid, "line "+strconv.Itoa(line), format, args...).WithHint(hint)
	}
	var symbols []Symbol
	seen := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxLine)
	n := 0
	for lines.Scan() {
		n++
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		var s Symbol
		if err := decodeLine(line, &s); err != nil {
			return nil, bad(n, "not a symbol: %v", err)
		}
		if s.ID == "" || s.Pkg == "" || s.Name == "" || s.Doc == "" {
			return nil, bad(n, "id, pkg, name and doc must not be empty")
		}
		if seen[s.ID] {
			return nil, bad(n, "id %q appears a second time", s.ID)
		}
		seen[s.ID] = true
		symbols = append(symbols, s)
	}
	if err := lines.Err(); err != nil {
		return nil, bad(n+1, "%v (limit %d bytes a line)", err, maxLine)
	}
	if len(symbols) == 0 {
		return nil, bad(1, "no symbol in the file")
	}
	return symbols, nil
}

// decodeLine parses one line as exactly one JSON value without unknown fields
// and in valid UTF-8.
func decodeLine(line []byte, v any) error {
	if !utf8.Valid(line) {
		return errors.New("not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("more than one value on the line")
	}
	return nil
}
