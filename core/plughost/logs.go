package plughost

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"sort"
	"strings"
	"sync"
	"unicode/utf8"
)

// Bounds of what is taken from a plugin's output.
const (
	maxLine   = 64 << 10 // bytes of a line; the rest is dropped
	lastLines = 12       // lines kept to explain a crash
	lastBytes = 400      // bytes kept of each of them
)

// logs repeats what a process writes in the log of the host.
type logs struct {
	out *slog.Logger

	mu   sync.Mutex // guards the field below
	tail []string   // the last lines that were not structured, oldest first
}

// copy logs r line by line until it ends. Lines in hclog's JSON format keep their
// level and attributes; others are logged at info.
func (l *logs) copy(r io.Reader, keep bool) {
	br, ok := r.(*bufio.Reader)
	if !ok {
		br = bufio.NewReaderSize(r, maxLine)
	}
	for {
		line, err := br.ReadSlice('\n')
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			l.line(line, keep)
		}
		for err == bufio.ErrBufferFull {
			_, err = br.ReadSlice('\n')
		}
		if err != nil {
			return
		}
	}
}

func (l *logs) line(line []byte, keep bool) {
	if level, msg, attrs, ok := parseLine(line); ok {
		l.out.LogAttrs(context.Background(), level, msg, attrs...)
		return
	}
	text := strings.ToValidUTF8(string(line), "\uFFFD")
	if keep {
		l.mu.Lock()
		if len(l.tail) == lastLines {
			l.tail = append(l.tail[:0], l.tail[1:]...)
		}
		l.tail = append(l.tail, cut(text, lastBytes))
		l.mu.Unlock()
	}
	l.out.Info("plugin output", "line", text)
}

// last returns what the process wrote last, for people: from the first line of a
// panic when there is one.
func (l *logs) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.tail
	for i, s := range lines {
		if strings.HasPrefix(s, "panic: ") || strings.HasPrefix(s, "fatal error: ") {
			lines = lines[i:min(i+1, len(lines))]
			break
		}
	}
	return strings.Join(lines[max(0, len(lines)-3):], " | ")
}

// parseLine reads one line in hclog's JSON format; ok is false for any other.
func parseLine(line []byte) (level slog.Level, msg string, attrs []slog.Attr, ok bool) {
	var fields map[string]any
	if line[0] != '{' || json.Unmarshal(line, &fields) != nil {
		return 0, "", nil, false
	}
	msg, ok = fields["@message"].(string)
	if !ok {
		return 0, "", nil, false
	}
	word, _ := fields["@level"].(string)
	switch word {
	case "trace":
		level = slog.LevelDebug - 4
	case "debug":
		level = slog.LevelDebug
	case "warn":
		level = slog.LevelWarn
	case "error":
		level = slog.LevelError
	default:
		level = slog.LevelInfo
	}
	for k, v := range fields {
		if !strings.HasPrefix(k, "@") {
			attrs = append(attrs, slog.Any(k, v))
		}
	}
	sort.Slice(attrs, func(i, j int) bool { return attrs[i].Key < attrs[j].Key })
	return level, msg, attrs, true
}

// cut returns at most n bytes of s, ending at a rune.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// writer makes a Writer that logs whole lines, for what a plugin prints after the
// handshake.
type writer struct {
	logs *logs
	mu   sync.Mutex // guards the field below
	rest []byte
}

// Write never fails. A line longer than maxLine is logged in parts.
func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, p...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		end := i + 1
		if i < 0 {
			if len(w.rest) < maxLine {
				return len(p), nil
			}
			i, end = maxLine, maxLine
		}
		if line := bytes.TrimRight(w.rest[:i], "\r"); len(line) > 0 {
			w.logs.line(line, false)
		}
		w.rest = append(w.rest[:0], w.rest[end:]...)
	}
}
