package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/hostd/api"
	"github.com/sparkrsi/spark/sdk/fault"
)

// showFormats render a version, by the name of the format.
var showFormats = map[string]func(*api.Version) ([]byte, error){
	"yaml": showYAML, "json": showJSON, "plan": showPlan,
	"text": drawn(graph.Text), "dot": drawn(graph.DOT), "svg": drawn(graph.SVG),
}

// drawn renders the graph of a version with draw.
func drawn(draw func(*graph.Graph) string) func(*api.Version) ([]byte, error) {
	return func(v *api.Version) ([]byte, error) { return []byte(draw(v.Locked.Graph)), nil }
}

func (a *app) showCommand() *cobra.Command {
	var format, out string
	cmd := &cobra.Command{
		Use: "show GRAPH[@VERSION]", Short: "Print or draw a version of a graph",
		Long: `Print a version of a graph. As yaml or json the document can be applied again; in yaml
comments say which modules and assets it is locked to. The format plan shows the
steps in the order in which they can run; text draws nodes and edges for a terminal,
dot for Graphviz, svg as a picture. --out writes to a file instead. With -o json the
version is printed whole: document, locks, policy, lineage and evidence.`,
		Example: "  spark graph show search\n  spark graph show search --format text\n  spark graph show search@1.0.0 --format svg --out search.svg\n  spark graph show search > search.yaml",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, version, err := target(args[0])
			if err != nil {
				return err
			}
			render, ok := showFormats[format]
			if !ok {
				return fault.New(fault.Invalid, "--format", "%q is none of %s", format, strings.Join(sorted(showFormats), ", ")).WithHint("leave it out for yaml")
			}
			return a.with(cmd.Context(), func(c *api.Client) error {
				v, err := c.Version(cmd.Context(), name, version)
				if err != nil {
					return err
				}
				text, err := render(v)
				if err != nil {
					return err
				}
				if out != "" {
					return a.writeFile(out, text)
				}
				return a.print(v, func(w io.Writer) { w.Write(text) })
			})
		},
	}
	cmd.Flags().StringVar(&format, "format", "yaml", strings.Join(sorted(showFormats), ", "))
	cmd.Flags().StringVar(&out, "out", "", "write to this file")
	return cmd
}

// writeFile writes what a command made to a file, and says so.
func (a *app) writeFile(path string, body []byte) error {
	if err := os.WriteFile(path, body, 0o644); err != nil {
		return fault.Wrap(fault.Invalid, path, err, "write the file").(*fault.Error).WithHint("name a file in a folder that exists and may be written")
	}
	return a.print(map[string]any{"file": path, "bytes": len(body)}, func(w io.Writer) { fmt.Fprintf(w, "%s written, %s\n", path, size(int64(len(body)))) })
}

// document returns the YAML nodes of a version's document.
func document(v *api.Version) (*yaml.Node, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(graph.Encode(v.Locked.Graph), &root); err != nil {
		return nil, fault.Wrap(fault.Internal, v.Graph, err, "read the document back")
	}
	return root.Content[0], nil
}

// showYAML adds the locks to the document as comments.
func showYAML(v *api.Version) ([]byte, error) {
	doc, err := document(v)
	if err != nil {
		return nil, err
	}
	state := "not active"
	if v.Active {
		state = "active"
	}
	doc.HeadComment = fmt.Sprintf("version %s (%s), id %s, by %s", v.Version, state, short(v.ID), v.Author)
	comment := func(section, item, field, text string) {
		s := value(value(doc, section), item)
		if field != "" {
			s = value(s, field)
		}
		if s != nil {
			s.LineComment = text
		}
	}
	for _, l := range v.Locked.Locks {
		comment("nodes", l.Node, "module", fmt.Sprintf("%s@%s sha256:%s", l.Type, l.Version, short(l.Digest)))
	}
	for _, l := range v.Locked.Assets {
		comment("assets", l.Name, "", fmt.Sprintf("%s sha256:%s", size(l.Size), short(l.Digest)))
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(doc); err != nil {
		return nil, fault.Wrap(fault.Internal, v.Graph, err, "encode the document")
	}
	return b.Bytes(), enc.Close()
}

// value returns the value of a key of a mapping, or nil.
func value(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// showJSON writes the document with its keys in the order of the YAML form.
func showJSON(v *api.Version) ([]byte, error) {
	doc, err := document(v)
	if err != nil {
		return nil, err
	}
	var compact, out bytes.Buffer
	if err := toJSON(&compact, doc); err != nil {
		return nil, err
	}
	if err := json.Indent(&out, compact.Bytes(), "", "  "); err != nil {
		return nil, fault.Wrap(fault.Internal, v.Graph, err, "encode the document")
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

func toJSON(b *bytes.Buffer, n *yaml.Node) error {
	switch n.Kind {
	case yaml.MappingNode:
		b.WriteByte('{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				b.WriteByte(',')
			}
			key, err := json.Marshal(n.Content[i].Value)
			if err != nil {
				return err
			}
			b.Write(key)
			b.WriteByte(':')
			if err := toJSON(b, n.Content[i+1]); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, e := range n.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := toJSON(b, e); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	default:
		if t := n.ShortTag(); (t == "!!int" || t == "!!float") && json.Valid([]byte(n.Value)) {
			b.WriteString(n.Value) // as it stands: a float64 would lose digits
			return nil
		}
		var v any
		if err := n.Decode(&v); err != nil {
			return err
		}
		raw, err := json.Marshal(v)
		if err != nil {
			return err
		}
		b.Write(raw)
	}
	return nil
}

// showPlan writes the steps by level, with what leads on from each.
func showPlan(v *api.Version) ([]byte, error) {
	p, err := graph.Compile(v.Locked)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s: %s, %s, %s\n\n", v.Graph, v.Version, p.Type, count(len(p.Nodes), "node"), count(len(p.Edges), "edge"))
	t := newTable("LEVEL ", "NODE", "TYPE", "JOIN", "NEXT")
	last := 0
	for _, l := range p.Levels {
		last = max(last, l)
	}
	for level := 0; level <= last; level++ {
		for i, n := range p.Nodes {
			if p.Levels[i] != level {
				continue
			}
			typ := n.Type.Name
			if n.Type.Version != "" {
				typ += "@" + n.Type.Version
			}
			var next []string
			for _, e := range n.Out {
				next = append(next, edgeText(p, p.Edges[e]))
			}
			for _, o := range p.Output {
				if o == i {
					next = append(next, "output")
				}
			}
			join := "-"
			if len(n.In) > 1 {
				join = string(n.Join)
				if join == "" {
					join = string(graph.JoinAll)
				}
			}
			t.row(fmt.Sprint(level), n.Spec.Name, typ, join, orDash(strings.Join(next, ", ")))
		}
	}
	t.write(&b)
	return b.Bytes(), nil
}

func edgeText(p *graph.Plan, e graph.PlanEdge) string {
	s := p.Nodes[e.To].Spec.Name
	switch {
	case e.When != nil:
		s += " when " + e.When.Source()
	case e.Otherwise:
		s += " otherwise"
	case len(e.OnError) > 0:
		var kinds []string
		for _, k := range e.OnError {
			kinds = append(kinds, string(k))
		}
		s += " on " + strings.Join(kinds, "|")
	}
	if e.Back {
		s += " (back)"
	}
	return s
}
