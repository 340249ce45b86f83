package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/hostd/api"
	"github.com/sparkrsi/spark/sdk/fault"
)

func (a *app) diffCommand() *cobra.Command {
	var format, out string
	cmd := &cobra.Command{
		Use: "diff GRAPH[@A] [B]", Short: "Show what leads from one version to another",
		Long: `Show the changes from version A to version B of a graph. B is the active version when
it is left out; A is then its parent, unless it is named. Versions are labels, ids or
the first digits of an id. The format html is a page with the changes and both graphs
drawn; --out writes to a file instead.`,
		Example: "  spark graph diff search\n  spark graph diff search@1.0.0 1.0.0+rsi.1\n  spark graph diff search@1.0.0 --format html --out changes.html",
		Args:    arguments(1, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, from, err := target(args[0])
			if err != nil {
				return err
			}
			rest := args[1:]
			if from == "" && len(rest) == 2 {
				from, rest = rest[0], rest[1:]
			}
			render, ok := diffFormats[format]
			if !ok {
				return fault.New(fault.Invalid, "--format", "%q is none of %s", format, strings.Join(sorted(diffFormats), ", ")).WithHint("leave it out for text")
			}
			if len(rest) > 1 {
				return fault.New(fault.Invalid, "", "three versions are given").WithHint("name two: spark graph diff GRAPH A B")
			}
			to := strings.Join(rest, "")
			return a.with(cmd.Context(), func(c *api.Client) error {
				if from == "" {
					v, err := c.Version(cmd.Context(), name, to)
					if err != nil {
						return err
					}
					if from = v.Parent; from == "" {
						return fault.New(fault.NotFound, name+"@"+v.Version, "the version has no parent to compare with").
							WithHint("name both versions: spark graph diff GRAPH A B")
					}
				}
				text, d, err := render(cmd.Context(), c, name, from, to)
				if err != nil {
					return err
				}
				if out != "" {
					return a.writeFile(out, text)
				}
				return a.print(d, func(w io.Writer) { w.Write(text) })
			})
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", strings.Join(sorted(diffFormats), ", "))
	cmd.Flags().StringVar(&out, "out", "", "write to this file")
	return cmd
}

// diffFormats ask for a difference and render it, by the name of the format.
var diffFormats = map[string]func(ctx context.Context, c *api.Client, name, from, to string) ([]byte, *api.Diff, error){
	"text": rendered(diffText),
	"json": rendered(func(d *api.Diff) ([]byte, error) {
		b, err := json.MarshalIndent(d, "", "  ")
		return append(b, '\n'), err
	}),
	"html": diffHTML,
}

func rendered(render func(*api.Diff) ([]byte, error)) func(ctx context.Context, c *api.Client, name, from, to string) ([]byte, *api.Diff, error) {
	return func(ctx context.Context, c *api.Client, name, from, to string) ([]byte, *api.Diff, error) {
		d, err := c.Diff(ctx, name, from, to)
		if err != nil {
			return nil, nil, err
		}
		b, err := render(d)
		return b, d, err
	}
}

func diffText(d *api.Diff) ([]byte, error) {
	text := d.Text()
	if text == "" {
		text = "no difference\n"
	}
	return fmt.Appendf(nil, "%s: %s -> %s\n%s", d.Graph, d.From, d.To, text), nil
}

// diffHTML draws both graphs, so it asks for them too.
func diffHTML(ctx context.Context, c *api.Client, name, from, to string) ([]byte, *api.Diff, error) {
	a, err := c.Version(ctx, name, from)
	if err != nil {
		return nil, nil, err
	}
	b, err := c.Version(ctx, name, to)
	if err != nil {
		return nil, nil, err
	}
	d, err := c.Diff(ctx, name, a.ID, b.ID)
	if err != nil {
		return nil, nil, err
	}
	return []byte(graph.DiffHTML(a.Locked.Graph, b.Locked.Graph)), d, nil
}
