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

// schemaTwo is what the first release wrote.
const schemaTwo = `
CREATE TABLE traces (
	id INTEGER PRIMARY KEY,
	graph TEXT NOT NULL, version TEXT NOT NULL, run_kind TEXT NOT NULL,
	trace_id BLOB NOT NULL, run_id BLOB,
	start INTEGER NOT NULL, end INTEGER NOT NULL, status INTEGER NOT NULL,
	spans INTEGER NOT NULL, events INTEGER NOT NULL, metrics INTEGER NOT NULL,
	block BLOB NOT NULL
);
CREATE INDEX traces_by_version ON traces (graph, version, start);
CREATE INDEX traces_by_start ON traces (start);
CREATE INDEX traces_by_trace ON traces (trace_id);
CREATE INDEX traces_by_run ON traces (run_id) WHERE run_id IS NOT NULL;
CREATE TABLE sketches (
	epoch BLOB NOT NULL, graph TEXT NOT NULL, version TEXT NOT NULL, version_id TEXT NOT NULL,
	hour INTEGER NOT NULL, node TEXT NOT NULL, seq INTEGER NOT NULL, data BLOB NOT NULL,
	PRIMARY KEY (graph, version, hour, node, version_id, epoch)
) WITHOUT ROWID;
CREATE TABLE batches (id BLOB PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE totals (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	traces INTEGER NOT NULL, spans INTEGER NOT NULL, events INTEGER NOT NULL, metrics INTEGER NOT NULL, unattributed INTEGER NOT NULL
);
INSERT INTO totals VALUES (1, 0, 0, 0, 0, 0);
PRAGMA application_id = 1397771092;
PRAGMA user_version = 2;
`

// two returns the path of a file of schema 2 with the first n samples in it.
func two(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "telemetry.db")
	c, err := sq.OpenConn(path, sq.OpenReadWrite, sq.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, p := range []string{"page_size = 8192", "auto_vacuum = INCREMENTAL", "journal_mode = WAL"} {
		if err := sqlitex.ExecuteTransient(c, "PRAGMA "+p, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := sqlitex.ExecuteScript(c, schemaTwo, nil); err != nil {
		t.Fatal(err)
	}
	end, err := sqlitex.ImmediateTransaction(c)
	if err != nil {
		t.Fatal(err)
	}
	defer end(&err)
	var sum backend.Counts
	for i := range n {
		x := backendtest.Sample(i)
		h := x.Head()
		if err := insert(c.Prep(insertTrace), int64(i)+1, &h, backend.EncodeTrace(nil, x)); err != nil {
			t.Fatal(err)
		}
		sum.Add(h.Counts())
	}
	if err := total(c, sum, 1); err != nil {
		t.Fatal(err)
	}
	return path
}

func seam(t *testing.T, b *Backend) (n int64) {
	t.Helper()
	if err := b.reader(t.Context(), "query", func(c *sq.Conn) (err error) {
		n, err = number(c, "SELECT seam FROM totals")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// finds looks for samples by their trace and run ids.
func finds(t *testing.T, b *Backend, when string, samples ...int) {
	t.Helper()
	for _, n := range samples {
		x := backendtest.Sample(n)
		for _, id := range []backend.ID{x.TraceID, x.RunID} {
			var got []backend.ID
			for y, err := range b.Traces(t.Context(), backend.Filter{TraceID: fmt.Sprintf("%x", id)}) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, y.TraceID)
			}
			if len(got) != 1 || got[0] != x.TraceID {
				t.Errorf("%s: %x of sample %d finds %x", when, id, n, got)
			}
		}
	}
}

// agrees compares the aggregate with what the traces come to.
func agrees(t *testing.T, b *Backend, when string) {
	t.Helper()
	for _, f := range []backend.Filter{{}, {Graph: "answer", Version: "1.0.1"}, {Status: "error", From: backendtest.Begin.Add(20 * time.Minute)}, {Like: "doc*"}} {
		got, err := b.Aggregate(t.Context(), f)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		want, err := backend.AggregateTraces(b.Traces(t.Context(), f))
		if err != nil {
			t.Fatal(err)
		}
		if x, y := rounded(t, got), rounded(t, want); x != y {
			t.Errorf("%s, %+v:\n got %s\nwant %s", when, f, x, y)
		}
	}
}

// A file of the schema before opens at once and answers the same before, during and
// after its traces were entered in ledgers, beside new ones and pruning.
func TestMigration(t *testing.T) {
	path := two(t, 2600)
	b, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { b.Close(context.Background()) }()
	if s := seam(t, b); s != 2600 {
		t.Fatalf("the seam is at %d", s)
	}
	agrees(t, b, "at first")
	finds(t, b, "at first", 0, 9, 2599)
	put(t, b, 2600, 3000)
	agrees(t, b, "with new traces")
	finds(t, b, "with new traces", 0, 9, 2599, 2601, 2999)
	if more, err := b.enterSome(t.Context()); err != nil || !more || seam(t, b) != 2600-ledgerChunk {
		t.Fatalf("after a step the seam is at %d, %v", seam(t, b), err)
	}
	agrees(t, b, "after a step")
	finds(t, b, "after a step", 0, 9, 2099, 2100, 2599, 2601, 2999)
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b, err = open(path); err != nil {
		t.Fatal(err)
	}
	agrees(t, b, "after a restart")
	// All but the oldest traces go, then new ones come: their ids are below the
	// old seam, and they are in ledgers.
	if err := b.with(t.Context(), "delete", func(c *sq.Conn) error {
		if err := sqlitex.ExecuteTransient(c, "DELETE FROM traces WHERE id > 900", nil); err != nil {
			return err
		}
		if err := sqlitex.ExecuteTransient(c, "DELETE FROM ledgers", nil); err != nil {
			return err
		}
		return lowerSeam(c)
	}); err != nil {
		t.Fatal(err)
	}
	put(t, b, 3000, 3500)
	agrees(t, b, "with ids used again")
	if n, err := b.Prune(t.Context(), backendtest.Begin.Add(300*time.Second)); err != nil || n < 290 || seam(t, b) != 0 {
		t.Fatalf("pruned %d, %v; the seam is at %d", n, err, seam(t, b))
	}
	agrees(t, b, "in the end")
	finds(t, b, "in the end", 399, 800, 3000, 3499)
	if err := b.reader(t.Context(), "query", func(c *sq.Conn) error {
		n, err := number(c, "SELECT count(*) FROM sqlite_schema WHERE name IN ('traces_by_trace', 'traces_by_run')")
		if n != 0 {
			t.Errorf("%d of the old indexes are left", n)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if a, err := b.Aggregate(t.Context(), backend.Filter{}); err != nil || a.Runs.Recorded < 900 {
		t.Errorf("%+v, %v", a, err)
	}
}

// A trace that an earlier Spark wrote and that is damaged stops the migration, is
// reported by it and by the aggregate, and costs no other trace.
func TestMigrationOfADamagedTrace(t *testing.T) {
	path := two(t, 1200)
	edit(t, path, "UPDATE traces SET block = x'01020304050607' WHERE id = 400")
	b, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close(context.Background())
	for range 2 {
		if _, err := b.Prune(t.Context(), time.Unix(0, 0)); !fault.Is(err, fault.Corrupt) {
			t.Errorf("migration: %v", err)
		}
		if _, err := b.Aggregate(t.Context(), backend.Filter{}); !fault.Is(err, fault.Corrupt) {
			t.Errorf("aggregate: %v", err)
		}
	}
	if s := seam(t, b); s != 700 {
		t.Errorf("the seam is at %d", s)
	}
	if _, err := b.Prune(t.Context(), backendtest.Begin.Add(500*time.Second)); err != nil {
		t.Errorf("once the damaged trace is pruned: %v", err)
	}
	agrees(t, b, "then")
}

// A process killed at any moment of the migration loses nothing.
func TestKillWhileMigrating(t *testing.T) {
	path := two(t, 5000)
	for i := range 12 {
		cmd := exec.Command(os.Args[0], "migrate", path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var steps int
		for range i % 4 { // it says so after each step, and is killed in the next
			if _, err := fmt.Fscan(out, &steps); err != nil {
				break
			}
		}
		cmd.Process.Kill()
		cmd.Wait()
		b, err := open(path)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := b.Count(t.Context()); err != nil || n.Traces != 5000 {
			t.Errorf("%+v, %v", n, err)
		}
		agrees(t, b, fmt.Sprintf("killed %d times, seam %d", i+1, seam(t, b)))
		if i == 11 && seam(t, b) > 4500 {
			t.Errorf("the migration never gets on: the seam is at %d", seam(t, b))
		}
		if err := b.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// A run of two short batches shares a ledger; what is refused, repeated or pruned
// is in none.
func TestLedgersFollowTheTraces(t *testing.T) {
	dir := t.TempDir()
	b := openIn(t, dir)
	defer func() { b.Close(context.Background()) }()
	count := func() (n int64) {
		t.Helper()
		if err := b.reader(t.Context(), "query", func(c *sq.Conn) (err error) {
			n, err = number(c, "SELECT count(*) FROM ledgers")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	write := func(id int, traces ...*backend.Trace) {
		t.Helper()
		if _, err := b.Write(t.Context(), &backend.Batch{ID: backendtest.ID(id), Traces: traces}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 40 {
		write(i, backendtest.Sample(4*i), backendtest.Sample(4*i+1))
	}
	if n := count(); n != 2 {
		t.Errorf("%d ledgers of two versions", n)
	}
	write(3, backendtest.Sample(800), backendtest.Sample(801)) // a batch that was written before
	agrees(t, b, "after a batch was repeated")
	bad := backendtest.Sample(804)
	bad.Probability = 7
	write(50, bad, backendtest.Sample(808))
	agrees(t, b, "after a trace was refused")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Write(ctx, &backend.Batch{ID: backendtest.ID(51), Traces: backendtest.Samples(812, 816)}); err == nil {
		t.Error("a cancelled write was taken")
	}
	write(52, backendtest.Sample(816))
	agrees(t, b, "after a write that failed")
	for _, s := range []time.Duration{40, 40, 100, 700} {
		if _, err := b.Prune(t.Context(), backendtest.Begin.Add(s*time.Second)); err != nil {
			t.Fatal(err)
		}
		write(100+int(s), backendtest.Sample(int(s)), backendtest.Sample(900+int(s))) // one that is late
		agrees(t, b, fmt.Sprintf("pruned up to %d", s))
	}
	if _, err := b.Prune(t.Context(), backendtest.Begin.Add(time.Hour)); err != nil || count() != 0 {
		t.Errorf("%d ledgers are left, %v", count(), err)
	}
	agrees(t, b, "all pruned")
}

// A ledger stays short also when what it holds of a run is long.
func TestLedgersOfLongErrors(t *testing.T) {
	b := openIn(t, t.TempDir())
	defer b.Close(context.Background())
	var traces []*backend.Trace
	for i := range 300 {
		x := backendtest.Sample(7*i + 3) // a failed one
		x.Graph, x.Version = "answer", "2.0.0"
		for k := range x.Spans {
			s := &x.Spans[k]
			s.Status, s.Error = backend.Failed, fmt.Sprint(i, k, strings.Repeat("long ", 3000))
		}
		traces = append(traces, x)
	}
	if _, err := b.Write(t.Context(), &backend.Batch{ID: backendtest.ID(1), Traces: traces}); err != nil {
		t.Fatal(err)
	}
	agrees(t, b, "with long errors")
	if err := b.reader(t.Context(), "query", func(c *sq.Conn) error {
		longest, err := number(c, "SELECT max(length(data)) FROM ledgers")
		if longest < 64<<10 || longest > 256<<10 {
			t.Errorf("the longest ledger has %d bytes", longest)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
