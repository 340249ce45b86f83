package spark_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const modulePath = "github.com/sparkrsi/spark/"

// floors gives each package its floor. Imports point to a lower floor; the
// arrows name the only imports inside one floor.
var floors = map[string]int{
	"sdk/fault": 0, "sdk/node/abi": 0, "core/run": 0, "core/graph": 0, "core/stats": 0,
	"sdk/proto": 1, "sdk/plugin": 1, "sdk/backend": 1, "sdk/model": 1,
	"core/engine": 2, "core/wasmhost": 2, "core/plughost": 2, "core/telemetry": 2, "core/gateway": 2,
	"core/store": 2, "core/rollout": 2,
	"core/rsi":  3,
	"core/host": 4,
}

var arrows = map[string][]string{
	"sdk/node/abi": {"sdk/fault"},
	"core/run":     {"sdk/fault"},
	"core/graph":   {"sdk/fault", "sdk/node/abi", "core/run"},
	"core/stats":   {"sdk/fault"},
	"sdk/plugin":   {"sdk/proto"},
	"sdk/backend":  {"sdk/plugin", "sdk/proto"},
	"sdk/model":    {"sdk/plugin", "sdk/proto"},
}

// homes gives heavy imports the only packages that may name them.
var homes = map[string][]string{
	"github.com/tetratelabs/wazero":  {"core/wasmhost"},
	"github.com/hashicorp/go-plugin": {"sdk/plugin", "core/plughost"},
	"modernc.org/sqlite":             {"core/store", "plugins/backends/sqlite"},
	"zombiezen.com/go/sqlite":        {"core/store", "plugins/backends/sqlite"},
	"github.com/jackc/pgx":           {"core/store", "plugins/backends/postgres"},
	"cel.dev/cel-go":                 {"core/graph"},
	"go.opentelemetry.io":            {"sdk/backend/otel", "plugins/backends/otlp", "hostd/intake"},
	"github.com/knadh/koanf":         {"hostd/config"},
	"github.com/spf13/cobra":         {"hostd/cli", "hostd/cmd/spark"},
}

func under(pkg, dir string) bool { return pkg == dir || strings.HasPrefix(pkg, dir+"/") }

// place returns the listed package that pkg belongs to, itself or the parent
// that lists it.
func place(pkg string) (string, bool) {
	for p := pkg; p != "." && p != "/"; p = filepath.Dir(p) {
		if _, ok := floors[p]; ok {
			return p, true
		}
	}
	return "", false
}

// mayImport says why package from must not import package to of this module,
// or "".
func mayImport(from, to string) string {
	guest := under(from, "sdk/node") && !under(from, "sdk/node/abi")
	fp, fok := place(from)
	tp, tok := place(to)
	switch {
	case guest:
		if !under(to, "sdk/node") && to != "sdk/fault" {
			return "the guest SDK imports sdk/node, sdk/node/abi and sdk/fault only"
		}
	case under(from, "sdk") && under(to, "core"):
		return "the sdk never imports the core"
	case under(from, "plugins"):
		if !under(to, "sdk") && !under(to, "plugins") {
			return "plugins import the sdk only"
		}
	case under(from, "testkit"):
		if tok && floors[tp] > 2 || under(to, "hostd") || under(to, "plugins") {
			return "the testkit imports floors 0 to 2"
		}
	case under(from, "examples"):
		if under(to, "hostd") || under(to, "plugins") {
			return "examples import core/host and below"
		}
	case under(from, "hostd"):
		if under(to, "plugins") && from != "hostd/cmd/spark" {
			return "only hostd/cmd/spark imports plugins"
		}
	case fok:
		if !tok || under(to, "sdk/node") && !under(to, "sdk/node/abi") {
			return "it is above the core"
		}
		if fp == tp || floors[tp] < floors[fp] {
			return ""
		}
		for _, a := range arrows[fp] {
			if a == tp {
				return ""
			}
		}
		return "imports point down"
	default:
		return "package " + from + " has no floor"
	}
	return ""
}

func TestFloors(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			name := d.Name()
			if path != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin") {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && path != "." {
				return filepath.SkipDir // a nested module is no part of the product
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		from := filepath.ToSlash(filepath.Dir(path))
		seen++
		for _, imp := range file.Imports {
			to, _ := strconv.Unquote(imp.Path.Value)
			if rest, ok := strings.CutPrefix(to, modulePath); ok {
				if why := mayImport(from, rest); why != "" {
					t.Errorf("%s imports %s: %s", path, rest, why)
				}
				continue
			}
			for heavy, allowed := range homes {
				if !under(to, heavy) {
					continue
				}
				ok := false
				for _, a := range allowed {
					ok = ok || under(from, a)
				}
				if !ok {
					t.Errorf("%s imports %s, whose home is %v", path, to, allowed)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 30 {
		t.Fatalf("only %d files were looked at", seen)
	}
}

// TestFloorsRefuse proves that the rules can fail.
func TestFloorsRefuse(t *testing.T) {
	for _, c := range [][2]string{
		{"core/graph", "core/engine"}, {"core/engine", "core/telemetry"}, {"core/engine", "core/rsi"},
		{"sdk/backend", "core/run"}, {"sdk/node", "core/run"}, {"plugins/nodes", "core/graph"},
		{"core/host", "hostd/cli"}, {"examples/docsearch", "hostd/cli"}, {"hostd/cli", "plugins/nodes"},
		{"testkit/backendtest", "core/host"}, {"sdk/fault", "core/run"},
	} {
		if mayImport(c[0], c[1]) == "" {
			t.Errorf("%s may import %s", c[0], c[1])
		}
	}
	for _, c := range [][2]string{
		{"core/engine", "core/graph"}, {"core/host", "core/rsi"}, {"sdk/backend", "sdk/proto"},
		{"hostd/cmd/spark", "plugins/nodes"}, {"core/graph", "core/run"}, {"core/rsi", "core/stats"},
	} {
		if why := mayImport(c[0], c[1]); why != "" {
			t.Errorf("%s may not import %s: %s", c[0], c[1], why)
		}
	}
}
