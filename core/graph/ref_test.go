package graph

import "testing"

func TestRangeMatch(t *testing.T) {
	for _, c := range []struct {
		rng     string
		in, out []string
	}{
		{rng: "^1", in: []string{"1.0.0", "1.9.3"}, out: []string{"0.9.0", "2.0.0", "1.0.0-rc.1", "x"}},
		{rng: "^1.2.3", in: []string{"1.2.3", "1.3.0"}, out: []string{"1.2.2", "2.0.0", "1.2.3-rc.1", "1.4.0-rc.1"}},
		{rng: "^0.2.1", in: []string{"0.2.1", "0.2.9"}, out: []string{"0.3.0", "0.2.0", "1.0.0"}},
		{rng: "^0", in: []string{"0.0.1", "0.9.0"}, out: []string{"1.0.0"}},
		{rng: "~1.2", in: []string{"1.2.0", "1.2.7"}, out: []string{"1.3.0", "1.1.9"}},
		{rng: "~1", in: []string{"1.0.0", "1.7.0"}, out: []string{"2.0.0"}},
		{rng: "1.2.3", in: []string{"1.2.3", "1.2.3+build"}, out: []string{"1.2.4"}},
		{rng: "1.2.3-rc.1", in: []string{"1.2.3-rc.1"}, out: []string{"1.2.3"}},
		{rng: "^1.2.3-rc.1", in: []string{"1.2.3-rc.1", "1.2.3-rc.2", "1.2.3", "1.5.0"}, out: []string{"1.2.3-alpha", "1.5.0-rc.1"}},
		{rng: "*", in: []string{"0.0.1", "9.0.0"}, out: []string{"1.0.0-rc.1"}},
		{rng: "", in: []string{"0.0.1"}},
	} {
		for _, v := range c.in {
			if !Range(c.rng).Match(v) {
				t.Errorf("%q does not match %s", c.rng, v)
			}
		}
		for _, v := range c.out {
			if Range(c.rng).Match(v) {
				t.Errorf("%q matches %s", c.rng, v)
			}
		}
	}
	if got := Range("^1").Best([]string{"1.2.0", "1.10.0", "2.0.0", "1.9.9", "1.11.0-rc.1"}); got != "1.10.0" {
		t.Errorf("best is %s", got)
	}
	if got := Range("^3").Best([]string{"1.2.0"}); got != "" {
		t.Errorf("best is %s", got)
	}
}

func TestParseRef(t *testing.T) {
	for _, s := range []string{"bm25", "bm25@*", "bm25@^1", "a-b_c@~1.2", "x@1.2.3-rc.1"} {
		r, err := ParseRef(s)
		if err != nil || r.String() != s {
			t.Errorf("%s: %v, %v", s, r, err)
		}
	}
	for _, s := range []string{"", "@1", "bm25@", "bm25@1", "bm25@1.2", "bm25@^", "bm25@^x", "bm25@>=1", "bm25@v1.0.0", "b m@1.0.0", "a/b@*", "bm25@^1@2"} {
		if r, err := ParseRef(s); err == nil {
			t.Errorf("%q is taken as %+v", s, r)
		}
	}
}
