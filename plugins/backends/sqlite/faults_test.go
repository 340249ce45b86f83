package sqlite

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sq "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

// TestMain lets the test binary play the other owner of a file: it opens the file
// named by its argument and says what came of it, or migrates it and says so after
// each step.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "migrate" {
		b, err := open(os.Args[2])
		for steps := 1; err == nil; steps++ {
			_, err = b.enterSome(context.Background())
			fmt.Println(steps)
		}
		os.Exit(1)
	}
	if len(os.Args) == 3 && os.Args[1] == "own" {
		_, err := open(os.Args[2])
		fmt.Printf("%s %v", fault.KindOf(err), err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// edit runs statements on a file that nobody has open.
func edit(t *testing.T, path string, statements ...string) {
	t.Helper()
	c, err := sq.OpenConn(path, sq.OpenReadWrite, sq.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, s := range statements {
		if err := sqlitex.ExecuteTransient(c, s, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// filled returns the path of a closed file with traces in it.
func filled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	b := openIn(t, dir)
	if _, err := b.Write(t.Context(), &backend.Batch{ID: backendtest.ID(0), Traces: backendtest.Samples(0, 500)}); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "telemetry.db")
}

func wantFault(t *testing.T, path string, kind fault.Kind) {
	t.Helper()
	b, err := open(path)
	if err == nil {
		b.Close(context.Background())
	}
	if !fault.Is(err, kind) || fault.HintOf(err) == "" || !strings.Contains(err.Error(), path) {
		t.Errorf("open: %v (%s, hint %q), want %s with the path and a hint", err, fault.KindOf(err), fault.HintOf(err), kind)
	}
}

func TestAnotherProcessOwnsTheFile(t *testing.T) {
	dir := t.TempDir()
	b := openIn(t, dir)
	path := filepath.Join(dir, "telemetry.db")
	wantFault(t, path, fault.Locked)
	other := func() string {
		out, err := exec.Command(os.Args[0], "own", path).CombinedOutput()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	if out := other(); !strings.HasPrefix(out, "locked ") {
		t.Errorf("the other process: %s", out)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out := other(); !strings.HasPrefix(out, " ") {
		t.Errorf("the other process after close: %s", out)
	}
}

func TestNewerSchema(t *testing.T) {
	path := filled(t)
	edit(t, path, "PRAGMA user_version = 4")
	wantFault(t, path, fault.Newer)
}

func TestForeignDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "addresses.db")
	edit(t, path, "CREATE TABLE addresses (name TEXT)")
	wantFault(t, path, fault.Invalid)
	edit(t, path, "INSERT INTO addresses VALUES ('still here')")
}

func TestDamage(t *testing.T) {
	t.Run("page", func(t *testing.T) {
		path := filled(t)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := 4096 * 3; i < 4096*9; i++ {
			b[i] = 0xAA
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		wantFault(t, path, fault.Corrupt)
	})
	t.Run("not a database", func(t *testing.T) {
		path := filled(t)
		if err := os.WriteFile(path, []byte(strings.Repeat("what is this? ", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
		wantFault(t, path, fault.Corrupt)
	})
	t.Run("emptied", func(t *testing.T) {
		path := filled(t)
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		wantFault(t, path, fault.Corrupt)
	})
}

func TestFolderThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantFault(t, filepath.Join(file, "telemetry.db"), fault.ReadOnly)
	wantFault(t, "/proc/telemetry.db", fault.ReadOnly)
}

// What a new file and its log hold is for their owner alone.
func TestFileIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "telemetry.db")
	b, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close(t.Context())
	if _, err := b.Write(t.Context(), &backend.Batch{ID: backendtest.ID(1), Traces: backendtest.Samples(0, 10)}); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		if info, err := os.Stat(path + suffix); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", suffix, info.Mode(), err)
		}
	}
}

func TestBadConfig(t *testing.T) {
	for _, c := range []string{"", "{}", `{"db_pth": "x"}`, `{"db_path": 3}`, "["} {
		if _, err := Open([]byte(c)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v, want an invalid fault", c, err)
		}
	}
}

// A stored block or ledger that does not verify is an error that names the file,
// never a shorter answer.
func TestDamagedBlockIsReported(t *testing.T) {
	path := filled(t)
	edit(t, path, "UPDATE traces SET block = x'01020304050607' WHERE id = 250")
	b, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close(context.Background())
	n := 0
	for _, err = range b.Traces(t.Context(), backend.Filter{}) {
		n++
	}
	if !fault.Is(err, fault.Corrupt) || !strings.Contains(err.Error(), path) || n != 250 {
		t.Errorf("%d answers, then %v", n, err)
	}
	if _, err := b.Aggregate(t.Context(), backend.Filter{Node: "n0"}); !fault.Is(err, fault.Corrupt) {
		t.Errorf("aggregate of a node: %v", err)
	}
	if _, err := b.Aggregate(t.Context(), backend.Filter{}); err != nil {
		t.Errorf("aggregate of ledgers: %v", err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	edit(t, path, "UPDATE ledgers SET data = x'01020304050607' WHERE id = 2")
	if b, err = open(path); err != nil {
		t.Fatal(err)
	}
	defer b.Close(context.Background())
	if _, err := b.Aggregate(t.Context(), backend.Filter{}); !fault.Is(err, fault.Corrupt) || !strings.Contains(err.Error(), path) {
		t.Errorf("aggregate of a damaged ledger: %v", err)
	}
}

// A reader that stands still keeps neither the writer nor the log from going on.
func TestSlowReaderDoesNotGrowTheLog(t *testing.T) {
	dir := t.TempDir()
	b := openIn(t, dir)
	defer b.Close(context.Background())
	put := func(n int) {
		t.Helper()
		if _, err := b.Write(t.Context(), &backend.Batch{ID: backendtest.ID(n), Traces: backendtest.Samples(n*500, n*500+500)}); err != nil {
			t.Fatal(err)
		}
	}
	put(0)
	n := 0
	for _, err := range b.Traces(t.Context(), backend.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 10 {
			for i := range 120 {
				put(1 + i)
			}
			if err := b.Flush(t.Context()); err != nil {
				t.Errorf("flush beside a reader: %v", err)
			}
		}
	}
	if n != 500 {
		t.Errorf("the reader saw %d traces, want the 500 of its beginning", n)
	}
	st, err := os.Stat(filepath.Join(dir, "telemetry.db-wal"))
	if err != nil || st.Size() > 20<<20 {
		t.Errorf("the log has %d bytes, %v", st.Size(), err)
	}
}

// On a full disk nothing of a batch counts as stored, and the same batch goes
// through when there is room again.
func TestFullDisk(t *testing.T) {
	b := openIn(t, t.TempDir())
	defer b.Close(context.Background())
	limit := func(pages int) {
		t.Helper()
		if err := b.with(t.Context(), "limit", func(c *sq.Conn) error {
			return sqlitex.ExecuteTransient(c, fmt.Sprintf("PRAGMA max_page_count = %d", pages), nil)
		}); err != nil {
			t.Fatal(err)
		}
	}
	put(t, b, 0, 500)
	limit(1) // what there is already
	batch := &backend.Batch{ID: backendtest.ID(1), Traces: backendtest.Samples(500, 1500)}
	if _, err := b.Write(t.Context(), batch); !fault.Is(err, fault.Unavailable) || fault.HintOf(err) == "" {
		t.Fatalf("write: %v (%s, hint %q)", err, fault.KindOf(err), fault.HintOf(err))
	}
	if n, err := b.Count(t.Context()); err != nil || n.Traces != 500 {
		t.Errorf("after the failure: %+v, %v", n, err)
	}
	limit(1 << 30)
	if _, err := b.Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if n, err := b.Count(t.Context()); err != nil || n.Traces != 1500 {
		t.Errorf("in the end: %+v, %v", n, err)
	}
}

// A larger file than can be checked in the time of a start is opened; damage in it
// is reported by who reads it.
func TestCheckHasADeadline(t *testing.T) {
	path := filled(t)
	b, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close(context.Background())
	if err := b.check(time.Nanosecond); err != nil {
		t.Errorf("a check that had no time: %v", err)
	}
	if err := b.check(time.Minute); err != nil {
		t.Errorf("a check with time: %v", err)
	}
}
