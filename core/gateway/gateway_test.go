package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/model"
)

// script is a provider whose n-th call does steps[n]; the last step repeats.
type script struct {
	mu    sync.Mutex
	steps []func(context.Context, *model.Request) (*model.Response, error)
	asked []string        // models, in order
	at    []time.Duration // since the first call
	first time.Time
	infos int
	down  int // Info fails so many times
}

func (s *script) Info(context.Context) (model.Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.infos++; s.infos <= s.down {
		return model.Info{}, fault.New(fault.Unavailable, "", "down")
	}
	in, out := 2.0, 8.0
	return model.Info{Models: []model.Model{{ID: "m", InputCost: &in, OutputCost: &out}, {ID: "unpriced", InputCost: &in}}}, nil
}

func (s *script) Generate(ctx context.Context, r *model.Request) (*model.Response, error) {
	s.mu.Lock()
	if s.first.IsZero() {
		s.first = time.Now()
	}
	step := s.steps[min(len(s.asked), len(s.steps)-1)]
	s.asked = append(s.asked, r.Model)
	s.at = append(s.at, time.Since(s.first))
	s.mu.Unlock()
	return step(ctx, r)
}

func answer(_ context.Context, r *model.Request) (*model.Response, error) {
	return &model.Response{Text: "to " + r.Messages[0].Content, FinishReason: model.FinishStop, InputTokens: 1000, OutputTokens: 500}, nil
}

func fails(k fault.Kind) func(context.Context, *model.Request) (*model.Response, error) {
	return func(context.Context, *model.Request) (*model.Response, error) {
		return nil, fault.New(k, "upstream", "said no").WithHint("ask again")
	}
}

func hangs(ctx context.Context, _ *model.Request) (*model.Response, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

type step = func(context.Context, *model.Request) (*model.Response, error)

func scripted(steps ...step) *script { return &script{steps: steps} }

func open(t *testing.T, cfg Config) *Gateway {
	t.Helper()
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func ask(name string) *model.Request {
	return &model.Request{Model: name, Messages: []model.Message{{Role: model.User, Content: "you"}}}
}

func TestAnswerWithCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := scripted(func(ctx context.Context, r *model.Request) (*model.Response, error) {
			time.Sleep(3 * time.Second) // of the bubble's clock
			return answer(ctx, r)
		})
		g := open(t, Config{Providers: map[string]model.Provider{"p": p}})
		for range 2 {
			begin := time.Now()
			resp, call, err := g.Generate(t.Context(), ask("p/m"))
			if err != nil || resp.Text != "to you" {
				t.Fatalf("%+v, %v", resp, err)
			}
			want := run.ModelCall{Provider: "p", Model: "m", Start: begin, End: begin.Add(3 * time.Second),
				Usage: run.Usage{Calls: 1, InputTokens: 1000, OutputTokens: 500, Cost: 0.006}}
			if call != want {
				t.Errorf("call %+v, want %+v", call, want)
			}
		}
		if p.infos != 1 {
			t.Errorf("prices were asked for %d times", p.infos)
		}
	})
}

func TestPrices(t *testing.T) {
	var log bytes.Buffer
	cached := func(ctx context.Context, r *model.Request) (*model.Response, error) {
		resp, err := answer(ctx, r)
		resp.Cached, resp.Model = r.Model == "cached", "exact-"+r.Model
		return resp, err
	}
	g := open(t, Config{
		Providers: map[string]model.Provider{"p": scripted(cached)},
		Prices:    map[string]Price{"p/own": {Input: 1, Output: 1}, "p/cached": {Input: 9, Output: 9}},
		Logger:    slog.New(slog.NewTextHandler(&log, nil)),
	})
	for name, cost := range map[string]float64{"m": 0.006, "own": 0.0015, "cached": 0, "unpriced": 0} {
		for range 2 {
			if _, call, err := g.Generate(t.Context(), ask("p/"+name)); err != nil || call.Usage.Cost != cost || call.Model != "exact-"+name || call.Cached != (name == "cached") {
				t.Errorf("%s: %+v, %v; want cost %v", name, call, err, cost)
			}
		}
	}
	if n := strings.Count(log.String(), "no price is known"); n != 1 {
		t.Errorf("a missing price was logged %d times:\n%s", n, log.String())
	}
}

func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := scripted(fails(fault.Transient), fails(fault.Unavailable), hangs, answer)
		g := open(t, Config{Providers: map[string]model.Provider{"p": p}, Attempts: 4, Timeout: time.Minute, Backoff: time.Second, MaxBackoff: 2 * time.Second})
		_, call, err := g.Generate(t.Context(), ask("p/m"))
		if err != nil || call.Usage.Calls != 1 || call.Usage.OutputTokens != 500 {
			t.Fatalf("%+v, %v", call, err)
		}
		// waits of 1, 2 and 2 s, and one try of a minute
		if want := []time.Duration{0, time.Second, 3 * time.Second, 65 * time.Second}; !equal(p.at, want) {
			t.Errorf("tries at %v, want %v", p.at, want)
		}
	})
}

func equal(a, b []time.Duration) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestRetriesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for kind, tries := range map[fault.Kind]int{
			fault.Transient: 3, fault.Unavailable: 3, fault.Timeout: 3,
			fault.Invalid: 1, fault.NotFound: 1, fault.Denied: 1, fault.Limit: 1, fault.Internal: 1, fault.Rejected: 1,
		} {
			p := scripted(fails(kind))
			g := open(t, Config{Providers: map[string]model.Provider{"p": p}})
			resp, call, err := g.Generate(t.Context(), ask("p/m"))
			if resp != nil || !fault.Is(err, kind) || fault.HintOf(err) != "ask again" || len(p.asked) != tries {
				t.Errorf("%s: %v after %d tries, want %d", kind, err, len(p.asked), tries)
			}
			if call.Err != err || call.Provider != "p" || call.Usage != (run.Usage{Calls: 1}) {
				t.Errorf("%s: call %+v", kind, call)
			}
		}
		g := open(t, Config{Providers: map[string]model.Provider{"p": scripted(hangs)}, Timeout: 5 * time.Second, Attempts: 1})
		if _, _, err := g.Generate(t.Context(), ask("p/m")); !fault.Is(err, fault.Timeout) || !strings.Contains(err.Error(), "no answer within 5s") {
			t.Errorf("the gateway's own timeout: %v", err)
		}
		down := scripted(answer)
		down.down = 1
		g = open(t, Config{Providers: map[string]model.Provider{"p": down}})
		if _, call, err := g.Generate(t.Context(), ask("p/m")); err != nil || call.Usage.Cost != 0.006 {
			t.Errorf("prices that came at the second try: %+v, %v", call, err)
		}
		bad := scripted(func(context.Context, *model.Request) (*model.Response, error) {
			return &model.Response{InputTokens: -1}, nil
		})
		g = open(t, Config{Providers: map[string]model.Provider{"p": bad}})
		if _, _, err := g.Generate(t.Context(), ask("p/m")); !fault.Is(err, fault.Internal) {
			t.Errorf("negative tokens: %v", err)
		}
	})
}

func TestCallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, s := range map[string]step{"while asking": hangs, "while waiting": fails(fault.Transient)} {
			p, other := scripted(s), scripted(answer)
			g := open(t, Config{Providers: map[string]model.Provider{"p": p, "q": other}, Backoff: time.Hour, MaxBackoff: time.Hour, Timeout: time.Hour,
				Aliases: map[string][]string{"a": {"p/m", "q/m"}}})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			begin := time.Now()
			_, call, err := g.Generate(ctx, ask("a"))
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || !fault.Is(err, fault.Timeout) || time.Since(begin) != time.Second || call.Err == nil {
				t.Errorf("%s: %v after %v", name, err, time.Since(begin))
			}
			if len(p.asked) != 1 || len(other.asked) != 0 {
				t.Errorf("%s: %v and %v were asked", name, p.asked, other.asked)
			}
		}
	})
}

func TestFallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for kind, firstTries := range map[fault.Kind]int{fault.Transient: 2, fault.Limit: 1} {
			p, q := scripted(fails(kind)), scripted(answer)
			g := open(t, Config{Providers: map[string]model.Provider{"p": p, "q": q}, Attempts: 2,
				Aliases: map[string][]string{"smart": {"p/m", "q/deep/m"}}})
			_, call, err := g.Generate(t.Context(), ask("smart"))
			if err != nil || call.Provider != "q" || call.Model != "deep/m" || len(p.asked) != firstTries || q.asked[0] != "deep/m" {
				t.Errorf("%s: %+v, %v; asked %v, %v", kind, call, err, p.asked, q.asked)
			}
		}
		p, q := scripted(fails(fault.Invalid)), scripted(answer)
		g := open(t, Config{Providers: map[string]model.Provider{"p": p, "q": q}, Aliases: map[string][]string{"smart": {"p/m", "q/m"}}})
		if _, _, err := g.Generate(t.Context(), ask("smart")); !fault.Is(err, fault.Invalid) || len(q.asked) != 0 {
			t.Errorf("a refused request went on: %v, %v", err, q.asked)
		}
	})
}

// purse is a budget of calls.
type purse struct {
	left  int
	spent run.Usage
}

func (p *purse) Allow(_ context.Context, target string, _ *model.Request) error {
	if p.left--; p.left < 0 {
		return fault.New(fault.Limit, "budget", "no money for %s", target)
	}
	return nil
}

func (p *purse) Spent(c run.ModelCall) { p.spent.Add(c.Usage) }

func TestBudget(t *testing.T) {
	p, b := scripted(answer), &purse{left: 2}
	g := open(t, Config{Providers: map[string]model.Provider{"p": p}, Budget: b})
	for range 2 {
		if _, _, err := g.Generate(t.Context(), ask("p/m")); err != nil {
			t.Fatal(err)
		}
	}
	_, call, err := g.Generate(t.Context(), ask("p/m"))
	if !fault.Is(err, fault.Limit) || len(p.asked) != 2 || call.Usage.Calls != 0 || b.spent.Cost != 0.012 {
		t.Errorf("%v, %d calls, %+v spent", err, len(p.asked), b.spent)
	}
}

func TestUnknownModelsAndMalformedRequests(t *testing.T) {
	p := scripted(answer)
	g := open(t, Config{Providers: map[string]model.Provider{"p": p}, Aliases: map[string][]string{"smart": {"p/m"}}})
	for name, kind := range map[string]fault.Kind{"m": fault.NotFound, "q/m": fault.NotFound, "p/": fault.NotFound, "": fault.Invalid} {
		_, call, err := g.Generate(t.Context(), ask(name))
		if !fault.Is(err, kind) || call.Usage.Calls != 0 {
			t.Errorf("%q: %v, %+v", name, err, call)
		}
		if kind == fault.NotFound && fault.HintOf(err) != "name one of p/MODEL, smart" {
			t.Errorf("%q: hint %q", name, fault.HintOf(err))
		}
	}
	if len(p.asked) != 0 {
		t.Errorf("the provider was asked for %v", p.asked)
	}
}

func TestNewRefuses(t *testing.T) {
	p := map[string]model.Provider{"p": scripted(answer)}
	for path, cfg := range map[string]Config{
		"models.a/b": {Providers: map[string]model.Provider{"a/b": p["p"]}},
		"models.p":   {Providers: map[string]model.Provider{"p": nil}},
		"aliases.a":  {Providers: p, Aliases: map[string][]string{"a": {"q/m"}}},
		"aliases.b":  {Providers: p, Aliases: map[string][]string{"b": nil}},
		"aliases.p/": {Providers: p, Aliases: map[string][]string{"p/": {"p/m"}}},
		"prices.q/m": {Providers: p, Prices: map[string]Price{"q/m": {}}},
		"prices.p/m": {Providers: p, Prices: map[string]Price{"p/m": {Input: -1}}},
	} {
		_, err := New(cfg)
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.Invalid || f.Path != path {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestGenerateJSON(t *testing.T) {
	var got *model.Request
	p := scripted(func(ctx context.Context, r *model.Request) (*model.Response, error) {
		c := *r
		got = &c
		return answer(ctx, r)
	}, fails(fault.Denied))
	g := open(t, Config{Providers: map[string]model.Provider{"p": p}})
	var trail run.Trail
	text, err := g.GenerateJSON(t.Context(), []byte(`{"model":"p/m","system":"s","messages":[{"role":"user","content":"you"}],
		"max_tokens":7,"temperature":0,"stop":["."],"seed":3}`), &trail)
	want := `{"text":"to you","model":"m","finish_reason":"stop","input_tokens":1000,"output_tokens":500,"cost_usd":0.006}`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v; want %s", text, err, want)
	}
	if got.System != "s" || got.MaxTokens != 7 || got.Temperature == nil || *got.Temperature != 0 || got.Stop[0] != "." || *got.Seed != 3 || got.Model != "m" {
		t.Errorf("the provider got %+v", got)
	}
	request := []byte(`{"model":"p/m","messages":[{"role":"user","content":"you"}]}`)
	if _, err := g.GenerateJSON(t.Context(), request, &trail); !fault.Is(err, fault.Denied) {
		t.Errorf("%v", err)
	}
	if u := trail.Usage(); len(trail.Calls) != 2 || u != (run.Usage{Calls: 2, InputTokens: 1000, OutputTokens: 500, Cost: 0.006}) || trail.Calls[1].Err == nil {
		t.Errorf("trail %+v", trail.Calls)
	}
	for _, bad := range []string{
		``, `{`, `[]`, `{"model":"p/m"}`, `{"model":"p/m","prompt":"x"}`, `{"model":"p/m","Messages":[]}`,
		`{"model":"p/m","model":"p/m","messages":[{"role":"user","content":"x"}]}`,
		`{"model":"p/m","messages":[{"role":"system","content":"x"}]}`, `{"model":"p/m","messages":[{"role":"user","text":"x"}]}`,
	} {
		if _, err := g.GenerateJSON(t.Context(), []byte(bad), &trail); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if len(trail.Calls) != 2 {
		t.Errorf("refused requests count as calls: %+v", trail.Calls)
	}
}

func FuzzGenerateJSON(f *testing.F) {
	f.Add([]byte(`{"model":"p/m","messages":[{"role":"user","content":"you"}],"seed":-1}`))
	f.Add([]byte(`{"model":"q/m","messages":[]}`))
	g, err := New(Config{Providers: map[string]model.Provider{"p": scripted(answer)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var trail run.Trail
		text, err := g.GenerateJSON(t.Context(), data, &trail)
		if err == nil != (len(trail.Calls) == 1) || err == nil && !json.Valid(text) {
			t.Errorf("%q: %s, %v, %d calls", data, text, err, len(trail.Calls))
		}
		if k := fault.KindOf(err); err != nil && k != fault.Invalid && k != fault.NotFound {
			t.Errorf("%q: %v", data, err)
		}
	})
}
