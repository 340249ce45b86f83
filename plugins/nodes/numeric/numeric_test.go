package numeric

import (
	"math"
	"strconv"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

func TestScore(t *testing.T) {
	doc := func(expected, output string) string {
		return `{"expected":` + expected + `,"output":` + output + `}`
	}
	for _, x := range []struct{ config, expected, output, score string }{
		{``, `2`, `2.0`, "1"},
		{``, `2`, `2.001`, "0"},
		{``, `2`, `"2"`, "0"},
		{`{"tolerance":0.5}`, `2`, `1.5`, "1"},
		{`{"tolerance":0.5}`, `2`, `1.4`, "0"},
		{`{"relative":0.1}`, `-200`, `-181`, "1"},
		{`{"relative":0.1}`, `-200`, `-179`, "0"},
		{`{"tolerance":1,"slope":4}`, `10`, `12`, "0.75"},
		{`{"tolerance":1,"slope":4}`, `10`, `15`, "0"},
		{`{"in_text":true}`, `1250.5`, `"The answer is 1,250.50 dollars"`, "1"},
		{`{"in_text":true}`, `"42"`, `"none"`, "0"},
	} {
		n := nodetest.New(t, New, x.config, nil)
		got := n.Process(doc(x.expected, x.output))
		if want := `{"score":` + x.score + `,`; got[:len(want)] != want {
			t.Errorf("%s: %s for %s: %s, want the score %s", x.config, x.output, x.expected, got, x.score)
		}
	}
	n := nodetest.New(t, New, `{"path":"n"}`, nil)
	n.WantFault(doc(`{"n":"x"}`, `{"n":1}`), fault.Invalid)
	n.Want(doc(`{"n":1}`, `{}`), `{"score":0,"comment":"the output has no value at n"}`)
	n.Want(doc(`{"n":1}`, `{"n":[]}`), `{"score":0,"comment":"the output is no number"}`)
}

func TestFirst(t *testing.T) {
	for text, want := range map[string]float64{
		"a 1 b 2": 1, "x=-3.5.": -3.5, "2-1": 2, "ab-7": 7, "(-7)": -7, "1,000,000": 1e6, "1,00": 1, "1,2345": 1, "1.2,345": 1.2,
		"3e2x": 300, "3e-2": 0.03, "3e": 3, "v1.2.3": 1.2, ".5": 0.5, "-.5": -0.5, "§7": 7, "10,": 10, "is 5.": 5,
	} {
		if got, ok := First([]byte(text)); !ok || got != want {
			t.Errorf("%q: %v %v, want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "none", "-", "."} {
		if got, ok := First([]byte(text)); ok {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// FuzzFirst checks that a number alone is read as what it is, and that no text
// crashes.
func FuzzFirst(f *testing.F) {
	f.Add("a -1,234.5e6 b", 1.5)
	f.Add("1,,2..3ee4--5", -1e300)
	f.Fuzz(func(t *testing.T, text string, x float64) {
		First([]byte(text))
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return
		}
		if got, ok := First([]byte(strconv.FormatFloat(x, 'e', -1, 64))); !ok || got != x {
			t.Fatalf("%v is read as %v", x, got)
		}
	})
}
