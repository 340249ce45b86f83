package graph

import (
	"testing"
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
