package rsi

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

func tunablesIn(schema, config string) ([]Tunable, error) {
	return Tunables("n", &abi.NodeType{Type: "t", Config: json.RawMessage(schema)}, json.RawMessage(config))
}

func TestTunablesOfASchema(t *testing.T) {
	list, err := tunablesIn(`{"properties": {
		"k1": {"type":"number","default":1.2,"x-tunable":{"min":0.5,"max":2,"step":0.25}},
		"depth": {"type":"integer","x-tunable":{"min":1,"max":1000,"log":true}},
		"mode": {"type":"string","enum":["a","b"],"default":"a","x-tunable":true},
		"on": {"type":"boolean","default":false,"x-tunable":true},
		"unset": {"type":"number","x-tunable":{"min":0,"max":1}},
		"fixed": {"type":"number","default":1},
		"off": {"type":"number","default":1,"x-tunable":false},
		"deep": {"type":"object","properties":{"a.b":{"type":"number","minimum":0,"maximum":1,"x-tunable":true}}}
	}}`, `{"depth":10,"deep":{"a.b":0.5}}`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range list {
		got = append(got, x.Path+"="+string(x.Current)+" "+string(x.at(0))+".."+string(x.at(1)))
	}
	want := `deep.a~1b=0.5 0..1, depth=10 1..1000, k1=1.2 0.5..2, mode="a" "a".."b", on=false false..true`
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

func TestContradictorySchemasAreRefused(t *testing.T) {
	for _, prop := range []string{
		`{"type":"number","default":1,"x-tunable":true}`,
		`{"type":"number","default":1,"x-tunable":{"min":2,"max":1}}`,
		`{"type":"number","default":1,"x-tunable":{"min":0,"max":1,"log":true}}`,
		`{"type":"number","default":1,"x-tunable":{"min":0,"max":1,"step":-1}}`,
		`{"type":"number","default":"x","x-tunable":{"min":0,"max":1}}`,
		`{"type":"string","default":"x","x-tunable":true}`,
		`{"type":"number","default":1,"x-tunable":"yes"}`,
	} {
		_, err := tunablesIn(`{"properties":{"p":`+prop+`}}`, `{}`)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "nodes.n.config.p") {
			t.Errorf("%s: %v", prop, err)
		}
	}
}

// Every place gives a value within bounds, and snapping is idempotent.
func TestPlacesAndValuesAgree(t *testing.T) {
	f := func(x float64) json.RawMessage { raw, _ := json.Marshal(x); return raw }
	for _, x := range []Tunable{
		{Min: .4, Max: 3, Current: f(1.2)},
		{Min: 1, Max: 100_000, Step: 1, Log: true, Current: f(50)},
		{Min: 0, Max: 1, Step: .3, Current: f(0)},
		{Min: 1e-6, Max: 1e-2, Log: true, Current: f(1e-4)},
		{Min: -5, Max: 12345.678, Current: f(0)},
		{Values: []json.RawMessage{f(1), f(2), f(3)}, Current: f(2)},
	} {
		rng := rand.New(rand.NewPCG(1, 2))
		s := newSpace([]Tunable{x})
		for range 2000 {
			p := s.random(rng)
			var v float64
			if err := json.Unmarshal(x.at(p[0]), &v); err != nil {
				t.Fatal(err)
			}
			if len(x.Values) == 0 && (v < x.Min || v > x.Max || x.Step >= 1 && v != math.Trunc(v)) {
				t.Fatalf("%+v at %v is %v", x, p[0], v)
			}
			if once := s.snap(p); s.key(once) != s.key(p) || s.snap(once)[0] != once[0] {
				t.Fatalf("%+v: %v snaps to %v, then to %v", x, p, once, s.snap(once))
			}
			if u := x.near(p[0], .2, rng); u < 0 || u > 1 {
				t.Fatalf("near %v is %v", p[0], u)
			}
		}
		if !s.isStart(s.start) && x.Step != .3 {
			t.Errorf("%+v: the start reads %s", x, s.key(s.start))
		}
	}
}

// The kernel is the density of near: it integrates to the same over [0,1] for
// every centre.
func TestKernelIsADensity(t *testing.T) {
	for _, x := range []Tunable{{Min: 0, Max: 1}, {Values: make([]json.RawMessage, 4)}} {
		for _, h := range []float64{.08, .3, .5} {
			total := func(u float64) (sum float64) {
				const n = 4000
				for i := range n {
					sum += x.kernel(u, (float64(i)+.5)/n, h, mass(u, h)) / n
				}
				return sum
			}
			if a, b := total(.5), total(.02); math.Abs(a/b-1) > .001 {
				t.Errorf("%d values, h %v: %v at the middle, %v at the edge", len(x.Values), h, a, b)
			}
		}
	}
}

func FuzzTunables(f *testing.F) {
	f.Add(`{"properties":{"k":{"type":"number","default":1,"x-tunable":{"min":0,"max":2}}}}`, `{"k":1.5}`)
	f.Add(`{"properties":{"m":{"enum":["a"],"x-tunable":true,"properties":{}}}}`, `{"m":"a"}`)
	f.Fuzz(func(t *testing.T, schema, config string) {
		list, err := tunablesIn(schema, config)
		if err != nil {
			return
		}
		for _, x := range list {
			for _, u := range []float64{0, .3, 1} {
				if !json.Valid(x.at(u)) {
					t.Fatalf("%+v at %v is %q", x, u, x.at(u))
				}
			}
			if u := x.place(x.Current); !(u >= 0 && u <= 1) {
				t.Fatalf("%+v lies at %v", x, u)
			}
		}
	})
}
