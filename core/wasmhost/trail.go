package wasmhost

import (
	"bytes"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sparkrsi/spark/core/run"
)

// Bounds on what a guest records, in bytes; longer text is cut, and what cannot
// be recorded is counted in the attribute spark.dropped.
const (
	maxName       = 128
	maxText       = 4 << 10
	maxDetail     = 1 << 10 // what a guest is told of a failed model call
	maxEventAttrs = 32
	maxEventDoc   = 64 << 10 // attributes of an event as they come: reading them cannot be interrupted
)

// clip returns at most n bytes of s as valid UTF-8, cut at a character.
func clip(s []byte, n int) string {
	if len(s) > n {
		for s = s[:n]; len(s) > 0; s = s[:len(s)-1] {
			if r, size := utf8.DecodeLastRune(s); r != utf8.RuneError || size != 1 {
				break
			}
		}
	}
	return strings.ToValidUTF8(string(s), "\ufffd")
}

// fits reports whether one more item fits under the cap and counts it.
func (c *call) fits(n *int) bool {
	if c.trail == nil {
		return false
	}
	if *n >= c.most {
		c.dropped++
		return false
	}
	*n++
	return true
}

func (in *instance) log(level string, msg []byte) {
	if in.call.trail == nil {
		in.pool.module.host.log.Debug("node says", "module", in.pool.module.manifest.Name, "level", level, "msg", clip(msg, maxText))
		return
	}
	if in.call.fits(&in.call.logs) {
		t := in.call.trail
		t.Logs = append(t.Logs, run.Log{Level: level, Msg: clip(msg, maxText), Time: time.Now()})
	}
}

var aggregations = [...]run.Aggregation{run.Counter, run.Gauge, run.Histogram}

func (in *instance) metric(name []byte, value float64, unit []byte, agg uint32) {
	if int(agg) >= len(aggregations) || len(name) == 0 || len(name) > maxName || math.IsNaN(value) || math.IsInf(value, 0) {
		in.call.dropped++
		return
	}
	if in.call.fits(&in.call.metrics) {
		t := in.call.trail
		t.Metrics = append(t.Metrics, run.Metric{Name: clip(name, maxName), Value: value, Unit: clip(unit, maxName), Agg: aggregations[agg], Time: time.Now()})
	}
}

func (in *instance) event(typ, attrs []byte) {
	if len(typ) == 0 || len(typ) > maxName {
		in.call.dropped++
		return
	}
	if !in.call.fits(&in.call.events) {
		return
	}
	t := in.call.trail
	e := run.Event{Type: clip(typ, maxName), Time: time.Now()}
	e.Name = e.Type
	var lost int
	e.Attrs, lost = readAttrs(attrs)
	in.call.dropped += lost
	t.Events = append(t.Events, e)
}

func (in *instance) spanAttr(key, value []byte) {
	if len(key) == 0 || len(key) > maxName {
		in.call.dropped++
		return
	}
	if !in.call.fits(&in.call.attrs) {
		return
	}
	a, ok := run.Attr{}, false
	if len(value) <= 2*maxText {
		a, ok = attr(clip(key, maxName), value)
	}
	if !ok {
		in.call.dropped++
		return
	}
	in.call.trail.Attrs = append(in.call.trail.Attrs, a)
}

// lines is a guest's standard output or error as log lines.
type lines struct {
	in      *instance
	level   string
	partial []byte
}

var _ io.Writer = (*lines)(nil)

// Write takes everything; only whole lines, cut to maxText, are recorded.
func (l *lines) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte{'\n'})
		if space := maxText - len(l.partial); len(line) > space {
			line = line[:space]
		}
		l.partial = append(l.partial, line...)
		if p = rest; whole {
			if len(l.partial) > 0 {
				l.emit()
			}
			l.partial = l.partial[:0]
		}
	}
	return n, nil
}

func (l *lines) emit() {
	if c := &l.in.call; c.stderr == "" && l.level == "warn" {
		c.stderr = clip(l.partial, maxText)
	}
	if c := &l.in.call; l.level == "warn" && (c.last != nil || dies(l.partial)) {
		if len(c.last)+len(l.partial) < maxLastWords {
			c.last = append(append(c.last, l.partial...), '\n')
		}
		return
	}
	l.in.log(l.level, l.partial)
}
