package graph

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzDecode: the decoder never panics, its findings name places, and what it
// accepts encodes to a fixpoint with the same digest.
func FuzzDecode(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txt")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, c := range strings.Split(string(data), "====\n") {
			_, doc, _ := strings.Cut(c, "\n")
			doc, _, _ = strings.Cut(doc, "----\n")
			f.Add([]byte(doc))
		}
	}
	f.Add([]byte(docsearch))
	f.Add([]byte("\xff\xfeg"))
	f.Add([]byte(strings.Repeat("[", 200)))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		DecodePolicy(data, "")
		g, fs := Decode(data, "f")
		if (g == nil) != fs.HasErrors() {
			t.Fatalf("graph %v with findings %v", g, fs)
		}
		for _, x := range fs {
			if x.Path == "" || x.Message == "" {
				t.Errorf("finding without place: %+v", x)
			}
		}
		if g == nil {
			return
		}
		g.Validate(known, Nested(nestable))
		first := Encode(g)
		h, fs := Decode(first, "f")
		if fs.HasErrors() {
			t.Fatalf("%s\n%s", fs, first)
		}
		if second := Encode(h); !bytes.Equal(first, second) {
			t.Errorf("not a fixpoint:\n%s\n%s", first, second)
		}
		if Digest(&Locked{Graph: g}) != Digest(&Locked{Graph: h}) {
			t.Errorf("digest changed:\n%s", first)
		}
	})
}

// FuzzExpression: lazy decoding agrees with itself and never panics, whatever
// the payload.
func FuzzExpression(f *testing.F) {
	var programs []*Program
	for _, src := range []string{"output.a.b[1]", "output", "output.a", "size(output)", "output == output", "output.map(x, x)", "'a' in output"} {
		p, err := CompileMapping(appendString(nil, "="+src))
		if err != nil {
			f.Fatal(err)
		}
		programs = append(programs, p)
	}
	for _, s := range []string{`{"a":{"b":[1,2.0,"x\"\\"]}}`, `{"\u0061":1,"a":2}`, `[`, `{"a"`, `{"a":{"b":[}}`, "\"", `{"a":tru}`, `1e999`, `{"a":1,}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		valid, canonErr := Canonical(data)
		for _, p := range programs {
			out, err := p.Value(Scope{Output: data})
			if err != nil {
				continue
			}
			if _, bad := Canonical(out); bad != nil && canonErr == nil {
				t.Errorf("%s of %s gave %s", p.Source(), valid, out)
			}
		}
	})
}
