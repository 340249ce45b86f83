package batchjson

import (
	"context"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Graph runs a collector graph: it returns the output for an input, both
// documents of this package.
type Graph func(ctx context.Context, input []byte) ([]byte, error)

// Through returns a writer that sends each batch through run and writes what comes
// out to w, under the id of the batch that went in, so that repeating a batch stays
// harmless. An output without traces and sketches writes nothing.
//
// An error of run is returned and nothing is written; an output that is no batch is
// a Rejected fault, so that the batch is not sent again for ever. Traces that w
// quarantines are reported by their place in the input, found by trace and run id,
// those the graph made itself at the first. Traces the graph left out are not
// reported: that is its purpose. All else, questions included, goes to w directly,
// and what w can do, the writer can.
func Through(w backend.Writer, run Graph) backend.Writer {
	x := &through{Writer: w, run: run}
	x.Querier, _ = w.(backend.Querier)
	x.Retention, _ = w.(backend.Retention)
	return x
}

// through has a nil Querier or Retention where the backend has none; what it
// describes keeps others from calling them.
type through struct {
	backend.Writer
	backend.Querier
	backend.Retention
	run Graph
}

// Describe returns what the backend says of itself.
func (x *through) Describe() backend.Info { return backend.Describe(x.Writer) }

// Write sends b through the graph; see Through.
func (x *through) Write(ctx context.Context, b *backend.Batch) ([]backend.Quarantined, error) {
	if len(b.Traces)+len(b.Sketches) == 0 {
		return nil, nil
	}
	input, err := Encode(b)
	if err != nil {
		return nil, err
	}
	output, err := x.run(ctx, input)
	if err != nil {
		return nil, err
	}
	out, err := Decode(output)
	if err != nil {
		return nil, fault.Wrap(fault.Rejected, "collector", err, "the output of the graph is no batch")
	}
	if len(out.Traces)+len(out.Sketches) == 0 {
		return nil, nil
	}
	out.ID = b.ID
	bad, err := x.Writer.Write(ctx, out)
	if err != nil {
		return nil, err
	}
	return inInput(b, out, bad)
}

// inInput returns what was quarantined of out by its place in b, each place once.
func inInput(b, out *backend.Batch, bad []backend.Quarantined) ([]backend.Quarantined, error) {
	if len(bad) == 0 {
		return nil, nil
	}
	if len(b.Traces) == 0 {
		return nil, fault.New(fault.Rejected, "collector", "%s, which the graph made, was refused: %s", bad[0].Record, bad[0].Reason)
	}
	type key struct{ trace, run backend.ID }
	place := make(map[key]int, len(b.Traces))
	for i, t := range b.Traces {
		place[key{t.TraceID, t.RunID}] = i
	}
	var found []backend.Quarantined
	at := map[int]int{} // position in found of each place
	for _, q := range bad {
		t := out.Traces[q.Index]
		q.Index = place[key{t.TraceID, t.RunID}]
		if i, ok := at[q.Index]; ok {
			found[i].Reason += "; " + q.Record + ": " + q.Reason
			continue
		}
		at[q.Index] = len(found)
		found = append(found, q)
	}
	return found, nil
}
