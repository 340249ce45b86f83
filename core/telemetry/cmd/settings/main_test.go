package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../../../.."

func TestTableIsCurrent(t *testing.T) {
	if err := update(root, true); err != nil {
		t.Error(err)
	}
}

// A table that fell behind is found, and brought up to date; a document without a
// place for it is refused.
func TestUpdate(t *testing.T) {
	dir := t.TempDir()
	src, err := os.ReadFile(filepath.Join(root, source))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"docs", filepath.Dir(source)} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, source), src, 0o600); err != nil {
		t.Fatal(err)
	}
	doc := filepath.Join(dir, document)
	write := func(text string) {
		if err := os.WriteFile(doc, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("before\n" + begin + "| old |\n" + end + "after\n")
	if err := update(dir, true); err == nil || !strings.Contains(err.Error(), "not current") {
		t.Errorf("check: %v", err)
	}
	if err := update(dir, false); err != nil {
		t.Fatal(err)
	}
	if err := update(dir, true); err != nil {
		t.Error(err)
	}
	b, _ := os.ReadFile(doc)
	for _, want := range []string{"before\n", "after\n", "| `sampling_rate` | number | `1` | share of runs kept, in [0,1] |", "| `export_interval` | seconds, or 5s | `10s` |", "| `connection_string` | text |  |"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%q is missing in\n%s", want, b)
		}
	}
	write("nothing")
	if err := update(dir, false); err == nil {
		t.Error("a document without a place for the table is taken")
	}
}
