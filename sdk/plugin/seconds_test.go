package plugin

import (
	"encoding/json"
	"testing"
	"time"
)

func TestSeconds(t *testing.T) {
	for in, want := range map[string]time.Duration{`5`: 5 * time.Second, `0.25`: 250 * time.Millisecond, `"5s"`: 5 * time.Second, `"1h"`: time.Hour, `-1`: -time.Second} {
		var s Seconds
		if err := json.Unmarshal([]byte(in), &s); err != nil || time.Duration(s) != want {
			t.Errorf("%s: %v, %v", in, time.Duration(s), err)
		}
		var again Seconds
		if b, err := json.Marshal(s); err != nil || json.Unmarshal(b, &again) != nil || again != s {
			t.Errorf("%s came back from %s as %v, %v", in, b, again, err)
		}
	}
	for _, in := range []string{`"5"`, `"soon"`, `true`, `1e300`, `{}`} {
		var s Seconds
		if err := json.Unmarshal([]byte(in), &s); err == nil {
			t.Errorf("%s was read as %v", in, time.Duration(s))
		}
	}
}
