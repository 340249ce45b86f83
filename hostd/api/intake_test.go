package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/hostd/api"
	"github.com/sparkrsi/spark/plugins/backends/memory"
	"github.com/sparkrsi/spark/sdk/backend"
)

const received = `{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708",
	"name": "checkout", "startTimeUnixNano": "1772366400000000000", "endTimeUnixNano": "1772366401000000000"}]}]}]}`

func TestIntake(t *testing.T) {
	for _, on := range []bool{false, true} {
		store, err := memory.New(memory.Config{})
		if err != nil {
			t.Fatal(err)
		}
		profile := telemetry.Defaults()
		profile.Backend, profile.RetentionDays = "here", 36500
		h, err := host.Open(t.Context(), host.Config{DataDir: t.TempDir(), Telemetry: map[string]telemetry.Config{"default": profile},
			Backends: map[string]backend.Writer{"here": store}})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close(context.Background())
		handler := api.Guard(api.New(h, api.Options{Intake: on}), "secret")
		post := func(path, token string) int {
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(received))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			return w.Code
		}
		if code := post("/v1/traces", "wrong"); code != http.StatusUnauthorized {
			t.Errorf("intake %v, wrong token: %d", on, code)
		}
		want, traces := http.StatusNotFound, int64(0)
		if on {
			want, traces = http.StatusOK, 1
		}
		if code := post("/v1/traces", "secret"); code != want {
			t.Errorf("intake %v: %d, want %d", on, code, want)
		}
		if n, err := store.Count(t.Context()); err != nil || n.Traces != traces {
			t.Errorf("intake %v: %+v, %v", on, n, err)
		}
	}
}
