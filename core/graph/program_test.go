package graph

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

func TestProgramBool(t *testing.T) {
	out := []byte(`{"hits":[1,2,3],"n":2,"f":2.5,"one":1.0,"m":{"a":null,"b":"x\"y"},"big":9007199254740993}`)
	for src, want := range map[string]bool{
		`size(output.hits) > 0`:                        true,
		`output.hits[2] == 3`:                          true,
		`output.n + 1 == 3`:                            true,
		`output.n + 1.5 == 3.5`:                        true,
		`1 + 2.5 == 3.5`:                               true,
		`output.f * 2 == 5`:                            true,
		`output.n < 2.5 && output.f > 2`:               true,
		`output.one == 1`:                              true,
		`output.m.a == null`:                           true,
		`output.m.b == 'x"y'`:                          true,
		`has(output.zzz)`:                              false,
		`'m' in output`:                                true,
		`nodes.a.output.k == 7`:                        true,
		`nodes["gone"].output == null`:                 true,
		`output.hits.exists(h, h == 2)`:                true,
		`output.hits == [1, 2, 3]`:                     true,
		`output.m == {'a': null, 'b': 'x"y'}`:          true,
		`{'a': null, 'b': 'x"y'} == output.m`:          true,
		`output.hits + [4] == [1,2,3,4]`:               true,
		`3 in output.hits`:                             true,
		`input == 5`:                                   true,
		`output.big == 9007199254740993`:               true,
		`output.m.map(k, k) == ["a", "b"]`:             true,
		`size(output.m) == 2 && type(output.m) == map`: true,
		`string(output.n) + "x" == "2x"`:               true,
		`output.n / 4 == 0 && output.n / 4.0 == 0.5`:   true,
		`has(state.x)`:                                 false,
		`output.hits.filter(h, h > 1).size() == 2`:     true,
	} {
		p, err := CompileCondition(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		got, err := p.Bool(Scope{Input: []byte("5"), Output: out, Nodes: func(n string) []byte {
			if n == "a" {
				return []byte(`{"k":7}`)
			}
			return nil
		}})
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", src, got, err, want)
		}
	}
}

func TestMapping(t *testing.T) {
	scope := Scope{Input: []byte(`"ask"`), Output: []byte(` {"a": [1, {"b":2}], "s":"x", "f":1.50} `), Nodes: func(n string) []byte {
		return map[string][]byte{"n": []byte(`{"k":true}`)}[n]
	}, Info: &run.Info{Graph: "g", Version: "1.0.0"}}
	for raw, want := range map[string]string{
		`"=output"`:                           `{"a": [1, {"b":2}], "s":"x", "f":1.50}`,
		`{"z":"=output.a","y":1,"x":"plain"}`: `{"x":"plain","y":1,"z":[1, {"b":2}]}`,
		`["=input","=nodes.n.output.k","=nodes['n'].output", "=nodes.gone.output"]`: `["ask",true,{"k":true},null]`,
		`{"q":"=input + '!'","n":"=size(output.a)","f":"=output.f * 2"}`:            `{"f":3,"n":2,"q":"ask!"}`,
		`"=output.a.filter(x, type(x) == int)"`:                                     `[1]`,
		`"={'b': 1, 'a': [output.s, null, 1.5, 2u, b'hi']}"`:                        `{"a":["x",null,1.5,2,"aGk="],"b":1}`,
		`"=duration('90s')"`:                                 `"1m30s"`,
		`"=timestamp('2024-01-02T03:04:05Z')"`:               `"2024-01-02T03:04:05Z"`,
		`{"run":"=run.version","none":null,"t":true,"e":""}`: `{"e":"","none":null,"run":"1.0.0","t":true}`,
		`"='=literal'"`:                                      `"=literal"`,
		`"=[]"`:                                              `[]`,
	} {
		p, err := CompileMapping([]byte(raw))
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		if got, err := p.Value(scope); err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v; want %s", raw, got, err, want)
		}
	}
	p, err := CompileMapping([]byte(`["=nodes.b.output", {"x":"=nodes.a.output.y + size(nodes['b'].output)"}]`))
	if err != nil || !slices.Equal(p.Reads(), []string{"b", "a"}) {
		t.Errorf("reads %v, %v", p.Reads(), err)
	}
}

func TestProgramFails(t *testing.T) {
	for src, c := range map[string]struct {
		output string
		kind   fault.Kind
		words  string
	}{
		`output.missing > 1`:       {`{}`, fault.Invalid, "no such key: missing"},
		`output.a > "x"`:           {`{"a":1}`, fault.Invalid, "no such overload"},
		`output.a`:                 {`{"a":1}`, fault.Invalid, "gave int"},
		`output.a > 1`:             {`{"a":tru}`, fault.Invalid, "not JSON"},
		`output.a > 2`:             {`{"a"`, fault.Invalid, "not JSON"},
		`size(output) > 1`:         {`[1,}`, fault.Invalid, "not JSON"},
		`output[3] == 1`:           {`[1,2]`, fault.Invalid, "index out of bounds: 3"},
		`1 / output == 1`:          {`0`, fault.Invalid, "division by zero"},
		`state.x == 1`:             {`0`, fault.Invalid, "no such key: x"},
		`run.kind == "experiment"`: {`0`, fault.Invalid, "no such key: kind"},
		`output.all(a, output.all(b, output.all(c, a + b + c > -1)))`: {
			"[" + strings.Repeat("1,", 300) + "1]", fault.Limit, "costs more than"},
	} {
		p, err := CompileCondition(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		ok, err := p.Bool(Scope{Output: []byte(c.output), Info: &run.Info{Kind: run.Experiment}})
		if ok || !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s on %.20s: %v, want %s with %q", src, c.output, err, c.kind, c.words)
		}
	}
	for _, src := range []string{"", "output +", "output.a ==", "1", "'x'", "foo", "nodes == nodes", "nodes.a", "nodes.a.input == 1",
		"size(state) > 0", "nodes[output.x].output == 1", "[nodes] == []", strings.Repeat("1+", MaxExpression) + "1 == 1",
		"output.map(n, nodes)"} {
		if _, err := CompileCondition(src); !fault.Is(err, fault.Invalid) {
			t.Errorf("%.40q compiles: %v", src, err)
		}
	}
	for raw, path := range map[string]string{`{"a":[1,"=x"]}`: "a[1]", `"=("`: "", `{`: ""} {
		_, err := CompileMapping([]byte(raw))
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.Invalid || f.Path != path {
			t.Errorf("%s: %v", raw, err)
		}
	}
	p, err := CompileMapping([]byte(`"=1.0 / 0.0"`))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := p.Value(Scope{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("infinity became %s, %v", out, err)
	}
}

func BenchmarkCondition(b *testing.B) {
	p, err := CompileCondition("size(output.hits) > 0")
	if err != nil {
		b.Fatal(err)
	}
	out := []byte(`{"query":"how do I open a file for reading","hits":[{"id":"os.Open","score":1.5},{"id":"os.OpenFile","score":1.2}]}`)
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := p.Bool(Scope{Output: out}); err != nil || !ok {
			b.Fatal(ok, err)
		}
	}
}
