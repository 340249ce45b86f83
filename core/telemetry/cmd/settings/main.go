// Settings writes the table of telemetry settings in docs/TELEMETRY.md from the
// struct that reads them, so that the document cannot fall behind. Run it in the
// root of the repository; with -check it changes nothing and fails when the table
// is not current.
//
//	go run ./core/telemetry/cmd/settings [-check]
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/sparkrsi/spark/core/telemetry"
)

const (
	document = "docs/TELEMETRY.md"
	source   = "core/telemetry/config.go"
	begin    = "<!-- settings: written by go run ./core/telemetry/cmd/settings -->\n"
	end      = "<!-- end of settings -->\n"
)

func main() {
	check := flag.Bool("check", false, "fail when the table is not current")
	flag.Parse()
	if err := update(".", *check); err != nil {
		fmt.Fprintln(os.Stderr, "settings:", err)
		os.Exit(1)
	}
}

// update brings the document below root up to date, or only looks.
func update(root string, check bool) error {
	path := filepath.Join(root, document)
	doc, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	src, err := os.ReadFile(filepath.Join(root, source))
	if err != nil {
		return err
	}
	rows, err := table(src)
	if err != nil {
		return err
	}
	head, rest, ok := bytes.Cut(doc, []byte(begin))
	_, tail, closed := bytes.Cut(rest, []byte(end))
	if !ok || !closed {
		return fmt.Errorf("%s has no place for the table: it wants the lines %q and %q", path, begin, end)
	}
	want := bytes.Join([][]byte{head, []byte(begin), rows, []byte(end), tail}, nil)
	switch {
	case bytes.Equal(doc, want):
		return nil
	case check:
		return fmt.Errorf("%s is not current: run go run ./core/telemetry/cmd/settings", path)
	}
	return os.WriteFile(path, want, 0o644)
}

// table returns one row a setting: its name, form and default by reflection, what
// it means from the comment beside it.
func table(src []byte) ([]byte, error) {
	meanings, err := comments(src)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString("| setting | form | default | meaning |\n|---|---|---|---|\n")
	defaults := reflect.ValueOf(telemetry.Defaults())
	for i := range defaults.NumField() {
		f := defaults.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if meanings[f.Name] == "" {
			return nil, fmt.Errorf("%s: the setting %s has no comment beside it", source, f.Name)
		}
		value, err := standard(defaults.Field(i))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, form(f.Type), value, strings.ReplaceAll(meanings[f.Name], "|", `\|`))
	}
	return b.Bytes(), nil
}

// comments returns the line comment of each field of Config.
func comments(src []byte) (map[string]string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), source, src, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "Config" {
			return true
		}
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			for _, name := range f.Names {
				out[name.Name] = strings.TrimSpace(f.Comment.Text())
			}
		}
		return false
	})
	return out, nil
}

// form says in words what a setting is written as.
func form(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[telemetry.Duration]():
		return "seconds, or 5s"
	case reflect.TypeFor[telemetry.Names]():
		return "name or list"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return form(t.Elem())
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "whole number"
	case reflect.Float64:
		return "number"
	case reflect.Map:
		return "mapping"
	}
	return "text"
}

// standard returns the default as it would be written; empty stands for none.
func standard(v reflect.Value) (string, error) {
	if v.Kind() != reflect.Bool && v.IsZero() && v.Kind() != reflect.Float64 {
		return "", nil
	}
	b, err := json.Marshal(v.Interface())
	return "`" + strings.Trim(string(b), `"`) + "`", err
}
