package rsi

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/sdk/fault"
)

func TestReadDataset(t *testing.T) {
	list, err := ReadDataset(strings.NewReader("\n{\"id\":\"a\",\"input\":{\"q\":1},\"expected\":[2],\"tags\":[\"screen\"]}\n\n {\"input\":null}\n"), "eval.jsonl")
	if err != nil || len(list) != 2 || list[0].ID != "a" || string(list[0].Expected) != "[2]" || list[1].ID != "4" || string(list[1].Input) != "null" {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, c := range []struct{ text, where, says string }{
		{"", "eval.jsonl", "empty"},
		{"\n \n", "eval.jsonl", "empty"},
		{"{\"input\":1}\n{\"input\":", "eval.jsonl:2", "not an example"},
		{"[1]", "eval.jsonl:1", "not an example"},
		{"{\"input\":1,\"question\":2}", "eval.jsonl:1", "question"},
		{"{\"id\":\"a\"}", "eval.jsonl:1", "no input"},
		{"{\"input\":1} {\"input\":2}", "eval.jsonl:1", "more than one value"},
		{"{\"id\":\"a\",\"input\":1}\n{\"id\":\"a\",\"input\":2}", "eval.jsonl:2", "line 1"},
	} {
		_, err := ReadDataset(strings.NewReader(c.text), "eval.jsonl")
		if !fault.Is(err, fault.Invalid) || !strings.HasPrefix(fmt.Sprint(err), c.where+": ") || !strings.Contains(err.Error(), c.says) || fault.HintOf(err) == "" {
			t.Errorf("%q: %v (%s)", c.text, err, fault.HintOf(err))
		}
	}
}

func FuzzReadDataset(f *testing.F) {
	f.Add("{\"id\":\"a\",\"input\":{\"q\":1},\"expected\":[2],\"tags\":[\"screen\"]}\n")
	f.Add("{\"input\":1}\n{}\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ReadDataset(strings.NewReader(text), "x")
		if (err == nil) == (len(list) == 0) {
			t.Fatalf("%d examples and %v", len(list), err)
		}
		ids := map[string]bool{}
		for _, e := range list {
			if e.ID == "" || ids[e.ID] || len(e.Input) == 0 {
				t.Fatalf("%+v", e)
			}
			ids[e.ID] = true
		}
	})
}

func TestSplitSizes(t *testing.T) {
	for _, c := range []struct{ data, screen, confirm, wantScreen, wantConfirm int }{
		{100, 0, 0, 40, 60},
		{1000, 0, 0, 400, 200},
		{230, 90, 140, 90, 140},
		{230, 90, 0, 90, 140},
		{50, 0, 45, 5, 45},
		{300, 10, 20, 10, 20},
	} {
		data := make([]Example, c.data)
		screen, confirm, err := split(data, graph.RSI{Screen: c.screen, Confirm: c.confirm}, rand.New(rand.NewPCG(1, 1)))
		if err != nil || len(screen) != c.wantScreen || len(confirm) != c.wantConfirm {
			t.Errorf("%+v: %d and %d, %v", c, len(screen), len(confirm), err)
		}
		for _, i := range screen {
			if slices.Contains(confirm, i) {
				t.Fatalf("%+v: %d is in both", c, i)
			}
		}
	}
	if _, _, err := split(make([]Example, 50), graph.RSI{Screen: 10, Confirm: 41}, rand.New(rand.NewPCG(1, 1))); !fault.Is(err, fault.Invalid) {
		t.Errorf("too many: %v", err)
	}
	both := []Example{{ID: "a", Tags: []string{TagScreen, TagConfirm}}}
	if _, _, err := split(both, graph.RSI{}, rand.New(rand.NewPCG(1, 1))); !fault.Is(err, fault.Invalid) {
		t.Errorf("both tags: %v", err)
	}
}

func TestSplitFollowsTheSeed(t *testing.T) {
	at := func(seed uint64) string {
		s, c, _ := split(make([]Example, 60), graph.RSI{}, rand.New(rand.NewPCG(seed, 0)))
		return fmt.Sprint(s, c)
	}
	if first := at(1); first != at(1) || first == at(2) {
		t.Error("the split does not follow its seed")
	}
}
