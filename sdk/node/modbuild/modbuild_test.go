package modbuild

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

const (
	program = `package main

import "github.com/sparkrsi/spark/sdk/node"

type same struct{}

func (same) Configure(*node.Config) error { return nil }

func (same) Process(in []byte, out *node.Writer) error { out.Raw(in); return nil }

func init() { node.Register(map[string]func() node.Node{"same": func() node.Node { return same{} }}) }

func main() {}
`
	head     = `{"abi":1,"name":"probe","version":"1.0.0","nodes":["same.json"]}`
	nodeType = `{"type":"same","version":"1.0.0","summary":"Returns its input.","effects":"none"}`
)

// project writes a module's source, with the SDK as it is here, into a folder
// of its own and returns the folder of the program.
func project(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("go.mod", "module github.com/sparkrsi/spark\n\ngo 1.26.0\n")
	for _, dir := range []string{"fault", "node", "node/abi"} {
		from := filepath.Join("..", "..", dir)
		files, err := fs.Glob(os.DirFS(from), "*.go")
		if err != nil || len(files) == 0 {
			t.Fatal(dir, files, err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, err := os.ReadFile(filepath.Join(from, name))
			if err != nil {
				t.Fatal(err)
			}
			put(filepath.Join("sdk", dir, name), string(text))
		}
	}
	put("probe/main.go", program)
	put("probe/"+ManifestFile, head)
	put("probe/same.json", nodeType)
	return filepath.Join(root, "probe")
}

func TestBuildIsTheSameAnywhere(t *testing.T) {
	var digests []string
	for range 2 {
		dir := project(t)
		out := filepath.Join(t.TempDir(), "new", "probe.wasm")
		t.Setenv("GOFLAGS", "-mod=mod") // must not matter
		r, err := Build(t.Context(), dir, out)
		if err != nil {
			t.Fatal(err)
		}
		wasm, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(wasm)
		if r.Digest != hex.EncodeToString(sum[:]) || r.Size != len(wasm) {
			t.Errorf("result %s, %d does not describe the file", r.Digest, r.Size)
		}
		m, err := abi.ReadManifest(wasm)
		if err != nil || m.Name != "probe" || len(m.Nodes) != 1 || m.Nodes[0].Type != "same" {
			t.Errorf("manifest %+v, %v", m, err)
		}
		for _, name := range []string{abi.Marker, abi.Alloc, abi.Configure, abi.Process, abi.Initialize} {
			if !bytes.Contains(wasm, []byte(name)) {
				t.Errorf("module has no export %s", name)
			}
		}
		if files, _ := filepath.Glob(filepath.Join(filepath.Dir(out), "*")); len(files) != 1 {
			t.Errorf("files left behind: %v", files)
		}
		digests = append(digests, r.Digest)
	}
	if digests[0] != digests[1] {
		t.Errorf("digests differ: %v", digests)
	}
}

func TestBuildRefuses(t *testing.T) {
	for name, x := range map[string]struct {
		file, text string
		kind       fault.Kind
		want       string
	}{
		"no manifest":      {ManifestFile, "", fault.NotFound, "no manifest"},
		"no node type":     {"same.json", "", fault.NotFound, "nodes.0"},
		"unknown key":      {ManifestFile, `{"abi":1,"colour":1,"nodes":[]}`, fault.Invalid, "colour"},
		"repeated key":     {ManifestFile, `{"abi":1,"abi":1,"nodes":["same.json"]}`, fault.Invalid, "abi: key appears twice"},
		"no JSON":          {ManifestFile, `{`, fault.Invalid, "not JSON"},
		"unknown node key": {"same.json", `{"type":"same","kind":1}`, fault.Invalid, "kind: unknown key"},
		"finding":          {"same.json", `{"type":"same","version":"1.0.0","summary":"s"}`, fault.Invalid, "nodes.0.effects"},
		"program":          {"main.go", "package main\n\nfunc main() { nothing() }\n", fault.Invalid, "undefined: nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := project(t)
			path := filepath.Join(dir, x.file)
			var err error
			if x.text == "" {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, []byte(x.text), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			out := filepath.Join(t.TempDir(), "x.wasm")
			if err := os.WriteFile(out, []byte("old"), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err = Build(t.Context(), dir, out)
			if !fault.Is(err, x.kind) || !strings.Contains(err.Error(), x.want) {
				t.Errorf("error %v, want a %s fault with %q", err, x.kind, x.want)
			}
			if old, err := os.ReadFile(out); err != nil || string(old) != "old" {
				t.Errorf("the old file became %q, %v", old, err)
			}
		})
	}
}
