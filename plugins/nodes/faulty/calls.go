package main

import (
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

// calls makes the host calls that its input lists, {"calls": [[name, argument,
// ...], ...]}, and returns {"results": [...]}: what each yielded, null where there
// is nothing, {"error": kind} where it was refused.
type calls struct{ host *node.Host }

func (c *calls) Configure(conf *node.Config) error {
	c.host = conf.Host()
	return nil
}

func (c *calls) Process(in []byte, out *node.Writer) error {
	doc, err := node.Parse(in)
	if err != nil {
		return err
	}
	out.Object()
	out.Key("results").Array()
	for call := range doc.Get("calls").Items() {
		if err := c.one(call, out); err != nil {
			out.Object()
			out.Key("error").String(string(fault.KindOf(err)))
			out.End()
		}
	}
	out.End()
	out.End()
	return nil
}

// one makes one call and writes its result, unless it fails.
func (c *calls) one(call node.Value, out *node.Writer) error {
	h, a := c.host, call.At(1).Str()
	number, _ := call.At(2).Float()
	switch name := call.At(0).Str(); name {
	case "log":
		h.Log(node.Info, a)
	case "metric":
		h.Metric(a, number, call.At(3).Str(), node.Histogram)
	case "event":
		h.Event(a, call.At(2).Raw())
	case "span_string":
		h.SpanString(a, call.At(2).Str())
	case "span_number":
		h.SpanFloat(a, number)
	case "state_set":
		if err := h.SetState(a, call.At(2).Raw()); err != nil {
			return err
		}
	case "state_get":
		v, err := h.State(a)
		if err != nil {
			return err
		}
		out.Value(v)
		return nil
	case "run_info":
		v, err := h.RunInfo()
		if err != nil {
			return err
		}
		out.Value(v)
		return nil
	case "asset":
		asset, err := h.Asset(a)
		if err != nil {
			return err
		}
		b, err := asset.Bytes()
		if err != nil {
			return err
		}
		out.Text(b)
		return nil
	case "generate":
		r, err := h.Generate(node.Request{Model: a, Prompt: call.At(2).Str()})
		if err != nil {
			return err
		}
		out.String(r.Text)
		return nil
	case "http":
		r, err := h.HTTP(node.HTTPRequest{URL: a})
		if err != nil {
			return err
		}
		out.Int(int64(r.Status))
		return nil
	case "now":
		if t := h.Now(); !t.IsZero() {
			out.Int(t.UnixNano())
			return nil
		}
	case "random":
		p := make([]byte, int(number))
		if err := h.Random(p); err != nil {
			return err
		}
		out.Array()
		for _, b := range p {
			out.Int(int64(b))
		}
		out.End()
		return nil
	default:
		return fault.New(fault.Invalid, "calls", "no call %q", name)
	}
	out.Null()
	return nil
}
