package postgres

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// tick is the unit of times in /proc, fixed on linux.
const tick = 10 * time.Millisecond

// CPU returns the processor time that the server and all its processes, those
// that ended included, have used since it was started. Resolution 10 ms.
func (s *Server) CPU(t testing.TB) time.Duration {
	t.Helper()
	pid := s.PID()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var total time.Duration
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it ended meanwhile
		}
		parent, used, err := stat(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if parent == pid || filepath.Dir(name) == "/proc/"+strconv.Itoa(pid) {
			total += used
		}
	}
	return total
}

// stat returns the parent and the processor time, that of ended children
// included, from a stat file of /proc; see proc(5).
func stat(b []byte) (parent int, used time.Duration, err error) {
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:]) // the name before may hold anything; f[0] is field 3
	if len(f) < 15 {
		return 0, 0, fmt.Errorf("%d fields", len(f))
	}
	if parent, err = strconv.Atoi(string(f[1])); err != nil {
		return 0, 0, err
	}
	for _, v := range f[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(string(v), 10, 64)
		if err != nil {
			return 0, 0, err
		}
		used += time.Duration(n) * tick
	}
	return parent, used, nil
}
