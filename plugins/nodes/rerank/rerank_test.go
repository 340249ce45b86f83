package rerank

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

const in = `{"question":"read file","terms":["read","files",{"t":"load","w":0.5}],"hits":[
{"id":"a","name":"Loader","pkg":"x/y/file","kind":"const","summary":"Nothing here.","score":10},
{"id":"b","name":"ReadFile","pkg":"os","kind":"func","summary":"ReadFile reads the file.","score":5},
{"id":"c","name":"T","pkg":"os","kind":"type","summary":"Loading.","deprecated":true,"score":5},
{"id":"d","name":"T.Read","pkg":"os","kind":"method","summary":"x","score":2.5}]}`

type output struct {
	Hits []struct {
		ID    string
		Score float64
	}
	Terms []json.RawMessage
}

// TestFeatures switches on one weight after the other; the scores are computed by
// hand from the hits above. Without one, scores are parts of the best.
func TestFeatures(t *testing.T) {
	n := nodetest.New(t, New, "", nil)
	for config, want := range map[string]map[string]float64{
		`{}`:                                   {"a": 1, "b": 0.5, "c": 0.5, "d": 0.25},
		`{"coverage":1}`:                       {"a": 1, "b": 0.5 + 1/2.5, "c": 0.5, "d": 0.25 + 1/2.5},
		`{"coverage":1,"stem":"porter"}`:       {"a": 1 + 1/2.5, "b": 0.5 + 2/2.5, "c": 0.5 + 0.5/2.5, "d": 0.25 + 1/2.5},
		`{"name":1}`:                           {"a": 1, "b": 0.5 + 1./2, "c": 0.5, "d": 0.25 + 1./2},
		`{"name":1,"stem":"light"}`:            {"a": 1, "b": 0.5 + 2./2, "c": 0.5, "d": 0.25 + 1./2},
		`{"pkg":0.5,"stem":"porter"}`:          {"a": 1.5, "b": 0.5, "c": 0.5, "d": 0.25},
		`{"kind":2}`:                           {"a": 1, "b": 2.5, "c": 1.7, "d": 1.05},
		`{"deprecated":0.5}`:                   {"a": 1, "b": 0.5, "c": 0, "d": 0.25},
		`{"path_depth":0.25}`:                  {"a": 0.5, "b": 0.5, "c": 0.5, "d": 0.25},
		`{"top":2}`:                            {"a": 1, "b": 0.5},
		`{"kind":1,"deprecated":1,"pkg":0.25}`: {"a": 1, "b": 1.5, "c": 0.1, "d": 0.65},
	} {
		n.Configure(config)
		var got output
		if err := json.Unmarshal([]byte(n.Process(in)), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Hits) != len(want) || len(got.Terms) != 3 {
			t.Errorf("%s: %+v", config, got)
		}
		for i, h := range got.Hits {
			w, ok := want[h.ID]
			if !ok || math.Abs(h.Score-w) > 1e-4 {
				t.Errorf("%s: %s scores %v, want %v", config, h.ID, h.Score, w)
			}
			if i > 0 && h.Score > got.Hits[i-1].Score {
				t.Errorf("%s: not in order", config)
			}
		}
	}
}

func TestHitsAreHandedOn(t *testing.T) {
	n := nodetest.New(t, New, "", nil)
	n.Want(`{"question":"q","hits":[{"id":"a","score":2,"x\n":[1,{"y":null}]}]}`,
		`{"question":"q","terms":["q"],"hits":[{"id":"a","x\n":[1,{"y":null}],"score":1}]}`)
	n.Want(`{"question":"q","hits":[]}`, `{"question":"q","terms":["q"],"hits":[]}`)
	n.Want(`{"question":"q","hits":[{"id":"a","score":0},{"id":"b","score":0}]}`,
		`{"question":"q","terms":["q"],"hits":[{"id":"a","score":0},{"id":"b","score":0}]}`)
	for _, bad := range []string{`{"question":"q"}`, `{"question":"q","hits":{}}`, `{"question":"q","hits":[{"id":"a"}]}`, `{"hits":[]}`, `{`} {
		n.WantFault(bad, fault.Invalid)
	}
	if out := n.Process(`{"question":"` + strings.Repeat("word ", 100) + `","hits":[]}`); strings.Count(out, `"word"`) != 100 {
		t.Errorf("terms of a long question: %.100s", out)
	}
}
