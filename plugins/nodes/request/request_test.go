package request

import (
	"reflect"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

// server answers as it is told and keeps what it was asked.
type server struct {
	asked  abi.HTTPRequest
	answer abi.HTTPResponse
	fails  error
}

func (s *server) host() *nodetest.Host {
	return &nodetest.Host{HTTP: func(r abi.HTTPRequest) (abi.HTTPResponse, error) {
		s.asked = r
		return s.answer, s.fails
	}}
}

func TestGet(t *testing.T) {
	s := &server{answer: abi.HTTPResponse{Status: 200, Headers: map[string]string{"content-type": "Application/JSON; x"}, Body: `{"a": [1]}`}}
	n := nodetest.New(t, Get, `{"url":"https://h/{{id}}?q={{q}}","headers":{"X-Id":"<{{id}}>"},"timeout_ms":500}`, s.host())
	n.Want(`{"id":"a/b","q":"c d"}`, `{"status":200,"headers":{"content-type":"Application/JSON; x"},"body":{"a":[1]}}`)
	want := abi.HTTPRequest{Method: "GET", URL: "https://h/a%2Fb?q=c%20d", Headers: map[string]string{"X-Id": "<a/b>"}, TimeoutMS: 500}
	if !reflect.DeepEqual(s.asked, want) {
		t.Errorf("asked %+v, want %+v", s.asked, want)
	}
	n.WantFault(`{"id":"a"}`, fault.Rejected)
	n.WantFault(`{`, fault.Invalid)
	n.Configure(`{"url":"{{u}}","read":"text"}`)
	n.Want(`{"u":"https://x/?a=b"}`, `{"status":200,"headers":{"content-type":"Application/JSON; x"},"body":"{\"a\": [1]}"}`)
	if s.asked.URL != "https://x/?a=b" {
		t.Errorf("asked %s", s.asked.URL)
	}
	s.answer = abi.HTTPResponse{Status: 200, Headers: map[string]string{}, BodyBase64: []byte{0xff}}
	n.Want(`{"u":"u"}`, `{"status":200,"headers":{},"body_base64":"/w=="}`)
	n.Configure(`{"url":"u","read":"json"}`)
	n.WantFault(`{}`, fault.Rejected)
	s.fails = fault.New(fault.Denied, "https://x:443", "origin is not granted")
	if _, err := n.TryProcess(`{}`); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "not granted") {
		t.Errorf("%v", err)
	}
}

func TestStatus(t *testing.T) {
	s := &server{}
	n := nodetest.New(t, Get, `{"url":"u"}`, s.host())
	for status, kind := range map[int]fault.Kind{400: fault.Rejected, 401: fault.Denied, 403: fault.Denied, 404: fault.NotFound, 408: fault.Transient,
		410: fault.NotFound, 422: fault.Rejected, 429: fault.Transient, 500: fault.Transient, 501: fault.Rejected, 503: fault.Transient} {
		s.answer = abi.HTTPResponse{Status: status, Headers: map[string]string{"retry-after": "7"}, Body: "because " + strings.Repeat("x", 500)}
		_, err := n.TryProcess(`{}`)
		if !fault.Is(err, kind) || !strings.Contains(err.Error(), "because") || len(err.Error()) > 300 {
			t.Errorf("%d: %v", status, err)
		}
		if kind == fault.Transient && !strings.Contains(fault.HintOf(err), "7") {
			t.Errorf("%d: hint %q", status, fault.HintOf(err))
		}
	}
	n.Configure(`{"url":"u","on_error":"return"}`)
	s.answer = abi.HTTPResponse{Status: 404, Headers: map[string]string{}, Body: "none"}
	n.Want(`{}`, `{"status":404,"headers":{},"body":"none"}`)
}

func TestSend(t *testing.T) {
	s := &server{answer: abi.HTTPResponse{Status: 204, Headers: map[string]string{}}}
	n := nodetest.New(t, Send, `{"url":"https://h/","headers":{"Idempotency-Key":"{{id}}"}}`, s.host())
	n.Want(`{"id":"7"}`, `{"status":204,"headers":{},"body":""}`)
	want := abi.HTTPRequest{Method: "POST", URL: "https://h/", Headers: map[string]string{"Content-Type": "application/json", "Idempotency-Key": "7"},
		Body: `{"id":"7"}`, TimeoutMS: 10_000}
	if !reflect.DeepEqual(s.asked, want) {
		t.Errorf("asked %+v, want %+v", s.asked, want)
	}
	n.Configure(`{"url":"u","method":"PUT","body":"text","content_type":"text/plain"}`)
	n.Process(`{"text":"a\nb"}`)
	if s.asked.Method != "PUT" || s.asked.Body != "a\nb" || s.asked.Headers["Content-Type"] != "text/plain" {
		t.Errorf("asked %+v", s.asked)
	}
	n.WantFault(`{}`, fault.Rejected)
	for _, bad := range []string{`{}`, `{"url":"{{"}`, `{"url":"u","headers":[]}`, `{"url":"u","headers":{"a":1}}`, `{"url":"u","headers":{"a":"{{"}}`,
		`{"url":"u","method":"GET"}`} {
		if err := n.TryConfigure(bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
