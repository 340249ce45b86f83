package plugin

import (
	"log/slog"
	"os"
	"strings"
)

// stderr is the process's own standard error. Serve replaces os.Stderr by a
// stream to the host, which cannot carry what is written while that breaks.
var stderr = os.Stderr

// Logger returns a logger whose lines the host repeats in its own log with their
// level and attributes. It writes hclog's JSON format to standard error, from
// debug level up, and is safe for concurrent use.
func Logger() *slog.Logger { return logger }

var logger = slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{
	Level: slog.LevelDebug,
	ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) > 0 {
			return a
		}
		switch a.Key {
		case slog.MessageKey:
			a.Key = "@message"
		case slog.LevelKey:
			return slog.String("@level", strings.ToLower(a.Value.String()))
		case slog.TimeKey:
			return slog.String("@timestamp", a.Value.Time().Format("2006-01-02T15:04:05.000000Z07:00"))
		}
		return a
	},
}))
