package postgres

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

func query(t *testing.T, s *Server, sql string) string {
	t.Helper()
	out, err := s.Psql(t.Context(), "-qAt", "-c", sql).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", sql, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestShared(t *testing.T) {
	a, b := Start(t), Start(t)
	if a != b {
		t.Fatal("two servers in one binary")
	}
	if got := query(t, a, "SELECT current_user, current_setting('listen_addresses'), current_setting('server_encoding')"); got != "spark|127.0.0.1|UTF8" {
		t.Errorf("%s", got)
	}
	c := a.Psql(t.Context(), "-c", "SELECT 1")
	c.Env = append(c.Env, "PGPASSWORD=another")
	if out, err := c.CombinedOutput(); err == nil {
		t.Errorf("a wrong password is accepted: %s", out)
	}
}

// Where no server is installed the error says what to install.
func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if dir, err := find(t.TempDir() + "/*/bin"); err == nil || !strings.Contains(err.Error(), "apt-get install postgresql") {
		t.Errorf("found %q, %v", dir, err)
	}
	old, newer := t.TempDir()+"/9/bin", ""
	newer = strings.Replace(old, "/9/", "/15/", 1)
	for _, dir := range []string{old, newer} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"initdb", "postgres", "psql"} {
			if err := os.WriteFile(dir+"/"+name, []byte("#!/bin/false\n"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	if dir, err := find(strings.Replace(old, "/9/", "/*/", 1)); err != nil || dir != newer {
		t.Errorf("found %q, %v; want the newest", dir, err)
	}
}

// What was committed survives a crash; after the test neither process nor data
// is left.
func TestCrash(t *testing.T) {
	var s *Server
	var first int
	t.Run("server", func(t *testing.T) {
		s = New(t, Options{Durable: true})
		first = s.PID()
		query(t, s, "CREATE TABLE kept (n int)")
		query(t, s, "INSERT INTO kept VALUES (7)")
		s.Halt(t, true)
		if syscall.Kill(first, 0) == nil || s.PID() != 0 {
			t.Error("the server is still there")
		}
		s.Resume(t)
		if got := query(t, s, "SELECT n FROM kept"); got != "7" {
			t.Errorf("got %s", got)
		}
		s.Halt(t, false)
		s.Resume(t)
		if got := query(t, s, "SELECT n FROM kept"); got != "7" {
			t.Errorf("got %s", got)
		}
		first = s.PID()
	})
	if syscall.Kill(first, 0) == nil {
		t.Error("the server outlives its test")
	}
	if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
		t.Errorf("its data is left: %v", err)
	}
}
