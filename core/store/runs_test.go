package store

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sparkrsi/spark/sdk/fault"
)

func runID(i int) string { return fmt.Sprintf("%032x", i+1) }

// body is the content that row seq of run i must have.
func body(i, seq int) []byte {
	b := make([]byte, 64+(i*31+seq*17)%900)
	r := rand.New(rand.NewPCG(uint64(i), uint64(seq)))
	for k := 0; k+8 <= len(b); k += 8 {
		binary.LittleEndian.PutUint64(b[k:], r.Uint64())
	}
	return b
}

// writeRuns appends to the journals of several runs until the process is killed,
// and tells of each row that was acknowledged.
func writeRuns(dir string, from int) error {
	ctx := context.Background()
	s, err := Open(ctx, dir)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	failed := make(chan error, 8)
	for i := range 8 {
		wg.Go(func() {
			id := runID(from + i)
			if err := s.StartRun(ctx, Run{ID: id, Graph: "g", Input: []byte(`{"secret":1}`)}); err != nil {
				failed <- err
				return
			}
			for seq := 0; ; seq++ {
				if err := s.AppendJournal(id, seq, body(from+i, seq)); err != nil {
					failed <- err
					return
				}
				mu.Lock()
				fmt.Println(from+i, seq)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return <-failed
}

// A writer that is killed leaves, for each run, rows 0 to n without a gap, whole, and all
// that were acknowledged.
func TestKilledWriter(t *testing.T) {
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	last := map[int]int{} // run -> acknowledged rows
	total := 0
	for round := range 12 {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), "STORE_TEST_RUNS="+dir, fmt.Sprintf("STORE_TEST_FROM=%d", round*8))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n, stop := 0, 1+r.IntN(300); lines.Scan(); n++ {
			var i, seq int
			if _, err := fmt.Sscan(lines.Text(), &i, &seq); err != nil {
				t.Fatalf("the writer said %q", lines.Text())
			}
			last[i] = max(last[i], seq+1)
			if n == stop {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the writer ended by itself")
		}
		s := open(t, dir)
		for i := round * 8; i < round*8+8; i++ {
			rows, err := s.Journal(t.Context(), runID(i))
			if err != nil || len(rows) < last[i] {
				t.Fatalf("run %d has %d rows, %d were acknowledged: %v", i, len(rows), last[i], err)
			}
			total += len(rows)
			for seq, b := range rows {
				if string(b) != string(body(i, seq)) {
					t.Fatalf("run %d: row %d has other bytes", i, seq)
				}
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if total < 500 {
		t.Errorf("only %d rows", total)
	}
}

func TestRuns(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	ctx := t.Context()
	secret := []byte(`{"secret":"swordfish-4711"}`)
	for i, g := range []string{"g", "h", "g"} {
		if err := s.StartRun(ctx, Run{ID: runID(i), Graph: g, Version: "v", Label: "1.0.0", Input: secret}); err != nil {
			t.Fatal(err)
		}
	}
	id := runID(0)
	if err := s.StartRun(ctx, Run{ID: id, Graph: "g"}); !fault.Is(err, fault.Conflict) {
		t.Errorf("the same run twice: %v", err)
	}
	for seq := range 5 {
		if err := s.AppendJournal(id, seq, append(body(0, seq), secret...)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AppendJournal(id, 4, []byte("x")); !fault.Is(err, fault.Conflict) {
		t.Errorf("a row twice: %v", err)
	}
	if err := s.AppendJournal(runID(99), 0, []byte("x")); !fault.Is(err, fault.Conflict) {
		t.Errorf("a row of no run: %v", err)
	}
	if rows, err := s.Journal(ctx, id); err != nil || len(rows) != 5 || !strings.HasSuffix(string(rows[4]), string(secret)) {
		t.Errorf("journal %d rows, %v", len(rows), err)
	}
	due := time.Unix(2000, 0).UTC()
	if err := s.ChangeRun(ctx, id, RunRunning, RunChange{Status: RunWaiting, Waiting: []byte(`[{"id":"ok"}]`), Deadline: due}); err != nil {
		t.Fatal(err)
	}
	if err := s.ChangeRun(ctx, id, RunRunning, RunChange{Status: RunFailed}); !fault.Is(err, fault.Conflict) {
		t.Errorf("from another status: %v", err)
	}
	if err := s.ChangeRun(ctx, runID(99), RunRunning, RunChange{Status: RunFailed}); !fault.Is(err, fault.NotFound) {
		t.Errorf("no run: %v", err)
	}
	r, err := s.Run(ctx, id)
	if err != nil || r.Status != RunWaiting || string(r.Input) != string(secret) || !r.Deadline.Equal(due) || r.Checkpoints != 5 || string(r.Waiting) != `[{"id":"ok"}]` {
		t.Errorf("waiting run %+v, %v", r, err)
	}
	for at, want := range map[int64]int{1999: 0, 2000: 1} {
		if list, err := s.Runs(ctx, RunFilter{Due: time.Unix(at, 0)}); err != nil || len(list) != want {
			t.Errorf("due at %d: %d, %v", at, len(list), err)
		}
	}
	if list, err := s.Runs(ctx, RunFilter{Graph: "g", Status: RunWaiting}); err != nil || len(list) != 1 || list[0].Input != nil {
		t.Errorf("list %v, %v", list, err)
	}
	if err := s.ChangeRun(ctx, id, RunWaiting, RunChange{Status: RunFailed, Error: "nodes.a: no"}); err != nil {
		t.Fatal(err)
	}
	if r, err = s.Run(ctx, id[:32]); err != nil || r.Input != nil || r.Waiting != nil || r.Error != "nodes.a: no" || r.Checkpoints != 5 {
		t.Errorf("failed run %+v, %v", r, err)
	}
	if rows, err := s.Journal(ctx, id); err != nil || len(rows) != 0 {
		t.Errorf("journal of a run that ended: %d rows, %v", len(rows), err)
	}
	if err := s.AppendJournal(id, 5, []byte("x")); !fault.Is(err, fault.Conflict) {
		t.Errorf("a row of a run that ended: %v", err)
	}
	if n, err := s.ForgetRuns(ctx, time.Now()); err != nil || n != 1 {
		t.Errorf("forgot %d, %v", n, err)
	}
	if _, err := s.Run(ctx, id); !fault.Is(err, fault.NotFound) {
		t.Errorf("a forgotten run: %v", err)
	}
	if _, err := s.Run(ctx, "xyz"); !fault.Is(err, fault.Invalid) {
		t.Errorf("a bad id: %v", err)
	}
	for _, name := range []string{"spark.db", "spark.db-wal"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) && name != "spark.db" {
			continue
		}
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
}

// BenchmarkJournal appends 1 KB rows to the journals of some runs at once.
func BenchmarkJournal(b *testing.B) {
	for _, runs := range []int{1, 16} {
		b.Run(fmt.Sprintf("runs=%d", runs), func(b *testing.B) {
			s, err := Open(b.Context(), b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			for i := range runs {
				if err := s.StartRun(b.Context(), Run{ID: runID(i), Graph: "g"}); err != nil {
					b.Fatal(err)
				}
			}
			row := make([]byte, 1024)
			b.ResetTimer()
			var wg sync.WaitGroup
			for i := range runs {
				wg.Go(func() {
					for seq := range (b.N + runs - 1) / runs {
						if err := s.AppendJournal(runID(i), seq, row); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// Nothing of what a run was made of is left in any file of the folder once it ended
// and the store was closed.
func TestRemoved(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	secret := []byte(`{"secret":"swordfish-4712"}`)
	holds := func() (names []string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() {
				continue
			}
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(b), "swordfish-4712") {
				names = append(names, e.Name())
			}
		}
		return names
	}
	for i := range 3 {
		if err := s.StartRun(t.Context(), Run{ID: runID(i), Graph: "g", Input: secret}); err != nil {
			t.Fatal(err)
		}
		for seq := range 200 {
			if err := s.AppendJournal(runID(i), seq, append(body(i, seq), secret...)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(holds()) == 0 {
		t.Fatal("the journal is not on disk")
	}
	for i, c := range []RunChange{{Status: RunFinished, Output: []byte("1")}, {Status: RunFailed, Error: "no"}, {Status: RunWaiting, Waiting: secret}} {
		if err := s.ChangeRun(t.Context(), runID(i), RunRunning, c); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.ChangeRun(t.Context(), runID(2), RunWaiting, RunChange{Status: RunCancelled}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if names := holds(); len(names) > 0 {
		t.Errorf("it is still in %v", names)
	}
}

// A folder of an earlier schema gains what is new and keeps what it had.
func TestMigrateRuns(t *testing.T) {
	for from := 1; from < schemaVersion; from++ {
		dir := t.TempDir()
		db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "spark.db"))
		if err != nil {
			t.Fatal(err)
		}
		for v := range from {
			if err := migrate(t.Context(), db, v); err != nil {
				t.Fatal(err)
			}
		}
		old := []string{`INSERT INTO records (kind, id, graph, body, created) VALUES ('k', 'old', 'g', '{}', 1)`}
		if from >= 2 {
			old = append(old, fmt.Sprintf(`INSERT INTO runs (id, graph, version, label, status, input, waiting, deadline, error, steps, created, changed)
				VALUES ('%s','g','v','1.0.0','running',x'7b7d','',0,'',0,7,8)`, runID(0)),
				fmt.Sprintf(`INSERT INTO journal VALUES ('%s',0,x'78')`, runID(0)))
		}
		for _, stmt := range old {
			if _, err := db.Exec(stmt); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir)
		if list, err := s.Records(t.Context(), "g", "k"); err != nil || len(list) != 1 || list[0].ID != "old" {
			t.Errorf("from %d: records %v, %v", from, list, err)
		}
		if r, err := s.Run(t.Context(), runID(0)); from >= 2 && (err != nil || r.Status != RunRunning || string(r.Input) != "{}" || r.Checkpoints != 1 || r.TraceID != "" || r.Output != nil) {
			t.Errorf("from %d: run %+v, %v", from, r, err)
		}
		started := Run{ID: runID(1), Graph: "g", TraceID: runID(2), Parent: "0102030405060708", Created: time.Unix(5, 6)}
		if err := s.StartRun(t.Context(), started); err != nil {
			t.Fatal(err)
		}
		if r, err := s.Run(t.Context(), runID(1)); err != nil || r.TraceID != runID(2) || r.Parent != started.Parent || !r.Created.Equal(started.Created) {
			t.Errorf("from %d: run %+v, %v", from, r, err)
		}
	}
}

// The next deadline is that of a run that waits.
func TestNextDeadline(t *testing.T) {
	s := open(t, t.TempDir())
	for i, at := range []int64{0, 3000, 2000} {
		if err := s.StartRun(t.Context(), Run{ID: runID(i), Graph: "g"}); err != nil {
			t.Fatal(err)
		}
		c := RunChange{Status: RunWaiting}
		if at > 0 {
			c.Deadline = time.Unix(at, 0)
		}
		if err := s.ChangeRun(t.Context(), runID(i), RunRunning, c); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []time.Time{time.Unix(2000, 0), time.Unix(3000, 0), {}} {
		if got, err := s.NextDeadline(t.Context()); err != nil || !got.Equal(want) {
			t.Errorf("next deadline %v, want %v, %v", got, want, err)
		}
		due, err := s.Runs(t.Context(), RunFilter{Due: want})
		if err != nil || !want.IsZero() && len(due) != 1 {
			t.Fatal(due, err)
		}
		if !want.IsZero() {
			if err := s.ChangeRun(t.Context(), due[0].ID, RunWaiting, RunChange{Status: RunFinished, Output: []byte("7")}); err != nil {
				t.Fatal(err)
			}
			if r, err := s.Run(t.Context(), due[0].ID); err != nil || string(r.Output) != "7" {
				t.Errorf("%+v %v", r, err)
			}
		}
	}
}
