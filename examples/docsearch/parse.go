package docsearch

import (
	"bytes"
	"go/ast"
	"go/build"
	"go/parser"
	"go/printer"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sparkrsi/spark/sdk/fault"
)

// maxSig bounds a declaration in the corpus, in bytes; longer ones are cut at a
// character and end in "...".
const maxSig = 300

// pkgDir is one folder of the standard library.
type pkgDir struct {
	path string // import path
	dir  string // folder
}

// listPackages returns the folders below root/src that may hold an importable
// package, in a fixed order.
// Package builtin is left out: it documents names of the language that are no
// exported symbols.
func listPackages(root string) ([]pkgDir, error) {
	bad := func(path string, err error) error {
		return &fault.Error{Kind: fault.Invalid, Op: "build corpus", Path: path, Msg: "cannot be read", Hint: findHint, Err: err}
	}
	// Some distributions make src a symbolic link, which WalkDir would not enter.
	src, err := filepath.EvalSymlinks(filepath.Join(root, "src"))
	if err != nil {
		return nil, bad(root, err)
	}
	var packages []pkgDir
	err = filepath.WalkDir(src, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return bad(path, err)
		}
		if !entry.IsDir() || path == src {
			return nil
		}
		name := entry.Name()
		if name == "internal" || name == "vendor" || name == "testdata" || name[0] == '.' || name[0] == '_' {
			return fs.SkipDir
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return bad(path, err)
		}
		if rel == "cmd" || rel == "builtin" {
			return fs.SkipDir
		}
		packages = append(packages, pkgDir{path: filepath.ToSlash(rel), dir: path})
		return nil
	})
	return packages, err
}

// symbols returns the package's documented exported symbols in the order of its
// files, none for a folder without an importable package.
func (p pkgDir) symbols() ([]Symbol, error) {
	bad := func(name string, err error) error {
		return &fault.Error{Kind: fault.Invalid, Op: "build corpus", Path: filepath.Join(p.dir, name),
			Msg: "cannot be parsed", Hint: "name an undamaged Go installation, not newer than the Go that built this program", Err: err}
	}
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return nil, bad("", err)
	}
	out := collector{pkg: p.path, fset: token.NewFileSet()}
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := selectFile(p.dir, name)
		if err != nil {
			return nil, bad(name, err)
		}
		if text == nil {
			continue
		}
		file, err := parser.ParseFile(out.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, bad(name, err)
		}
		if file.Name.Name != "main" {
			out.file(file)
		}
	}
	out.promote()
	return out.symbols, nil
}

// releaseTags makes every go1.N constraint hold: the files of an installation
// are for its own version, whatever Go built this program.
var releaseTags = func() []string {
	tags := make([]string, 99)
	for i := range tags {
		tags[i] = "go1." + strconv.Itoa(i+1)
	}
	return tags
}()

// selectFile returns the text of a file, or nil if its name or build
// constraints keep it out of a linux/amd64 build with cgo.
func selectFile(dir, name string) ([]byte, error) {
	var text []byte
	platform := build.Context{
		GOOS: "linux", GOARCH: "amd64", Compiler: "gc", CgoEnabled: true,
		ReleaseTags: releaseTags,
		OpenFile: func(path string) (io.ReadCloser, error) {
			var err error
			text, err = os.ReadFile(path)
			return io.NopCloser(bytes.NewReader(text)), err
		},
	}
	ok, err := platform.MatchFile(dir, name)
	if err != nil || !ok {
		return nil, err
	}
	return text, nil
}

// collector gathers the symbols of one package.
type collector struct {
	pkg     string
	fset    *token.FileSet
	symbols []Symbol
	hidden  []*ast.FuncDecl // exported methods of unexported types
	embeds  []embed
}

// embed says that the exported struct outer embeds the unexported type inner of
// the same package.
type embed struct{ outer, inner string }

// add records a symbol if it is documented: by its own comment and the one
// at its line's end, and by that of its group if it has no comment above it.
func (c *collector) add(name, kind, sig string, own, line, group *ast.CommentGroup) {
	var words []string
	if own.Text() != "" {
		group = nil
	}
	for _, comment := range []*ast.CommentGroup{own, line, group} {
		if text := strings.TrimSpace(comment.Text()); text != "" {
			words = append(words, text)
		}
	}
	if len(words) == 0 {
		return
	}
	c.symbols = append(c.symbols, Symbol{
		ID: c.pkg + "." + name, Pkg: c.pkg, Name: name, Kind: kind, Sig: sig,
		Doc: strings.ToValidUTF8(strings.Join(words, "\n"), "\uFFFD"),
	})
}

func (c *collector) file(file *ast.File) {
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			c.function(d)
		case *ast.GenDecl:
			switch d.Tok {
			case token.TYPE:
				for _, spec := range d.Specs {
					c.typ(spec.(*ast.TypeSpec), d.Doc)
				}
			case token.CONST, token.VAR:
				c.values(d)
			}
		}
	}
}

func (c *collector) function(d *ast.FuncDecl) {
	if !d.Name.IsExported() {
		return
	}
	sig := &ast.FuncDecl{Recv: d.Recv, Name: d.Name, Type: d.Type}
	if d.Recv == nil {
		c.add(d.Name.Name, "func", c.oneLine(sig), d.Doc, nil, nil)
		return
	}
	if base := baseType(d.Recv.List[0].Type); ast.IsExported(base) {
		c.add(base+"."+d.Name.Name, "method", c.oneLine(sig), d.Doc, nil, nil)
	} else {
		c.hidden = append(c.hidden, d)
	}
}

// promote records the methods that exported structs have from unexported types
// they embed, such as testing.T.Fatal, unless they declare their own.
func (c *collector) promote() {
	declared := map[string]bool{}
	for _, s := range c.symbols {
		declared[s.Name] = true
	}
	for _, e := range c.embeds {
		for _, d := range c.hidden {
			name := e.outer + "." + d.Name.Name
			if baseType(d.Recv.List[0].Type) == e.inner && !declared[name] {
				declared[name] = true
				c.add(name, "method", c.methodSig(e.outer, d.Name.Name, d.Type), d.Doc, nil, nil)
			}
		}
	}
}

// methodSig returns the declaration of a method without a named receiver.
func (c *collector) methodSig(typ, name string, fn *ast.FuncType) string {
	return clip("func (" + typ + ") " + name + strings.TrimPrefix(c.oneLine(fn), "func"))
}

// baseType returns the name of the type behind a receiver or an embedded field:
// Pointer for *Pointer[T], "" for a type of another package.
func baseType(x ast.Expr) string {
	for {
		switch t := x.(type) {
		case *ast.StarExpr:
			x = t.X
		case *ast.ParenExpr:
			x = t.X
		case *ast.IndexExpr:
			x = t.X
		case *ast.IndexListExpr:
			x = t.X
		case *ast.Ident:
			return t.Name
		default:
			return ""
		}
	}
}

func (c *collector) typ(spec *ast.TypeSpec, group *ast.CommentGroup) {
	if !spec.Name.IsExported() {
		return
	}
	name := spec.Name.Name
	short := &ast.TypeSpec{Name: spec.Name, TypeParams: spec.TypeParams, Assign: spec.Assign, Type: spec.Type}
	switch t := spec.Type.(type) {
	case *ast.StructType:
		short.Type = ast.NewIdent("struct")
		for _, f := range t.Fields.List {
			if inner := baseType(f.Type); len(f.Names) == 0 && inner != "" && !ast.IsExported(inner) {
				c.embeds = append(c.embeds, embed{name, inner})
			}
		}
	case *ast.InterfaceType:
		short.Type = ast.NewIdent("interface")
		for _, m := range t.Methods.List {
			fn, ok := m.Type.(*ast.FuncType)
			if !ok || len(m.Names) == 0 || !m.Names[0].IsExported() {
				continue
			}
			method := m.Names[0].Name
			c.add(name+"."+method, "method", c.methodSig(name, method, fn), m.Doc, m.Comment, nil)
		}
	}
	c.add(name, "type", "type "+c.oneLine(short), spec.Doc, spec.Comment, group)
}

// values records constants or variables. A constant without a type has that of
// the constant it repeats.
func (c *collector) values(d *ast.GenDecl) {
	kind := d.Tok.String()
	var repeated ast.Expr
	for _, spec := range d.Specs {
		s := spec.(*ast.ValueSpec)
		typ := s.Type
		if d.Tok == token.CONST {
			if len(s.Values) > 0 {
				repeated = s.Type
			} else if typ == nil {
				typ = repeated
			}
		}
		for i, name := range s.Names {
			if !name.IsExported() {
				continue
			}
			sig := kind + " " + name.Name
			if typ != nil {
				sig += " " + c.oneLine(typ)
			}
			if i < len(s.Values) && d.Tok == token.CONST {
				sig += " = " + c.oneLine(s.Values[i])
			}
			c.add(name.Name, kind, clip(sig), s.Doc, s.Comment, d.Doc)
		}
	}
}

// oneLine returns node as source text on one line of at most maxSig bytes.
func (c *collector) oneLine(node any) string {
	var buf bytes.Buffer
	if err := printer.Fprint(&buf, c.fset, node); err != nil {
		return ""
	}
	line := strings.Join(strings.Fields(buf.String()), " ")
	return clip(strings.NewReplacer("( ", "(", ", )", ")", " )", ")").Replace(line))
}

// clip cuts s to maxSig bytes.
func clip(s string) string {
	if len(s) <= maxSig {
		return s
	}
	return strings.ToValidUTF8(s[:maxSig], "") + "..."
}
