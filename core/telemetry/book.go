package telemetry

import (
	"sync"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/backend"
)

// maxPages bounds the statistics kept in memory; production runs of further
// graph versions within the same hours are counted as unbooked.
const maxPages = 4096

// book holds the statistics of the last hours: a page for each (graph version,
// hour) with the tally of the runs and of each node. Every production run is
// counted, whether its trace is kept or not. Pages are cumulative: exporting one
// writes all of it under a higher sequence number, so a row written twice, or
// late, is harmless. An hour that is over leaves memory with its last export.
type book struct {
	epoch backend.ID // of this recorder

	mu       sync.Mutex // guards the fields below
	pages    map[pageKey]*page
	last     *page // the page of the last run: usually also of the next
	latest   int64 // hour of a run
	closed   int64 // hours up to this one have left memory
	seq      uint64
	unbooked int64
}

type pageKey struct {
	graph, version, versionID string
	hour                      int64
}

type page struct {
	key     pageKey
	tallies backend.Tallies
	changed bool
}

func newBook() *book {
	return &book{epoch: backend.ID(run.NewID()), pages: map[pageKey]*page{}}
}

// add counts t in the hour in which it ended.
func (b *book) add(t *backend.Trace) {
	hour := t.End / int64(time.Hour)
	b.mu.Lock()
	defer b.mu.Unlock()
	hour = max(hour, b.closed+1) // a clock that stepped back reopens nothing
	b.latest = max(b.latest, hour)
	p := b.last
	if p == nil || p.key.hour != hour || p.key.versionID != t.VersionID || p.key.version != t.Version || p.key.graph != t.Graph {
		key := pageKey{t.Graph, t.Version, t.VersionID, hour}
		if p = b.pages[key]; p == nil {
			if len(b.pages) >= maxPages {
				b.unbooked++
				return
			}
			p = &page{key: key}
			b.pages[key] = p
		}
		b.last = p
	}
	p.tallies.Add(t, 1)
	p.changed = true
}

// export returns the rows that changed since the last export and forgets the
// pages of hours that are over: by the runs that came since, and by the clock.
func (b *book) export(now time.Time) []backend.Sketch {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seq++
	over := min(b.latest, now.UnixNano()/int64(time.Hour)) - 2
	var rows []backend.Sketch
	for key, p := range b.pages {
		if p.changed {
			rows = b.rows(rows, p)
			p.changed = false
		}
		if key.hour <= over {
			delete(b.pages, key)
			b.closed = max(b.closed, key.hour)
			b.last = nil
		}
	}
	return rows
}

func (b *book) rows(rows []backend.Sketch, p *page) []backend.Sketch {
	row := func(node string, t *backend.Tally) {
		rows = append(rows, backend.Sketch{Epoch: b.epoch, Graph: p.key.graph, Version: p.key.version, VersionID: p.key.versionID,
			Hour: p.key.hour, Node: node, Seq: b.seq, Data: t.Encode(nil)})
	}
	row("", &p.tallies.Run)
	for node, t := range p.tallies.Nodes {
		row(node, t)
	}
	return rows
}
