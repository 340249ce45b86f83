package otel

import (
	"encoding/hex"

	"github.com/sparkrsi/spark/sdk/backend"
)

// Values of OTLP's Status.code.
const (
	codeOK    = 1
	codeError = 2
)

// encodeSpans returns an ExportTraceServiceRequest and how many spans it holds.
func encodeSpans(p []piece) ([]byte, int) {
	room := 0
	for _, x := range p {
		room += (len(x.Spans)+len(x.Events)+len(x.Metrics)+2)*recordSize + len(x.Attrs)*attributeSize
		for i := range x.Spans {
			room += len(x.Spans[i].Attrs) * attributeSize
		}
	}
	m, n := &message{b: make([]byte, 0, room)}, 0
	sameProcess(p, func(p []piece) {
		m.scoped(p[0].Trace, false, func() {
			for _, x := range p {
				n += m.trace(x)
			}
		})
	})
	return m.b, n
}

// inside are the positions of the events and metrics of each span; those of the
// run, and of spans that are not in the trace, are under the root's id.
type inside struct {
	events, metrics map[backend.SpanID][]int
	root            backend.SpanID
}

func group(t *backend.Trace, root backend.SpanID) inside {
	in := inside{root: root}
	if len(t.Events)+len(t.Metrics) == 0 {
		return in
	}
	known := make(map[backend.SpanID]bool, len(t.Spans))
	for i := range t.Spans {
		known[t.Spans[i].ID] = true
	}
	in.events, in.metrics = map[backend.SpanID][]int{}, map[backend.SpanID][]int{}
	at := func(id backend.SpanID) backend.SpanID {
		if known[id] {
			return id
		}
		return root
	}
	for i := range t.Events {
		id := at(t.Events[i].Span)
		in.events[id] = append(in.events[id], i)
	}
	for i := range t.Metrics {
		id := at(t.Metrics[i].Span)
		in.metrics[id] = append(in.metrics[id], i)
	}
	return in
}

// trace appends the spans of x and returns how many they are.
func (m *message) trace(x piece) int {
	t, n := x.Trace, len(x.Spans)
	root := rootOf(t)
	in := group(t, root)
	run, state := hex.EncodeToString(t.RunID[:]), state(t)
	if !x.rest {
		m.root(t, root, run, state, in)
		n++
	}
	var shared message // what all steps say of their run
	a := attrs{&shared, 9}
	a.str(keyGraph, t.Graph)
	a.str(keyVersion, t.Version)
	a.str(keyRunID, run)
	for i := range t.Spans {
		m.span(t, &t.Spans[i], shared.b, state, in)
	}
	return n
}

// head appends what every span has and returns where the span began.
func (m *message) head(t *backend.Trace, id, parent backend.SpanID, state, name string, kind uint64, start, end int64) int {
	at := m.open(2)
	m.bytes(1, t.TraceID[:])
	m.bytes(2, id[:])
	m.text(3, state)
	if parent != (backend.SpanID{}) {
		m.bytes(4, parent[:])
	}
	m.text(5, name)
	m.uint(6, kind)
	m.time(7, start)
	m.time(8, end)
	return at
}

func (m *message) root(t *backend.Trace, root backend.SpanID, run, state string, in inside) {
	name := t.Graph
	if name == "" {
		name = "run"
	}
	at := m.head(t, root, t.ParentSpan, state, name, 1, t.Start, t.End)
	a := attrs{m, 9}
	a.str(keyGraph, t.Graph)
	a.str(keyVersion, t.Version)
	a.str(keyGraphType, t.GraphType)
	a.str(keyEnvironment, t.Environment)
	a.str(keyRunKind, t.RunKind)
	a.str(keyRunID, run)
	a.str(keyVersionID, t.VersionID)
	if t.Probability != 1 {
		a.float(keyProbability, t.Probability)
	}
	if t.Derive != 0 {
		a.int(keyDerive, int64(t.Derive))
	}
	if t.Dropped != 0 {
		a.int(keyDropped, int64(t.Dropped))
	}
	a.outcome(t.Status, t.ErrorType, t.Error)
	a.of(t.Attrs, reserved)
	m.happenings(t, root, in)
	m.status(t.Status, t.Error)
	m.close(at)
}

func (m *message) span(t *backend.Trace, s *backend.Span, shared []byte, state string, in inside) {
	name := s.Node
	if s.Seq < 0 {
		name = callName(s)
	}
	at := m.head(t, s.ID, s.Parent, state, name, uint64(s.Kind), s.Start, s.End)
	m.b = append(m.b, shared...)
	a := attrs{m, 9}
	a.str(keyNode, s.Node)
	a.str(keyNodeType, s.NodeType)
	a.str(keyTypeVersion, s.TypeVersion)
	a.str(keyDigest, s.Digest)
	a.int(keySeq, int64(s.Seq))
	a.int(keyAfter, int64(s.After))
	a.int(keyRetries, int64(s.Retries))
	if s.Wait != 0 {
		a.int(keyWait, s.Wait)
	}
	if s.Seq >= 0 || s.InputSize != 0 || s.OutputSize != 0 {
		a.int(keyInputSize, int64(s.InputSize))
		a.int(keyOutputSize, int64(s.OutputSize))
	}
	if s.CacheHit {
		a.bool(keyCacheHit, true)
	}
	if s.Tokens != 0 {
		a.int(keyTokens, s.Tokens)
	}
	if s.Cost != 0 {
		a.float(keyCost, s.Cost)
	}
	a.outcome(s.Status, s.ErrorType, s.Error)
	a.of(s.Attrs, reserved)
	m.happenings(t, s.ID, in)
	m.status(s.Status, s.Error)
	m.close(at)
}

// callName is the name of a model call's span: operation and model, as the
// conventions for generative AI have it; the node's name where those are unknown.
func callName(s *backend.Span) string {
	operation, model := "", ""
	for i := range s.Attrs {
		switch s.Attrs[i].Key {
		case "gen_ai.operation.name":
			operation = s.Attrs[i].Str
		case "gen_ai.request.model":
			model = s.Attrs[i].Str
		}
	}
	switch {
	case operation == "":
		return s.Node
	case model == "":
		return operation
	}
	return operation + " " + model
}

func (a attrs) outcome(s backend.Status, errorType, text string) {
	if s != backend.Unset {
		a.bool(keySuccess, s == backend.OK)
	}
	if s == backend.Cancelled {
		a.str(keyStatus, s.String())
	}
	a.str(keyErrorType, errorType)
	if s == backend.Failed {
		a.str(keyStandardError, errorType)
	} else {
		a.str(keyError, text) // only a failed span has a status message
	}
}

// status leaves a cancelled span unset: it did not fail.
func (m *message) status(s backend.Status, text string) {
	if s != backend.OK && s != backend.Failed {
		return
	}
	at := m.open(15)
	if s == backend.Failed {
		m.text(2, text)
		m.uint(3, codeError)
	} else {
		m.uint(3, codeOK)
	}
	m.close(at)
}

// happenings appends the events and metric points of one span as span events.
func (m *message) happenings(t *backend.Trace, id backend.SpanID, in inside) {
	for _, i := range in.events[id] {
		e := &t.Events[i]
		at := m.open(11)
		m.time(1, e.Time)
		m.text(2, e.Type)
		a := attrs{m, 3}
		a.str(keyEventName, e.Name)
		a.elsewhere(e.Span, id, in)
		a.of(e.Attrs, nil)
		m.close(at)
	}
	for _, i := range in.metrics[id] {
		x := &t.Metrics[i]
		at := m.open(11)
		m.time(1, x.Time)
		m.text(2, metricEvent)
		a := attrs{m, 3}
		a.str(keyMetricName, x.Name)
		a.str(keyMetricUnit, x.Unit)
		a.str(keyMetricAgg, x.Agg)
		a.str(keyMetricNode, x.Node)
		a.float(keyMetricValue, x.Value)
		a.elsewhere(x.Span, id, in)
		a.of(x.Attrs, nil)
		m.close(at)
	}
}

// elsewhere names the span of a record on the root span that belongs to another.
func (a attrs) elsewhere(span, id backend.SpanID, in inside) {
	if id == in.root && span != (backend.SpanID{}) {
		a.str(keyEventSpan, hex.EncodeToString(span[:]))
	}
}
