package telemetry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// What a profile holds that is secret reaches its backend and nobody else.
func TestSecretsAreNotShown(t *testing.T) {
	c, err := ParseConfig([]byte(`{"backend": "otlp", "connection_string": "hush-1", "backend_config": {"endpoint": "http://here", "password": "hush-2",
		"headers": {"X-Key": "hush-3", "more": ["hush-4"]}, "auth": {"api_token": "hush-5", "user": "ada"}, "max_connections": 8, "token": ""}}`))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("open", "profile", c, "settings", c.BackendSettings)
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{log.String(), string(text), fmt.Sprintf("%v", c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c)} {
		if strings.Contains(s, "hush") || !strings.Contains(s, "ada") || !strings.Contains(s, "http://here") || !strings.Contains(s, masked) {
			t.Error(s)
		}
	}
	if b := string(c.BackendConfig()); strings.Count(b, "hush") != 5 || strings.Contains(b, masked) {
		t.Errorf("the backend gets %s", b)
	}
}
