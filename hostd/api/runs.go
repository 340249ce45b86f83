package api

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/store"
	"github.com/sparkrsi/spark/sdk/fault"
)

// run executes a graph once. A run that failed answers with its error and, as
// "run", with its id and version.
func (s *server) run(w http.ResponseWriter, r *http.Request) (any, error) {
	var in Run
	if err := read(w, r, &in); err != nil {
		return nil, err
	}
	req := host.Request{Graph: in.Graph, Version: in.Version, Input: in.Input, Listed: true}
	if h := r.Header.Get("traceparent"); h != "" {
		var err error
		if req.TraceID, req.Parent, err = traceParent(h); err != nil {
			return nil, err
		}
	}
	return s.outcome(func() (*host.Result, error) { return s.host.Run(r.Context(), req) })
}

// outcome answers with how far a run came. It counts as under way meanwhile.
func (s *server) outcome(f func() (*host.Result, error)) (any, error) {
	s.runs.Add(1)
	defer s.runs.Add(-1)
	res, err := f()
	if err != nil && res == nil {
		return nil, err
	}
	return res, err
}

func (s *server) listRuns(_ http.ResponseWriter, r *http.Request) (any, error) {
	f, err := runFilter(r.URL.Query())
	if err != nil {
		return nil, err
	}
	list, err := s.host.Runs(r.Context(), f)
	return Page[*host.RunState]{Rows: list}, err
}

// runFilter reads the query parameters that select runs.
func runFilter(q url.Values) (f store.RunFilter, err error) {
	for key := range q {
		if !slices.Contains([]string{"graph", "status", "limit"}, key) {
			return f, fault.New(fault.Invalid, key, "there is no such parameter").WithHint("use some of graph, status, limit")
		}
	}
	f = store.RunFilter{Graph: q.Get("graph"), Status: store.RunStatus(q.Get("status")), Limit: PageSize}
	known := []store.RunStatus{"", store.RunRunning, store.RunWaiting, store.RunFinished, store.RunFailed, store.RunCancelled}
	if !slices.Contains(known, f.Status) {
		return f, fault.New(fault.Invalid, "status", "%q is no status of a run", f.Status).WithHint("one of running, waiting, finished, failed, cancelled")
	}
	if v := q.Get("limit"); v != "" {
		if f.Limit, err = strconv.Atoi(v); err != nil || f.Limit < 1 || f.Limit > MaxPage {
			return f, fault.New(fault.Invalid, "limit", "%q is not from 1 to %d", v, MaxPage).WithHint("leave it out for %d", PageSize)
		}
	}
	return f, nil
}

func (s *server) showRun(_ http.ResponseWriter, r *http.Request) (any, error) {
	return s.host.ShowRun(r.Context(), r.PathValue("run"))
}

func (s *server) answerRun(w http.ResponseWriter, r *http.Request) (any, error) {
	var in Answer
	if err := read(w, r, &in); err != nil {
		return nil, err
	}
	return s.outcome(func() (*host.Result, error) {
		return s.host.Answer(r.Context(), r.PathValue("run"), in.Question, in.Answer)
	})
}

func (s *server) resumeRun(_ http.ResponseWriter, r *http.Request) (any, error) {
	return s.outcome(func() (*host.Result, error) { return s.host.Resume(r.Context(), r.PathValue("run")) })
}

func (s *server) cancelRun(_ http.ResponseWriter, r *http.Request) (any, error) {
	id := r.PathValue("run")
	if err := s.host.Cancel(r.Context(), id); err != nil {
		return nil, err
	}
	return Cancelled{Run: id}, nil
}

func (s *server) replayRuns(w http.ResponseWriter, r *http.Request) (any, error) {
	var in Replay
	if err := read(w, r, &in); err != nil {
		return nil, err
	}
	req := host.ReplayRequest{Run: in.Run, Graph: in.Graph, From: in.From, To: in.To, Limit: in.Limit, Version: in.Version}
	if in.Document != nil {
		doc := in.Document.host()
		req.Document = &doc
	}
	return s.host.ReplayRuns(r.Context(), req)
}

// traceParent reads a W3C traceparent: version, 16-byte trace id, 8-byte parent
// id and flags, in hex, with dashes between. Source: W3C Trace Context, section
// 3.2.
func traceParent(h string) (id run.ID, parent [8]byte, err error) {
	bad := func() error {
		return fault.New(fault.Invalid, "traceparent", "%q is not a W3C trace context", h).
			WithHint("write it as 00-TRACEID-PARENTID-01 in lower-case hex digits")
	}
	part := strings.Split(h, "-")
	if len(part) < 4 || len(part[0]) != 2 || part[0] == "ff" || part[0] == "00" && len(part) != 4 ||
		len(part[2]) != 16 || len(part[3]) != 2 || h != strings.ToLower(h) {
		return id, parent, bad()
	}
	for _, p := range part[:4] {
		if _, err := hex.DecodeString(p); err != nil {
			return id, parent, bad()
		}
	}
	if id, err = run.ParseID(part[1]); err != nil {
		return id, parent, bad()
	}
	hex.Decode(parent[:], []byte(part[2]))
	if parent == ([8]byte{}) {
		return id, parent, bad()
	}
	return id, parent, nil
}
