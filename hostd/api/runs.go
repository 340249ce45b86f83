package api

import (
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// run executes a graph once. A run that failed answers with its error and, as
// "run", with its id and version.
func (s *server) run(w http.ResponseWriter, r *http.Request) (any, error) {
	var in Run
	if err := read(w, r, &in); err != nil {
		return nil, err
	}
	req := host.Request{Graph: in.Graph, Version: in.Version, Input: in.Input}
	if h := r.Header.Get("traceparent"); h != "" {
		var err error
		if req.TraceID, req.Parent, err = traceParent(h); err != nil {
			return nil, err
		}
	}
	s.runs.Add(1)
	defer s.runs.Add(-1)
	res, err := s.host.Run(r.Context(), req)
	if err != nil && res == nil {
		return nil, err
	}
	return res, err
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
