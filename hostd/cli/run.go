package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/core/store"
	"github.com/sparkrsi/spark/hostd/api"
	"github.com/sparkrsi/spark/sdk/fault"
)

func (a *app) runCommand() *cobra.Command {
	var input, traceParent string
	var b batch
	cmd := &cobra.Command{
		Use: "run GRAPH[@VERSION]", Short: "Run a graph on one input or on many",
		Long: `Run a graph once with --input and print its output, or once for each line of
--inputs and print how the runs went. An input is JSON: as it stands, @FILE for a
file, - for standard input; without --input it is null.

A line of --inputs is an input, or an example of a dataset: an object with "id" and
"input". --out writes one JSON line for each run, in the order of their ends.
The exit status is 1 when a run failed, 2 when a node refused the input.

A graph that waits for a person prints its questions and how to answer them, and the
exit status is 0: the run goes on with spark runs answer.`,
		Example: `  spark run search --input '{"question": "read a whole file"}'
  spark run search@1.0.0 --input @question.json -o json
  spark run search --inputs questions.jsonl --repeat 3 --concurrency 4 --out answers.jsonl`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, version, err := target(args[0])
			if err != nil {
				return err
			}
			if b.file != "" {
				if input != "" || traceParent != "" {
					return fault.New(fault.Invalid, "--inputs", "does not go with --input or --traceparent").WithHint("use one of them")
				}
				b.graph, b.version = name, version
				return a.runBatch(cmd.Context(), b)
			}
			for _, flag := range []string{"repeat", "concurrency", "out"} {
				if cmd.Flags().Changed(flag) {
					return fault.New(fault.Invalid, "--"+flag, "only goes with --inputs").WithHint("give the inputs as a file of JSON lines")
				}
			}
			body, err := a.input(input)
			if err != nil {
				return err
			}
			return a.with(cmd.Context(), func(c *api.Client) error {
				res, err := c.Run(cmd.Context(), api.Run{Graph: name, Version: version, Input: body, TraceParent: traceParent})
				return a.came(res, err)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&input, "input", "", "JSON, @FILE or - for standard input")
	f.StringVar(&traceParent, "traceparent", "", "W3C traceparent to continue")
	f.StringVar(&b.file, "inputs", "", "file of JSON lines, one input each; - for standard input")
	f.IntVar(&b.repeat, "repeat", 1, "runs of each line")
	f.IntVar(&b.concurrency, "concurrency", 1, "runs at a time")
	f.StringVar(&b.out, "out", "", "file for the result of each run")
	f.SortFlags = false
	return cmd
}

// came prints how far a run came: its output, or the questions that it waits for.
func (a *app) came(res *host.Result, err error) error {
	if err != nil {
		if res == nil {
			return err
		}
		if a.json() {
			a.printJSON(map[string]any{"error": api.ErrorOf(err), "run": res})
			return shown{err}
		}
		how := "failed"
		if res.Status != store.RunFailed {
			how = "is " + string(res.Status)
		}
		fmt.Fprintf(a.Stderr, "run %s of %s@%s %s after %s\n", res.RunID, res.Graph, res.Version, how, seconds(res.Seconds))
		return err
	}
	return a.print(res, func(w io.Writer) {
		if res.Status == store.RunWaiting {
			fmt.Fprintf(a.Stderr, "run %s of %s@%s waits for %s\n", res.RunID, res.Graph, res.Version, count(len(res.Waiting), "answer"))
			questionsText(w, res.RunID, res.Waiting)
			return
		}
		fmt.Fprintf(w, "%s\n", indented(res.Output))
		// What is said about the run is no part of its output.
		fmt.Fprintf(a.Stderr, "run %s of %s@%s: %s in %s%s\n", res.RunID, res.Graph, res.Version, count(res.Steps, "step"),
			seconds(res.Seconds), usage(res.Tokens, res.CostUSD))
	})
}

// indented returns JSON for people, and anything else as it is.
func indented(body []byte) []byte {
	var out bytes.Buffer
	if json.Indent(&out, body, "", "  ") != nil {
		return body
	}
	return out.Bytes()
}

func usage(tokens int64, cost float64) string {
	s := ""
	if tokens > 0 {
		s += fmt.Sprintf(", %d tokens", tokens)
	}
	if cost > 0 {
		s += fmt.Sprintf(", $%.6f", cost)
	}
	return s
}

// input returns the JSON that the flag names.
func (a *app) input(flag string) (json.RawMessage, error) {
	if flag == "" {
		flag = "null"
	}
	return a.value(flag, "--input", "input", `write text in quotes, such as --input '"text"', and files as --input @FILE`)
}

// value returns the JSON that an argument names: itself, @FILE or - for standard
// input.
func (a *app) value(arg, where, what, hint string) (json.RawMessage, error) {
	body := []byte(arg)
	switch {
	case arg == "-":
		var err error
		where = "standard input"
		if body, err = io.ReadAll(io.LimitReader(a.Stdin, api.MaxBody+1)); err != nil {
			return nil, fault.Wrap(fault.Invalid, where, err, "read")
		}
	case strings.HasPrefix(arg, "@"):
		var err error
		where = arg[1:]
		if body, err = readFile(where, api.MaxBody); err != nil {
			return nil, err
		}
	}
	if len(body) > api.MaxBody {
		return nil, fault.New(fault.Invalid, where, "more than %s", size(api.MaxBody)).WithHint("move data into an asset")
	}
	if err := checkJSON(body); err != nil {
		return nil, fault.Wrap(fault.Invalid, where, err, "the %s is not JSON", what).(*fault.Error).WithHint("%s", hint)
	}
	return body, nil
}

// checkJSON says what keeps body from being one JSON value.
func checkJSON(body []byte) error {
	var v json.RawMessage
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&v); err != nil {
		if err == io.EOF {
			return fmt.Errorf("it is empty")
		}
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("something follows the value at byte %d", d.InputOffset())
	}
	return nil
}
