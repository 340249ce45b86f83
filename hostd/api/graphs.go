package api

import (
	"net/http"
	"os"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/store"
	"github.com/sparkrsi/spark/sdk/fault"
)

func (s *server) health(http.ResponseWriter, *http.Request) (any, error) {
	return Health{Status: "ok", Version: s.opts.Version, DataDir: s.host.Store().Dir(), PID: os.Getpid(),
		Runs: s.runs.Load()}, nil
}

func (s *server) lint(w http.ResponseWriter, r *http.Request) (any, error) {
	var d Document
	if err := read(w, r, &d); err != nil {
		return nil, err
	}
	findings, err := s.host.Lint(r.Context(), d.host())
	if err != nil {
		return nil, err
	}
	if findings == nil {
		findings = graph.Findings{}
	}
	return Lint{OK: !findings.HasErrors(), Findings: findings}, nil
}

// apply answers a document with errors with all of them.
func (s *server) apply(w http.ResponseWriter, r *http.Request) (any, error) {
	var d Document
	if err := read(w, r, &d); err != nil {
		return nil, err
	}
	a, err := s.host.Apply(r.Context(), d.host())
	if err == nil {
		return a, nil
	}
	if fault.Is(err, fault.Invalid) {
		if findings, lintErr := s.host.Lint(r.Context(), d.host()); lintErr == nil && findings.HasErrors() {
			return &Lint{Findings: findings}, err
		}
	}
	return nil, err
}

func (s *server) graphs(_ http.ResponseWriter, r *http.Request) (any, error) {
	list, err := s.host.Store().Graphs(r.Context())
	return summaries(list), err
}

func (s *server) versions(_ http.ResponseWriter, r *http.Request) (any, error) {
	list, err := s.host.Store().Versions(r.Context(), r.PathValue("graph"))
	return summaries(list), err
}

func (s *server) show(_ http.ResponseWriter, r *http.Request) (any, error) {
	v, err := s.version(r, r.URL.Query().Get("version"))
	if err != nil {
		return nil, err
	}
	out := Version{Summary: summary(v), Locked: v.Locked, Evidence: v.Evidence}
	name := v.Locked.Graph.Policy
	if name == "" {
		name = v.Graph
	}
	p, err := s.host.Store().Policy(r.Context(), name)
	switch {
	case err == nil:
		out.Policy = p.Policy
	case !fault.Is(err, fault.NotFound):
		return nil, err
	}
	return out, nil
}

func (s *server) diff(_ http.ResponseWriter, r *http.Request) (any, error) {
	q := r.URL.Query()
	a, err := s.version(r, q.Get("from"))
	if err != nil {
		return nil, err
	}
	b, err := s.version(r, q.Get("to"))
	if err != nil {
		return nil, err
	}
	return diff(a, b), nil
}

func (s *server) version(r *http.Request, version string) (*store.Version, error) {
	return s.host.Store().Version(r.Context(), r.PathValue("graph"), version)
}

func summary(v *store.Version) Summary {
	return Summary{Graph: v.Graph, Version: v.Label, ID: v.ID, Seq: v.Seq, Parent: v.Parent, Author: v.Author,
		Created: v.Created, Active: v.Active, Nodes: len(v.Locked.Graph.Nodes)}
}

func summaries(list []*store.Version) Page[Summary] {
	p := Page[Summary]{Rows: make([]Summary, len(list))}
	for i, v := range list {
		p.Rows[i] = summary(v)
	}
	return p
}
