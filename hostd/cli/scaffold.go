package cli

import (
	"bytes"
	"embed"
	"fmt"
	"go/format"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"text/template"

	"github.com/spf13/cobra"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"

	"github.com/sparkrsi/spark/sdk/fault"
)

//go:embed scaffold
var scaffolds embed.FS

// sparkModule is the module that plugins are built with.
const sparkModule = "github.com/sparkrsi/spark"

func (a *app) initCommand() *cobra.Command {
	return parent("init", "Begin a telemetry backend of your own", "Write the files of a plugin that builds and passes its suite, to change from there.", a.initBackendCommand())
}

// project is what a scaffold is filled with.
type project struct {
	Name, Module string
	dir          string // where it is written
	checkout     string // of Spark; empty takes the released module
}

var projectName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)

func (a *app) initBackendCommand() *cobra.Command {
	var p project
	cmd := &cobra.Command{
		Use: "backend NAME", Short: "Write the project of a telemetry backend",
		Long: `Write a Go project of a telemetry backend to the folder NAME: it keeps traces in
memory, answers every question and passes the conformance suite. Nothing is fetched.

The project needs the module of Spark in the version of this program, which the first
` + "`go mod tidy`" + ` fetches. With --spark it is built against a checkout instead, without
the network where that checkout builds without.`,
		Example: "  spark init backend clickhouse\n  spark init backend clickhouse --spark ../spark --module example.com/clickhouse",
		Args:    arguments(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			p.Name = args[0]
			if !projectName.MatchString(p.Name) {
				return fault.New(fault.Invalid, p.Name, "the name of a backend is 1 to 63 lower-case letters, digits, - and _, and begins with a letter").
					WithHint("such as clickhouse")
			}
			if p.Module == "" {
				p.Module = p.Name
			}
			if p.dir == "" {
				p.dir = p.Name
			}
			files, err := a.project(&p, "backend")
			if err != nil {
				return err
			}
			return a.print(map[string]any{"folder": p.dir, "files": files}, func(w io.Writer) {
				for _, f := range files {
					fmt.Fprintln(w, filepath.Join(p.dir, f))
				}
				tidy := ""
				if p.checkout == "" {
					tidy = "go mod tidy && "
				}
				fmt.Fprintf(w, "next: cd %s && %sgo test ./... && go build && spark testkit backend ./%s\n", p.dir, tidy, path.Base(p.Module))
			})
		},
	}
	cmd.Flags().StringVar(&p.Module, "module", "", "Go module path of the project; default NAME")
	cmd.Flags().StringVar(&p.dir, "dir", "", "folder to write to; default NAME")
	cmd.Flags().StringVar(&p.checkout, "spark", "", "checkout of Spark to build against")
	return cmd
}

// project writes the scaffold called kind and returns the names of its files. An
// existing folder is never written to, unless it is empty.
func (a *app) project(p *project, kind string) (names []string, err error) {
	if held, err := os.ReadDir(p.dir); err == nil && len(held) > 0 {
		return nil, fault.New(fault.Conflict, p.dir, "the folder is not empty").WithHint("give another one with --dir")
	}
	files, err := a.modules(p)
	if err != nil {
		return nil, err
	}
	root := path.Join("scaffold", kind)
	entries, err := fs.ReadDir(scaffolds, root)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, root, err, "read the scaffold")
	}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".tmpl")
		t, err := template.ParseFS(scaffolds, path.Join(root, e.Name()))
		if err != nil {
			return nil, fault.Wrap(fault.Internal, name, err, "read the scaffold")
		}
		var b bytes.Buffer
		if err := t.Execute(&b, p); err != nil {
			return nil, fault.Wrap(fault.Internal, name, err, "fill the scaffold")
		}
		if files[name] = b.Bytes(); strings.HasSuffix(name, ".go") {
			if files[name], err = format.Source(b.Bytes()); err != nil {
				return nil, fault.Wrap(fault.Internal, name, err, "format the scaffold")
			}
		}
	}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return nil, fault.Wrap(fault.Invalid, p.dir, err, "make the folder")
	}
	for _, name := range sorted(files) {
		if err := os.WriteFile(filepath.Join(p.dir, name), files[name], 0o644); err != nil {
			return nil, fault.Wrap(fault.Invalid, filepath.Join(p.dir, name), err, "write")
		}
	}
	return sorted(files), nil
}

// modules returns go.mod and, with a checkout, its go.sum. The checkout's
// requirements are listed, too, so that nothing has to be looked up.
func (a *app) modules(p *project) (map[string][]byte, error) {
	m := new(modfile.File)
	if err := m.AddModuleStmt(p.Module); err != nil {
		return nil, fault.Wrap(fault.Invalid, "--module", err, "not a module path")
	}
	if p.checkout == "" {
		if !semver.IsValid(a.Version) || semver.Prerelease(a.Version) != "" || semver.Build(a.Version) != "" {
			return nil, fault.New(fault.Invalid, "--spark", "this program, version %q, is no release that a project can be built against", a.Version).
				WithHint("name a checkout of Spark with --spark FOLDER")
		}
		return map[string][]byte{"go.mod": modFile(m, goVersion(), a.Version)}, nil
	}
	dir, err := filepath.Abs(p.checkout)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "--spark", err, "resolve")
	}
	body, err := readFile(filepath.Join(dir, "go.mod"), 1<<20)
	if err != nil {
		return nil, err
	}
	sums, err := readFile(filepath.Join(dir, "go.sum"), 16<<20)
	if err != nil {
		return nil, err
	}
	of, err := modfile.Parse(filepath.Join(dir, "go.mod"), body, nil)
	if err != nil || of.Module == nil || of.Module.Mod.Path != sparkModule || of.Go == nil {
		return nil, fault.New(fault.Invalid, dir, "is no checkout of %s", sparkModule).WithHint("name the folder that holds its go.mod")
	}
	for _, r := range of.Require {
		m.AddNewRequire(r.Mod.Path, r.Mod.Version, true)
	}
	if err := m.AddReplace(sparkModule, "", dir, ""); err != nil {
		return nil, fault.Wrap(fault.Invalid, dir, err, "replace the module")
	}
	return map[string][]byte{"go.mod": modFile(m, of.Go.Version, "v0.0.0"), "go.sum": sums}, nil
}

// modFile completes m with a Go version and that of Spark.
func modFile(m *modfile.File, language, spark string) []byte {
	if err := m.AddGoStmt(language); err != nil {
		_ = m.AddGoStmt("1.26") // a toolchain built from source says no version
	}
	m.AddNewRequire(sparkModule, spark, false)
	m.SetRequireSeparateIndirect(m.Require)
	m.Cleanup()
	return modfile.Format(m.Syntax)
}

func goVersion() string { return strings.TrimPrefix(runtime.Version(), "go") }
