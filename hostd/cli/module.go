package cli

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sparkrsi/spark/core/store"
	"github.com/sparkrsi/spark/hostd/api"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

func (a *app) moduleCommand() *cobra.Command {
	return parent("module", "Add and look at node modules",
		"A module is a WASM binary that offers node types. It is stored by its sha256; a node\nof a graph names a type and a range of versions, such as bm25@^1.",
		a.pushCommand(), a.modulesCommand(), a.inspectCommand())
}

func (a *app) pushCommand() *cobra.Command {
	return &cobra.Command{
		Use: "push FILE", Short: "Verify a module and store it",
		Long: `Read the manifest of a module, check the module against every limit for code that is
not trusted, compile it and store it. A bad module is not stored.`,
		Example: "  spark module push mynode.wasm",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			wasm, err := readFile(args[0], api.MaxModule)
			if err != nil {
				return err
			}
			return a.with(cmd.Context(), func(c *api.Client) error {
				m, err := c.Push(cmd.Context(), wasm, "file:"+filepath.Base(args[0]))
				if err != nil {
					return err
				}
				return a.print(m, func(w io.Writer) {
					if !m.New {
						fmt.Fprintf(w, "%s@%s is stored already, sha256:%s\n", m.Name, m.Version, short(m.Digest))
						return
					}
					fmt.Fprintf(w, "%s@%s stored, sha256:%s, %s\n", m.Name, m.Version, short(m.Digest), size(m.Size))
					fmt.Fprintf(w, "node types: %s\n", strings.Join(nodeTypes(m.Manifest), ", "))
				})
			})
		},
	}
}

// nodeTypes returns the node types of a module as type@version.
func nodeTypes(m *abi.Manifest) []string {
	var list []string
	for _, n := range m.Nodes {
		list = append(list, n.Type+"@"+n.Version)
	}
	return list
}

func (a *app) modulesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the stored modules and their node types", Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), func(c *api.Client) error {
				list, err := c.Modules(cmd.Context())
				if err != nil {
					return err
				}
				return a.print(map[string]any{"modules": list}, func(w io.Writer) { modulesText(w, list) })
			})
		},
	}
}

func modulesText(w io.Writer, list []*store.Module) {
	if len(list) == 0 {
		fmt.Fprintln(w, "no modules; `spark module push FILE` adds one")
		return
	}
	t := newTable("MODULE", "DIGEST", "SIZE ", "SOURCE", "STORED", "NODE TYPES")
	for _, m := range list {
		t.row(m.Name+"@"+m.Version, short(m.Digest), size(m.Size), m.Source, stamp(m.Added), strings.Join(nodeTypes(m.Manifest), " "))
	}
	t.write(w)
}

func (a *app) inspectCommand() *cobra.Command {
	return &cobra.Command{
		Use: "inspect DIGEST|TYPE@RANGE", Short: "Show the manifest of a stored module",
		Long:    "Show the manifest of the module with this digest, of which the first six digits do, or of\nthe module that TYPE@RANGE resolves to now.",
		Example: "  spark module inspect bm25@^1\n  spark module inspect 4be2c1d0a9f3 -o json",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(c *api.Client) error {
				m, err := c.Module(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				only, _, _ := strings.Cut(args[0], "@")
				return a.print(m.Module, func(w io.Writer) { inspectText(w, m.Module, only) })
			})
		},
	}
}

// inspectText prints one node type in full when only names it, else all of them.
func inspectText(w io.Writer, m *store.Module, only string) {
	trust := "not trusted: limited as foreign code"
	if m.Trusted {
		trust = "trusted: shipped with spark"
	}
	fmt.Fprintf(w, "%s@%s\n  sha256:%s\n  %s, from %s, stored %s\n  %s\n", m.Name, m.Version, m.Digest, size(m.Size), m.Source, stamp(m.Added), trust)
	if m.Manifest.Summary != "" {
		fmt.Fprintf(w, "  %s\n", m.Manifest.Summary)
	}
	named := false
	for _, n := range m.Manifest.Nodes {
		named = named || n.Type == only
	}
	for _, n := range m.Manifest.Nodes {
		if named && n.Type != only {
			continue
		}
		fmt.Fprintf(w, "\n%s@%s: %s\n", n.Type, n.Version, n.Summary)
		facts := []string{"effects " + string(n.Effects)}
		if n.Deterministic {
			facts = append(facts, "deterministic")
		}
		if n.Idempotent {
			facts = append(facts, "idempotent")
		}
		for _, c := range n.Capabilities {
			facts = append(facts, "wants "+string(c))
		}
		if len(n.Implements) > 0 {
			facts = append(facts, "implements "+strings.Join(n.Implements, ", "))
		}
		fmt.Fprintf(w, "  %s\n", strings.Join(facts, ", "))
		schemaText(w, n.Config)
	}
}
