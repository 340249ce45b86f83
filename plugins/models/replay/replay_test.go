package replay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/model"
)

const file = "testdata/cassette.jsonl"

func open(t testing.TB, config string) *Provider {
	t.Helper()
	p := New()
	if err := model.Open(t.Context(), p, []byte(config)); err != nil {
		t.Fatal(err)
	}
	return p
}

func recorded() *model.Request {
	zero := 0.0
	return &model.Request{Model: "tiny", Messages: []model.Message{{Role: model.User, Content: "What is <2+2>?"}}, Temperature: &zero}
}

func TestAnswersAsRecorded(t *testing.T) {
	p := open(t, fmt.Sprintf(`{"cassette": %q}`, file))
	r := recorded()
	r.Metadata = map[string]string{"run": "another"}
	for range 2 {
		resp, err := p.Generate(t.Context(), r)
		if err != nil || *resp != (model.Response{Text: "4", FinishReason: "stop", InputTokens: 9, OutputTokens: 1}) {
			t.Fatalf("%+v, %v", resp, err)
		}
		resp.Text = "changed by the caller"
	}
	info, err := p.Info(t.Context())
	if err != nil || info.Name != "replay" || len(info.Models) != 2 || info.Models[0].ID != "small" || info.Models[0].InputCost != nil ||
		info.Models[1].ID != "tiny" || *info.Models[1].InputCost != 0.15 || *info.Models[1].OutputCost != 0.6 || info.Models[1].Context != 8192 {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestMissesNeverAnswer(t *testing.T) {
	p := open(t, fmt.Sprintf(`{"cassette": %q}`, file))
	one, seed := 1.0, int64(1)
	for name, change := range map[string]func(*model.Request){
		"model":           func(r *model.Request) { r.Model = "small" },
		"content":         func(r *model.Request) { r.Messages[0].Content += " " },
		"system":          func(r *model.Request) { r.System = "s" },
		"more":            func(r *model.Request) { r.Messages = append(r.Messages, r.Messages[0]) },
		"role":            func(r *model.Request) { r.Messages[0].Role = model.Assistant },
		"temperature":     func(r *model.Request) { r.Temperature = &one },
		"any temperature": func(r *model.Request) { r.Temperature = nil },
		"max tokens":      func(r *model.Request) { r.MaxTokens = 5 },
		"stop":            func(r *model.Request) { r.Stop = []string{"x"} },
		"seed":            func(r *model.Request) { r.Seed = &seed },
	} {
		r := recorded()
		change(r)
		resp, err := p.Generate(t.Context(), r)
		if resp != nil || !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), Normalise(r)) || !strings.Contains(fault.HintOf(err), file) {
			t.Errorf("%s: %+v, %v", name, resp, err)
		}
	}
	if _, err := New().Generate(t.Context(), recorded()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("before Open: %v", err)
	}
}

func TestNormalise(t *testing.T) {
	r := recorded()
	r.Metadata = map[string]string{"k": "v"}
	want := `{"model":"tiny","messages":[{"role":"user","content":"What is <2+2>?"}],"temperature":0}`
	if got := Normalise(r); got != want || r.Metadata == nil {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for config, want := range map[string]time.Duration{`"50ms"`: 50 * time.Millisecond, `1.5`: 1500 * time.Millisecond, `0`: 0} {
			p := open(t, fmt.Sprintf(`{"cassette": %q, "latency": %s}`, file, config))
			begin := time.Now()
			if _, err := p.Generate(t.Context(), recorded()); err != nil || time.Since(begin) != want {
				t.Errorf("%s: %v after %v", config, err, time.Since(begin))
			}
		}
		p := open(t, fmt.Sprintf(`{"cassette": %q, "latency": 10}`, file))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Generate(ctx, recorded()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a deadline before the answer: %v", err)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	for config, want := range map[string]fault.Kind{
		`{}`:                                  fault.Invalid,
		`{"cassete": "x"}`:                    fault.Invalid,
		`{"cassette": "testdata/none"}`:       fault.NotFound,
		`{"cassette": "testdata"}`:            fault.Unavailable,
		`{"cassette": "x", "latency":-1}`:     fault.Invalid,
		`{"cassette": "x", "latency":61}`:     fault.Invalid,
		`{"cassette": "x", "latency":"fast"}`: fault.Invalid,
		`{"cassette": "x", "latency":{}}`:     fault.Invalid,
		`{"cassette": "x", "latency":1e300}`:  fault.Invalid,
	} {
		if err := New().Open(t.Context(), []byte(config)); !fault.Is(err, want) {
			t.Errorf("%s: %v", config, err)
		}
	}
}

func TestBadCassettes(t *testing.T) {
	request := `"request": {"model": "m", "messages": [{"role": "user", "content": "x"}]}`
	response := `"response": {"text": "y", "input_tokens": 1, "output_tokens": 1}`
	good := "{" + request + ", " + response + "}\n"
	zeros := strings.Repeat("0", 64)
	for name, tt := range map[string]struct{ text, want string }{
		"not JSON":      {good + "\n{", "c:3: "},
		"unknown key":   {`{"reqest": {}}`, "reqest: unknown key"},
		"no response":   {"{" + request + "}", "no response"},
		"no request":    {"{" + response + "}", "neither a request nor"},
		"bad hash":      {`{"request_hash": "XY", ` + response + "}", "neither a request nor"},
		"other hash":    {`{"request_hash": "` + zeros + `", ` + request + ", " + response + "}", "request_hash is 000"},
		"bad request":   {`{"request": {"model": "m", "messages": []}, ` + response + "}", "no message"},
		"negative":      {"{" + request + `, "response": {"text": "", "input_tokens": -1}}`, "-1 input"},
		"odd finish":    {"{" + request + `, "response": {"text": "", "finish_reason": "done"}}`, "finish_reason"},
		"twice":         {good + good, "c:2: the request is recorded on line 1"},
		"both":          {`{"model": {"id": "m"}, ` + response + "}", "not both"},
		"no id":         {`{"model": {}}`, "no id"},
		"negative cost": {`{"model": {"id": "m", "input_cost": -1}}`, "negative"},
		"model twice":   {`{"model": {"id": "m"}}` + "\n" + `{"model": {"id": "m"}}`, "c:2: "},
	} {
		if _, err := parse("c", []byte(tt.text)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %q", name, err, tt.want)
		}
	}
}

func TestRecordingByHash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.jsonl")
	text := fmt.Sprintf(`{"request_hash": "%s", "response": {"text": "secret", "input_tokens": 1, "output_tokens": 1}}`, hash(Normalise(recorded())))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := open(t, fmt.Sprintf(`{"cassette": %q}`, path))
	if resp, err := p.Generate(t.Context(), recorded()); err != nil || resp.Text != "secret" || resp.FinishReason != "stop" {
		t.Errorf("%+v, %v", resp, err)
	}
}

// FuzzParse checks that a cassette that is accepted answers every request that it
// records, and that a refused one is the caller's to mend.
func FuzzParse(f *testing.F) {
	text, err := os.ReadFile(file)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"request_hash":"","response":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parse("c", data)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatal(err)
			}
			return
		}
		for key, resp := range c.answers {
			if len(key) != 64 || resp.InputTokens < 0 || resp.FinishReason == "" {
				t.Fatalf("%q: %+v", key, resp)
			}
		}
	})
}
