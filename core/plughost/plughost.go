// Package plughost runs plugins: it starts their processes, pins them by digest,
// shakes hands, opens them with their configuration, watches their health,
// restarts them after a crash, replaces them and ends them. Launch is the start;
// a Plugin's Conn is what the rest of Spark talks through, and it outlives every
// process behind it.
//
// Nothing here waits for ever: what has no deadline of its own is given one, and
// a process that does not end when asked is killed with its whole group.
//
// The package never looks into batches, queries or requests.
package plughost

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"os"
	"regexp"
	"time"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Kind says which service of sdk/proto a plugin serves.
type Kind string

// The kinds of plugin.
const (
	Backend Kind = "backend"
	Model   Kind = "model"
)

// Spec says which process to run and how.
type Spec struct {
	Name string // of the plugin in this host: letters, digits, dot, dash, underscore; at most 64
	Kind Kind

	// Path is the executable; "" is this program itself, run again with Args.
	Path string
	Args []string
	// SHA256 is the digest in hex that the file at Path must have, checked before
	// every start. Required when Path is set, and meaningless without.
	SHA256 string

	// Env is the whole environment of the process, as "KEY=value", beside what the
	// handshake needs and a TMPDIR of its own. Nothing is inherited.
	Env []string
	// Config is the JSON object that the process is opened with, at every start.
	// Users of the connection therefore never call Open.
	Config []byte

	// Folder is where the process is noted while it lives, for Sweep; "" notes
	// nothing. It must exist and be private to the host.
	Folder string
	Logger *slog.Logger // nil discards
	Timing Timing
}

// Timing holds the deadlines of a plugin. A zero field means its default.
type Timing struct {
	Start       time.Duration // to start, shake hands and open: 20 s
	Health      time.Duration // between health checks: 5 s
	HealthLimit time.Duration // for one health check, of which two in a row may fail: 2 s
	Backoff     time.Duration // before the first restart, doubled each time: 100 ms
	MaxBackoff  time.Duration // the longest of these waits: 30 s
	Stable      time.Duration // uptime after which Backoff starts anew: 1 min
	Drain       time.Duration // for running calls when a process is replaced or closed: 10 s
	Grace       time.Duration // for a process to end by itself before it is killed: 3 s
}

func (t Timing) defaults() Timing {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Start, 20 * time.Second}, {&t.Health, 5 * time.Second}, {&t.HealthLimit, 2 * time.Second},
		{&t.Backoff, 100 * time.Millisecond}, {&t.MaxBackoff, 30 * time.Second}, {&t.Stable, time.Minute},
		{&t.Drain, 10 * time.Second}, {&t.Grace, 3 * time.Second},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return t
}

var (
	nameForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// Validate returns an Invalid fault that names the first wrong field of s, or nil.
func (s *Spec) Validate() error {
	bad := func(field, format string, args ...any) *fault.Error {
		return fault.New(fault.Invalid, "plugins."+s.Name+"."+field, format, args...)
	}
	switch {
	case !nameForm.MatchString(s.Name):
		return bad("name", "name %q is not 1 to 64 letters, digits, dots, dashes and underscores", s.Name)
	case s.Kind != Backend && s.Kind != Model:
		return bad("kind", "kind %q is neither %s nor %s", s.Kind, Backend, Model)
	case s.Path == "" && s.SHA256 != "":
		return bad("sha256", "a digest without a path")
	case s.Path == "" && len(s.Args) == 0:
		return bad("args", "this program cannot be its own plugin without arguments")
	case s.Path != "" && !digestForm.MatchString(s.SHA256):
		return bad("sha256", "the executable %s is not pinned: %q is not a sha256 in lower-case hex", s.Path, s.SHA256).
			WithHint("`spark plugin list` shows the digests of the executables found")
	}
	return nil
}

// complete returns s with its defaults, or what is wrong with it.
func (s Spec) complete() (Spec, error) {
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	s.Logger = s.Logger.With("plugin", s.Name)
	s.Timing = s.Timing.defaults()
	return s, s.Validate()
}

// verify checks the pin of s. Corrupt when the file is another one.
func (s *Spec) verify() error {
	if s.Path == "" {
		return nil
	}
	got, err := Digest(s.Path)
	if err != nil {
		return err
	}
	if got != s.SHA256 {
		return fault.New(fault.Corrupt, "plugins."+s.Name+".sha256", "%s has the sha256 %s, pinned is %s", s.Path, got, s.SHA256).
			WithHint("if the executable was replaced on purpose, pin the new digest")
	}
	return nil
}

// Digest returns the sha256 of a file in hex. NotFound, Denied or Unavailable
// when it cannot be read.
func Digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fileFault(path, err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fileFault(path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func fileFault(path string, err error) error {
	switch {
	case os.IsNotExist(err):
		return fault.Wrap(fault.NotFound, path, err, "no such file")
	case os.IsPermission(err):
		return fault.Wrap(fault.Denied, path, err, "no permission")
	}
	return fault.Wrap(fault.Unavailable, path, err, "unreadable")
}

// Launch starts the plugin of s, waits until it is open and healthy and keeps it
// running until Close. ctx limits the start only. When the start fails nothing is
// left running, and the fault says why: Invalid for a wrong spec, a refused
// configuration or a program that is no plugin, Corrupt for a wrong digest, Newer
// for a plugin that speaks only a newer protocol, Timeout for one that hangs,
// Unavailable for one that ended.
func Launch(ctx context.Context, s Spec) (*Plugin, error) {
	s, err := s.complete()
	if err != nil {
		return nil, err
	}
	proc, err := start(ctx, &s)
	if err != nil {
		return nil, err
	}
	return newPlugin(s, proc), nil
}
