package main

import (
	"strconv"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

// awaits asks a model as often as its settings say, one answer after the other,
// and returns the answers; or it misbehaves after an effect was granted.
type awaits struct {
	host  *node.Host
	times int
	size  int // of the state it adds
	then  string
}

var _ node.Resumer = (*awaits)(nil)

func (a *awaits) Configure(c *node.Config) error {
	a.host = c.Host()
	a.times = c.Int("times", 1, 0, 1<<20)
	a.size = c.Int("state", 0, 0, 1<<30)
	a.then = c.String("then", "wait", "wait", "fail", "answer", "trap", "resume_trap", "http")
	return nil
}

func (a *awaits) Process(in []byte, out *node.Writer) error {
	if a.then == "http" {
		return a.host.AwaitHTTP(node.HTTPRequest{URL: "https://example.com/"}, nil)
	}
	var w node.Writer
	w.Array()
	w.End()
	return a.ask(0, append(w.Bytes(), make([]byte, a.size)...), out)
}

// ask awaits the answer number n with the answers before it as the state.
func (a *awaits) ask(n int, state []byte, out *node.Writer) error {
	if n == a.times {
		out.Raw(state)
		return nil
	}
	err := a.host.AwaitGenerate(node.Request{Model: "m", Prompt: strconv.Itoa(n)}, state)
	switch a.then {
	case "fail":
		return fault.New(fault.Rejected, "", "failed on purpose")
	case "answer":
		out.String("an answer all the same")
		return nil
	case "trap":
		panic("trapped on purpose")
	}
	return err
}

func (a *awaits) Resume(state []byte, got *node.Result, out *node.Writer) error {
	if a.then == "resume_trap" {
		panic("trapped on purpose")
	}
	r, err := got.Generated()
	if err != nil {
		return err
	}
	before, err := node.Parse(state)
	if err != nil {
		return err
	}
	var w node.Writer
	w.Array()
	n := 1
	for v := range before.Items() {
		w.Value(v)
		n++
	}
	w.String(r.Text)
	w.End()
	return a.ask(n, w.Bytes(), out)
}
