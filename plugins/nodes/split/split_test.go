package split

import (
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

func TestSplit(t *testing.T) {
	for _, x := range []struct{ config, text, items string }{
		{``, `[1,{"a":[2]},"x"]`, `[1,{"a":[2]},"x"]`},
		{``, `[]`, `[]`},
		{`{"size":2}`, `[1,2,3,4,5]`, `[[1,2],[3,4],[5]]`},
		{`{"size":3,"overlap":1}`, `[1,2,3,4,5]`, `[[1,2,3],[3,4,5]]`},
		{`{"size":3,"overlap":2}`, `[1,2,3,4]`, `[[1,2,3],[2,3,4]]`},
		{`{"size":9}`, `[1,2]`, `[[1,2]]`},
		{`{"n":2}`, `[1,2,3]`, `[[1],[2,3]]`},
		{`{"n":9}`, `[1,2]`, `[[1],[2]]`},
		{`{"by":"lines"}`, `"a\n\n b \nc"`, `["a","b","c"]`},
		{`{"by":"paragraphs"}`, `"a\nb\n\n \nc\n"`, `["a\nb","c"]`},
		{`{"by":"sentences"}`, `"One. Is it 1.5? \"Yes!\" he said, e.g. J. Doe... End\n \nNew"`,
			`["One.","Is it 1.5?","\"Yes!\"","he said, e.g. J. Doe...","End","New"]`},
		{`{"by":"words","size":2,"overlap":1}`, `" one  two\tthree "`, `["one  two","two\tthree"]`},
		{`{"by":"words","n":2}`, `"a b c"`, `["a","b c"]`},
		{`{"by":"characters","size":2}`, `"äöü😀"`, `["äö","ü😀"]`},
		{`{"by":"words"}`, `" "`, `[]`},
	} {
		n := nodetest.New(t, New, x.config, nil)
		got := n.Process(`{"text":` + x.text + `}`)
		if !nodetest.Same(got[strings.Index(got, "["):strings.LastIndex(got, "]")+1], x.items) {
			t.Errorf("%s: %s became %s, want %s", x.config, x.text, got, x.items)
		}
	}
	n := nodetest.New(t, New, `{"field":"a.b"}`, nil)
	n.Want(`{"a":{"b":[1,2]}}`, `{"items":[1,2],"count":2}`)
	n.WantFault(`{"a":{"b":"text"}}`, fault.Invalid)
	n.WantFault(`{}`, fault.Invalid)
	n.WantFault(`{"a":{"b":[`+strings.Repeat("1,", maxItems)+`1]}}`, fault.Limit)
	n.Configure(`{"by":"lines"}`)
	n.WantFault(`{"text":[1]}`, fault.Invalid)
	n.Configure(`{"by":"words","size":2,"overlap":9}`)
	n.Want(`{"text":"a b c"}`, `{"items":["a b","b c"],"count":2}`)
}

// FuzzUnits checks that every way to cut a text goes forward and ends.
func FuzzUnits(f *testing.F) {
	f.Add("One. Two?\n\n \nThree \"x.\" e.g. \xff")
	f.Fuzz(func(t *testing.T, text string) {
		for name, first := range units {
			for rest := []byte(text); first != nil && len(rest) > 0; {
				n := first(rest)
				if n <= 0 || n > len(rest) {
					t.Fatalf("%s of %q is %d long", name, rest, n)
				}
				rest = rest[n:]
			}
		}
	})
}
