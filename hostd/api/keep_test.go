package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sparkrsi/spark/hostd/api"
	"github.com/sparkrsi/spark/sdk/fault"
)

func TestKeepTelemetry(t *testing.T) {
	transports(t, func(t *testing.T, c *api.Client) {
		apply(t, c, document("g", "1.0.0", "upper"))
		for range 3 {
			if _, err := c.Run(t.Context(), api.Run{Graph: "g", Input: json.RawMessage(`"x"`)}); err != nil {
				t.Fatal(err)
			}
		}
		f, err := c.Flush(t.Context(), "")
		if err != nil || f.Profiles["default"].ExportedTraces != 3 {
			t.Fatalf("%+v, %v", f, err)
		}
		if _, err := c.Flush(t.Context(), "none"); !fault.Is(err, fault.Invalid) {
			t.Error(err)
		}
		if _, err := c.Copy(t.Context(), api.Copy{From: "default", To: "default"}, nil); !fault.Is(err, fault.Invalid) {
			t.Error(err)
		}
		if _, err := c.Copy(t.Context(), api.Copy{From: "default"}, nil); !fault.Is(err, fault.Invalid) {
			t.Error(err)
		}
		for _, year := range []int{1, 1969, 2262} {
			if _, err := c.Prune(t.Context(), api.Prune{Before: time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC)}); !fault.Is(err, fault.Invalid) {
				t.Error(year, err)
			}
		}
		p, err := c.Prune(t.Context(), api.Prune{Before: time.Now().Add(time.Hour)})
		if err != nil || p.Traces != 3 {
			t.Errorf("%+v, %v", p, err)
		}
	})
}

func TestMetricsPage(t *testing.T) {
	h := open(t)
	c := api.InProcess(h)
	apply(t, c, document("g", "1.0.0", "upper"))
	if _, err := c.Run(t.Context(), api.Run{Graph: "g", Input: json.RawMessage(`"x"`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Flush(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	get := func(token string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		api.Guard(h, "secret").ServeHTTP(w, r)
		return w
	}
	w := get("secret")
	if kind := w.Header().Get("Content-Type"); w.Code != http.StatusOK || !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
		t.Errorf("%d, %s", w.Code, kind)
	}
	if body := w.Body.String(); !strings.Contains(body, "spark_telemetry_exported_traces_total{profile=\"default\"} 1\n") {
		t.Error(body)
	}
	if w := get("wrong"); w.Code != http.StatusUnauthorized {
		t.Errorf("with a wrong token: %d", w.Code)
	}
}
