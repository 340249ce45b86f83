package host

import (
	"context"

	"github.com/sparkrsi/spark/sdk/backend"
)

// turns makes a backend safe for several writers, who take turns: the recorder,
// copies from other backends and what is received from outside. What the backend
// can besides, it can too.
type turns struct {
	backend.Writer
	backend.Querier
	backend.Retention
	turn chan struct{} // the one token to write
}

func inTurns(w backend.Writer) *turns {
	x := &turns{Writer: w, turn: make(chan struct{}, 1)}
	x.Querier, _ = w.(backend.Querier)
	x.Retention, _ = w.(backend.Retention)
	return x
}

// Describe returns what the backend says of itself; it keeps others from calling
// a power that is not there.
func (x *turns) Describe() backend.Info { return backend.Describe(x.Writer) }

// Write implements backend.Writer.
func (x *turns) Write(ctx context.Context, b *backend.Batch) ([]backend.Quarantined, error) {
	select {
	case x.turn <- struct{}{}:
		defer func() { <-x.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return x.Writer.Write(ctx, b)
}

// WritePacked implements backend.PackedWriter.
func (x *turns) WritePacked(ctx context.Context, p *backend.Packed) ([]backend.Quarantined, error) {
	select {
	case x.turn <- struct{}{}:
		defer func() { <-x.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return backend.WritePacked(ctx, x.Writer, p)
}
