package backend

import (
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
// never an empty answer.
func AsQuerier(w Writer) (Querier, error) {
	info := Describe(w)
	if q, ok := w.(Querier); ok && info.Capabilities.Queryable {
		return q, nil
	}
	return nil, cannot(info.Name, "queries")
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
