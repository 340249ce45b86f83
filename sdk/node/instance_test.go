package node_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
	"github.com/sparkrsi/spark/sdk/node/abi"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

// greeter uses every kind of setting.
type greeter struct {
	host   *node.Host
	word   string
	times  int
	scale  float64
	loud   bool
	assets []string
}

func newGreeter() node.Node { return &greeter{} }

func (g *greeter) Configure(c *node.Config) error {
	g.host = c.Host()
	g.word = c.String("word", "hello", "hello", "bye")
	g.times = c.Int("times", 1, 1, 3)
	g.scale = c.Float("scale", 1, 0, 2)
	g.loud = c.Bool("loud", false)
	g.assets = c.Assets()
	if c.Value("late").Kind() != node.Missing {
		return fault.New(fault.Denied, "late", "no")
	}
	return nil
}

func (g *greeter) Process(in []byte, out *node.Writer) error {
	v, err := node.Parse(in)
	if err != nil {
		return err
	}
	switch v.Get("do").Str() {
	case "open":
		out.Object()
		return nil
	case "plain":
		return errors.New("plain")
	}
	out.Array()
	for range g.times {
		out.String(g.word)
	}
	out.Float(g.scale)
	out.Bool(g.loud)
	out.End()
	return nil
}

func TestSettings(t *testing.T) {
	n := nodetest.New(t, newGreeter, "", nil)
	n.Want(`{}`, `["hello",1,false]`)
	n.Configure(`{"word":"bye","times":2,"scale":0.5,"loud":true}`)
	n.Want(`{}`, `["bye","bye",0.5,true]`)
	err := n.TryConfigure(`{"word":"ciao","times":2.5,"scale":3,"loud":"yes","colour":1}`)
	if !fault.Is(err, fault.Invalid) {
		t.Fatalf("error %v, want invalid", err)
	}
	for _, want := range []string{
		`config.word: is "ciao", want one of hello, bye`, "config.times: is not an integer, want one from 1 to 3",
		"config.scale: is 3, want a number from 0 to 2", "config.loud: is a string, want true or false",
		"config.colour: is unknown, known are late, loud, scale, times, word",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("findings %q lack %q", err, want)
		}
	}
	n.WantFault(`{}`, fault.Rejected)
	if err := n.TryConfigure(`{"late":1}`); !fault.Is(err, fault.Denied) {
		t.Errorf("error %v, want the node's own", err)
	}
	n.WantFault(`{}`, fault.Rejected)
	for _, config := range []string{`{"times":0}`, `{"times":4}`, `{"times":"x"}`, `{"scale":-1}`, `{"scale":"x"}`, `{"word":1}`, `[]`} {
		if err := n.TryConfigure(config); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: error %v, want invalid", config, err)
		}
	}
	n.Configure(`null`)
	n.Want(`{}`, `["hello",1,false]`)
}

func TestInstanceKeepsItsNode(t *testing.T) {
	made := 0
	create := func() node.Node { made++; return &greeter{} }
	i := node.NewInstance(map[string]func() node.Node{"a": create, "b": create}, (&nodetest.Host{}).Calls())
	if _, err := i.Process([]byte("{}")); !fault.Is(err, fault.Rejected) {
		t.Errorf("unconfigured: %v", err)
	}
	for _, doc := range []string{`{"node":"a"}`, `{"node":"a","config":{"times":2},"assets":["x"]}`, `{"node":"b"}`} {
		if err := i.Configure([]byte(doc)); err != nil {
			t.Fatal(err)
		}
	}
	if made != 2 {
		t.Errorf("%d nodes made, want 2", made)
	}
	for doc, kind := range map[string]fault.Kind{`{"node":"c"}`: fault.NotFound, `{"node":"a","x":1}`: fault.Invalid, `{`: fault.Invalid,
		`{"node":"a","config":3}`: fault.Invalid, `{}`: fault.NotFound} {
		if err := i.Configure([]byte(doc)); !fault.Is(err, kind) {
			t.Errorf("%s: %v, want %s", doc, err, kind)
		}
	}
}

func TestFailures(t *testing.T) {
	n := nodetest.New(t, newGreeter, "", nil)
	n.WantFault(`{"do":"open"}`, fault.Internal)
	n.WantFault(`{"do":"plain"}`, fault.Internal)
	n.WantFault(`{`, fault.Invalid)
	n.Want(`{}`, `["hello",1,false]`)
}

// user makes every call of Host.
type user struct{ host *node.Host }

func (u *user) Configure(c *node.Config) error { u.host = c.Host(); return nil }

func (u *user) Process(_ []byte, out *node.Writer) error {
	h := u.host
	h.Log(node.Warn, "line")
	h.Metric("m", 2.5, "s", node.Gauge)
	h.Event("e", nil)
	h.SpanString("s", "x\"y")
	h.SpanInt("i", -3)
	h.SpanFloat("f", 0.5)
	if v, err := h.State("none"); err != nil || v.Kind() != node.Missing {
		return fault.New(fault.Internal, "state", "%v %v", v, err)
	}
	if err := h.SetState("k", []byte(`[1]`)); err != nil {
		return err
	}
	v, err := h.State("k")
	if err != nil {
		return err
	}
	out.Object()
	out.Key("state").Value(v)
	run, err := h.RunInfo()
	if err != nil {
		return err
	}
	out.Key("graph").Value(run.Get("graph"))
	asset, err := h.Asset("file")
	if err != nil {
		return err
	}
	b, err := asset.Bytes()
	if err != nil {
		return err
	}
	out.Key("file").Text(b)
	out.Key("size").Int(asset.Size())
	response, err := h.Generate(node.Request{Model: "m", System: "be kind", Prompt: "hi", MaxTokens: 9})
	if err != nil {
		return err
	}
	out.Key("text").String(response.Text)
	out.Key("tokens").Int(response.InputTokens + response.OutputTokens)
	out.Key("cost").Float(response.CostUSD)
	out.Key("now").Int(h.Now().Unix())
	p := make([]byte, 4)
	if err := h.Random(p); err != nil {
		return err
	}
	out.Key("random").Bool(string(p) != "\x00\x00\x00\x00")
	out.End()
	return nil
}

func TestHost(t *testing.T) {
	var asked abi.GenerateRequest
	var refuse error
	host := &nodetest.Host{
		Assets: map[string][]byte{"file": []byte("content")},
		Run:    &abi.Run{Graph: "g"},
		Generate: func(r abi.GenerateRequest) (abi.GenerateResponse, error) {
			asked = r
			return abi.GenerateResponse{Text: "ho", InputTokens: 2, OutputTokens: 3, CostUSD: 0.25}, refuse
		},
		Clock: func() time.Time { return time.Unix(99, 0) },
		Rand:  rand.New(rand.NewPCG(1, 2)),
	}
	n := nodetest.New(t, func() node.Node { return &user{} }, "", host)
	n.Want(`{}`, `{"state":[1],"graph":"g","file":"content","size":7,"text":"ho","tokens":5,"cost":0.25,"now":99,"random":true}`)
	if asked.Model != "m" || asked.System != "be kind" || len(asked.Messages) != 1 || asked.Messages[0] != (abi.Message{Role: "user", Content: "hi"}) ||
		asked.MaxTokens != 9 || asked.Temperature != nil {
		t.Errorf("request %+v", asked)
	}
	if len(host.Logs) != 1 || host.Logs[0] != "line" || len(host.Events) != 1 || host.Events[0] != "e {}" ||
		host.Metrics[0] != (nodetest.Metric{Name: "m", Value: 2.5, Unit: "s", Agg: node.Gauge}) ||
		host.Attrs["s"] != `"x\"y"` || host.Attrs["i"] != "-3" || host.Attrs["f"] != "0.5" {
		t.Errorf("host %+v", host)
	}
	for _, k := range []fault.Kind{fault.Denied, fault.NotFound, fault.Invalid, fault.Limit, fault.Timeout, fault.Unavailable} {
		refuse = fault.New(k, "model", "because of %s", k)
		if _, err := n.TryProcess(`{}`); !fault.Is(err, k) || !strings.Contains(err.Error(), "because of") {
			t.Errorf("kind %s came back as %v", k, err)
		}
	}
	host.Rand = nil
	refuse = nil
	n.WantFault(`{}`, fault.Denied)
	host.Assets["file"], host.Assets["other"] = nil, nil
	delete(host.Assets, "file")
	n.WantFault(`{}`, fault.NotFound)
}
