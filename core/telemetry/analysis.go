package telemetry

import (
	"context"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
)

// Aggregate sums the traces f selects up, weighted by 1/probability: exact but
// for the quantiles (at most 1.6 % off), with failure patterns and metrics. The
// backend does the work.
func (q *Query) Aggregate(ctx context.Context, f backend.Filter) (*backend.Aggregate, error) {
	if err := q.rec.Flush(ctx); err != nil {
		return nil, err
	}
	return q.q.Aggregate(ctx, f)
}

// Overview sums up from the statistics of whole hours: every production run
// counts, sampled or not, and the time it takes does not grow with their number.
// It knows Graph, Version, Node, From and To of f; an hour counts whole when any
// part of it lies between From and To. It has no failure patterns and no metrics.
func (q *Query) Overview(ctx context.Context, f backend.Filter) (*backend.Aggregate, error) {
	if err := q.rec.Flush(ctx); err != nil {
		return nil, err
	}
	// A row is cumulative for its epoch: the one with the highest Seq counts.
	type key struct {
		epoch                           backend.ID
		graph, version, versionID, node string
		hour                            int64
	}
	newest := map[key]*backend.Sketch{}
	node := f.Node
	f.Node, f.Limit, f.Offset = "", 0, 0
	for s, err := range q.q.Sketches(ctx, f) {
		if err != nil {
			return nil, err
		}
		k := key{s.Epoch, s.Graph, s.Version, s.VersionID, s.Node, s.Hour}
		if old := newest[k]; old == nil || old.Seq < s.Seq {
			newest[k] = s
		}
	}
	var all backend.Tallies
	var first, last int64
	for k, s := range newest {
		t, err := backend.DecodeTally(s.Data)
		if err != nil {
			return nil, err
		}
		switch k.node {
		case "":
			all.Run.Merge(t)
		case node:
			all.Node(k.node).Merge(t)
		default:
			if node == "" {
				all.Node(k.node).Merge(t)
			}
		}
		if first == 0 || k.hour < first {
			first = k.hour
		}
		last = max(last, k.hour)
	}
	a := all.Aggregate()
	if len(newest) > 0 {
		a.First, a.Last = time.Unix(first*3600, 0).UTC(), time.Unix((last+1)*3600, 0).UTC()
	}
	return a, nil
}
