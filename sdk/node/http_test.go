package node_test

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
	"github.com/sparkrsi/spark/sdk/node/abi"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

// sender sends the request that it holds.
type sender struct {
	host *node.Host
	ask  node.HTTPRequest
	got  node.HTTPResponse
}

func (s *sender) Configure(c *node.Config) error {
	s.host = c.Host()
	return nil
}

func (s *sender) Process(_ []byte, out *node.Writer) (err error) {
	s.got, err = s.host.HTTP(s.ask)
	out.Null()
	return err
}

func TestHTTP(t *testing.T) {
	var asked abi.HTTPRequest
	var fails error
	response := abi.HTTPResponse{Status: 404, Headers: map[string]string{"x": "y"}, Body: "text \"quoted\""}
	host := &nodetest.Host{HTTP: func(r abi.HTTPRequest) (abi.HTTPResponse, error) {
		asked = r
		return response, fails
	}}
	s := &sender{}
	n := nodetest.New(t, func() node.Node { return s }, "", host)
	for _, x := range []struct {
		ask  node.HTTPRequest
		want abi.HTTPRequest
	}{
		{node.HTTPRequest{URL: "https://a"}, abi.HTTPRequest{URL: "https://a"}},
		{node.HTTPRequest{Method: "POST", URL: "u", Headers: []node.Header{{Name: "A", Value: "b"}}, Body: []byte("x\ny"), Timeout: time.Second},
			abi.HTTPRequest{Method: "POST", URL: "u", Headers: map[string]string{"A": "b"}, Body: "x\ny", TimeoutMS: 1000}},
		{node.HTTPRequest{URL: "u", Body: []byte{0xff}, Timeout: time.Nanosecond}, abi.HTTPRequest{URL: "u", BodyBase64: []byte{0xff}, TimeoutMS: 1}},
	} {
		s.ask = x.ask
		n.Process(`{}`)
		if !reflect.DeepEqual(asked, x.want) {
			t.Errorf("asked %+v, want %+v", asked, x.want)
		}
	}
	if s.got.Status != 404 || s.got.Headers.Get("x").Str() != "y" || string(s.got.Body) != response.Body {
		t.Errorf("got %+v", s.got)
	}
	response = abi.HTTPResponse{Status: 200, BodyBase64: []byte{0, 0xff}}
	n.Process(`{}`)
	if !bytes.Equal(s.got.Body, []byte{0, 0xff}) {
		t.Errorf("got %+v", s.got)
	}
	fails = fault.New(fault.Timeout, "", "no answer")
	n.WantFault(`{}`, fault.Timeout)
	host.HTTP = nil
	n.WantFault(`{}`, fault.Denied)
}
