package store

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func openCache(t testing.TB, s *Store, most int64) *Cache {
	t.Helper()
	c, err := s.OpenCache(context.Background(), most, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func cacheKey(i int) (k [32]byte) {
	copy(k[:], fmt.Sprintf("key %d", i))
	return k
}

func TestCacheOutlives(t *testing.T) {
	s := open(t, t.TempDir())
	c := openCache(t, s, 1<<20)
	never, soon := []byte(`{"a":1}`), time.Now().Add(time.Hour)
	c.Save(cacheKey(1), []byte("old"), soon)
	c.Save(cacheKey(1), never, time.Time{})
	c.Save(cacheKey(2), []byte("2"), soon)
	c.Save(cacheKey(3), []byte("3"), time.Now().Add(-time.Second))
	c.Save(cacheKey(4), make([]byte, 1<<17+1), soon)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c.Save(cacheKey(5), []byte("5"), soon)
	if n := c.Stats().Dropped; n != 1 {
		t.Errorf("%d dropped after Close, want 1", n)
	}
	c = openCache(t, s, 1<<20)
	if v, at, ok := c.Load(t.Context(), cacheKey(1)); !ok || !at.IsZero() || !bytes.Equal(v, never) {
		t.Errorf("1: %s, %v, %v", v, at, ok)
	}
	if v, at, ok := c.Load(t.Context(), cacheKey(2)); !ok || !at.Equal(soon) || string(v) != "2" {
		t.Errorf("2: %s, %v, %v", v, at, ok)
	}
	for i := 3; i < 6; i++ {
		if v, _, ok := c.Load(t.Context(), cacheKey(i)); ok {
			t.Errorf("%d: %d bytes", i, len(v))
		}
	}
	err := filepath.WalkDir(s.CacheDir(), func(path string, d fs.DirEntry, err error) error {
		if info, ierr := d.Info(); ierr == nil && strings.HasPrefix(d.Name(), "nodes.db") && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestCacheIsBounded: the newest outputs stay, within the bytes.
func TestCacheIsBounded(t *testing.T) {
	s := open(t, t.TempDir())
	const most = 100 << 10
	c := openCache(t, s, most)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 250 {
				c.Save(cacheKey(w*250+i), bytes.Repeat([]byte{'x'}, 1000), time.Time{})
			}
		})
	}
	wg.Wait()
	c.Save(cacheKey(5000), []byte("last"), time.Time{})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = openCache(t, s, most)
	if c.size > 2*most || c.size < most/8 {
		t.Errorf("%d bytes, want about %d", c.size, most)
	}
	if v, _, ok := c.Load(t.Context(), cacheKey(5000)); !ok || string(v) != "last" {
		t.Errorf("%s, %v", v, ok)
	}
	if info, err := os.Stat(filepath.Join(s.CacheDir(), "nodes.db")); err != nil || info.Size() > 4*most {
		t.Errorf("%d bytes on disk, %v", info.Size(), err)
	}
}

// TestCacheDamaged: a file that is no database is begun anew, an output that
// changed on disk is missing.
func TestCacheDamaged(t *testing.T) {
	s := open(t, t.TempDir())
	if err := os.WriteFile(filepath.Join(s.CacheDir(), "nodes.db"), bytes.Repeat([]byte("no database "), 1000), 0o644); err != nil {
		t.Fatal(err)
	}
	c := openCache(t, s, 1<<20)
	c.Save(cacheKey(1), []byte("good"), time.Time{})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = openCache(t, s, 1<<20)
	if _, _, ok := c.Load(t.Context(), cacheKey(1)); !ok {
		t.Error("the new file holds nothing")
	}
	if _, err := c.db.Exec("UPDATE outputs SET output = CAST('evil' AS BLOB)"); err != nil {
		t.Fatal(err)
	}
	if v, _, ok := c.Load(t.Context(), cacheKey(1)); ok || c.Stats().Failed != 1 {
		t.Errorf("%s, %v, %+v", v, ok, c.Stats())
	}
}

// TestCacheDrops: what is queued has a bound, and nothing waits for it.
func TestCacheDrops(t *testing.T) {
	s := open(t, t.TempDir())
	c := openCache(t, s, 1<<30)
	tx, err := c.db.Begin() // the writer has to wait
	if err != nil {
		t.Fatal(err)
	}
	big := make([]byte, 1<<20)
	for i := range 20 {
		c.Save(cacheKey(i), big, time.Time{})
	}
	if n := c.Stats().Dropped; n < 4 || n > 6 {
		t.Errorf("%d dropped, want what exceeds 16 MiB", n)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkCacheLoad(b *testing.B) {
	s, err := Open(context.Background(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	c := openCache(b, s, 1<<30)
	for i := range 1000 {
		c.Save(cacheKey(i), bytes.Repeat([]byte("x"), 1000), time.Now().Add(time.Hour))
	}
	if err := c.Close(); err != nil {
		b.Fatal(err)
	}
	c = openCache(b, s, 1<<30)
	for name, from := range map[string]int{"hit": 0, "miss": 1000} {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if _, _, ok := c.Load(context.Background(), cacheKey(from+i%1000)); ok != (from == 0) {
					b.Fatal(ok)
				}
			}
		})
	}
}
