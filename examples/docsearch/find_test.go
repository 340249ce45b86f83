package docsearch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// makeRoot makes a minimal Go installation at dir and returns dir.
func makeRoot(t *testing.T, dir string) string {
	t.Helper()
	if err := os.CopyFS(dir, os.DirFS(fakeRoot)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFindExplicit(t *testing.T) {
	root := makeRoot(t, filepath.Join(t.TempDir(), "go"))
	// The other places must not even be looked at.
	f := finder{
		getenv: func(string) string { t.Error("environment read"); return "" },
		goEnv:  func() string { t.Error("go command run"); return "" },
	}
	for _, good := range []string{root, "testdata/corpus.jsonl"} {
		if got, err := f.find(good); err != nil || got != good {
			t.Errorf("find(%q) = %q, %v", good, got, err)
		}
	}
	odd := filepath.Join(t.TempDir(), "folder.jsonl")
	if err := os.Mkdir(odd, 0o700); err != nil {
		t.Fatal(err)
	}
	for bad, want := range map[string]string{
		t.TempDir():                              "not a Go installation",
		filepath.Join(t.TempDir(), "gone"):       "not a Go installation",
		filepath.Join(t.TempDir(), "gone.jsonl"): "cannot be read as a corpus",
		odd:                                      "not a regular file",
	} {
		got, err := f.find(bad)
		wantInvalid(t, err, bad, want)
		if got != "" {
			t.Errorf("find(%q) = %q beside its error", bad, got)
		}
	}
}

func TestFindOrder(t *testing.T) {
	home := t.TempDir()
	fromEnv := makeRoot(t, filepath.Join(home, "env"))
	fromGo := makeRoot(t, filepath.Join(home, "told"))
	old := makeRoot(t, filepath.Join(home, "sdk", "go1.9.7"))
	recent := makeRoot(t, filepath.Join(home, "sdk", "go1.26.1"))
	packaged := makeRoot(t, filepath.Join(home, "lib", "go-1.25"))
	if err := os.MkdirAll(filepath.Join(home, "sdk", "go1.99"), 0o700); err != nil { // newest, but empty
		t.Fatal(err)
	}
	bad := filepath.Join(home, "nowhere")
	sdk, lib := "~/sdk/go*", filepath.Join(home, "lib", "go-1.*")
	for _, c := range []struct {
		name, env, told string
		usual           []string
		want            string
	}{
		{"environment first", fromEnv, fromGo, []string{sdk}, fromEnv},
		{"then the go command", "", fromGo, []string{sdk}, fromGo},
		{"past a useless environment", bad, fromGo, []string{sdk}, fromGo},
		{"then the usual folders, newest first", bad, bad, []string{sdk, lib}, recent},
		{"in their order", "", "", []string{lib, sdk}, packaged},
		{"older if that is all", "", "", []string{"~/sdk/go1.9*"}, old},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := map[string]string{"GOROOT": c.env, "HOME": home}
			f := finder{func(k string) string { return env[k] }, func() string { return c.told }, c.usual}
			got, err := f.find("")
			if err != nil || got != c.want {
				t.Errorf("found %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestFindNothing(t *testing.T) {
	none := func() string { return "" }
	f := finder{getenv: func(string) string { return "" }, goEnv: none, usual: []string{"~/sdk/go*", t.TempDir() + "/go*"}}
	_, err := f.find("")
	wantInvalid(t, err, "", "no Go installation found")
	bad := filepath.Join(t.TempDir(), "wrong")
	f.getenv = func(k string) string { return map[string]string{"GOROOT": bad}[k] }
	_, err = f.find("")
	wantInvalid(t, err, bad, "no standard library source in")
}

// The machine that runs the tests has Go: the real search finds it, and the go
// command alone does too.
func TestFindReal(t *testing.T) {
	root, err := Find("")
	if err != nil {
		t.Fatal(err)
	}
	if err := checkRoot(root); err != nil {
		t.Error(err)
	}
	told := goEnvRoot()
	if err := checkRoot(told); err != nil {
		t.Errorf("`go env GOROOT` said %q: %v", told, err)
	}
	t.Setenv("PATH", t.TempDir())
	if told := goEnvRoot(); told != "" {
		t.Errorf("without go on PATH it said %q", told)
	}
}

func TestNewerFirst(t *testing.T) {
	names := strings.Fields("go1.9 go1.26.1 go go1.10 go-1.27 go1.26rc1")
	for _, c := range [][2]string{{"go1.10", "go1.9"}, {"go1.26.1", "go1.26rc1"}, {"go-1.27", "go1.26.1"}, {"go1.9", "go"}} {
		if newerFirst(c[0], c[1]) >= 0 || newerFirst(c[1], c[0]) <= 0 {
			t.Errorf("%s should come before %s", c[0], c[1])
		}
	}
	for _, n := range names {
		if newerFirst(n, n) != 0 {
			t.Errorf("%s differs from itself", n)
		}
	}
}
