package memory

import (
	"testing"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

func open(t *testing.T, _ string) backend.Writer {
	t.Helper()
	w, err := Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestConformanceInProcess(t *testing.T) { backendtest.Run(t, open) }

func TestConformanceOverTheWire(t *testing.T) {
	backendtest.Run(t, backendtest.Wire(Info, Open, func(string) []byte { return []byte("{}") }))
}

func TestBoundedInBytes(t *testing.T) {
	b, err := New(Config{MaxBytes: minBytes})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		if _, err := b.Write(t.Context(), &backend.Batch{ID: backendtest.ID(n), Traces: backendtest.Samples(10*n, 10*n+10)}); err != nil {
			t.Fatal(err)
		}
	}
	c, err := b.Count(t.Context())
	if err != nil || c.Bytes > minBytes || c.Bytes < minBytes/2 {
		t.Fatalf("%d bytes, %v; want at most %d", c.Bytes, err, minBytes)
	}
	last := 0
	for x, err := range b.Traces(t.Context(), backend.Filter{Newest: true, Limit: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		last = int(x.Attrs[0].Num)
	}
	if last != 999 {
		t.Errorf("the newest trace is %d, want 999: the oldest give way", last)
	}
}

func TestBadConfig(t *testing.T) {
	for _, config := range []string{`{"max_byte": 1}`, `{"max_bytes": 1}`, `[]`, `{`} {
		if _, err := Open([]byte(config)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v, want an invalid fault", config, err)
		}
	}
}
