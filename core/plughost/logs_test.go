package plughost

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzLogs checks that whatever a process writes becomes bounded, valid lines.
func FuzzLogs(f *testing.F) {
	f.Add([]byte(`{"@level":"warn","@message":"m","@timestamp":"x","k":[1,{"a":null}]}` + "\n"))
	f.Add([]byte(`{"@message":7}` + "\nplain\r\n\n\xff\npanic: no\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var out bytes.Buffer
		l := &logs{out: slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug - 4}))}
		l.copy(bytes.NewReader(data), true)
		w := &writer{logs: l}
		for i := range data {
			w.Write(data[i : i+1])
		}
		if !utf8.Valid(out.Bytes()) {
			t.Errorf("invalid UTF-8 in %q", out.String())
		}
		if last := l.last(); !utf8.ValidString(last) || len(last) > 4*(lastBytes+4) || len(l.tail) > lastLines {
			t.Errorf("last words %q of %d lines", last, len(l.tail))
		}
	})
}

func TestLastWords(t *testing.T) {
	l := &logs{out: slog.New(slog.DiscardHandler)}
	l.copy(strings.NewReader(strings.Repeat("noise\n", 20)+"one\ntwo\nthree\n"), true)
	if got := l.last(); got != "one | two | three" || len(l.tail) != lastLines {
		t.Errorf("%q of %d lines", got, len(l.tail))
	}
	l.copy(strings.NewReader("panic: boom\ngoroutine 1 [running]:\nmain.main()\n"), true)
	if got := l.last(); got != "panic: boom" {
		t.Errorf("%q", got)
	}
	l.copy(strings.NewReader("panic: "+strings.Repeat("é", lastBytes)), true)
	if got := l.last(); !strings.HasPrefix(got, "panic: boom") {
		t.Errorf("the first panic explains a crash, got %q", got)
	}
}
