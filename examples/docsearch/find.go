package docsearch

import (
	"context"
	"go/version"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sparkrsi/spark/sdk/fault"
)

// goEnvTimeout bounds the one call of the go command.
const goEnvTimeout = 5 * time.Second

// findHint is the remedy every fault of Find carries.
const findHint = "install Go, or name a Go installation with --corpus DIR or the environment variable GOROOT, " +
	"or a finished corpus with --corpus FILE.jsonl"

// usualRoots are the folders in which packagers install Go, as patterns of
// filepath.Glob; "~" stands for the home folder. Among the matches of one
// pattern the newest version comes first.
var usualRoots = []string{
	"/usr/local/go",
	"/usr/lib/go",
	"/usr/lib/golang",
	"/usr/lib/go-1.*",
	"/opt/homebrew/opt/go/libexec",
	"/usr/local/opt/go/libexec",
	"/snap/go/current",
	"~/sdk/go*",
}

// Find returns the text to build the corpus from: the root folder of a Go
// installation, or the path of a finished corpus file ending in ".jsonl".
//
// A non-empty explicit value is taken or refused, nothing else is tried. Else
// the first Go installation wins among the environment variable GOROOT, what
// `go env GOROOT` says (when go is on PATH; waits 5 s at most) and the usual
// folders. A place counts only if the standard library's source is there. The
// error is a fault of kind invalid that names what was tried; its hint is the
// remedy. Safe for concurrent use.
func Find(explicit string) (string, error) {
	return finder{
		getenv: os.Getenv,
		goEnv:  goEnvRoot,
		usual:  usualRoots,
	}.find(explicit)
}

// finder is Find's view of the machine.
type finder struct {
	getenv func(string) string
	goEnv  func() string
	usual  []string
}

func (f finder) find(explicit string) (string, error) {
	if explicit != "" {
		check := checkRoot
		if isCorpusFile(explicit) {
			check = checkFile
		}
		if err := check(explicit); err != nil {
			return "", err
		}
		return explicit, nil
	}
	var tried []string
	try := func(root string) bool {
		tried = append(tried, root)
		return checkRoot(root) == nil
	}
	if root := f.getenv("GOROOT"); root != "" && try(root) {
		return root, nil
	}
	if root := f.goEnv(); root != "" && try(root) {
		return root, nil
	}
	for _, pattern := range f.usual {
		if rest, ok := strings.CutPrefix(pattern, "~"); ok {
			home := f.getenv("HOME")
			if home == "" {
				continue
			}
			pattern = home + rest
		}
		roots, _ := filepath.Glob(pattern) // fails only on a malformed pattern
		slices.SortFunc(roots, newerFirst)
		for _, root := range roots {
			if try(root) {
				return root, nil
			}
		}
	}
	where := "GOROOT, `go env GOROOT` and the usual folders lead nowhere"
	if len(tried) > 0 {
		where = "no standard library source in " + strings.Join(tried, ", ")
	}
	return "", fault.New(fault.Invalid, "", "no Go installation found: %s", where).WithOp("find corpus").WithHint(findHint)
}

// newerFirst orders folders such as go1.26.1 and go-1.9 by the version in their
// name, newest first, and by name where that does not decide.
func newerFirst(a, b string) int {
	v := func(root string) string {
		return "go" + strings.TrimLeft(strings.TrimPrefix(filepath.Base(root), "go"), "-")
	}
	if c := version.Compare(v(b), v(a)); c != 0 {
		return c
	}
	return strings.Compare(a, b)
}

// goEnvRoot returns what the go command on PATH says, or "" when there is none
// or it fails.
func goEnvRoot() string {
	ctx, cancel := context.WithTimeout(context.Background(), goEnvTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "env", "GOROOT")
	// Neither a go.mod near the caller nor its toolchain line may start a
	// download or change the answer.
	cmd.Dir = os.TempDir()
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN=local", "GOWORK=off", "GOFLAGS=")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// isCorpusFile reports whether path names a finished corpus rather than a Go
// installation.
func isCorpusFile(path string) bool { return filepath.Ext(path) == ".jsonl" }

// checkRoot returns nil if root is a Go installation with its source.
func checkRoot(root string) error {
	for _, name := range []string{"fmt/print.go", "strings/strings.go"} {
		path := filepath.Join(root, "src", filepath.FromSlash(name))
		info, err := os.Stat(path)
		if err == nil && info.Mode().IsRegular() {
			continue
		}
		if err == nil {
			err = fault.New(fault.Invalid, "", "not a regular file")
		}
		return &fault.Error{Kind: fault.Invalid, Op: "find corpus", Path: root,
			Msg: "not a Go installation with its source", Hint: findHint, Err: err}
	}
	return nil
}

// checkFile returns nil if path is a regular file.
func checkFile(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fault.New(fault.Invalid, "", "not a regular file")
	}
	if err != nil {
		return &fault.Error{Kind: fault.Invalid, Op: "find corpus", Path: path,
			Msg: "cannot be read as a corpus", Hint: findHint, Err: err}
	}
	return nil
}
