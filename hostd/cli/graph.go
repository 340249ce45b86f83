package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/hostd/api"
	"github.com/sparkrsi/spark/sdk/fault"
)

func (a *app) graphCommand() *cobra.Command {
	return parent("graph", "Check, apply and look at graphs",
		"A graph is a versioned document, YAML or JSON. Nothing is changed in place: every\nchange is a new version, and runs under way end on the version they began with.",
		a.lintCommand(), a.applyCommand(), a.listCommand(), a.showCommand(), a.versionsCommand(), a.diffCommand(), a.graphSchemaCommand())
}

// document reads a graph file and its policy: the second argument, else
// NAME.policy.yaml, .yml or .json beside it. Standard input, written -, has no sibling.
func (a *app) document(args []string) (d api.Document, note string, err error) {
	if d.Graph, d.GraphFile, err = a.readDocument(args[0]); err != nil {
		return d, "", err
	}
	policy := ""
	if len(args) > 1 {
		policy = args[1]
	} else if args[0] != "-" {
		base := strings.TrimSuffix(args[0], filepath.Ext(args[0])) + ".policy"
		for _, ext := range []string{".yaml", ".yml", ".json"} {
			if _, err := os.Stat(base + ext); err == nil {
				policy, note = base+ext, "policy: "+base+ext
				break
			}
		}
	}
	if policy != "" {
		d.Policy, d.PolicyFile, err = a.readDocument(policy)
	}
	return d, note, err
}

// readDocument returns a file and its absolute path, which assets and datasets
// are relative to.
func (a *app) readDocument(path string) (body, abs string, err error) {
	var b []byte
	if path == "-" {
		if b, err = io.ReadAll(io.LimitReader(a.Stdin, graph.MaxDocument+1)); err != nil {
			return "", "", fault.Wrap(fault.Invalid, "standard input", err, "read")
		}
		path = "stdin"
	} else if b, err = readFile(path, graph.MaxDocument); err != nil {
		return "", "", err
	}
	if abs, err = filepath.Abs(path); err != nil {
		return "", "", fault.Wrap(fault.Invalid, path, err, "resolve")
	}
	return string(b), abs, nil
}

// readFile returns the bytes of a file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.New(fault.NotFound, path, "there is no such file").WithHint("name an existing file")
	case err != nil:
		return nil, fault.Wrap(fault.Invalid, path, err, "read the file")
	case info.IsDir():
		return nil, fault.New(fault.Invalid, path, "is a folder").WithHint("name a file")
	case info.Size() > limit:
		return nil, fault.New(fault.Invalid, path, "the file has %d bytes, the limit is %d", info.Size(), limit)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, path, err, "read the file")
	}
	return b, nil
}

func (a *app) lintCommand() *cobra.Command {
	return &cobra.Command{
		Use: "lint FILE [POLICY]", Short: "Find everything wrong with a graph, and change nothing",
		Long: `Print every finding of a graph document and of its policy with line, place and
hint. Without POLICY the file NAME.policy.yaml beside NAME.yaml is taken when there
is one. FILE may be - for standard input. Exit status 2 when a finding is an error.`,
		Example: "  spark graph lint search.yaml\n  spark graph lint search.yaml search-policy.yaml -o json",
		Args:    arguments(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, note, err := a.document(args)
			if err != nil {
				return err
			}
			return a.with(cmd.Context(), func(c *api.Client) error {
				l, err := c.Lint(cmd.Context(), d)
				if err != nil {
					return err
				}
				if err := a.print(l, func(w io.Writer) {
					if note != "" {
						fmt.Fprintln(w, note)
					}
					a.findings(w, args[0], l.Findings)
					if l.OK {
						fmt.Fprintln(w, a.green(w, args[0]+" is valid"))
					}
				}); err != nil || l.OK {
					return err
				}
				return shown{fault.New(fault.Invalid, args[0], "%s", wrong(l.Findings)).WithHint("mend what is listed")}
			})
		},
	}
}

// findings prints one line a finding, as editors understand it, and its hint.
func (a *app) findings(w io.Writer, file string, list graph.Findings) {
	for _, f := range list {
		line := f.String()
		if f.Path == file || strings.HasSuffix(f.Path, "/"+filepath.Base(file)) {
			f.Path = ""
			line = f.String()
		}
		sep := ": "
		if f.Line > 0 {
			sep = ":"
		}
		if f.Severity == graph.SeverityError {
			line = a.red(w, file+sep+line)
		} else {
			line = file + sep + line
		}
		fmt.Fprintln(w, line)
		if f.Hint != "" {
			fmt.Fprintf(w, "  hint: %s\n", f.Hint)
		}
	}
}

// wrong counts the errors of findings.
func wrong(list graph.Findings) string {
	n := 0
	for _, f := range list {
		if f.Severity == graph.SeverityError {
			n++
		}
	}
	return count(n, "error")
}

func (a *app) applyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "apply FILE [POLICY]", Short: "Make a document the active version of its graph",
		Long: `Verify a graph document whole, make it ready, store it as a new version and swap it
in. A bad document changes nothing. A document that the active version descends
from changes nothing either, except the policy. Without POLICY the file
NAME.policy.yaml beside NAME.yaml is taken when there is one, else the stored policy
stays. Assets and the dataset are read beside their documents, on the machine of
the host.`,
		Example: "  spark graph apply search.yaml\n  spark graph apply search.yaml search-policy.yaml -o json",
		Args:    arguments(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, note, err := a.document(args)
			if err != nil {
				return err
			}
			return a.with(cmd.Context(), func(c *api.Client) error {
				done, findings, err := c.Apply(cmd.Context(), d)
				if err != nil {
					if len(findings) > 1 {
						a.findings(a.Stderr, args[0], findings)
					}
					return relative(err, d, args)
				}
				return a.print(done, func(w io.Writer) {
					if note != "" {
						fmt.Fprintln(w, note)
					}
					a.findings(w, args[0], done.Findings)
					switch {
					case !done.Changed:
						fmt.Fprintf(w, "%s: version %s stays active: it is this document, or descends from it\n", done.Graph, done.Version)
					case done.Previous == "":
						fmt.Fprintf(w, "%s: version %s is active\n", done.Graph, done.Version)
					default:
						fmt.Fprintf(w, "%s: version %s is active, after %s\n", done.Graph, done.Version, done.Previous)
					}
				})
			})
		},
	}
}

// relative names documents in a message as the caller did.
func relative(err error, d api.Document, args []string) error {
	f, ok := err.(*fault.Error)
	if !ok {
		return err
	}
	c := *f
	if c.Hint == "" && c.Kind == fault.Invalid {
		c.Hint = "`spark graph lint " + args[0] + "` lists every finding"
	}
	for i, abs := range []string{d.GraphFile, d.PolicyFile} {
		if abs != "" && i < len(args) {
			c.Path, c.Msg = strings.ReplaceAll(c.Path, abs, args[i]), strings.ReplaceAll(c.Msg, abs, args[i])
		}
	}
	return &c
}

func (a *app) listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the graphs and their active versions", Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), func(c *api.Client) error {
				list, err := c.Graphs(cmd.Context())
				if err != nil {
					return err
				}
				return a.print(map[string]any{"graphs": list}, func(w io.Writer) {
					if len(list) == 0 {
						fmt.Fprintln(w, "no graphs; `spark graph apply FILE` adds one")
						return
					}
					t := newTable("GRAPH", "VERSION", "NODES ", "AUTHOR", "STORED")
					for _, g := range list {
						t.row(g.Graph, g.Version, fmt.Sprint(g.Nodes), g.Author, stamp(g.Created))
					}
					t.write(w)
				})
			})
		},
	}
}

func (a *app) versionsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "versions GRAPH", Short: "List the versions of a graph and their lineage", Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(c *api.Client) error {
				list, err := c.Versions(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				labels := map[string]string{}
				for _, v := range list {
					labels[v.ID] = v.Version
				}
				return a.print(map[string]any{"graph": args[0], "versions": list}, func(w io.Writer) {
					t := newTable("", "VERSION", "ID", "PARENT", "AUTHOR", "STORED")
					for _, v := range list {
						mark := ""
						if v.Active {
							mark = "*"
						}
						t.row(mark, v.Version, short(v.ID), orDash(labels[v.Parent]), v.Author, stamp(v.Created))
					}
					t.write(w)
				})
			})
		},
	}
}

// target splits GRAPH[@VERSION].
func target(s string) (name, version string, err error) {
	name, version, at := strings.Cut(s, "@")
	if name == "" || at && version == "" {
		return "", "", fault.New(fault.Invalid, s, "want GRAPH or GRAPH@VERSION").WithHint("`spark graph versions GRAPH` lists the versions")
	}
	return name, version, nil
}
