package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// TestMain lets the test binary be the process that holds a folder.
func TestMain(m *testing.M) {
	if dir := os.Getenv("STORE_TEST_RUNS"); dir != "" {
		from, err := strconv.Atoi(os.Getenv("STORE_TEST_FROM"))
		if err == nil {
			err = writeRuns(dir, from)
		}
		fmt.Println(err)
		os.Exit(1)
	}
	if dir := os.Getenv("STORE_TEST_HOLD"); dir != "" {
		s, err := Open(context.Background(), dir)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		for i := 0; ; i++ {
			if err := s.Append(context.Background(), Record{Kind: "k", ID: fmt.Sprint(i), Graph: "g", Body: json.RawMessage(`{}`)}); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			fmt.Println(i)
		}
	}
	os.Exit(m.Run())
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatalf("open: %v (%s)", err, fault.HintOf(err))
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func manifest(version string, types ...string) *abi.Manifest {
	m := &abi.Manifest{ABI: 1, Name: "m", Version: version}
	for _, typ := range types {
		m.Nodes = append(m.Nodes, abi.NodeType{Type: typ, Version: version, Effects: abi.EffectsNone})
	}
	return m
}

func locked(k1 string) *graph.Locked {
	return &graph.Locked{Graph: &graph.Graph{Name: "g", Version: "1.0.0", Start: "a",
		Nodes: []*graph.Node{{Name: "a", Module: "bm25@^1", Config: json.RawMessage(`{"k1":` + k1 + `}`)}}},
		Locks: []graph.Lock{{Node: "a", Type: "bm25", Version: "1.0.0", Digest: strings.Repeat("ab", 32)}}}
}

func TestModules(t *testing.T) {
	s := open(t, t.TempDir())
	ctx := t.Context()
	old, created, err := s.PutModule(ctx, []byte("one"), manifest("1.0.0", "bm25", "echo"), false, "a.wasm")
	if err != nil || !created {
		t.Fatal(created, err)
	}
	if _, created, err = s.PutModule(ctx, []byte("one"), manifest("1.0.0", "bm25", "echo"), false, "a.wasm"); err != nil || created {
		t.Fatal("storing the same bytes made a second module", err)
	}
	stock, _, err := s.PutModule(ctx, []byte("two"), manifest("1.0.0", "bm25"), true, "stock")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.PutModule(ctx, []byte("three"), manifest("1.2.0", "bm25"), false, "c.wasm"); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{"bm25@^1": "1.2.0", "bm25@1.0.0": "1.0.0", "bm25@~1.0": "1.0.0", "echo": "1.0.0"} {
		l, nt, err := s.Resolve(ctx, ref)
		if err != nil || l.Version != want || nt.Type != l.Type {
			t.Errorf("%s: %+v %v", ref, l, err)
		}
	}
	if l, _, _ := s.Resolve(ctx, "bm25@1.0.0"); l.Digest != stock.Digest {
		t.Error("a foreign module was preferred to a trusted one of the same version")
	}
	for ref, kind := range map[string]fault.Kind{"bm25@^2": fault.NotFound, "nope@^1": fault.NotFound, "bm25@x": fault.Invalid} {
		if _, _, err := s.Resolve(ctx, ref); !fault.Is(err, kind) || fault.HintOf(err) == "" {
			t.Errorf("%s: %v, hint %q", ref, err, fault.HintOf(err))
		}
	}
	wasm, err := s.Wasm(old.Digest)
	if err != nil || string(wasm) != "one" {
		t.Fatal(string(wasm), err)
	}
	if err := os.WriteFile(s.modulePath(old.Digest), []byte("0ne"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Wasm(old.Digest); !fault.Is(err, fault.Corrupt) {
		t.Fatalf("damaged bytes were served: %v", err)
	}
	if _, _, err := s.PutModule(ctx, []byte("one"), manifest("1.0.0", "bm25", "echo"), false, "a.wasm"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Wasm(old.Digest); err != nil {
		t.Fatalf("pushing again did not mend the bytes: %v", err)
	}
	if m, err := s.Module(ctx, old.Digest[:8]); err != nil || m.Digest != old.Digest {
		t.Fatal(m, err)
	}
	if _, err := s.Module(ctx, "ffffffff"); !fault.Is(err, fault.NotFound) {
		t.Fatal(err)
	}
}

func TestVersions(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	ctx := t.Context()
	if _, err := s.Active(ctx, "g"); !fault.Is(err, fault.NotFound) {
		t.Fatal(err)
	}
	v1, created, err := s.PutVersion(ctx, locked("1.2"), Origin{Label: "1.0.0", Author: "file:g.yaml"})
	if err != nil || !created {
		t.Fatal(created, err)
	}
	if err := s.Activate(ctx, "g", v1.ID, ""); err != nil {
		t.Fatal(err)
	}
	v2, _, err := s.PutVersion(ctx, locked("0.9"), Origin{Label: "1.0.0+rsi.1", Parent: v1.ID, Author: "hypothesis:h", Evidence: json.RawMessage(`{"z":3}`)})
	if err != nil {
		t.Fatal(err)
	}
	if again, created, err := s.PutVersion(ctx, locked("0.9"), Origin{Label: "other"}); err != nil || created || again.Label != v2.Label {
		t.Fatal(again, created, err)
	}
	v3, _, err := s.PutVersion(ctx, locked("0.8"), Origin{Label: "1.0.0", Parent: v1.ID})
	if err != nil || v3.Label != "1.0.0+2" {
		t.Fatal(v3, err)
	}
	if err := s.Activate(ctx, "g", v2.ID, v3.ID); !fault.Is(err, fault.Conflict) {
		t.Fatalf("activation from a wrong base: %v", err)
	}
	if err := s.Activate(ctx, "g", v2.ID, v1.ID); err != nil {
		t.Fatal(err)
	}
	s.Close()

	s = open(t, dir)
	got, err := s.Active(ctx, "g")
	if err != nil || got.ID != v2.ID || !got.Active || got.Parent != v1.ID || string(got.Evidence) != `{"z":3}` {
		t.Fatalf("%+v %v", got, err)
	}
	if graph.Digest(got.Locked) != got.ID {
		t.Fatal("the stored version does not have its own digest")
	}
	for name, want := range map[string]string{"": v2.ID, "active": v2.ID, "1.0.0": v1.ID, v3.ID: v3.ID, v3.ID[:8]: v3.ID} {
		if v, err := s.Version(ctx, "g", name); err != nil || v.ID != want {
			t.Errorf("version %q: %v %v", name, v, err)
		}
	}
	if _, err := s.Version(ctx, "g", "9.9.9"); !fault.Is(err, fault.NotFound) || fault.HintOf(err) == "" {
		t.Fatal(err)
	}
	all, err := s.Versions(ctx, "g")
	if err != nil || len(all) != 3 || all[0].Seq != 1 || all[2].Seq != 3 {
		t.Fatal(all, err)
	}
	for id, want := range map[string]int{v1.ID: 1, v2.ID: 2, v3.ID: 2, "unknown": 0} {
		line, err := s.Lineage(ctx, "g", id)
		if err != nil || len(line) != want || want > 0 && (line[0].ID != id || line[want-1].ID != v1.ID) {
			t.Errorf("lineage of %.6s: %v %v", id, line, err)
		}
	}
}

func TestPolicyAndRecords(t *testing.T) {
	s := open(t, t.TempDir())
	ctx := t.Context()
	p := &graph.Policy{Name: "g", Objectives: map[string]graph.Objective{"latency": {Weight: 1, Direction: "minimize"}}}
	if err := s.PutPolicy(ctx, p, "/srv"); err != nil {
		t.Fatal(err)
	}
	got, err := s.Policy(ctx, "g")
	if err != nil || got.Dir != "/srv" || got.Policy.Objectives["latency"].Weight != 1 {
		t.Fatal(got, err)
	}
	if _, err := s.Policy(ctx, "x"); !fault.Is(err, fault.NotFound) {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := s.Append(ctx, Record{Kind: []string{"a", "b"}[i%2], ID: fmt.Sprint(i), Graph: "g", Body: json.RawMessage(`{"n":1}`)}); err != nil {
			t.Fatal(err)
		}
	}
	a, err := s.Records(ctx, "g", "a")
	if err != nil || len(a) != 2 || a[0].ID != "0" || a[1].ID != "2" || a[0].Created.IsZero() {
		t.Fatal(a, err)
	}
	if all, _ := s.Records(ctx, "g", ""); len(all) != 3 {
		t.Fatal(all)
	}
}

func TestAssets(t *testing.T) {
	s := open(t, t.TempDir())
	l, err := s.PutAsset("corpus", bytes.NewReader([]byte("hello")))
	if err != nil || l.Size != 5 {
		t.Fatal(l, err)
	}
	if err := s.HasAsset(l); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(s.AssetPath(l.Digest), 2); err != nil {
		t.Fatal(err)
	}
	if err := s.HasAsset(l); !fault.Is(err, fault.NotFound) {
		t.Fatal(err)
	}
}

// TestBadFolders opens folders that must be refused and left as they are.
func TestBadFolders(t *testing.T) {
	ctx := t.Context()
	newer := t.TempDir()
	open(t, newer).Close()
	db, err := sql.Open("sqlite", filepath.Join(newer, "spark.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	db.Close()

	write := func(content string) string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "spark.db"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := t.TempDir()
	db, err = sql.Open("sqlite", filepath.Join(foreign, "spark.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE other (x)"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	for name, c := range map[string]struct {
		dir  string
		kind fault.Kind
	}{
		"newer":     {newer, fault.Newer},
		"empty":     {write(""), fault.Corrupt},
		"garbage":   {write(strings.Repeat("not a database. ", 200)), fault.Corrupt},
		"foreign":   {foreign, fault.Corrupt},
		"file":      {file, fault.Invalid},
		"read-only": {"/sys/spark-test", fault.ReadOnly},
	} {
		before, _ := os.ReadFile(filepath.Join(c.dir, "spark.db"))
		_, err := Open(ctx, c.dir)
		if !fault.Is(err, c.kind) || fault.HintOf(err) == "" {
			t.Errorf("%s: kind %q: %v (hint %q)", name, fault.KindOf(err), err, fault.HintOf(err))
		}
		after, _ := os.ReadFile(filepath.Join(c.dir, "spark.db"))
		if !bytes.Equal(before, after) {
			t.Errorf("%s: the database was changed", name)
		}
	}
}

// TestLockAndKill proves that a folder has one owner, that a killed owner frees
// it, and that every record it acknowledged is there.
func TestLockAndKill(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "STORE_TEST_HOLD="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var last int
		for last < 20 {
			if _, err := fmt.Fscanln(out, &last); err != nil {
				t.Fatalf("the holder ended: %v", err)
			}
		}
		if _, err := Open(t.Context(), dir); !fault.Is(err, fault.Locked) || !strings.Contains(err.Error(), fmt.Sprint(cmd.Process.Pid)) {
			t.Fatalf("a second owner: %v", err)
		}
		cmd.Process.Kill()
		for {
			if _, err := fmt.Fscanln(out, &last); err != nil {
				break
			}
		}
		cmd.Wait()
		s := open(t, dir)
		recs, err := s.Records(t.Context(), "g", "k")
		if err != nil || len(recs) < (round+1)*20 || recs[len(recs)-1].ID < fmt.Sprint(last) && len(recs[len(recs)-1].ID) <= len(fmt.Sprint(last)) {
			t.Fatalf("round %d: %d records, last acknowledged %d: %v", round, len(recs), last, err)
		}
		s.Close()
	}
}
