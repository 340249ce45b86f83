package telemetry

import (
	"maps"
	"sync"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
)

// Stats is how a Recorder fares, since it was made.
type Stats struct {
	Traces          int64            `json:"traces_count"`       // runs taken for export
	SampledOut      int64            `json:"sampled_out"`        // runs left out by sampling
	Waiting         int              `json:"buffer_size"`        // traces in the queue now
	WaitingBytes    int64            `json:"buffer_bytes"`       // and their memory, estimated
	ExportLatency   float64          `json:"avg_export_latency"` // seconds a write took, mean
	Dropped         int64            `json:"dropped_count"`      // traces lost, all reasons
	DroppedByReason map[string]int64 `json:"dropped,omitempty"`  // queue_full, queue_bytes, spool_full, spool_disk, spool_damaged, refused, quarantined, closed
	Truncated       int64            `json:"truncated_records"`  // spans, events, attributes beyond a limit of their trace
	ExportedTraces  int64            `json:"exported_traces"`
	ExportedSpans   int64            `json:"exported_spans"`
	ExportedBatches int64            `json:"exported_batches"`
	SketchRows      int64            `json:"sketch_rows"`
	ExportErrors    int64            `json:"export_errors"` // failed attempts, repeated ones included
	LastError       string           `json:"last_error,omitempty"`
	Unbooked        int64            `json:"unbooked_runs"` // runs missing in the sketches: too many versions at once
	SpoolTraces     int              `json:"spool_traces"`  // in the spool now
	SpoolBatches    int              `json:"spool_batches"`
	SpoolBytes      int64            `json:"spool_bytes"`          // on disk
	SpooledTraces   int64            `json:"spooled_traces_count"` // ever put there by this Recorder
	SpoolDamaged    int64            `json:"spool_damaged_files"`  // set aside
	OverheadRatio   float64          `json:"overhead_ratio"`       // see Recorder.Stats
}

// counts is what the exporter counts.
type counts struct {
	mu      sync.Mutex // guards the fields below
	s       Stats
	latency time.Duration // of all writes that succeeded
	reasons map[string]int64
}

// Stats returns the figures of now. A nil Recorder has none.
//
// OverheadRatio is the processor time of telemetry in this process by that of the
// process, since the Recorder was made: the recording of runs, measured on every
// 61st observation, and every eighth write, measured by the clock of its thread. Not in it
// are the garbage collector, the goroutines of gRPC and the backend's process.
func (r *Recorder) Stats() Stats {
	if r == nil || r.off {
		return Stats{}
	}
	r.counts.mu.Lock()
	defer r.counts.mu.Unlock()
	s := r.counts.s
	s.Traces, s.SampledOut = r.traces.Load(), r.sampledOut.Load()
	s.Waiting, s.WaitingBytes = len(r.queue), r.queueBytes.Load()
	s.DroppedByReason = maps.Clone(r.counts.reasons)
	if s.ExportedBatches > 0 {
		s.ExportLatency = r.counts.latency.Seconds() / float64(s.ExportedBatches)
	}
	r.book.mu.Lock()
	s.Unbooked = r.book.unbooked
	r.book.mu.Unlock()
	s.OverheadRatio = r.meter.ratio()
	return s
}

// drop counts n lost traces, and warns at the first until the queue is well below
// its bound again.
func (r *Recorder) drop(reason string, n int) {
	r.counts.mu.Lock()
	r.counts.reasons[reason] += int64(n)
	r.counts.s.Dropped += int64(n)
	r.counts.mu.Unlock()
	if !r.dropping.Swap(true) {
		r.log.Warn("telemetry is being dropped", "reason", reason)
	}
}

func (r *Recorder) failed(err error) {
	r.counts.mu.Lock()
	defer r.counts.mu.Unlock()
	r.counts.s.ExportErrors++
	r.counts.s.LastError = err.Error()
}

// written counts the open parcel as stored.
func (x *exporter) written(took time.Duration, bad []backend.Quarantined) {
	truncated := 0
	for _, t := range x.open.batch.Traces {
		truncated += t.Dropped
	}
	x.counts.mu.Lock()
	x.counts.s.Truncated += int64(truncated)
	x.counts.mu.Unlock()
	x.stored(took, len(x.open.runs), x.open.spans, len(x.open.batch.Sketches), bad)
}

// stored counts a batch that the backend took.
func (x *exporter) stored(took time.Duration, traces, spans, sketches int, bad []backend.Quarantined) {
	c := &x.counts
	c.mu.Lock()
	c.latency += took
	c.s.ExportedBatches++
	c.s.ExportedTraces += int64(traces - len(bad))
	c.s.ExportedSpans += int64(spans)
	c.s.SketchRows += int64(sketches)
	c.mu.Unlock()
	for _, q := range bad {
		x.log.Error("telemetry record quarantined", "record", q.Record, "reason", q.Reason)
	}
	x.dirty, x.backoff = true, 0
	if len(bad) > 0 {
		x.drop("quarantined", len(bad))
	}
}
