package postgres

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/plugin"
	"github.com/sparkrsi/spark/testkit/backendtest"
	"github.com/sparkrsi/spark/testkit/postgres"
)

// only checks that the backend holds the samples from 0 to n-1 once each, in order.
func only(t *testing.T, b *Backend, n int) {
	t.Helper()
	at := 0
	for x, err := range b.Traces(t.Context(), backend.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if x.TraceID != backendtest.ID(at) {
			t.Fatalf("trace %d is %x: lost or doubled", at, x.TraceID)
		}
		at++
	}
	c, err := b.Count(t.Context())
	if err != nil || at != n || c.Traces != int64(n) {
		t.Fatalf("%d traces, %d counted, %v; want %d", at, c.Traces, err, n)
	}
	if !b.enc.rows {
		return
	}
	var spans int64
	if err := b.pool.QueryRow(t.Context(), "SELECT count(*) FROM spans").Scan(&spans); err != nil || spans != c.Spans {
		t.Fatalf("%d span rows, %d counted, %v", spans, c.Spans, err)
	}
}

func tenth(n int) *backend.Batch {
	return &backend.Batch{ID: backendtest.ID(n), Traces: backendtest.Samples(10*n, 10*n+10)}
}

// proxy stands between backend and server. When armed it passes the next COMMIT
// on, or drops it, and ends the connection in place of the answer.
type proxy struct {
	net.Listener
	server string
	armed  atomic.Int32 // 0 no, 1 after the commit, 2 before it
	cut    atomic.Int32
}

func startProxy(t *testing.T, s *postgres.Server) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l, server: net.JoinHostPort(s.Host, strconv.Itoa(s.Port))}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return p
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	var mute atomic.Bool
	var back sync.WaitGroup
	defer back.Wait()
	back.Go(func() {
		defer client.Close()
		buf := make([]byte, 32<<10)
		for {
			n, err := server.Read(buf)
			if err != nil || mute.Load() {
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	buf := make([]byte, 32<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			server.Close()
			return
		}
		if bytes.Contains(buf[:n], []byte("COMMIT\x00")) {
			switch p.armed.Swap(0) {
			case 1:
				mute.Store(true)
				p.cut.Add(1)
			case 2:
				p.cut.Add(1)
				server.Close()
				return
			}
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

// The server commits and its answer is lost, or the commit never arrives: each
// batch is acknowledged at once and stored once.
func TestLostReply(t *testing.T) {
	s := postgres.Start(t)
	for _, layout := range []string{layoutRows, layoutPacked} {
		p := startProxy(t, s)
		c := inSchema(s, layout, t.TempDir())
		c.Port = p.Addr().(*net.TCPAddr).Port
		b := openAs(t, c)
		defer b.Close(context.Background())
		const batches = 24
		for n := range batches {
			p.armed.Store(int32(n % 3))
			if _, err := b.Write(t.Context(), tenth(n)); err != nil {
				t.Fatalf("batch %d: %v", n, err)
			}
		}
		if got := p.cut.Load(); got != batches*2/3 {
			t.Fatalf("%d connections were cut, want %d", got, batches*2/3)
		}
		only(t, b, 10*batches)
	}
}

// Sessions are ended by the administrator at any point of writing and reading.
func TestTerminatedSessions(t *testing.T) {
	s := postgres.Start(t)
	c := inSchema(s, layoutRows, t.TempDir())
	b := openAs(t, c)
	defer b.Close(context.Background())
	admin := openAs(t, inSchema(s, layoutPacked, t.TempDir()))
	defer admin.Close(context.Background())
	stop, done := make(chan struct{}), make(chan int)
	go func() {
		ended := 0
		for {
			select {
			case <-stop:
				done <- ended
				return
			default:
			}
			var n int
			if err := admin.pool.QueryRow(context.Background(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity a
				WHERE application_name = 'spark telemetry' AND pid <> pg_backend_pid() AND random() < 0.3
				AND EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.relation IN (SELECT oid FROM pg_class WHERE relnamespace = to_regnamespace($1)))`, c.Schema).Scan(&n); err == nil {
				ended += n
			}
		}
	}()
	const batches = 60
	for n := range batches {
		for {
			_, err := b.Write(t.Context(), tenth(n))
			if err == nil {
				break
			}
			if k := fault.KindOf(err); k != fault.Unavailable && k != fault.Transient {
				t.Fatalf("batch %d: %v (%s)", n, err, k)
			}
		}
	}
	close(stop)
	if ended := <-done; ended == 0 {
		t.Error("no session was ended")
	}
	only(t, b, 10*batches)
}

// The server crashes and comes back: while it is away writes fail as unavailable,
// afterwards the first attempt succeeds, and nothing acknowledged is lost.
func TestServerRestart(t *testing.T) {
	s := postgres.New(t, postgres.Options{Durable: true})
	b := openAs(t, inSchema(s, layoutRows, t.TempDir()))
	defer b.Close(context.Background())
	n := 0
	for _, crash := range []bool{true, false} {
		for range 5 {
			if _, err := b.Write(t.Context(), tenth(n)); err != nil {
				t.Fatal(err)
			}
			n++
		}
		s.Halt(t, crash)
		if _, err := b.Write(t.Context(), tenth(n)); !fault.Is(err, fault.Unavailable) || fault.HintOf(err) == "" {
			t.Errorf("write without a server: %v (%s)", err, fault.KindOf(err))
		}
		if _, err := b.Count(t.Context()); !fault.Is(err, fault.Unavailable) {
			t.Errorf("query without a server: %v", err)
		}
		s.Resume(t)
		only(t, b, 10*n)
	}
	// With async_commit the server answers before a commit is on the disk; Flush
	// waits for that.
	c := inSchema(s, layoutRows, t.TempDir())
	c.AsyncCommit = true
	async := openAs(t, c)
	defer async.Close(context.Background())
	for n := range 10 {
		if _, err := async.Write(t.Context(), tenth(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := async.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Halt(t, true)
	s.Resume(t)
	only(t, async, 100)
}

// Four hosts open an empty schema at once and write; every batch comes from two.
func TestSeveralHosts(t *testing.T) {
	s := postgres.Start(t)
	for _, layout := range []string{layoutRows, layoutPacked} {
		c := inSchema(s, layout, t.TempDir())
		const hosts, batches = 4, 12
		hour := backendtest.Begin.Unix() / 3600
		var all sync.WaitGroup
		for h := range hosts {
			all.Go(func() {
				w, err := Open(encode(t, c))
				if err != nil {
					t.Error(err)
					return
				}
				defer w.Close(context.Background())
				for n := range batches {
					x := tenth(h/2*batches + n)
					x.Sketches = []backend.Sketch{
						{Epoch: backendtest.ID(h), Graph: "g", Hour: hour, Node: "own", Seq: uint64(n), Data: []byte{byte(n)}},
						{Epoch: backendtest.ID(99), Graph: "g", Hour: hour, Node: "shared", Seq: uint64(n*hosts + h), Data: []byte{byte(n*hosts + h)}},
					}
					if _, err := w.Write(t.Context(), x); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		b := openAs(t, c)
		defer b.Close(context.Background())
		seen := map[backend.ID]int{}
		for x, err := range b.Traces(t.Context(), backend.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			seen[x.TraceID]++
		}
		for n := range 2 * batches * 10 {
			if seen[backendtest.ID(n)] != 1 {
				t.Fatalf("trace %d is there %d times", n, seen[backendtest.ID(n)])
			}
		}
		count, err := b.Count(t.Context())
		if err != nil || count.Traces != 2*batches*10 || len(seen) != 2*batches*10 {
			t.Errorf("%+v, %v", count, err)
		}
		// Of two hosts with the same batch one stores it, with its sketches.
		for x, err := range b.Sketches(t.Context(), backend.Filter{Node: "shared"}) {
			if err != nil || x.Seq < uint64((batches-1)*hosts) || x.Data[0] != byte(x.Seq) {
				t.Errorf("the shared row is %+v, %v", x, err)
			}
		}
	}
}

// One run has a text that fits in no index; the 999 others are stored.
func TestPoison(t *testing.T) {
	s := postgres.Start(t)
	for _, layout := range []string{layoutRows, layoutPacked} {
		b := openAs(t, inSchema(s, layout, t.TempDir()))
		defer b.Close(context.Background())
		traces := backendtest.Samples(0, 1000)
		r := rand.New(rand.NewPCG(1, 2))
		long := make([]byte, 9000)
		for i := range long {
			long[i] = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[r.IntN(62)]
		}
		traces[617].Graph = string(long)
		traces[41].Probability = 7
		for range 2 { // a repetition reports the same
			bad, err := b.Write(t.Context(), &backend.Batch{ID: backendtest.ID(1), Traces: traces})
			if err != nil || len(bad) != 2 || bad[0].Index != 41 || bad[1].Index != 617 || bad[1].Record != traces[617].Name() || bad[1].Reason == "" {
				t.Fatalf("%s: quarantined %+v, %v", layout, bad, err)
			}
		}
		c, err := b.Count(t.Context())
		if err != nil || c.Traces != 998 {
			t.Fatalf("%+v, %v", c, err)
		}
		if _, err := b.Write(t.Context(), tenth(200)); err != nil {
			t.Error(err)
		}
	}
}

// An attribute of 5 MiB, and a batch of many megabytes around it.
func TestLargeValues(t *testing.T) {
	s := postgres.Start(t)
	for _, layout := range []string{layoutRows, layoutPacked} {
		b := openAs(t, inSchema(s, layout, t.TempDir()))
		defer b.Close(context.Background())
		traces := backendtest.Samples(0, 20)
		for i, x := range traces {
			n := 300_000
			if i == 7 {
				n = 5 << 20
			}
			x.Spans[0].Attrs[0].Str = strings.Repeat(fmt.Sprintf("%05d ", i), n/6)
		}
		if bad, err := b.Write(t.Context(), &backend.Batch{ID: backendtest.ID(1), Traces: traces}); err != nil || len(bad) > 0 {
			t.Fatal(bad, err)
		}
		at := 0
		for x, err := range b.Traces(t.Context(), backend.Filter{}) {
			if err != nil || x.Spans[0].Attrs[0] != traces[at].Spans[0].Attrs[0] {
				t.Fatalf("trace %d came back otherwise, %v", at, err)
			}
			at++
		}
		if at != len(traces) {
			t.Errorf("%d traces", at)
		}
	}
}

// Another session holds the tables: the deadline passes, later all is well.
func TestDeadline(t *testing.T) {
	s := postgres.Start(t)
	c := inSchema(s, layoutRows, t.TempDir())
	c.StatementTimeout = plugin.Seconds(150 * time.Millisecond)
	b := openAs(t, c)
	defer b.Close(context.Background())
	if _, err := b.Write(t.Context(), tenth(0)); err != nil {
		t.Fatal(err)
	}
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE trace_row"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(t.Context(), tenth(1)); !fault.Is(err, fault.Timeout) && !fault.Is(err, fault.Transient) {
		t.Errorf("write to a locked table: %v (%s)", err, fault.KindOf(err))
	}
	if _, err := b.Aggregate(t.Context(), backend.Filter{}); !fault.Is(err, fault.Timeout) && !fault.Is(err, fault.Transient) {
		t.Errorf("aggregate of a locked table: %v (%s)", err, fault.KindOf(err))
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(t.Context(), tenth(1)); err != nil {
		t.Fatal(err)
	}
	only(t, b, 20)
}

// What is wrong with a configuration is said, and the password is not.
func TestBadConfig(t *testing.T) {
	s := postgres.Start(t)
	const secret = "tr0ub4dor&3"
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := inSchema(s, layoutRows, t.TempDir())
	with := func(f func(*Config)) string {
		c := good
		f(&c)
		return string(encode(t, c))
	}
	at := fmt.Sprintf("127.0.0.1:%d", s.Port)
	for _, x := range []struct {
		config string
		kind   fault.Kind
	}{
		{"", fault.Invalid}, {"{}", fault.Invalid}, {"[", fault.Invalid}, {`{"hots": "x"}`, fault.Invalid}, {`{"host": 3}`, fault.Invalid},
		{`{"connection_string": "postgres://spark:` + secret + `@host:port/x"}`, fault.Invalid},
		{`{"connection_string": "postgres://spark:` + secret + `@` + at + `/x?sslmode=perhaps"}`, fault.Invalid},
		{`{"connection_string": "host=localhost password='` + secret + `"}`, fault.Invalid},
		{`{"connection_string": "` + secret + `"}`, fault.Invalid},
		{`{"connection_string": "postgres://spark:` + secret + `@` + at + `/postgres"}`, fault.Denied},
		{`{"connection_string": "host=127.0.0.1 port=` + strconv.Itoa(s.Port) + ` user=spark dbname=postgres password='` + secret + `'"}`, fault.Denied},
		{with(func(c *Config) { c.Password = secret }), fault.Denied},
		{with(func(c *Config) { c.Password, c.PasswordFile = "", file }), fault.Denied},
		{with(func(c *Config) { c.PasswordFile = file }), fault.Invalid},
		{with(func(c *Config) { c.Password, c.PasswordFile = "", file+".none" }), fault.Invalid},
		{with(func(c *Config) { c.Database = "nowhere" }), fault.NotFound},
		{with(func(c *Config) { c.Port = 1 }), fault.Unavailable},
		{with(func(c *Config) { c.Host = "no.such.host.invalid" }), fault.Unavailable},
		{with(func(c *Config) { c.Port = 70000 }), fault.Invalid},
		{with(func(c *Config) { c.Schema = "no; drop" }), fault.Invalid},
		{with(func(c *Config) { c.Layout = "columns" }), fault.Invalid},
		{with(func(c *Config) { c.MaxConnections = 1 }), fault.Invalid},
		{with(func(c *Config) { c.ConnectTimeout = 1 }), fault.Invalid},
		{with(func(c *Config) { c.SSLMode = "require" }), fault.Unavailable},
		{`{"host": "h", "connect_timeout": "soon"}`, fault.Invalid},
		{with(func(c *Config) { c.ConnectionString = s.URL() }), fault.Invalid},
	} {
		w, err := Open([]byte(x.config))
		if err == nil {
			w.Close(context.Background())
		}
		if !fault.Is(err, x.kind) {
			t.Errorf("%s: %v (%s), want %s", x.config, err, fault.KindOf(err), x.kind)
			continue
		}
		if text := err.Error() + fault.HintOf(err); strings.Contains(text, secret) || strings.Contains(text, s.Password) {
			t.Errorf("the password is in %q", text)
		}
	}
	ok := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(ok, []byte(s.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, config := range []string{
		`{"connection_string": "` + s.URL() + `", "schema": "` + good.Schema + `", "connect_timeout": 2.5, "statement_timeout": "10s", "async_commit": true}`,
		with(func(c *Config) { c.Password, c.PasswordFile = "", ok }),
	} {
		w, err := Open([]byte(config))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(t.Context(), tenth(0)); err != nil {
			t.Error(err)
		}
		if err := w.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := w.Write(t.Context(), tenth(0)); !fault.Is(err, fault.Unavailable) {
			t.Errorf("write after close: %v", err)
		}
	}
}

// A server that may be read only, and a user without the rights, are named with
// the remedy, at the start and later; once that is mended the same batch is stored.
func TestRefusingServer(t *testing.T) {
	s := postgres.Start(t)
	for i, x := range []struct {
		refuse, allow string
		open, write   fault.Kind
	}{
		{"ALTER ROLE %s SET default_transaction_read_only = on", "ALTER ROLE %s RESET default_transaction_read_only", fault.ReadOnly, fault.ReadOnly},
		{"REVOKE owner1 FROM %s", "GRANT owner1 TO %s", fault.Denied, fault.NotFound}, // a schema without USAGE is passed over
	} {
		c := inSchema(s, layoutRows, t.TempDir())
		c.User, c.Password = fmt.Sprint("writer", i), "m4rker-of-a-writer"
		run(t, s, c, fmt.Sprintf(`DROP SCHEMA %[1]s; CREATE ROLE owner%[4]d; CREATE ROLE %[2]s LOGIN PASSWORD '%[3]s' IN ROLE owner%[4]d;
			GRANT CREATE ON DATABASE postgres TO owner%[4]d; ALTER ROLE %[2]s SET role = owner%[4]d`, c.Schema, c.User, c.Password, i))
		set := func(sql string) {
			t.Helper()
			run(t, s, inSchema(s, layoutRows, "aside"), fmt.Sprintf(sql, c.User)+"; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+c.User+"'")
		}
		refused := func(what string, err error, kind fault.Kind) {
			t.Helper()
			if text := err.Error() + fault.HintOf(err); !fault.Is(err, kind) || fault.HintOf(err) == "" || strings.Contains(text, c.Password) {
				t.Errorf("%s: %v (%s), want %s", what, err, fault.KindOf(err), kind)
			}
		}
		try := func(what string) {
			t.Helper()
			w, err := Open(encode(t, c))
			if err == nil {
				w.Close(context.Background())
				t.Fatalf("%s: opened", what)
			}
			refused(what, err, x.open)
		}
		set(x.refuse)
		try("an empty database")
		set(x.allow)
		b := openAs(t, c)
		defer b.Close(context.Background())
		if _, err := b.Write(t.Context(), tenth(0)); err != nil {
			t.Fatal(err)
		}
		set(x.refuse)
		if _, err := b.Write(t.Context(), tenth(1)); err == nil {
			t.Error("a batch was stored")
		} else {
			refused("write", err, x.write)
		}
		try("a schema that is there")
		set(x.allow)
		if _, err := b.Write(t.Context(), tenth(1)); err != nil {
			t.Fatal(err)
		}
		only(t, b, 20)
	}
}

// A later Spark has added a column while this one runs: its runs are kept for the
// one that comes, not quarantined.
func TestSchemaChangedMeanwhile(t *testing.T) {
	s := postgres.Start(t)
	for _, layout := range []string{layoutRows, layoutPacked} {
		c := inSchema(s, layout, t.TempDir())
		b := openAs(t, c)
		defer b.Close(context.Background())
		if _, err := b.Write(t.Context(), tenth(0)); err != nil {
			t.Fatal(err)
		}
		run(t, s, c, "ALTER TABLE trace_row ADD COLUMN later text")
		if bad, err := b.Write(t.Context(), tenth(1)); !fault.Is(err, fault.Newer) || fault.HintOf(err) == "" {
			t.Errorf("quarantined %+v, %v (%s)", bad, err, fault.KindOf(err))
		}
		run(t, s, c, "ALTER TABLE trace_row DROP COLUMN later")
		if _, err := b.Write(t.Context(), tenth(1)); err != nil {
			t.Fatal(err)
		}
		only(t, b, 20)
	}
}
