package telemetry

import (
	"encoding/binary"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/backend"
)

// Attribute names of model calls: OpenTelemetry semantic conventions 1.37 for
// generative AI, and Spark's own for what those do not name.
const (
	genaiOperation    = "gen_ai.operation.name"
	genaiProvider     = "gen_ai.provider.name"
	genaiModel        = "gen_ai.request.model"
	genaiInputTokens  = "gen_ai.usage.input_tokens"
	genaiOutputTokens = "gen_ai.usage.output_tokens"
	callCost          = "cost_usd"
	callCached        = "cached"
)

// innerID returns the id of a further span that is no step.
func (r *Run) innerID() (id backend.SpanID) {
	r.calls++
	binary.BigEndian.PutUint64(id[:], r.root+1<<62+uint64(r.calls))
	return id
}

// call records one model call as a client span below its step. Such a span has
// Seq -1: it is no step of the graph. Readers derive the event llm_api_call.
func (r *Run) call(o *run.Observation, parent backend.SpanID, m *run.ModelCall) {
	if len(r.t.Spans) >= r.rec.cfg.MaxSpansPerTrace || r.full(320+7*48) {
		r.t.Dropped++
		return
	}
	s := backend.Span{Parent: parent, Node: o.Node, NodeType: "model", Kind: 3, Seq: -1, After: o.Seq,
		Start: m.Start.UnixNano(), CacheHit: m.Cached, Status: backend.OK,
		Tokens: m.Usage.InputTokens + m.Usage.OutputTokens, Cost: m.Usage.Cost}
	s.ID = r.innerID()
	s.End = s.Start + max(int64(m.End.Sub(m.Start)), 0)
	if m.Err != nil {
		s.Status, s.ErrorType, s.Error = r.failure(m.Err)
	}
	from := len(r.attrs)
	r.attrs = append(r.attrs,
		backend.Attr{Key: genaiOperation, Str: "chat"},
		backend.Attr{Key: genaiProvider, Str: m.Provider},
		backend.Attr{Key: genaiModel, Str: m.Model},
		backend.Attr{Key: genaiInputTokens, Kind: backend.KindInt, Num: uint64(m.Usage.InputTokens)},
		backend.Attr{Key: genaiOutputTokens, Kind: backend.KindInt, Num: uint64(m.Usage.OutputTokens)},
		floatAttr(callCost, m.Usage.Cost),
	)
	if m.Cached {
		r.attrs = append(r.attrs, backend.Attr{Key: callCached, Kind: backend.KindBool, Num: 1})
	}
	r.exception(m.Err)
	s.Attrs = r.attrs[from:len(r.attrs):len(r.attrs)]
	r.t.Spans = append(r.t.Spans, s)
}
