package api

import (
	"net/http"
	"strings"

	"github.com/sparkrsi/spark/core/store"
	"github.com/sparkrsi/spark/sdk/fault"
)

// push stores the module in the body. A pushed module is never trusted.
func (s *server) push(w http.ResponseWriter, r *http.Request) (any, error) {
	if t := r.Header.Get("Content-Type"); t != "application/wasm" {
		return nil, fault.New(fault.Invalid, "Content-Type", "the body is %q, want application/wasm", t).
			WithHint("send the module with Content-Type: application/wasm")
	}
	wasm, err := readAll(w, r, MaxModule)
	if err != nil {
		return nil, err
	}
	source := r.URL.Query().Get("source")
	if source == "" {
		source = "upload"
	}
	p, err := s.host.PushModule(r.Context(), wasm, false, source)
	if err != nil {
		return nil, err
	}
	return Module{Module: p.Module, New: p.New}, nil
}

func (s *server) modules(_ http.ResponseWriter, r *http.Request) (any, error) {
	list, err := s.host.Store().Modules(r.Context())
	if list == nil {
		list = []*store.Module{}
	}
	return Page[*store.Module]{Rows: list}, err
}

// module finds a module by digest prefix, or as what TYPE@RANGE resolves to.
func (s *server) module(_ http.ResponseWriter, r *http.Request) (any, error) {
	ref := r.PathValue("ref")
	if strings.Contains(ref, "@") {
		lock, _, err := s.host.Store().Resolve(r.Context(), ref)
		if err != nil {
			return nil, err
		}
		ref = lock.Digest
	}
	m, err := s.host.Store().Module(r.Context(), strings.TrimPrefix(ref, "sha256:"))
	if err != nil {
		return nil, err
	}
	return Module{Module: m}, nil
}
