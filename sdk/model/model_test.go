package model_test

import (
	"context"
	"math"
	"net"
	"reflect"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/model"
)

// mirror answers with what it was asked, so that a test can compare both sides.
type mirror struct {
	got    *model.Request
	config string
}

func (m *mirror) Open(_ context.Context, config []byte) error {
	if string(config) == "bad" {
		return fault.New(fault.Invalid, "config.key", "unknown key").WithHint("remove it")
	}
	m.config = string(config)
	return nil
}

func (m *mirror) Info(context.Context) (model.Info, error) {
	in, out := 0.5, 0.0
	return model.Info{Name: "mirror", Version: "1.2.3", Models: []model.Model{
		{ID: "a", InputCost: &in, OutputCost: &out, Context: 8192}, {ID: "b"}}}, nil
}

func (m *mirror) Generate(ctx context.Context, r *model.Request) (*model.Response, error) {
	if r.Model == "slow" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if r.Model == "full" {
		return nil, fault.New(fault.Limit, "models.full", "quota spent").WithHint("wait a minute")
	}
	m.got = r
	return &model.Response{Text: "yes", FinishReason: model.FinishLength, InputTokens: 3, OutputTokens: 5, Model: "a-1", Cached: true}, nil
}

// bare is a provider that takes no configuration.
type bare struct{ model.Provider }

func overWire(t *testing.T, p model.Provider) model.Provider {
	t.Helper()
	lis := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	model.Register(server, p)
	served := make(chan struct{})
	go func() { defer close(served); server.Serve(lis) }()
	conn, err := grpc.NewClient("passthrough:///provider", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); server.Stop(); <-served })
	return model.NewClient(conn)
}

func TestProviderIsTheSameOverTheWire(t *testing.T) {
	ctx := t.Context()
	behind := &mirror{}
	p := overWire(t, behind)

	if err := model.Open(ctx, p, []byte(`{"k":1}`)); err != nil || behind.config != `{"k":1}` {
		t.Errorf("Open: %v, config %q", err, behind.config)
	}
	if err := model.Open(ctx, p, []byte("bad")); !fault.Is(err, fault.Invalid) || fault.HintOf(err) != "remove it" {
		t.Errorf("a refused configuration gave %v", err)
	}
	want, _ := behind.Info(ctx)
	if got, err := p.Info(ctx); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Info: %+v, %v; want %+v", got, err, want)
	}
	zero, seed := 0.0, int64(-7)
	req := &model.Request{
		Model: "a", System: "be brief", Messages: []model.Message{{Role: model.User, Content: "hi"}, {Role: model.Assistant, Content: "yes?"}},
		MaxTokens: 9, Temperature: &zero, Stop: []string{"\n"}, Seed: &seed, Metadata: map[string]string{"run": "1"},
	}
	resp, err := p.Generate(ctx, req)
	if err != nil || *resp != (model.Response{Text: "yes", FinishReason: "length", InputTokens: 3, OutputTokens: 5, Model: "a-1", Cached: true}) {
		t.Errorf("Generate: %+v, %v", resp, err)
	}
	if !reflect.DeepEqual(behind.got, req) {
		t.Errorf("the provider got %+v, want %+v", behind.got, req)
	}
	_, err = p.Generate(ctx, &model.Request{Model: "a", Messages: []model.Message{{Role: model.User}}})
	if err != nil || behind.got.Temperature != nil || behind.got.Seed != nil {
		t.Errorf("absent options must stay absent: %+v, %v", behind.got, err)
	}
}

func TestGenerateFaultsOverTheWire(t *testing.T) {
	p := overWire(t, &mirror{})
	ask := func(ctx context.Context, name string) error {
		_, err := p.Generate(ctx, &model.Request{Model: name, Messages: []model.Message{{Role: model.User, Content: "hi"}}})
		return err
	}
	if err := ask(t.Context(), "full"); !fault.Is(err, fault.Limit) || fault.HintOf(err) != "wait a minute" {
		t.Errorf("quota: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := ask(ctx, "slow"); !fault.Is(err, fault.Timeout) {
		t.Errorf("deadline: %v", err)
	}
	if err := ask(t.Context(), ""); !fault.Is(err, fault.Invalid) {
		t.Errorf("the server accepted a request without a model: %v", err)
	}
}

func TestOpenWithoutOpener(t *testing.T) {
	for _, config := range []string{"", " {} ", "null"} {
		if err := model.Open(t.Context(), bare{}, []byte(config)); err != nil {
			t.Errorf("%q: %v", config, err)
		}
	}
	if err := model.Open(t.Context(), bare{}, []byte(`{"a":1}`)); !fault.Is(err, fault.Invalid) {
		t.Errorf("an unwanted configuration gave %v", err)
	}
}

func TestRequestValidate(t *testing.T) {
	ok := func() *model.Request {
		return &model.Request{Model: "m", Messages: []model.Message{{Role: model.User, Content: "x"}}}
	}
	if err := ok().Validate(); err != nil {
		t.Fatal(err)
	}
	number := func(f float64) *float64 { return &f }
	for path, change := range map[string]func(*model.Request){
		"model":           func(r *model.Request) { r.Model = "" },
		"messages":        func(r *model.Request) { r.Messages = nil },
		"messages.0.role": func(r *model.Request) { r.Messages[0].Role = "system" },
		"max_tokens":      func(r *model.Request) { r.MaxTokens = -1 },
		"temperature":     func(r *model.Request) { r.Temperature = number(math.NaN()) },
	} {
		r := ok()
		change(r)
		err := r.Validate()
		if f, is := err.(*fault.Error); !is || f.Kind != fault.Invalid || f.Path != path {
			t.Errorf("%s: %v", path, err)
		}
	}
}
