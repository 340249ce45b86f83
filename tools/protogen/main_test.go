package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const source = `syntax = "proto3";
package demo;
option go_package = "example.com/demo;demo";
service Greeter { rpc Greet(Name) returns (Name); }
message Name { string text = 1; }
`

func TestCheckSeesWhatIsNotCurrent(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string, stale ...string) {
		t.Helper()
		err := run(ctx, dir, true)
		if len(stale) == 0 && err != nil {
			t.Errorf("%s: %v", when, err)
		}
		if want := "not current: " + strings.Join(stale, ", ") + ";"; len(stale) > 0 && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %s", when, err, want)
		}
	}
	if err := run(ctx, dir, true); err == nil {
		t.Error("a folder without sources passed")
	}
	write("demo.proto", source)
	check("nothing generated", "demo.pb.go", "demo_grpc.pb.go")
	if err := run(ctx, dir, false); err != nil {
		t.Fatal(err)
	}
	check("generated")

	write("demo.proto", strings.Replace(source, "text = 1", "text = 2", 1))
	check("source changed", "demo.pb.go")
	write("demo.proto", source)
	write("demo_grpc.pb.go", "package demo\n")
	write("old.pb.go", "package demo\n")
	check("edited by hand, and without source", "demo_grpc.pb.go", "old.pb.go")
	if err := run(ctx, dir, false); err != nil {
		t.Fatal(err)
	}
	check("generated again")

	write("demo.proto", "message {")
	if err := run(ctx, dir, true); err == nil || !strings.Contains(err.Error(), "demo.proto:1:") {
		t.Errorf("a source that is no proto: %v", err)
	}
}
