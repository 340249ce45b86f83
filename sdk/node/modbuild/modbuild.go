// Package modbuild makes a Spark node module from the source of a Go program:
// it compiles the program for WASI, reads the manifest beside it and appends it
// to the binary. The same source gives the same bytes in any folder.
//
// Start with Build. The package runs the go command and never downloads or runs
// anything else.
package modbuild

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// ManifestFile is the name of the manifest beside a module's source.
const ManifestFile = "manifest.json"

// Result is one built module.
type Result struct {
	Digest   string // sha256 of the file as 64 hex digits
	Size     int    // bytes of the file
	Manifest *abi.Manifest
}

// Build compiles the Go program in the folder dir with the manifest in its
// manifest.json and writes the module to out. The file appears whole or not at
// all; folders above it are made. It needs the go command on PATH. Errors are
// Invalid faults with what the compiler or the manifest's check says.
func Build(ctx context.Context, dir, out string) (*Result, error) {
	manifest, err := Manifest(filepath.Join(dir, ManifestFile))
	if err != nil {
		return nil, err
	}
	if err := manifest.Validate(); err != nil {
		return nil, fault.Wrap(fault.Invalid, filepath.Join(dir, ManifestFile), err, "manifest refused")
	}
	temp, err := os.MkdirTemp("", "modbuild-")
	if err != nil {
		return nil, fault.Wrap(fault.Internal, out, err, "no folder for the compiler")
	}
	defer os.RemoveAll(temp)
	bare := filepath.Join(temp, "bare.wasm")
	if err := compile(ctx, dir, bare); err != nil {
		return nil, err
	}
	wasm, err := os.ReadFile(bare)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, bare, err, "output of the compiler")
	}
	if wasm, err = abi.AppendManifest(wasm, manifest); err != nil {
		return nil, err
	}
	if err := write(out, wasm); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(wasm)
	return &Result{Digest: hex.EncodeToString(sum[:]), Size: len(wasm), Manifest: manifest}, nil
}

// Manifest returns the manifest in the JSON file at path. An element of its
// nodes that is a string names a file, relative to the manifest, that holds the
// node type, so that each type can be described beside its code. The manifest
// is decoded strictly and not yet validated.
func Manifest(path string) (*abi.Manifest, error) {
	doc, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, path, err, "no manifest")
	}
	var top map[string]json.RawMessage
	var nodes []json.RawMessage
	if json.Unmarshal(doc, &top) == nil && json.Unmarshal(top["nodes"], &nodes) == nil {
		for i, n := range nodes {
			var file string
			if json.Unmarshal(n, &file) != nil {
				continue
			}
			file = filepath.Join(filepath.Dir(path), filepath.FromSlash(file))
			if nodes[i], err = os.ReadFile(file); err != nil {
				return nil, fault.Wrap(fault.NotFound, path+": nodes."+strconv.Itoa(i), err, "no node type")
			}
			if _, err := abi.DecodeNodeType(nodes[i]); err != nil {
				return nil, fault.Wrap(fault.Invalid, file, err, "node type refused")
			}
		}
		if top["nodes"], err = json.Marshal(nodes); err != nil {
			return nil, fault.Wrap(fault.Invalid, path, err, "manifest refused")
		}
		if err := abi.Sound(doc); err != nil {
			return nil, fault.Wrap(fault.Invalid, path, err, "manifest refused")
		}
		if doc, err = json.Marshal(top); err != nil {
			return nil, fault.Wrap(fault.Invalid, path, err, "manifest refused")
		}
	}
	m, err := abi.DecodeManifest(doc)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, path, err, "manifest refused")
	}
	return m, nil
}

func compile(ctx context.Context, dir, out string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared",
		"-ldflags", "-s -w", "-o", out, ".")
	cmd.Dir = dir
	// Settings of the caller's shell must not change the bytes that come out.
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOWASM=", "CGO_ENABLED=0", "GOFLAGS=", "GOEXPERIMENT=")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fault.Wrap("", dir, ctx.Err(), "build stopped")
		}
		f := &fault.Error{Kind: fault.Invalid, Op: "module build", Path: dir, Err: err,
			Msg: "go build failed: " + strings.TrimSpace(output.String())}
		if _, look := exec.LookPath("go"); look != nil {
			f.Hint = "install Go and put the go command on PATH"
		}
		return f
	}
	return nil
}

// write puts b into the file path by way of a temporary file beside it.
func write(path string, b []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fault.Wrap(fault.ReadOnly, dir, err, "module cannot be written")
	}
	f, err := os.CreateTemp(dir, ".modbuild-*")
	if err != nil {
		return fault.Wrap(fault.ReadOnly, dir, err, "module cannot be written")
	}
	_, err = f.Write(b)
	if e := f.Chmod(0o644); err == nil {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fault.Wrap(fault.ReadOnly, path, err, "module cannot be written")
	}
	return nil
}
