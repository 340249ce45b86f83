package overlap

import (
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

func TestOverlap(t *testing.T) {
	for _, x := range []struct{ config, expected, output, score string }{
		{``, `"The cat sat"`, `"the CAT sat!"`, "1"},
		{``, `"a b c d"`, `"a b x"`, "0.571429"}, // 2*2/(4+3)
		{`{"measure":"precision"}`, `"a b c d"`, `"a b x"`, "0.666667"},
		{`{"measure":"recall"}`, `"a b c d"`, `"a b x"`, "0.5"},
		{`{"measure":"jaccard"}`, `"a b c d"`, `"a b x"`, "0.4"},
		{``, `"a a b"`, `"a b b"`, "0.666667"},
		{``, `["x","a b"]`, `"a b"`, "1"},
		{``, `""`, `"!"`, "1"},
		{``, `""`, `"a"`, "0"},
		{``, `"a"`, `""`, "0"},
		{``, `"3 a"`, `{"a":3}`, "1"},
		{``, `"running"`, `"runs"`, "0"},
		{`{"stem":"porter"}`, `"running"`, `"runs"`, "1"},
		{`{"drop_stop_words":true}`, `"the cat"`, `"a cat"`, "1"},
	} {
		n := nodetest.New(t, New, x.config, nil)
		got := n.Process(`{"expected":` + x.expected + `,"output":` + x.output + `}`)
		if !strings.HasPrefix(got, `{"score":`+x.score+`,`) {
			t.Errorf("%s: %s for %s: %s, want the score %s", x.config, x.output, x.expected, got, x.score)
		}
	}
	n := nodetest.New(t, New, `{"path":"text"}`, nil)
	n.Want(`{"expected":{"text":"a"},"output":{}}`, `{"score":0,"comment":"the output has no value at text"}`)
	for _, bad := range []string{`1`, `[]`, `[1]`} {
		n.WantFault(`{"expected":{"text":`+bad+`},"output":{"text":"a"}}`, fault.Invalid)
	}
}
