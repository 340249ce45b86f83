package backend_test

import (
	"reflect"
	"testing"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

// leanAgrees compares the cheap readers of a block with DecodeTrace.
func leanAgrees(t *testing.T, v *backend.Verifier, s *backend.Scanner, block []byte) {
	t.Helper()
	x, err := backend.DecodeTrace(block)
	if err == nil {
		err = x.Check()
	}
	h, verr := v.Verify(block)
	if (err == nil) != (verr == nil) {
		t.Fatalf("decode and check: %v; verify: %v", err, verr)
	}
	if err != nil {
		return
	}
	want := backend.Head{TraceID: x.TraceID, RunID: x.RunID, Graph: x.Graph, Version: x.Version, RunKind: x.RunKind, Start: x.Start, End: x.End,
		Status: x.Status, Probability: x.Probability, Spans: len(x.Spans), Events: x.EventCount(), Metrics: x.MetricCount()}
	if h != want {
		t.Fatalf("verify: %+v, want %+v", h, want)
	}
	y, err := s.Scan(block)
	if err != nil {
		t.Fatal(err)
	}
	h, z, err := v.Scan(block)
	if err != nil || h != want {
		t.Fatalf("verify and scan: %+v, %v, want %+v", h, err, want)
	}
	var a, b, c backend.Aggregator
	a.Add(x)
	b.Add(y)
	c.Add(z)
	if !reflect.DeepEqual(a.Aggregate(), b.Aggregate()) || !reflect.DeepEqual(a.Aggregate(), c.Aggregate()) {
		t.Fatalf("aggregates differ:\n%+v\n%+v\n%+v", a.Aggregate(), b.Aggregate(), c.Aggregate())
	}
}

func TestLeanReadersAgree(t *testing.T) {
	var v backend.Verifier
	var s backend.Scanner
	odd := backendtest.Odd()
	odd.Spans[0].Cost = 1 // NaN is equal to nothing
	calls := backendtest.Sample(2)
	call := calls.Spans[1]
	call.Seq, call.NodeType, call.Kind = -1, "model", 3
	own := calls.Spans[0]
	own.Seq, own.NodeType = -1, "span"
	calls.Spans = append(calls.Spans, call, own)
	for _, x := range append(backendtest.Samples(0, 200), odd, calls, &backend.Trace{}) {
		leanAgrees(t, &v, &s, backend.EncodeTrace(nil, x))
	}
	block := backend.EncodeTrace(nil, calls)
	for i := range block { // every byte of the body damaged, the checksum made right again
		if i == 0 || i >= len(block)-4 {
			continue
		}
		for _, flip := range []byte{1, 0x80, 0xff} {
			body := append([]byte(nil), block[:len(block)-4]...)
			body[i] ^= flip
			x, err := backend.DecodeTrace(seal(body))
			_, verr := v.Verify(seal(body))
			if err == nil {
				err = x.Check()
			}
			if (err == nil) != (verr == nil) {
				t.Fatalf("byte %d ^ %#x: decode %v, verify %v", i, flip, err, verr)
			}
			if _, _, serr := v.Scan(seal(body)); (verr == nil) != (serr == nil) {
				t.Fatalf("byte %d ^ %#x: verify %v, with scan %v", i, flip, verr, serr)
			}
			s.Scan(seal(body))
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	block := backend.EncodeTrace(nil, benchTrace())
	var v backend.Verifier
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(block); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10, "ns/span")
}

func BenchmarkScanAggregate(b *testing.B) {
	block := backend.EncodeTrace(nil, benchTrace())
	var s backend.Scanner
	var a backend.Aggregator
	b.ReportAllocs()
	for b.Loop() {
		t, err := s.Scan(block)
		if err != nil {
			b.Fatal(err)
		}
		a.Add(t)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10, "ns/span")
}
