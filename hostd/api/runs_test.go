package api_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/core/store"
	"github.com/sparkrsi/spark/hostd/api"
	"github.com/sparkrsi/spark/sdk/fault"
)

// asking is a graph that asks a person before its one step.
func asking() api.Document {
	return api.Document{GraphFile: "ask.yaml", Graph: `
graph: ask
version: 1.0.0
start: ok
nodes:
  ok: {wait: {prompt: "Go on?", schema: {type: object, required: [by]}}}
  a:  {native: upper}
edges: [{from: ok, to: a}]
`}
}

// A run waits, is listed, shown, answered and cancelled, over every transport.
func TestRuns(t *testing.T) {
	transports(t, func(t *testing.T, c *api.Client) {
		ctx := t.Context()
		apply(t, c, asking())
		var ids []string
		for range 2 {
			res, err := c.Run(ctx, api.Run{Graph: "ask", Input: json.RawMessage(`"a"`)})
			if err != nil || res.Status != store.RunWaiting || len(res.Waiting) != 1 || res.Waiting[0].ID != "ok" {
				t.Fatalf("%+v, %v", res, err)
			}
			ids = append(ids, res.RunID)
		}
		list, err := c.Runs(ctx, store.RunFilter{Graph: "ask", Status: store.RunWaiting, Limit: 1})
		if err != nil || len(list) != 1 || list[0].ID != ids[1] || !list[0].Durable {
			t.Fatalf("%+v, %v", list, err)
		}
		s, err := c.ShowRun(ctx, ids[0][:10])
		if err != nil || s.ID != ids[0] || s.Status != store.RunWaiting {
			t.Fatalf("%+v, %v", s, err)
		}
		if q, err := s.Questions(); err != nil || len(q) != 1 || q[0].Prompt != "Go on?" {
			t.Errorf("%+v, %v", q, err)
		}
		if _, err := c.Answer(ctx, ids[0], api.Answer{Question: "ok", Answer: json.RawMessage(`{}`)}); !fault.Is(err, fault.Invalid) {
			t.Errorf("an answer that breaks the schema: %v", err)
		}
		res, err := c.Answer(ctx, ids[0], api.Answer{Question: "ok", Answer: json.RawMessage(`{"by":"x"}`)})
		if err != nil || res.Status != store.RunFinished || string(res.Output) != `{"BY":"X"}` {
			t.Errorf("%+v, %v", res, err)
		}
		if s, err = c.ShowRun(ctx, ids[0]); err != nil || string(s.Output) != `{"BY":"X"}` || s.Waiting != nil {
			t.Errorf("%+v, %v", s, err)
		}
		if _, err := c.Resume(ctx, ids[1]); !fault.Is(err, fault.Conflict) {
			t.Errorf("resume of a run that waits: %v", err)
		}
		if err := c.Cancel(ctx, ids[1]); err != nil {
			t.Error(err)
		}
		if err := c.Cancel(ctx, ids[1]); !fault.Is(err, fault.Conflict) {
			t.Errorf("a second time: %v", err)
		}
		if _, err := c.Replay(ctx, api.Replay{Run: ids[0]}); !fault.Is(err, fault.Invalid) || !strings.Contains(fault.HintOf(err), "capture_inputs") {
			t.Errorf("replay without captured inputs: %v, %s", err, fault.HintOf(err))
		}
		if r, err := c.Replay(ctx, api.Replay{Graph: "ask"}); err != nil || r.Runs != 0 || len(r.Skipped) != 2 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestRunsRefused(t *testing.T) {
	h := open(t)
	for _, c := range []struct {
		method, path, body string
		code               int
		want               string
	}{
		{"GET", "/v1/runs?status=asleep", "", 400, "no status of a run"},
		{"GET", "/v1/runs?limit=0", "", 400, "not from 1 to"},
		{"GET", "/v1/runs?since=1h", "", 400, "no such parameter"},
		{"GET", "/v1/runs/xyz", "", 400, "6 to 32 hex digits"},
		{"GET", "/v1/runs/abcdef", "", 404, "no such run"},
		{"POST", "/v1/runs/abcdef/answer", `{"question":"q","answer":1}`, 404, "no such run"},
		{"POST", "/v1/runs/abcdef/answer", `{"question":"q","reply":1}`, 400, "unknown field"},
		{"POST", "/v1/runs/abcdef/cancel", "", 404, "no such run"},
		{"POST", "/v1/runs/abcdef/resume", "", 404, "no such run"},
		{"POST", "/v1/runs/replay", `{}`, 400, "neither a run nor a graph"},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		if c.body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
		}
	}
}
