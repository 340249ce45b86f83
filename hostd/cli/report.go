package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sparkrsi/spark/hostd/api"
	"github.com/sparkrsi/spark/sdk/fault"
)

// shown marks an error whose JSON document was already written: a lint result, a
// batch with failed runs.
type shown struct{ error }

func (s shown) Unwrap() error { return s.error }

// report writes err as the program's rule says and returns the exit status.
func (a *app) report(cmd *cobra.Command, err error) int {
	if err == nil {
		return 0
	}
	var done shown
	written := errors.As(err, &done)
	if written {
		err = done.error
	}
	var f *fault.Error
	if !errors.As(err, &f) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		// Only cobra speaks without faults, about commands and flags.
		err = fault.New(fault.Invalid, "", "%s", strings.ReplaceAll(err.Error(), "\n", " ")).
			WithHint("`%s --help` shows what there is", cmd.CommandPath())
	}
	e := api.ErrorOf(err)
	if e.Op == "" {
		e.Op = strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()), " ")
	}
	if e.Kind == fault.Cancelled && cmd.Context().Err() != nil {
		e.Path, e.Message, e.Hint = "", "interrupted", ""
	}
	if a.json() && !written {
		a.printJSON(map[string]any{"error": e})
	}
	parts := []string{"spark"}
	for _, s := range []string{e.Op, e.Path, e.Message} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	fmt.Fprintln(a.Stderr, a.red(a.Stderr, strings.Join(parts, ": ")))
	if e.Hint != "" {
		fmt.Fprintf(a.Stderr, "  hint: %s\n", e.Hint)
	}
	return fault.ExitStatus(&fault.Error{Kind: e.Kind})
}

// printJSON writes v as the JSON document of this execution.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fault.Wrap(fault.Internal, "standard output", err, "write")
	}
	return nil
}
