// Package postgres runs a private PostgreSQL server for tests: its own data
// folder, reachable on loopback only, with a password, gone when the test binary
// ends. Start shares one server among the tests of a package; New makes one that
// a test may restart. Machines without PostgreSQL fail the test with the remedy;
// nothing is skipped.
//
// Call Main from TestMain, so that the shared server ends with the tests:
//
//	func TestMain(m *testing.M) { postgres.Main(m) }
package postgres

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startTime = 30 * time.Second // for the server to say that it is ready
	stopTime  = 20 * time.Second // for a fast shutdown
	attempts  = 5                // at a port that was free a moment ago
	logTail   = 8 << 10          // bytes of the server's log kept for messages
)

// Options of a server.
type Options struct {
	Durable  bool              // with fsync, as in production; default off, for speed
	Settings map[string]string // of postgresql.conf, such as max_connections
}

// Server is a running PostgreSQL. Its fields do not change, also over a restart.
type Server struct {
	Host, User, Password, Database string
	Port                           int
	Bin                            string // folder of psql and the other programs

	dir     string // holds data and the socket
	user    *user
	options Options

	mu   sync.Mutex // guards proc
	proc *process   // nil while stopped
}

var shared struct {
	sync.Mutex
	server *Server
	err    error
}

// Main runs the tests of a package and ends the shared server; it does not return.
func Main(m *testing.M) {
	code := m.Run()
	Stop()
	os.Exit(code)
}

// Stop ends the shared server, for packages whose TestMain does more than Main.
func Stop() {
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		shared.server.remove()
		shared.server = nil
	}
}

// Start returns the server that all tests of the binary share, fsync off. It is
// started by the first call.
func Start(t testing.TB) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = launch(Options{})
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

// New returns a server of the test's own; it ends with the test.
func New(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := launch(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.remove)
	return s
}

// URL returns the connection string of the server's database, password included.
func (s *Server) URL() string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(s.User, s.Password), Host: net.JoinHostPort(s.Host, strconv.Itoa(s.Port)),
		Path: s.Database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Psql returns a command that runs psql on the server, the password in its
// environment.
func (s *Server) Psql(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, filepath.Join(s.Bin, "psql"), append([]string{"-X", "-v", "ON_ERROR_STOP=1", "-h", s.Host,
		"-p", strconv.Itoa(s.Port), "-U", s.User, "-d", s.Database}, args...)...)
	c.Env = append(os.Environ(), "PGPASSWORD="+s.Password, "PGSSLMODE=disable")
	return c
}

// PID returns the process id of the server, 0 while it is stopped.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return 0
	}
	return s.proc.pid
}

// Halt stops the server and keeps its data: at once, as a crash does, or after
// ending all sessions.
func (s *Server) Halt(t testing.TB, crash bool) {
	t.Helper()
	if err := s.halt(crash); err != nil {
		t.Fatal(err)
	}
}

// Resume starts a halted server on its old port.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil {
		return
	}
	var err error
	if s.proc, err = s.run(); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) halt(crash bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return nil
	}
	signal := syscall.SIGINT // fast shutdown
	if crash {
		signal = syscall.SIGQUIT // immediate shutdown: recovery at the next start
	}
	err := s.proc.stop(signal)
	s.proc = nil
	return err
}

func (s *Server) remove() {
	s.halt(true)
	os.RemoveAll(s.dir)
}

func launch(o Options) (*Server, error) {
	bin, err := find(installed)
	if err != nil {
		return nil, err
	}
	u, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "spark-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{Host: "127.0.0.1", User: "spark", Password: "only-for-tests-" + filepath.Base(dir), Database: "postgres", Bin: bin, dir: dir, user: u, options: o}
	if err := s.init(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	for range attempts {
		if s.Port, err = freePort(); err != nil {
			break
		}
		if s.proc, err = s.run(); err == nil {
			return s, nil
		}
	}
	os.RemoveAll(dir)
	return nil, err
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// init makes the data folder. The password travels in a file that is removed.
func (s *Server) init() error {
	pw := filepath.Join(s.dir, "password")
	if err := os.WriteFile(pw, []byte(s.Password+"\n"), 0o600); err != nil {
		return err
	}
	defer os.Remove(pw)
	if err := s.user.own(s.dir, pw); err != nil {
		return err
	}
	c := exec.Command(filepath.Join(s.Bin, "initdb"), "--no-sync", "--no-instructions", "-D", s.data(), "-U", s.User,
		"-E", "UTF8", "--locale=C", "-A", "scram-sha-256", "--pwfile", pw)
	s.user.run(c)
	c.Dir, c.Env = s.dir, environment()
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, bytes.TrimSpace(out))
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// environment is ours without the settings of another PostgreSQL.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return len(v) > 2 && v[:2] == "PG" })
}

// run starts the server program and waits until it is ready.
func (s *Server) run() (*process, error) {
	args := []string{"-D", s.data(), "-h", s.Host, "-p", strconv.Itoa(s.Port), "-k", s.dir, "-c", "log_destination=stderr",
		"-c", "logging_collector=off", "-c", "log_min_messages=warning"}
	if !s.options.Durable {
		args = append(args, "-c", "fsync=off", "-c", "full_page_writes=off")
	}
	for k, v := range s.options.Settings {
		args = append(args, "-c", k+"="+v)
	}
	c := exec.Command(filepath.Join(s.Bin, "postgres"), args...)
	s.user.run(c)
	c.Dir, c.Env = s.dir, environment()
	return spawn(c)
}
