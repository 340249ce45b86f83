package backend

import (
	"context"
	"iter"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Info is what a backend says of itself.
type Info struct {
	Name         string       `json:"name"`
	Version      string       `json:"version,omitempty"`
	Capabilities Capabilities `json:"capabilities"`
}

// Capabilities are the powers a backend may have beyond taking batches.
type Capabilities struct {
	Persistent bool `json:"persistent"` // what was flushed survives the process
	Idempotent bool `json:"idempotent"` // a batch id written twice is stored once
	Queryable  bool `json:"queryable"`  // it is a Querier
	Retention  bool `json:"retention"`  // it is a Retention
	Filters    bool `json:"filters"`    // a Querier that knows every field of Filter, not only those of the first version
	OTLP       bool `json:"otlp"`       // in another process and written to in OpenTelemetry's encoding: see sdk/backend/otel
}

// Describer is implemented by every Writer that is more than a Writer.
type Describer interface {
	Describe() Info
}

// Describe returns what w says of itself; a Writer that says nothing can nothing
// but what its methods show.
func Describe(w Writer) Info {
	if d, ok := w.(Describer); ok {
		return d.Describe()
	}
	_, q := w.(Querier)
	_, r := w.(Retention)
	return Info{Name: "unnamed", Capabilities: Capabilities{Queryable: q, Retention: r}}
}

// AsQuerier returns w as a Querier, or a Denied fault when w cannot be queried:
// never an empty answer. A Querier without the capability filters answers with a
// Denied fault, naming the field, where it would ignore a condition.
func AsQuerier(w Writer) (Querier, error) {
	info := Describe(w)
	q, ok := w.(Querier)
	if !ok || !info.Capabilities.Queryable {
		return nil, cannot(info.Name, "queries")
	}
	if !info.Capabilities.Filters {
		return plain{q, info.Name}, nil
	}
	return q, nil
}

// plain is a Querier of the first version: it knows Graph, Version, RunKind,
// TraceID, Status, Node, From, To, MinMillis, Newest, Limit and Offset.
type plain struct {
	Querier
	name string
}

func (p plain) knows(f Filter) error {
	if field := f.extended(); field != "" {
		return fault.New(fault.Denied, field, "backend %s does not know this condition", p.name).
			WithHint("use a version of the backend that declares filters, or leave the condition out")
	}
	return nil
}

func (p plain) Traces(ctx context.Context, f Filter) iter.Seq2[*Trace, error] {
	if err := p.knows(f); err != nil {
		return func(yield func(*Trace, error) bool) { yield(nil, err) }
	}
	return p.Querier.Traces(ctx, f)
}

func (p plain) Sketches(ctx context.Context, f Filter) iter.Seq2[*Sketch, error] {
	if err := p.knows(f); err != nil {
		return func(yield func(*Sketch, error) bool) { yield(nil, err) }
	}
	return p.Querier.Sketches(ctx, f)
}

func (p plain) Aggregate(ctx context.Context, f Filter) (*Aggregate, error) {
	if err := p.knows(f); err != nil {
		return nil, err
	}
	return p.Querier.Aggregate(ctx, f)
}

// AsRetention returns w as a Retention, or a Denied fault when w cannot prune.
func AsRetention(w Writer) (Retention, error) {
	info := Describe(w)
	if r, ok := w.(Retention); ok && info.Capabilities.Retention {
		return r, nil
	}
	return nil, cannot(info.Name, "retention")
}

func cannot(name, what string) error {
	return fault.New(fault.Denied, "backend "+name, "this backend offers no %s", what).
		WithHint("choose one that does, such as sqlite")
}
