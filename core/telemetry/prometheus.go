package telemetry

import (
	"cmp"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// WriteMetrics writes the figures of recorders, by the name of their profile, as
// Prometheus text (exposition format 0.0.4), for a page /metrics. The error is
// that of w.
func WriteMetrics(w io.Writer, profiles map[string]Stats) error {
	names := slices.SortedFunc(maps.Keys(profiles), cmp.Compare[string])
	var b []byte
	family := func(name, kind, help string, value func(Stats) float64) {
		b = append(b, "# HELP spark_telemetry_"+name+" "+help+"\n# TYPE spark_telemetry_"+name+" "+kind+"\n"...)
		for _, p := range names {
			b = sample(b, name, value(profiles[p]), "profile", p)
		}
	}
	family("traces_total", "counter", "Runs taken for export.", func(s Stats) float64 { return float64(s.Traces) })
	family("sampled_out_total", "counter", "Runs left out by sampling.", func(s Stats) float64 { return float64(s.SampledOut) })
	family("exported_traces_total", "counter", "Traces the backend took.", func(s Stats) float64 { return float64(s.ExportedTraces) })
	family("exported_spans_total", "counter", "Spans the backend took.", func(s Stats) float64 { return float64(s.ExportedSpans) })
	family("exported_batches_total", "counter", "Batches the backend took.", func(s Stats) float64 { return float64(s.ExportedBatches) })
	family("export_errors_total", "counter", "Attempts to write that failed.", func(s Stats) float64 { return float64(s.ExportErrors) })
	family("export_latency_seconds", "gauge", "Mean time of a write.", func(s Stats) float64 { return s.ExportLatency })
	family("queue_traces", "gauge", "Traces waiting in memory.", func(s Stats) float64 { return float64(s.Waiting) })
	family("queue_bytes", "gauge", "Their memory, estimated.", func(s Stats) float64 { return float64(s.WaitingBytes) })
	family("spool_traces", "gauge", "Traces waiting on the disk.", func(s Stats) float64 { return float64(s.SpoolTraces) })
	family("spool_bytes", "gauge", "Their bytes on the disk.", func(s Stats) float64 { return float64(s.SpoolBytes) })
	family("spooled_traces_total", "counter", "Traces put on the disk.", func(s Stats) float64 { return float64(s.SpooledTraces) })
	family("spool_damaged_files_total", "counter", "Spool files set aside.", func(s Stats) float64 { return float64(s.SpoolDamaged) })
	family("truncated_records_total", "counter", "Spans, events and attributes beyond a limit of their trace.", func(s Stats) float64 { return float64(s.Truncated) })
	family("unbooked_runs_total", "counter", "Runs missing in the statistics.", func(s Stats) float64 { return float64(s.Unbooked) })
	family("overhead_ratio", "gauge", "Processor time of telemetry by that of the process.", func(s Stats) float64 { return s.OverheadRatio })
	b = append(b, "# HELP spark_telemetry_dropped_total Traces lost, by reason.\n# TYPE spark_telemetry_dropped_total counter\n"...)
	for _, p := range names {
		for _, reason := range DropReasons() {
			b = sample(b, "dropped_total", float64(profiles[p].DroppedByReason[reason]), "profile", p, "reason", reason)
		}
	}
	_, err := w.Write(b)
	return err
}

// DropReasons returns the keys of Stats.DroppedByReason.
func DropReasons() []string {
	return append(slices.Clone(queueReasons[:]), "queue_bytes", "spool_damaged", "refused", "quarantined", "closed")
}

var labelText = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func sample(b []byte, name string, v float64, labels ...string) []byte {
	b = append(b, "spark_telemetry_"+name+"{"...)
	for i := 0; i < len(labels); i += 2 {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, labels[i]+`="`+labelText.Replace(labels[i+1])+`"`...)
	}
	return append(strconv.AppendFloat(append(b, "} "...), v, 'g', -1, 64), '\n')
}
