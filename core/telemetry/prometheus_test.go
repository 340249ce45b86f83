package telemetry

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestWriteMetrics(t *testing.T) {
	r := newRecorder(t, Defaults(), memoryBackend(t))
	for n := range 3 {
		drive(r, info(n), []int{1, 1}, nil)
	}
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.drop("refused", 2)
	var out strings.Builder
	if err := WriteMetrics(&out, map[string]Stats{"prod": r.Stats(), "odd \"name\"\n\\": {}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# TYPE spark_telemetry_traces_total counter\n", `spark_telemetry_traces_total{profile="prod"} 3` + "\n", `spark_telemetry_exported_spans_total{profile="prod"} 6` + "\n",
		`spark_telemetry_dropped_total{profile="prod",reason="refused"} 2` + "\n", `spark_telemetry_dropped_total{profile="prod",reason="spool_full"} 0` + "\n",
		`spark_telemetry_queue_traces{profile="odd \"name\"\n\\"} 0` + "\n",
	} {
		if strings.Count(out.String(), want) != 1 {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	line := regexp.MustCompile(`^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+\{[a-z]+="(\\.|[^"\\])*"(,[a-z]+="[^"]*")?\} [-+0-9.e]+)$`)
	for l := range strings.Lines(out.String()) {
		if !line.MatchString(strings.TrimSuffix(l, "\n")) {
			t.Errorf("not in the exposition format: %q", l)
		}
	}
	if err := WriteMetrics(failing{}, nil); err == nil {
		t.Error("the error of the writer is lost")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("closed") }

// Every reason that the package drops for is among those that are announced.
func TestDropReasonsAreAll(t *testing.T) {
	r := newRecorder(t, Defaults(), memoryBackend(t))
	for _, reason := range DropReasons() {
		r.drop(reason, 1)
	}
	s := r.Stats()
	if int(s.Dropped) != len(DropReasons()) || len(s.DroppedByReason) != len(DropReasons()) || !slices.Contains(DropReasons(), "queue_full") {
		t.Errorf("%+v", s)
	}
}
