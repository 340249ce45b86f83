package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/sdk/fault"
)

// The pace of watching. A change is looked at once the folder was quiet for
// settle, but not later than patience after the first event. A look every recheck
// covers file systems and folders that send no events.
const (
	settle   = 150 * time.Millisecond
	patience = 2 * time.Second
	recheck  = 15 * time.Second
)

// watcher keeps the host in step with two folders. One goroutine uses it.
type watcher struct {
	host            *host.Host
	graphs, modules string
	log             *slog.Logger
	events          *fsnotify.Watcher

	documents map[string]*document // by file
	loaded    map[string]*file     // modules by file
	gone      map[string]bool      // folders that could not be read
}

// newWatcher returns a watcher of the folders of c, which must be there.
func newWatcher(c Config) (*watcher, error) {
	w := &watcher{host: c.Host, graphs: c.Graphs, modules: c.Modules, log: c.Logger, documents: map[string]*document{}, loaded: map[string]*file{},
		gone: map[string]bool{}}
	for setting, dir := range map[string]string{"graphs": c.Graphs, "modules": c.Modules} {
		if dir == "" {
			continue
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return nil, fault.New(fault.NotFound, dir, "the folder of setting %s is not there", setting).WithHint("create it, or mend the setting")
		}
	}
	var err error
	if w.events, err = fsnotify.NewWatcher(); err != nil {
		return nil, &fault.Error{Kind: fault.Unavailable, Msg: "watch folders", Err: err,
			Hint: "raise the system's limit of inotify instances (fs.inotify.max_user_instances)"}
	}
	w.attach()
	return w, nil
}

// attach watches the folders, also those that were gone and came back. Watching a
// folder twice is harmless.
func (w *watcher) attach() {
	for _, dir := range []string{w.graphs, w.modules} {
		if dir == "" {
			continue
		}
		if err := w.events.Add(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			w.log.Warn("a folder sends no events and is looked at now and then", "folder", dir, "every", recheck, "error", err)
		}
	}
}

func (w *watcher) close() { w.events.Close() }

// watch looks at the folders when they change, until ctx is done.
func (w *watcher) watch(ctx context.Context) {
	if w.graphs == "" && w.modules == "" {
		return
	}
	var first time.Time
	again := false
	timer := time.NewTimer(recheck)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-w.events.Events:
			if !ok {
				return
			}
			// Attributes change when a file is only read or backed up.
			if e.Op == fsnotify.Chmod {
				continue
			}
			// An asset or a dataset beside a document changes what the document
			// means although its bytes stay.
			again = again || filepath.Dir(e.Name) == w.graphs && !hidden(e.Name) && !isDocument(e.Name)
			if now := time.Now(); first.IsZero() {
				first = now
			}
			timer.Reset(min(settle, max(0, patience-time.Since(first))))
		case err, ok := <-w.events.Errors:
			if !ok {
				return
			}
			w.log.Warn("events of a folder were lost, so everything is looked at", "error", err)
			again = true
			timer.Reset(settle)
		case <-timer.C:
			w.attach()
			w.scan(ctx, again)
			first, again = time.Time{}, false
			timer.Reset(recheck)
		}
	}
}

// scan looks at both folders once: modules first, since graphs need them. With
// again every document is applied, also those that stayed as they were.
func (w *watcher) scan(ctx context.Context, again bool) {
	if w.modules != "" && w.scanModules(ctx) {
		again = true // references may mean newer modules now
	}
	if w.graphs != "" {
		w.scanGraphs(ctx, again)
	}
}

// refused logs why a file was not taken over.
func (w *watcher) refused(msg, name string, err error, attrs ...any) {
	w.log.Error(msg, append([]any{"file", name, "error", err.Error(), "kind", string(fault.KindOf(err)), "hint", fault.HintOf(err)}, attrs...)...)
}
