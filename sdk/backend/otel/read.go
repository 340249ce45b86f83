package otel

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Received is an export request turned into records.
type Received struct {
	Batch    *backend.Batch // its id is a hash of the request: sent again, it is the same batch
	Records  []int          // spans, points or log records in each trace of Batch
	Rejected int            // spans, points or log records that are no records
	Reason   string         // of the first one rejected
}

// Read returns the records of one export request, body being its Protocol Buffers
// form, or its JSON form when json is set. An Invalid fault when body is neither.
//
// The spans of a run that Requests made become its trace again. Whatever else
// comes is kept unattributed, that is with an empty graph: spans of others grouped
// by resource and trace id, each a step with Seq -1; spans of a run whose root is in
// another request; log records as events, grouped likewise; points as metrics, one
// trace a resource, running totals as gauges and distributions as their mean with
// count, sum, min and max beside it. Of metrics and logs that repeat Spark's traces
// nothing is made. Span links and exemplars are not kept. Nested values become JSON
// text. A record without an id that it needs is rejected and counted.
func Read(s Signal, body []byte, json bool) (*Received, error) {
	r := &reader{got: &Received{Batch: &backend.Batch{}}}
	sum := sha256.Sum256(append([]byte{byte(s)}, body...))
	copy(r.got.Batch.ID[:], sum[:])
	decode := func(m proto.Message) error {
		err := error(nil)
		if json {
			err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(body, m)
		} else {
			err = proto.Unmarshal(body, m)
		}
		return fault.Wrap(fault.Invalid, "body", err, "not an OTLP request for %s", s)
	}
	switch s {
	case Metrics:
		m := &metricspb.MetricsData{}
		if err := decode(m); err != nil {
			return nil, err
		}
		r.metrics(m)
	case Logs:
		m := &logspb.LogsData{}
		if err := decode(m); err != nil {
			return nil, err
		}
		r.logs(m)
	default:
		m := &tracepb.TracesData{}
		if err := decode(m); err != nil {
			return nil, err
		}
		r.spans(m)
	}
	return r.got, nil
}

// reader gathers what one request holds. Records of one trace are put together
// within a resource.
type reader struct {
	got      *Received
	index    map[groupKey]*backend.Trace
	position map[*backend.Trace]int
	resource []backend.Attr
	at       int // number of the resource
}

type groupKey struct{ trace, run backend.ID }

func (r *reader) enter(res *resourcepb.Resource) {
	r.index, r.position = map[groupKey]*backend.Trace{}, map[*backend.Trace]int{}
	r.resource = list(res.GetAttributes())
	r.at++
}

// trace returns the trace of key in this resource, new and without a time when it
// is the first, and counts one record in it.
func (r *reader) trace(key groupKey) *backend.Trace {
	t := r.index[key]
	if t == nil {
		t = &backend.Trace{TraceID: key.trace, RunID: key.run, Probability: 1, Resource: r.resource, Start: -1}
		r.index[key], r.position[t] = t, len(r.got.Records)
		r.got.Batch.Traces = append(r.got.Batch.Traces, t)
		r.got.Records = append(r.got.Records, 0)
	}
	r.got.Records[r.position[t]]++
	return t
}

// orphan returns an id for records that name no trace: the same for the same
// request.
func (r *reader) orphan() backend.ID {
	id := r.got.Batch.ID
	id[14] ^= byte(r.at >> 8)
	id[15] ^= byte(r.at)
	return id
}

func (r *reader) reject(format string, args ...any) {
	if r.got.Rejected++; r.got.Reason == "" {
		r.got.Reason = fmt.Sprintf(format, args...)
	}
}

// cover widens t to reach from start to end.
func cover(t *backend.Trace, start, end int64) {
	if t.Start < 0 || start < t.Start {
		t.Start = start
	}
	t.End = max(t.End, end, t.Start)
}

func nanos(v uint64) int64 { return int64(min(v, math.MaxInt64)) }

// fixed copies an id into dst and reports whether it is one. JSON writes ids in
// hex, where the decoder expects base64: as hex digits are base64 digits as well,
// half as many bytes more come out, from which the digits can be had again.
func fixed(dst, b []byte) bool {
	if len(b) == len(dst)*3/2 {
		digits, err := hex.DecodeString(base64.StdEncoding.EncodeToString(b))
		if err != nil {
			return false
		}
		b = digits
	}
	if len(b) != len(dst) {
		return false
	}
	copy(dst, b)
	for _, x := range b {
		if x != 0 {
			return true
		}
	}
	return false
}

// fields is a list of attributes in which known ones are looked up and removed.
type fields struct{ kvs []*commonpb.KeyValue }

func (f *fields) take(key string) *commonpb.AnyValue {
	for i, kv := range f.kvs {
		if kv.GetKey() == key {
			f.kvs[i] = nil
			return kv.GetValue()
		}
	}
	return nil
}

func (f *fields) str(key string) string    { return f.take(key).GetStringValue() }
func (f *fields) int(key string) int64     { return f.take(key).GetIntValue() }
func (f *fields) float(key string) float64 { return f.take(key).GetDoubleValue() }
func (f *fields) bool(key string) bool     { return f.take(key).GetBoolValue() }

// has reports whether key is there, and leaves it.
func (f *fields) has(key string) bool {
	for _, kv := range f.kvs {
		if kv.GetKey() == key {
			return true
		}
	}
	return false
}

// rest returns the attributes that were not taken, under their own names.
func (f *fields) rest() []backend.Attr {
	var out []backend.Attr
	for _, kv := range f.kvs {
		if kv != nil {
			out = append(out, attr(own(kv.GetKey()), kv.GetValue()))
		}
	}
	return out
}

// list converts a whole list of attributes.
func list(kvs []*commonpb.KeyValue) []backend.Attr {
	var out []backend.Attr
	for _, kv := range kvs {
		out = append(out, attr(kv.GetKey(), kv.GetValue()))
	}
	return out
}
