package host

import (
	"context"
	"crypto/sha256"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// halves writes a batch that is beyond a limit of a collector graph, as a document
// it cannot take, in two halves, and each again. The ids of the parts follow from
// that of the batch, so that repeating it stays harmless. A trace that is beyond
// the limit alone is quarantined and costs the others nothing.
type halves struct {
	backend.Writer
	backend.Querier
	backend.Retention
}

func inHalves(w backend.Writer) *halves {
	x := &halves{Writer: w}
	x.Querier, _ = w.(backend.Querier)
	x.Retention, _ = w.(backend.Retention)
	return x
}

// Describe returns what the backend says of itself; it keeps others from calling
// a power that is not there.
func (x *halves) Describe() backend.Info { return backend.Describe(x.Writer) }

// Write implements backend.Writer.
func (x *halves) Write(ctx context.Context, b *backend.Batch) ([]backend.Quarantined, error) {
	bad, err := x.Writer.Write(ctx, b)
	if !fault.Is(err, fault.Limit) || len(b.Traces) == 0 {
		return bad, err
	}
	if len(b.Traces) == 1 && len(b.Sketches) == 0 {
		return []backend.Quarantined{backend.Quarantine(0, b.Traces[0], err)}, nil
	}
	middle := (len(b.Traces) + 1) / 2
	bad, err = x.Write(ctx, &backend.Batch{ID: partID(b.ID, 1), Traces: b.Traces[:middle]})
	if err != nil {
		return nil, err
	}
	more, err := x.Write(ctx, &backend.Batch{ID: partID(b.ID, 2), Traces: b.Traces[middle:], Sketches: b.Sketches})
	if err != nil {
		return nil, err
	}
	for _, q := range more {
		q.Index += middle
		bad = append(bad, q)
	}
	return bad, nil
}

// partID returns the id of a half.
func partID(id backend.ID, half byte) (part backend.ID) {
	sum := sha256.Sum256(append(id[:], half))
	copy(part[:], sum[:])
	return part
}
