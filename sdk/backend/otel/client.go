package otel

import (
	"context"
	"crypto/sha256"
	"encoding/binary"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// requestBytes is where requests to a plugin are split, as batches are.
const requestBytes = 1 << 20

// Client is a backend in another process that is written to in OTLP, so that it can
// be made in any language with OpenTelemetry's own message types. Batches become
// export requests of all three signals, each whole in itself (Options.Repeats).
// Rows of statistics are not sent. Like backend.Client, with which it shares
// everything but writing, it is safe for concurrent use except Write.
type Client struct{ *backend.Client }

var _ backend.Remote = (*Client)(nil)

// Over returns c, or a Client over it when the backend declares OTLP.
func Over(c *backend.Client) backend.Remote {
	if c.Describe().Capabilities.OTLP {
		return &Client{c}
	}
	return c
}

// WritePacked is Write for traces that are encoded.
func (c *Client) WritePacked(ctx context.Context, p *backend.Packed) ([]backend.Quarantined, error) {
	return backend.WritePacked(ctx, unpacking{c}, p)
}

// unpacking hides WritePacked.
type unpacking struct{ backend.Writer }

// Write sends b as requests of about 1 MiB, each with an id that follows from that
// of b. A request that is refused for good, or in part, is sent again as one for
// each of its traces, and those that are still refused are quarantined. After
// another error b may be written again: what had been taken before arrives under the
// same ids.
func (c *Client) Write(ctx context.Context, b *backend.Batch) ([]backend.Quarantined, error) {
	var bad []backend.Quarantined
	var sound []*backend.Trace
	var at []int // position in b of each sound trace
	for i, t := range b.Traces {
		if err := t.Check(); err != nil {
			bad = append(bad, backend.Quarantine(i, t, err))
			continue
		}
		sound, at = append(sound, t), append(at, i)
	}
	refused := map[int]bool{}
	for _, s := range [...]Signal{Traces, Metrics, Logs} {
		o := Options{MaxBytes: requestBytes, Repeats: true}
		for n, r := range Requests(s, sound, o) {
			err := c.request(ctx, requestID(b.ID, s, -1, n), &r)
			if err == nil {
				continue
			}
			if !final(err) {
				return nil, err
			}
			for i := r.First; i < r.First+r.Traces; i++ {
				if refused[i] {
					continue
				}
				if err := c.alone(ctx, b.ID, s, i, sound[i], o); final(err) {
					refused[i] = true
					bad = append(bad, backend.Quarantine(at[i], sound[i], err))
				} else if err != nil {
					return nil, err
				}
			}
		}
	}
	return bad, nil
}

// alone sends the requests of one trace, the ith of its batch.
func (c *Client) alone(ctx context.Context, batch backend.ID, s Signal, i int, t *backend.Trace, o Options) error {
	for n, r := range Requests(s, []*backend.Trace{t}, o) {
		if err := c.request(ctx, requestID(batch, s, i, n), &r); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) request(ctx context.Context, id backend.ID, r *Request) error {
	if r.Records == 0 {
		return nil
	}
	reason, err := c.WriteOTLP(ctx, id, r.Signal.String(), r.Body)
	if err == nil && reason != "" {
		err = fault.New(fault.Rejected, r.Signal.String(), "%s", reason)
	}
	return err
}

// final reports whether repeating a request with this error is useless.
func final(err error) bool {
	return fault.Is(err, fault.Invalid) || fault.Is(err, fault.Rejected) || fault.Is(err, fault.Limit)
}

// requestID returns the id of the nth request of a signal, for one trace of the
// batch or, with -1, for all of them.
func requestID(batch backend.ID, s Signal, trace, n int) (id backend.ID) {
	key := append(batch[:], byte(s))
	key = binary.AppendVarint(key, int64(trace))
	sum := sha256.Sum256(binary.AppendVarint(key, int64(n)))
	copy(id[:], sum[:])
	return id
}
