package otel

import (
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"

	"github.com/sparkrsi/spark/sdk/backend"
)

// sketchEvent is the event name of a log record that carries a row of statistics.
const sketchEvent = "spark.sketch"

// SketchRequests returns requests that carry rows of statistics as log records
// whose body is the bytes of EncodeSketch: for another Spark, of no use to others.
// Each is at most maxBytes long, 0 for no bound, or one row.
func SketchRequests(rows []backend.Sketch, maxBytes int) []Request {
	if len(rows) == 0 {
		return nil
	}
	m := &message{}
	m.scoped(&backend.Trace{}, false, func() {
		for i := range rows {
			at := m.open(2)
			m.uint(2, info)
			body := m.open(5)
			m.bytes(7, backend.EncodeSketch(nil, &rows[i]))
			m.close(body)
			m.text(12, sketchEvent)
			m.close(at)
		}
	})
	if maxBytes > 0 && len(m.b) > maxBytes && len(rows) > 1 {
		half := len(rows) / 2
		return append(SketchRequests(rows[:half], maxBytes), SketchRequests(rows[half:], maxBytes)...)
	}
	return []Request{{Signal: Logs, Body: m.b, Records: len(rows)}}
}

func (r *reader) sketch(l *logspb.LogRecord) {
	s, err := backend.DecodeSketch(l.GetBody().GetBytesValue())
	if err == nil {
		_, err = backend.DecodeTally(s.Data)
	}
	if err != nil {
		r.reject("a row of statistics: %v", err)
		return
	}
	r.got.Batch.Sketches = append(r.got.Batch.Sketches, *s)
}
