package telemetry

import (
	"encoding/json"
	"log/slog"
	"strings"
)

// Secret is a text that is not shown: String, formatting, JSON and logs give
// ********. A conversion to string gives it.
type Secret string

const masked = "********"

// String returns ********, or nothing for the empty Secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// GoString returns what String does.
func (s Secret) GoString() string { return s.String() }

// MarshalJSON writes what String returns.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// LogValue returns what String does.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Settings are those of a backend, which only the backend knows. What their names
// call secret is not shown: formatting, JSON and logs give ********.
type Settings map[string]any

// secretWords are parts of the names of settings whose values are secret, with all
// that lies below them.
var secretWords = []string{"password", "passwd", "secret", "token", "headers", "authorization", "credential", "connection_string", "dsn", "api_key", "apikey"}

// shown returns s with ******** in place of what is secret.
func (s Settings) shown() map[string]any {
	if s == nil {
		return nil
	}
	out := make(map[string]any, len(s))
	for name, value := range s {
		out[name] = show(value, secretName(name))
	}
	return out
}

func secretName(name string) bool {
	name = strings.ToLower(name)
	for _, word := range secretWords {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

func show(v any, secret bool) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, value := range v {
			out[name] = show(value, secret || secretName(name))
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = show(value, secret)
		}
		return out
	case nil:
		return nil
	}
	if secret && v != "" {
		return masked
	}
	return v
}

// String returns s as JSON without its secrets.
func (s Settings) String() string {
	b, err := s.MarshalJSON()
	if err != nil {
		return masked
	}
	return string(b)
}

// GoString returns what String does.
func (s Settings) GoString() string { return s.String() }

// MarshalJSON writes s without its secrets.
func (s Settings) MarshalJSON() ([]byte, error) { return json.Marshal(s.shown()) }

// LogValue returns what String does.
func (s Settings) LogValue() slog.Value { return slog.StringValue(s.String()) }
