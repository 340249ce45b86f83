package stats

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
)

func TestValidateReportsEveryFinding(t *testing.T) {
	d := Design{
		N: 5, FirstLook: 3, Every: -1, Alpha: 0.7, Futility: 0.6, MinEffect: math.NaN(),
		Objectives: []Objective{
			{Weight: -1, Direction: "up", Kind: "fast"},
			{Name: "latency", Weight: math.NaN(), Direction: Minimize, Kind: Ratio, Margin: ptr(1.0), Scale: -1, Min: ptr(1.0), Max: ptr(0.0)},
			{Name: "latency", Direction: Maximize, Kind: Bounded, Max: ptr(1.0), Min: ptr(math.Inf(1))},
			{Name: "success", Direction: Maximize, Kind: Rate},
			{Name: "ok", Direction: Minimize, Kind: Success},
		},
	}
	joined, ok := d.Validate().(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("%v is not a list of findings", d.Validate())
	}
	var paths []string
	for _, err := range joined.Unwrap() {
		if !fault.Is(err, fault.Invalid) || fault.HintOf(err) == "" {
			t.Errorf("finding %q has kind %q and hint %q", err, fault.KindOf(err), fault.HintOf(err))
		}
		paths = append(paths, err.(*fault.Error).Path)
	}
	want := []string{
		"n", "first_look", "every", "alpha", "futility", "min_effect",
		"objectives[0].name", "objectives[0].weight", "objectives[0].direction", "objectives[0].kind",
		"objectives.latency.weight", "objectives.latency.margin", "objectives.latency.scale", "objectives.latency.min", "objectives.latency.max",
		"objectives.latency", "objectives.latency.max", "objectives.latency.min",
		"objectives.success.kind", "objectives.ok.direction", "objectives",
	}
	if !reflect.DeepEqual(paths, want) {
		t.Errorf("findings at\n%v, want\n%v", paths, want)
	}
	if _, err := NewExperiment(d); fault.ExitStatus(err) != 2 {
		t.Errorf("an invalid design started: %v", err)
	}
}

func TestValidateBoundsTheLooks(t *testing.T) {
	d := Design{N: 600, Every: 1, Objectives: []Objective{latencyOnly}}
	if err := d.Validate(); fault.KindOf(err) != fault.Invalid || err.(interface{ Unwrap() []error }).Unwrap()[0].(*fault.Error).Path != "every" {
		t.Errorf("581 looks: %v", err)
	}
	if d.Every = 2; d.Validate() != nil {
		t.Errorf("291 looks: %v", d.Validate())
	}
}

func TestDefaults(t *testing.T) {
	p, err := NewPlan(Design{Objectives: []Objective{
		{Name: "latency", Weight: 3, Direction: Minimize, Kind: Ratio},
		{Name: "quality", Weight: 1, Direction: Maximize, Kind: Bounded, Min: ptr(0.5)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	d := p.design
	if d.N != 200 || d.FirstLook != 20 || d.Every != 10 || d.Alpha != 0.025 || d.Futility != 0.05 || d.MinEffect != 0.02 {
		t.Errorf("defaults are %+v", d)
	}
	want := []Objective{
		{Name: "latency", Weight: 0.75, Direction: Minimize, Kind: Ratio, Margin: ptr(0.02), Scale: 1},
		{Name: "quality", Weight: 0.25, Direction: Maximize, Kind: Bounded, Scale: 1, Min: ptr(0.5)},
		{Name: "success", Weight: 0, Direction: Maximize, Kind: Success, Margin: ptr(0.03), Scale: 1},
	}
	if !reflect.DeepEqual(d.Objectives, want) {
		t.Errorf("objectives are %+v, want %+v", d.Objectives, want)
	}
	looks, bounds := p.Looks()
	if len(looks) != 19 || len(bounds) != 19 || looks[18] != 200 {
		t.Errorf("looks %v", looks)
	}
}

func TestDesignSurvivesJSON(t *testing.T) {
	want := Design{N: 140, Futility: -1, Objectives: []Objective{{Name: "latency", Weight: 1, Direction: Minimize, Kind: Ratio, Max: ptr(2.0)}}}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Design
	if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s became %+v (%v)", text, got, err)
	}
}

func TestPairsAndSmallestEffect(t *testing.T) {
	// 1.05 (2.8 * 0.6 / 0.2231)^2 = 59.5
	if n := PairsFor(0.6, -0.2); n != 60 {
		t.Errorf("%d pairs find -20 %%, want 60", n)
	}
	near(t, "smallest effect of 200 pairs", SmallestEffect(200, 0.6), 2.8*0.6*math.Sqrt(1.05/200), 1e-12)
	for _, delta := range []float64{-0.3, 0.05, 0.5} {
		n := PairsFor(0.4, delta)
		size := math.Abs(math.Log1p(delta))
		if SmallestEffect(n, 0.4) > size || SmallestEffect(n-1, 0.4) < size {
			t.Errorf("%d pairs for %v, but they find %v", n, delta, SmallestEffect(n, 0.4))
		}
	}
	if PairsFor(0.6, 0) != math.MaxInt || PairsFor(math.NaN(), 0.1) != math.MaxInt || !math.IsInf(SmallestEffect(0, 1), 1) {
		t.Error("an effect that nothing can find has a number of pairs")
	}
}
