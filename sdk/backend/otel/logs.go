package otel

import (
	"github.com/sparkrsi/spark/sdk/backend"
)

// Severity numbers of OTLP.
const (
	debug = 5
	info  = 9
	warn  = 13
	erred = 17
)

var levels = map[string]uint64{"debug": debug, "info": info, "warn": warn, "warning": warn, "error": erred}

var severities = map[string]uint64{"node_retry": warn, "node_failed": erred, "graph_failed": erred, "graph_cancelled": warn}

// encodeLogs returns an ExportLogsServiceRequest with a record per event, derived
// ones included, and how many they are.
func encodeLogs(p []piece, o Options) ([]byte, int) {
	room := 0
	for _, x := range p {
		room += x.EventCount() * recordSize
	}
	m, n := &message{b: make([]byte, 0, room)}, 0
	sameProcess(p, func(p []piece) {
		m.scoped(p[0].Trace, o.Repeats, func() {
			for _, x := range p {
				var shared message // what all events say of their run
				a := attrs{&shared, 6}
				a.str(keyGraph, x.Graph)
				a.str(keyVersion, x.Version)
				a.str(keyEnvironment, x.Environment)
				a.str(keyRunKind, x.RunKind)
				events := x.AllEvents()
				for i := range events {
					m.record(x.Trace, &events[i], shared.b)
				}
				n += len(events)
			}
		})
	})
	return m.b, n
}

func (m *message) record(t *backend.Trace, e *backend.Event, shared []byte) {
	severity, body, level := severities[e.Type], "", ""
	for i := range e.Attrs {
		switch a := &e.Attrs[i]; {
		case a.Key == "message" || a.Key == "error" && body == "":
			body = a.Str
		case a.Key == "level":
			level = a.Str
			if v, ok := levels[level]; ok {
				severity = v
			}
		}
	}
	if severity == 0 {
		severity = info
	}
	if body == "" {
		body = e.Type
	}
	at := m.open(2)
	m.time(1, e.Time)
	m.uint(2, severity)
	m.text(3, level)
	b := m.open(5)
	m.string(1, body)
	m.close(b)
	m.b = append(m.b, shared...)
	a := attrs{m, 6}
	a.str(keyEventName, e.Name)
	for i := range e.Attrs { // error and error_type are published names of events
		switch x := &e.Attrs[i]; x.Key {
		case "", keyGraph, keyVersion, keyEnvironment, keyRunKind, keyEventName:
		default:
			a.one(x.Key, x)
		}
	}
	m.bytes(9, t.TraceID[:])
	span := e.Span
	if span == (backend.SpanID{}) {
		span = rootOf(t)
	}
	m.bytes(10, span[:])
	m.time(11, e.Time)
	m.text(12, e.Type)
	m.close(at)
}
