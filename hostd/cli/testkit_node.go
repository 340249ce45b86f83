package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sparkrsi/spark/core/wasmhost"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/testkit/nodesuite"
)

// moduleConformance is the outcome of the suite for modules.
type moduleConformance struct {
	Module   string           `json:"module"`
	Passed   bool             `json:"passed"`
	Parts    []nodesuite.Part `json:"parts"`
	NotAsked []string         `json:"not_asked"`
}

func (a *app) testNodeCommand() *cobra.Command {
	var configs, assets, inputs []string
	var trusted bool
	cmd := &cobra.Command{
		Use: "node MODULE", Short: "Run the conformance suite against a module of nodes",
		Long: `Admit a module as a host would and hold each of its node types against docs/ABI.md: it
takes its settings and refuses others, survives input that is no document, answers in
JSON that fits its own schemas, and gives the same again where its manifest says so.
Models are stood in for, and fail every other time; servers cannot be reached.

Settings that a node type needs come from --config, assets from --asset, documents to
try beside those made of its input schema from --input.`,
		Example: "  spark testkit node greet.wasm\n  spark testkit node search.wasm --config 'bm25={\"depth\": 10}' --asset corpus=corpus.jsonl --input '{\"question\": \"x\"}'",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			wasm, err := readFile(args[0], 64<<20)
			if err != nil {
				return err
			}
			o := nodesuite.Options{Configs: map[string]json.RawMessage{}, Assets: map[string]wasmhost.Asset{}, Trusted: trusted}
			for _, c := range configs {
				typ, config, ok := strings.Cut(c, "=")
				if !ok || !json.Valid([]byte(config)) {
					return fault.New(fault.Invalid, "--config", "%q is not TYPE=JSON", c).WithHint(`such as 'bm25={"depth": 10}'`)
				}
				o.Configs[typ] = json.RawMessage(config)
			}
			for _, s := range assets {
				name, file, ok := strings.Cut(s, "=")
				if !ok {
					return fault.New(fault.Invalid, "--asset", "%q is not NAME=FILE", s).WithHint("such as corpus=corpus.jsonl")
				}
				b, err := readFile(file, 1<<30)
				if err != nil {
					return err
				}
				sum := sha256.Sum256(b)
				o.Assets[name] = wasmhost.Asset{Digest: hex.EncodeToString(sum[:]), Data: bytes.NewReader(b), Size: int64(len(b))}
			}
			for _, in := range inputs {
				if !json.Valid([]byte(in)) {
					return fault.New(fault.Invalid, "--input", "%q is not JSON", in)
				}
				o.Inputs = append(o.Inputs, json.RawMessage(in))
			}
			r, err := nodesuite.Run(cmd.Context(), wasm, o)
			if err != nil {
				return err
			}
			out := &moduleConformance{Module: args[0], Passed: r.Passed(), Parts: r.Parts, NotAsked: r.NotAsked}
			if err := a.print(out, func(w io.Writer) { a.moduleText(w, out) }); err != nil || out.Passed {
				return err
			}
			failed := 0
			for _, p := range out.Parts {
				if !p.Passed {
					failed++
				}
			}
			return shown{fault.New(fault.Rejected, filepath.Base(args[0]), "%d of %s failed", failed, count(len(out.Parts), "part")).WithHint("the suite is testkit/nodesuite")}
		},
	}
	cmd.Flags().StringArrayVar(&configs, "config", nil, "settings of a node type, TYPE=JSON; may be given several times")
	cmd.Flags().StringArrayVar(&assets, "asset", nil, "an asset, NAME=FILE, for the node types that want some; may be given several times")
	cmd.Flags().StringArrayVar(&inputs, "input", nil, "a JSON document to try; may be given several times")
	cmd.Flags().BoolVar(&trusted, "trusted", false, "admit it with the wider bounds of modules that the operator built")
	return cmd
}

func (a *app) moduleText(w io.Writer, r *moduleConformance) {
	for _, p := range r.Parts {
		if p.Passed {
			fmt.Fprintf(w, "%s %s, %s\n", a.green(w, "pass"), p.Name, seconds(p.Seconds))
			continue
		}
		fmt.Fprintf(w, "%s %s\n", a.red(w, "FAIL"), p.Name)
		for l := range strings.SplitSeq(p.Output, "\n") {
			fmt.Fprintf(w, "     %s\n", l)
		}
	}
	for _, n := range r.NotAsked {
		fmt.Fprintln(w, n)
	}
	if r.Passed {
		fmt.Fprintln(w, a.green(w, r.Module+" passes"))
	}
}
