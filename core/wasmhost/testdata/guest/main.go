// Package main is a module that does what its input says: {"do": verb}. It
// serves the tests of the host.
package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

func init() {
	create := func() node.Node { return &guest{} }
	node.Register(map[string]func() node.Node{"plain": create, "probe": create, "reach": create, "look": create})
}

func main() {}

type guest struct {
	host  *node.Host
	tag   string
	calls int
}

func (g *guest) Configure(c *node.Config) error {
	g.host = c.Host()
	g.tag = strings.Clone(c.String("tag", "none"))
	if c.Int("spin", 0, 0, 1) == 1 {
		for {
			sink++
		}
	}
	if g.tag == "refused" {
		return fault.New(fault.Invalid, "tag", "must not be refused").WithHint("take another")
	}
	return nil
}

var (
	sink  int
	eaten [][]byte
)

func fib(n int) int {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

func (g *guest) Process(in []byte, out *node.Writer) error {
	g.calls++
	if bytes.HasPrefix(in, []byte(`{"do":"echo"`)) { // what is measured is the call
		out.Raw(in)
		return nil
	}
	v, err := node.Parse(in)
	if err != nil {
		return err
	}
	switch do := v.Get("do").Str(); do {
	case "calls":
		out.Object()
		out.Key("tag").String(g.tag)
		out.Key("calls").Int(int64(g.calls))
		out.End()
	case "fail":
		return fault.New(fault.Transient, "source", "is away").WithHint("wait")
	case "panic":
		var none []int
		out.Int(int64(none[len(in)]))
	case "exit":
		os.Exit(3)
	case "loop":
		for {
			sink++
		}
	case "fib":
		out.Int(int64(fib(60)))
	case "eat":
		for {
			b := make([]byte, 1<<20)
			b[0] = 1
			eaten = append(eaten, b)
		}
	case "print":
		fmt.Fprintln(os.Stderr, "said on stderr")
		fmt.Println("said on stdout")
		out.Int(1)
	case "notjson":
		out.Raw([]byte("{\"a\":"))
	case "flood":
		for i := range 1000 {
			g.host.Event("tick", nil)
			g.host.SpanInt(fmt.Sprint("k", i), 1)
			g.host.Metric("m", 1, "1", node.Counter)
			g.host.Log(node.Info, "line")
		}
		out.Int(1)
	case "fib30":
		out.Int(int64(fib(30)))
	case "count":
		n := 0
		for i := range 1_000_000 {
			n = n*31 + i
		}
		out.Int(int64(n))
	case "sort":
		out.Raw(work())
	case "host":
		report := g.everything()
		doc, err := json.Marshal(report)
		if err != nil {
			return err
		}
		out.Raw(doc)
	case "http":
		return g.http(v, out)
	default:
		return fault.New(fault.Rejected, "do", "unknown verb %q", do)
	}
	return nil
}

// http sends the request that v describes and returns what came back.
func (g *guest) http(v node.Value, out *node.Writer) error {
	ms, _ := v.Get("timeout_ms").Int()
	q := node.HTTPRequest{Method: v.Get("method").Str(), URL: v.Get("url").Str(), Timeout: time.Duration(ms) * time.Millisecond}
	for k, x := range v.Get("headers").Fields() {
		q.Headers = append(q.Headers, node.Header{Name: k.Str(), Value: x.Str()})
	}
	q.Body = v.Get("body").Text()
	if code := v.Get("hex"); code.Kind() == node.String {
		q.Body, _ = hex.DecodeString(code.Str())
	}
	r, err := g.host.HTTP(q)
	if err != nil {
		return err
	}
	out.Object()
	out.Key("status").Int(int64(r.Status))
	out.Key("headers").Value(r.Headers)
	out.Key("hex").String(hex.EncodeToString(r.Body))
	out.End()
	return nil
}

// work is a piece of ordinary code: maps, strings, JSON, floats.
func work() []byte {
	counts := map[string]float64{}
	for i := range 2000 {
		key := strings.Repeat(string(rune('a'+i%26)), i%7+1)
		counts[key] += float64(i) / 3
	}
	doc, _ := json.Marshal(counts)
	return doc
}

// everything makes each host call and reports what came back.
func (g *guest) everything() map[string]any {
	r := map[string]any{}
	note := func(key string, v any, err error) {
		if err != nil {
			r[key+"_error"] = string(fault.KindOf(err)) + ": " + err.Error()
			return
		}
		r[key] = v
	}
	h := g.host
	h.Log(node.Warn, "a line")
	h.Metric("docs", 2.5, "1", node.Histogram)
	h.Event("seen", []byte(`{"n": 3, "s": "x", "b": true, "f": 1.5, "deep": {}}`))
	h.SpanString("color", "red")
	h.SpanInt("size", 7)
	h.SpanFloat("ratio", 0.5)
	note("set", true, h.SetState("k", []byte(`{"v":1}`)))
	state, err := h.State("k")
	note("get", string(state.Raw()), err)
	missing, err := h.State("none")
	note("missing", missing.Kind() == node.Missing, err)
	info, err := h.RunInfo()
	note("info", string(info.Raw()), err)
	now := h.Now()
	note("now", !now.IsZero() && now.Year() > 2020, nil)
	note("clock", time.Now().Year(), nil)
	p := make([]byte, 16)
	err = h.Random(p)
	note("random", hex.EncodeToString(p), err)
	a, err := h.Asset("corpus")
	if err == nil {
		var b []byte
		b, err = a.Bytes()
		note("asset", string(b), err)
	}
	note("asset", r["asset"], err)
	_, err = h.Asset("other")
	note("other", nil, err)
	answer, err := h.Generate(node.Request{Prompt: "hello"})
	note("generate", answer.Text, err)
	return r
}
