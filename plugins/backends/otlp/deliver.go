package otlp

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sparkrsi/spark/sdk/backend/otel"
	"github.com/sparkrsi/spark/sdk/fault"
)

const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
	maxSilence = 10 * time.Minute // a receiver may not ask for more
)

// sender makes one attempt to send a request.
type sender interface {
	send(ctx context.Context, r *otel.Request) (answer, *failure)
	close() error
}

// answer is what a receiver says of a request it took.
type answer struct {
	rejected int64
	message  string
}

// failure is why an attempt failed.
type failure struct {
	kind  fault.Kind
	text  string
	hint  string
	again bool          // the same request may succeed later
	after time.Duration // asked for by the receiver; 0 when it did not
	err   error         // of this side, may be nil
}

// deliver sends r, again after a pause when that may help, as long as retry_for
// and ctx allow. Pauses double from 100 ms to 5 s, with up to a half taken off at
// random, unless the receiver asks for another one.
func (b *Backend) deliver(ctx context.Context, r *otel.Request) (answer, error) {
	end := time.Now().Add(b.s.retryFor)
	if d, ok := ctx.Deadline(); ok && d.Before(end) {
		end = d
	}
	if wait := time.Until(b.notBefore); wait > 0 {
		if b.notBefore.After(end) {
			return answer{}, fault.New(fault.Transient, b.s.place, "the receiver asked for %s more of silence", wait.Round(time.Millisecond))
		}
		if err := pause(ctx, wait); err != nil {
			return answer{}, err
		}
	}
	for wait := firstPause; ; wait = min(2*wait, lastPause) {
		attempt, cancel := context.WithTimeout(ctx, b.s.timeout)
		a, f := b.out.send(attempt, r)
		late := errors.Is(attempt.Err(), context.DeadlineExceeded)
		cancel()
		switch {
		case f == nil:
			a.message = b.s.redact(a.message)
			return a, nil
		case ctx.Err() != nil:
			return a, ctx.Err()
		case late:
			f = &failure{kind: fault.Timeout, text: "no answer within timeout " + b.s.timeout.String(), again: true}
		}
		rest := wait - rand.N(wait/2+1)
		if f.after > 0 {
			rest = min(f.after, maxSilence)
			b.notBefore = time.Now().Add(rest)
		}
		if !f.again || time.Now().Add(rest).After(end) {
			return a, b.fault(r, f)
		}
		if err := pause(ctx, rest); err != nil {
			return a, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *Backend) fault(r *otel.Request, f *failure) error {
	text := f.text
	if f.err != nil {
		text = strings.TrimPrefix(text+": "+f.err.Error(), ": ")
	}
	return &fault.Error{Kind: f.kind, Op: "export " + r.Signal.String(), Path: b.s.place, Msg: b.s.redact(text), Hint: f.hint}
}

// redact replaces the values of headers in a text of the receiver or of a library.
func (s *settings) redact(text string) string {
	for _, v := range s.headers {
		_, token, _ := strings.Cut(v, " ") // a Bearer token may stand alone
		for _, secret := range [...]string{v, token} {
			if len(secret) > 3 {
				text = strings.ReplaceAll(text, secret, "[secret]")
			}
		}
	}
	return text
}

// unimplemented is a receiver that knows no such signal.
func unimplemented(r *otel.Request, text string) *failure {
	return &failure{kind: fault.Denied, text: "the receiver takes no " + r.Signal.String() + ": " + text,
		hint: "set signals to those it takes, such as [traces], or correct the endpoint"}
}

// parseAnswer reads an Export...ServiceResponse: the three kinds have one form,
// partial_success = 1 {rejected = 1, error_message = 2}. One that cannot be read
// becomes a warning: the request was taken, and sent again it would be there twice.
func parseAnswer(b []byte) (a answer) {
	err := walk(b, func(n protowire.Number, v []byte, _ uint64) error {
		if n != 1 {
			return nil
		}
		return walk(v, func(n protowire.Number, v []byte, x uint64) error {
			switch n {
			case 1:
				a.rejected = max(int64(x), 0)
			case 2:
				a.message = string(v)
			}
			return nil
		})
	})
	if err != nil {
		return answer{message: "the receiver's answer cannot be read: " + err.Error()}
	}
	return a
}

// walk calls f for each field of a message, with the bytes or the number it has.
func walk(b []byte, f func(n protowire.Number, v []byte, x uint64) error) error {
	for len(b) > 0 {
		n, t, k := protowire.ConsumeTag(b)
		if k < 0 {
			return protowire.ParseError(k)
		}
		b = b[k:]
		var v []byte
		var x uint64
		switch t {
		case protowire.BytesType:
			v, k = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			x, k = protowire.ConsumeVarint(b)
		default:
			k = protowire.ConsumeFieldValue(n, t, b)
		}
		if k < 0 {
			return protowire.ParseError(k)
		}
		b = b[k:]
		if err := f(n, v, x); err != nil {
			return err
		}
	}
	return nil
}
