package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// progress tells on standard error how far a command is: one line that changes
// on a terminal, otherwise a plain line now and then. It is used by one goroutine
// at a time.
type progress struct {
	w    io.Writer
	live bool

	what  string
	last  time.Time
	drawn bool
}

// The pace of progress.
const (
	liveEvery  = 100 * time.Millisecond
	plainEvery = 5 * time.Second
)

func (a *app) progress() *progress { return &progress{w: a.Stderr, live: terminal(a.Stderr)} }

// step says that done of total are done of what; a total of 0 is not counted.
func (p *progress) step(what string, done, total int, note string) {
	now := time.Now()
	fresh := what != p.what
	every := plainEvery
	if p.live {
		every = liveEvery
	}
	if !fresh && now.Sub(p.last) < every && (!p.live || done != total) {
		return
	}
	if fresh && p.live {
		p.end()
	}
	p.what, p.last = what, now
	text := what
	if total > 0 {
		text += fmt.Sprintf(" %d of %d", done, total)
	}
	if note != "" {
		text += ": " + oneLine(note, 90)
	}
	if p.live {
		fmt.Fprintf(p.w, "\r\x1b[K%s", text)
		p.drawn = true
		return
	}
	fmt.Fprintln(p.w, text)
}

// end keeps the line that stands and starts a new one.
func (p *progress) end() {
	if p.drawn {
		fmt.Fprintln(p.w)
		p.drawn = false
	}
}

// done ends the display.
func (p *progress) done() { p.end() }

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
