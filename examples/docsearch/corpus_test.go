package docsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const fakeRoot = "testdata/goroot"

// realCorpus is the corpus of the Go installation that runs the tests.
var realCorpus = sync.OnceValues(func() ([]byte, error) {
	root, err := Find("")
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	_, err = Build(context.Background(), root, &buf)
	return buf.Bytes(), err
})

// realSymbols returns the real corpus by id.
func realSymbols(t testing.TB) map[string]Symbol {
	t.Helper()
	data, err := realCorpus()
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := decodeCorpus(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	byID := make(map[string]Symbol, len(symbols))
	for _, s := range symbols {
		byID[s.ID] = s
	}
	return byID
}

func TestBuildGolden(t *testing.T) {
	const golden = "testdata/corpus.jsonl"
	var buf bytes.Buffer
	stats, err := Build(t.Context(), fakeRoot, &buf)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, buf.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(buf.Bytes(), want) {
		t.Errorf("corpus differs from %s:\n%s", golden, buf.Bytes())
	}
	if want := (Stats{Symbols: bytes.Count(want, []byte("\n")), Packages: 3, Bytes: len(want)}); stats != want {
		t.Errorf("stats %+v, want %+v", stats, want)
	}
}

func TestBuildCopiesCorpusFile(t *testing.T) {
	// Other order and spacing than Build's own, and an empty line, stay.
	text := `{"id":"b.B","pkg":"b","name":"B","kind":"func","sig":"func B()","doc":"B does."}` + "\n\n" +
		`{ "id": "a.A", "pkg": "a", "name": "A", "kind": "type", "sig": "type A int", "doc": "A is." }`
	path := filepath.Join(t.TempDir(), "own.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	stats, err := Build(t.Context(), path, &buf)
	if err != nil {
		t.Fatal(err)
	}
	if buf.String() != text {
		t.Errorf("copied %q, want %q", buf.String(), text)
	}
	if want := (Stats{Symbols: 2, Packages: 2, Bytes: len(text)}); stats != want {
		t.Errorf("stats %+v, want %+v", stats, want)
	}
}

func TestBuildRefusesBadCorpusFile(t *testing.T) {
	const good = `{"id":"a.A","pkg":"a","name":"A","kind":"func","sig":"func A()","doc":"A does."}`
	for name, c := range map[string]struct{ text, want string }{
		"empty":         {"", "no symbol in the file"},
		"not JSON":      {good + "\nhello\n", "line 2: not a symbol"},
		"unknown field": {`{"id":"a.A","pkg":"a","name":"A","doc":"d","score":1}`, `unknown field "score"`},
		"two values":    {good + " " + good, "line 1: not a symbol: more than one value"},
		"stray bracket": {good + "]", "line 1: not a symbol: more than one value"},
		"no id":         {`{"pkg":"a","name":"A","doc":"d"}`, "must not be empty"},
		"no doc":        {`{"id":"a.A","pkg":"a","name":"A"}`, "must not be empty"},
		"twice":         {good + "\n" + good, `line 2: id "a.A" appears a second time`},
		"not UTF-8":     {strings.Replace(good, "does", "\xff", 1), "not valid UTF-8"},
		"long line":     {good + "\n" + strings.Repeat(" ", maxLine+1), "limit 1048576 bytes a line"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bad.jsonl")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var buf bytes.Buffer
			_, err := Build(t.Context(), path, &buf)
			wantInvalid(t, err, path, c.want)
			if buf.Len() > 0 {
				t.Errorf("wrote %d bytes of a bad corpus", buf.Len())
			}
		})
	}
}

func TestBuildRefusesBadRoot(t *testing.T) {
	damaged := t.TempDir()
	if err := os.CopyFS(damaged, os.DirFS(fakeRoot)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(damaged, "src/shapes/cut.go"), []byte("package shapes\n\nfunc Cut( {"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	for name, text := range map[string]string{"fmt/print.go": "package fmt", "strings/strings.go": "package strings"} {
		path := filepath.Join(empty, "src", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ root, want string }{
		{damaged, "shapes/cut.go"},
		{empty, "no documented symbol"},
		{t.TempDir(), "not a Go installation"},
	} {
		var buf bytes.Buffer
		_, err := Build(t.Context(), c.root, &buf)
		wantInvalid(t, err, c.root, c.want)
		if buf.Len() > 0 {
			t.Errorf("wrote %d bytes for %s", buf.Len(), c.root)
		}
	}
}

func TestBuildFollowsLinkedSource(t *testing.T) {
	source, err := filepath.Abs(filepath.Join(fakeRoot, "src"))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	if err := os.Symlink(source, filepath.Join(root, "src")); err != nil {
		t.Fatal(err)
	}
	var direct, linked bytes.Buffer
	if _, err := Build(t.Context(), fakeRoot, &direct); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(t.Context(), root, &linked); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(direct.Bytes(), linked.Bytes()) {
		t.Error("a linked src folder gives another corpus")
	}
}

func TestBuildEndsWithContextAndWriter(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var buf bytes.Buffer
	for _, source := range []string{fakeRoot, "testdata/corpus.jsonl"} {
		if _, err := Build(ctx, source, &buf); !errors.Is(err, context.Canceled) || !fault.Is(err, fault.Cancelled) {
			t.Errorf("%s: error %v, want cancelled", source, err)
		}
	}
	if buf.Len() > 0 {
		t.Errorf("wrote %d bytes after cancellation", buf.Len())
	}
	full := errors.New("disk full")
	if _, err := Build(t.Context(), fakeRoot, failingWriter{full}); !errors.Is(err, full) {
		t.Errorf("error %v, want %v", err, full)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestBuildReal(t *testing.T) {
	data, err := realCorpus()
	if err != nil {
		t.Fatal(err)
	}
	symbols := realSymbols(t)
	if n := len(symbols); n < 6000 || n > 15000 {
		t.Errorf("%d symbols, want 6,000 to 15,000", n)
	}
	kinds := map[string]int{}
	last := ""
	for line := range bytes.Lines(data) {
		var s Symbol
		if err := json.Unmarshal(line, &s); err != nil {
			t.Fatal(err)
		}
		if s.ID <= last {
			t.Errorf("%q follows %q", s.ID, last)
		}
		last = s.ID
		kinds[s.Kind]++
		if s.ID != s.Pkg+"."+s.Name || s.Sig == "" || len(s.Sig) > maxSig+3 || strings.ContainsAny(s.Sig, "\n\t") {
			t.Errorf("malformed symbol %+v", s)
		}
		if strings.Contains("/"+s.Pkg+"/", "/internal/") || strings.HasPrefix(s.Pkg, "vendor/") || strings.HasPrefix(s.Pkg, "cmd/") {
			t.Errorf("%s should have been left out", s.ID)
		}
	}
	for _, kind := range []string{"func", "method", "type", "const", "var"} {
		if kinds[kind] < 300 {
			t.Errorf("%d of kind %s, want hundreds", kinds[kind], kind)
		}
	}
	if len(kinds) != 5 {
		t.Errorf("kinds %v", kinds)
	}
	for id, sig := range map[string]string{
		"strings.Fields":               "func Fields(s string) []string",
		"encoding/json.Decoder.Decode": "func (dec *Decoder) Decode(v any) error",
		"net.Conn.SetDeadline":         "func (Conn) SetDeadline(t time.Time) error",
		"sync/atomic.Pointer.Load":     "func (x *Pointer[T]) Load() *T",
		"slices.Contains":              "func Contains[S ~[]E, E comparable](s S, v E) bool",
		"testing.T.Fatal":              "func (T) Fatal(args ...any)",
		"time.Duration":                "type Duration int64",
		"bufio.Scanner":                "type Scanner struct",
		"io.Reader":                    "type Reader interface",
		"net/http.StatusNotFound":      "const StatusNotFound = 404",
		"io.EOF":                       "var EOF",
	} {
		if got := symbols[id].Sig; got != sig {
			t.Errorf("%s: declaration %q, want %q", id, got, sig)
		}
	}
	t.Logf("%d symbols, %d bytes, kinds %v", len(symbols), len(data), kinds)
}

// The number of processors must not show in the result.
func TestBuildRealOnOneProcessor(t *testing.T) {
	want, err := realCorpus()
	if err != nil {
		t.Fatal(err)
	}
	root, err := Find("")
	if err != nil {
		t.Fatal(err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var buf bytes.Buffer
	if _, err := Build(t.Context(), root, &buf); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(buf.Bytes(), want) {
		t.Error("one processor gives another corpus")
	}
}

func FuzzDecodeCorpus(f *testing.F) {
	golden, err := os.ReadFile("testdata/corpus.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte("{}\n"))
	f.Add([]byte("\xff\n{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		symbols, err := decodeCorpus(t.Context(), data)
		if err != nil {
			if !fault.Is(err, fault.Invalid) || fault.HintOf(err) == "" {
				t.Fatalf("error %v without kind or remedy", err)
			}
			return
		}
		// What was accepted survives Build's own writer.
		out, stats, err := encodeCorpus(symbols)
		if err != nil || stats.Symbols != len(symbols) {
			t.Fatalf("encoding %d symbols: %+v, %v", len(symbols), stats, err)
		}
		again, err := decodeCorpus(t.Context(), out)
		if err != nil || len(again) != len(symbols) {
			t.Fatalf("%d symbols became %d: %v", len(symbols), len(again), err)
		}
		for i := range again {
			if again[i] != symbols[i] {
				t.Fatalf("symbol %d changed from %+v to %+v", i, symbols[i], again[i])
			}
		}
	})
}

// BenchmarkBuild measures the parse of the whole standard library.
func BenchmarkBuild(b *testing.B) {
	root, err := Find("")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		var buf bytes.Buffer
		if _, err := Build(b.Context(), root, &buf); err != nil {
			b.Fatal(err)
		}
	}
}

// wantInvalid checks that err is a fault of kind invalid with a remedy that
// names where and holds want.
func wantInvalid(t *testing.T, err error, where, want string) {
	t.Helper()
	switch {
	case err == nil:
		t.Fatalf("no error, want one with %q", want)
	case !fault.Is(err, fault.Invalid) || fault.ExitStatus(err) != 2:
		t.Errorf("error %v is %s with exit status %d, want invalid and 2", err, fault.KindOf(err), fault.ExitStatus(err))
	case fault.HintOf(err) == "":
		t.Errorf("error %v has no remedy", err)
	case !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), where):
		t.Errorf("error %q does not name %q and %q", err, where, want)
	}
}
