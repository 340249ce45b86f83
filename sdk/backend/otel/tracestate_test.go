package otel

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/sparkrsi/spark/sdk/backend"
)

// The probability is read back from the threshold, and the random value is one that
// the threshold lets through.
func TestState(t *testing.T) {
	for p, want := range map[float64]string{.5: "ot=th:8;", .25: "ot=th:c;", .1: "ot=th:e6666666666666;", 1.0 / 3: "ot=th:aaaaaaaaaaaaac;",
		1 - 0x1p-52: "ot=th:0000000000001;", 1e-30: "ot=th:ffffffffffffff;"} {
		x := &backend.Trace{RunID: backend.ID{1, 2, 3, 15: 9}, Probability: p}
		s := state(x)
		got, ok := probability("vendor=1, " + s + ",other=th:0")
		if !ok || math.Abs(got-p) > max(1e-9*p, 0x1p-56) || !strings.HasPrefix(s, want) {
			t.Errorf("%v became %s, then %v", p, s, got)
		}
		_, rv, _ := strings.Cut(s, ";rv:")
		th := strings.TrimSuffix(strings.TrimPrefix(s, "ot=th:"), ";rv:"+rv)
		if len(rv) != 14 || rv < th || strings.HasSuffix(th, "0") {
			t.Errorf("%s: the random value is below the threshold", s)
		}
	}
	for _, p := range []float64{1, 1 - 0x1p-53} {
		if s := state(&backend.Trace{Probability: p}); s != "" && p == 1 {
			t.Errorf("%v became %s", p, s)
		}
	}
	for _, s := range []string{"", "ot=", "ot=th:", "ot=th:x", "ot=th:123456789abcdef", "at=th:8", "ot=rv:8"} {
		if p, ok := probability(s); ok {
			t.Errorf("%q says %v", s, p)
		}
	}
}

// Whoever samples on by the random value keeps of runs with a probability of 1/10
// one in ten when 1/100 is wanted, whatever the ids look like.
func TestStateSamplesOn(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const runs, want = 20000, 2000.
	for name, id := range map[string]func(n int) backend.ID{
		"random":  func(int) backend.ID { return fill(r.Uint64(), r.Uint64()) },
		"counted": func(n int) backend.ID { return fill(0, uint64(n)) },
	} {
		kept := 0
		for n := range runs {
			_, rv, _ := strings.Cut(state(&backend.Trace{RunID: id(n), Probability: .1}), ";rv:")
			if rv >= digits(unit-unit/100) {
				kept++
			}
		}
		if math.Abs(float64(kept)-want) > 4*math.Sqrt(want*.9) {
			t.Errorf("%s ids: %d of %d kept, want about %v", name, kept, runs, want)
		}
	}
}

func fill(a, b uint64) (id backend.ID) {
	for i := range 8 {
		id[i], id[8+i] = byte(a>>(8*i)), byte(b>>(8*i))
	}
	return id
}

// Spans of others count as often as their threshold says, those of Spark as often
// as their own attribute does.
func TestStateOfOthers(t *testing.T) {
	id := fill(1, 2)
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{
		Spans: []*tracepb.Span{{TraceId: id[:], SpanId: id[8:], Name: "GET", TraceState: "vendor=1,ot=th:c", StartTimeUnixNano: 1, EndTimeUnixNano: 2}}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read(Traces, body, false)
	if err != nil || len(got.Batch.Traces) != 1 || got.Batch.Traces[0].Probability != .25 {
		t.Errorf("%+v, %v", got, err)
	}
	own := &backend.Trace{TraceID: id, RunID: id, Probability: .1, Start: 1, End: 2}
	got, err = Read(Traces, Requests(Traces, []*backend.Trace{own}, Options{})[0].Body, false)
	if err != nil || len(got.Batch.Traces) != 1 || got.Batch.Traces[0].Probability != .1 {
		t.Errorf("%+v, %v", got, err)
	}
}
