// Command protogen compiles the .proto files of the SDK to Go without protoc:
// protocompile parses them, and the two official generators, pinned by this
// module's go.mod, get the request that protoc would send them.
//
//	go run -C tools ./protogen           writes sdk/proto/*.pb.go
//	go run -C tools ./protogen -check    exits 1 when a committed file is not current
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// generators are the tools of this module's go.mod, with their parameters.
var generators = map[string]string{
	"protoc-gen-go":      "paths=source_relative",
	"protoc-gen-go-grpc": "paths=source_relative",
}

func main() {
	dir := flag.String("dir", "../sdk/proto", "folder of the .proto files, also that of the generated ones")
	check := flag.Bool("check", false, "write nothing; fail when a generated file is not current")
	flag.Parse()
	if err := run(context.Background(), *dir, *check); err != nil {
		fmt.Fprintln(os.Stderr, "protogen:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, check bool) error {
	want, err := generate(ctx, dir)
	if err != nil {
		return err
	}
	stale, err := differences(dir, want)
	if err != nil || len(stale) == 0 {
		return err
	}
	if check {
		return fmt.Errorf("not current: %s; run go run -C tools ./protogen", strings.Join(stale, ", "))
	}
	for _, name := range stale {
		path := filepath.Join(dir, name)
		if _, ok := want[name]; !ok {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, want[name], 0o644)
		}
		if err != nil {
			return err
		}
		fmt.Println(path)
	}
	return nil
}

// differences returns the names of generated files in dir that are missing,
// differ from want or have no source any more, sorted.
func differences(dir string, want map[string][]byte) ([]string, error) {
	var stale []string
	for name, text := range want {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if !bytes.Equal(got, text) {
			stale = append(stale, name)
		}
	}
	present, err := filepath.Glob(filepath.Join(dir, "*.pb.go"))
	if err != nil {
		return nil, err
	}
	for _, path := range present {
		if name := filepath.Base(path); want[name] == nil {
			stale = append(stale, name)
		}
	}
	sort.Strings(stale)
	return stale, nil
}

// generate returns the generated files by name.
func generate(ctx context.Context, dir string) (map[string][]byte, error) {
	sources, err := filepath.Glob(filepath.Join(dir, "*.proto"))
	if err != nil {
		return nil, err
	}
	if len(sources) == 0 {
		return nil, fmt.Errorf("no .proto files in %s", dir)
	}
	for i, path := range sources {
		sources[i] = filepath.Base(path)
	}
	set, err := compile(ctx, dir, sources)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for tool, parameter := range generators {
		req := &pluginpb.CodeGeneratorRequest{FileToGenerate: sources, Parameter: &parameter, ProtoFile: set}
		if err := invoke(ctx, tool, req, out); err != nil {
			return nil, fmt.Errorf("%s: %w", tool, err)
		}
	}
	return out, nil
}

// compile parses and links the sources and returns their descriptors, each after
// those that it imports.
func compile(ctx context.Context, dir string, sources []string) ([]*descriptorpb.FileDescriptorProto, error) {
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{dir}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(ctx, sources...)
	if err != nil {
		return nil, err
	}
	var set []*descriptorpb.FileDescriptorProto
	done := map[string]bool{}
	var add func(path string) error
	add = func(path string) error {
		if done[path] {
			return nil
		}
		done[path] = true
		file := files.FindFileByPath(path)
		if file == nil {
			return fmt.Errorf("%s was not compiled", path)
		}
		imports := file.Imports()
		for i := range imports.Len() {
			if err := add(imports.Get(i).Path()); err != nil {
				return err
			}
		}
		set = append(set, protodesc.ToFileDescriptorProto(file))
		return nil
	}
	for _, path := range sources {
		if err := add(path); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// invoke runs one generator and adds its files to out.
func invoke(ctx context.Context, tool string, req *pluginpb.CodeGeneratorRequest, out map[string][]byte) error {
	in, err := proto.Marshal(req)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "tool", tool)
	cmd.Stdin = bytes.NewReader(in)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return err
	}
	var resp pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(text, &resp); err != nil {
		return err
	}
	if resp.Error != nil {
		return errors.New(resp.GetError())
	}
	for _, f := range resp.GetFile() {
		out[f.GetName()] = []byte(f.GetContent())
	}
	return nil
}
