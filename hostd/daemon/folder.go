package daemon

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/sdk/fault"
)

// maxModule bounds a module file, maxFindings the log lines of one document.
const (
	maxModule   = 64 << 20
	maxFindings = 20
)

// document is a graph file as it was looked at last.
type document struct {
	sum   [32]byte // of the document and its policy; zero when they could not be read
	graph string   // name; empty when the document could never be read
	bad   bool     // it was refused
}

// file is a module file as it was looked at last.
type file struct {
	size     int64
	modified time.Time
	sum      [32]byte
}

func hidden(path string) bool {
	name := filepath.Base(path)
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "#") || strings.HasSuffix(name, "~")
}

func isDocument(path string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path))
}

// isPolicy reports whether a document is named NAME.policy.yaml.
func isPolicy(path string) bool {
	return strings.HasSuffix(strings.TrimSuffix(path, filepath.Ext(path)), ".policy")
}

// names returns the files of a folder that want selects, sorted. Nil, false when
// the folder cannot be read, which is logged.
func (w *watcher) names(dir string, want func(string) bool) ([]string, bool) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if !w.gone[dir] {
			w.log.Error("the folder cannot be read; what it gave keeps serving", "folder", dir, "error", err, "hint", "put it back")
		}
		w.gone[dir] = true
		return nil, false
	}
	delete(w.gone, dir)
	var list []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && !hidden(path) && want(path) {
			list = append(list, path)
		}
	}
	return list, true
}

// scanModules loads what is new and reports whether that was anything.
func (w *watcher) scanModules(ctx context.Context) (any bool) {
	list, ok := w.names(w.modules, func(p string) bool { return filepath.Ext(p) == ".wasm" })
	if !ok {
		return false
	}
	for _, path := range list {
		if ctx.Err() != nil {
			return any
		}
		any = w.loadModule(ctx, path) || any
	}
	for path := range w.loaded {
		if !slices.Contains(list, path) {
			w.log.Warn("a module file is gone; the module stays stored", "file", path)
			delete(w.loaded, path)
		}
	}
	return any
}

func (w *watcher) loadModule(ctx context.Context, path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false // gone since it was listed
	}
	old := w.loaded[path]
	if old != nil && old.size == info.Size() && old.modified.Equal(info.ModTime()) {
		return false
	}
	now := &file{size: info.Size(), modified: info.ModTime()}
	w.loaded[path] = now
	if info.Size() > maxModule {
		w.refused("module refused", path, fault.New(fault.Invalid, path, "the file has %d bytes, the limit is %d", info.Size(), maxModule))
		return false
	}
	wasm, err := os.ReadFile(path)
	if err != nil {
		w.refused("module refused", path, err)
		return false
	}
	if now.sum = sha256.Sum256(wasm); old != nil && old.sum == now.sum {
		return false
	}
	p, err := w.host.PushModule(ctx, wasm, false, "file:"+filepath.Base(path))
	if err != nil {
		if ctx.Err() == nil {
			w.refused("module refused", path, err)
		}
		return false
	}
	if p.New {
		w.log.Info("module stored", "file", path, "module", p.Name+"@"+p.Version, "digest", p.Digest)
	}
	return p.New
}

// scanGraphs applies the documents that changed, all of them with again, and
// always those that were refused when something else changed.
func (w *watcher) scanGraphs(ctx context.Context, again bool) {
	list, ok := w.names(w.graphs, func(p string) bool { return isDocument(p) && !isPolicy(p) })
	if !ok {
		return
	}
	// The name of a graph belongs to the first file that has it.
	owner := map[string]string{}
	for _, path := range list {
		if ctx.Err() != nil {
			return
		}
		w.loadGraph(ctx, path, again, owner)
	}
	for path, d := range w.documents {
		if !slices.Contains(list, path) {
			w.log.Warn("a graph file is gone; its graph keeps serving", "file", path, "graph", d.graph)
			delete(w.documents, path)
		}
	}
}

func (w *watcher) loadGraph(ctx context.Context, path string, again bool, owner map[string]string) {
	doc, err := readGraph(path)
	if err != nil {
		if old := w.documents[path]; !errors.Is(err, fs.ErrNotExist) && (old == nil || old.sum != [32]byte{}) {
			w.refused("graph refused", path, err)
			w.documents[path] = &document{bad: true}
		}
		return
	}
	h := sha256.New()
	h.Write(doc.Graph)
	h.Write([]byte{0})
	h.Write(doc.Policy)
	now := &document{sum: [32]byte(h.Sum(nil))}
	old := w.documents[path]
	same := old != nil && old.sum == now.sum
	if g, _ := graph.Decode(doc.Graph, path); g != nil {
		now.graph = g.Name
	} else if old != nil {
		now.graph = old.graph // a document that cannot be read still stands for its graph
	}
	w.documents[path] = now
	if now.graph != "" {
		if first := owner[now.graph]; first != "" {
			now.bad = true
			if !same {
				w.refused("graph refused", path, fault.New(fault.Conflict, "graph", "graph %q is already served from %s", now.graph, filepath.Base(first)).
					WithHint("give one of them another name"))
			}
			return
		}
		owner[now.graph] = path
	}
	if same && !again {
		now.bad = old.bad
		return
	}
	applied, err := w.host.Apply(ctx, doc)
	if err == nil {
		for _, f := range applied.Findings {
			if !same {
				w.log.Warn("graph warning", "file", path, "where", f.Path, "line", f.Line, "warning", f.Message, "hint", f.Hint)
			}
		}
		if applied.Changed {
			w.log.Info("graph swapped in", "file", path, "graph", applied.Graph, "version", applied.Version, "previous", applied.Previous)
		} else if !same {
			w.log.Info("graph is served", "file", path, "graph", applied.Graph, "version", applied.Version)
		}
		return
	}
	now.bad = true
	if ctx.Err() != nil || same && old.bad {
		return // ending, or said before
	}
	w.explain(ctx, path, doc, now.graph, err)
}

// explain logs every finding of a refused document, or the one error, and which
// version goes on serving.
func (w *watcher) explain(ctx context.Context, path string, doc host.Document, name string, err error) {
	serving := "none"
	if name != "" {
		if v, err := w.host.Store().Active(ctx, name); err == nil {
			serving = v.Label
		}
	}
	findings, lintErr := w.host.Lint(ctx, doc)
	if lintErr != nil || !findings.HasErrors() {
		w.refused("graph refused", path, err, "graph", name, "serving", serving)
		return
	}
	n := 0
	for _, f := range findings {
		if f.Severity != graph.SeverityError {
			continue
		}
		if n++; n > maxFindings {
			w.log.Error("graph refused: further findings are left out", "file", path, "hint", "`spark graph lint` lists them")
			return
		}
		w.log.Error("graph refused", "file", path, "where", f.Path, "line", f.Line, "error", f.Message, "hint", f.Hint, "serving", serving)
	}
}

// readGraph reads a document and the policy beside it, each once.
func readGraph(path string) (host.Document, error) {
	doc := host.Document{GraphFile: path}
	var err error
	if doc.Graph, err = readDocument(path); err != nil {
		return doc, err
	}
	base := strings.TrimSuffix(path, filepath.Ext(path))
	for _, ext := range []string{".yaml", ".yml", ".json"} {
		policy := base + ".policy" + ext
		body, err := readDocument(policy)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		doc.Policy, doc.PolicyFile = body, policy
		return doc, err
	}
	return doc, nil
}

func readDocument(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > graph.MaxDocument {
		return nil, fault.New(fault.Invalid, path, "the file has %d bytes, the limit is %d", info.Size(), graph.MaxDocument)
	}
	return os.ReadFile(path)
}
