package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Cache keeps outputs of nodes on disk, so that they outlive the process. It is
// no state: what it cannot read or write is missing, and a damaged file is begun
// anew. Reads wait for the disk, writes never do. Safe for concurrent use; Close
// it before the store.
//
//	Load -> readers                       .
//	Save -> queue -> write, one goroutine -> cache/nodes.db, oldest outputs make room
type Cache struct {
	path string
	most int64
	db   *sql.DB
	load *sql.Stmt
	log  *slog.Logger

	mu     sync.RWMutex // guards closed: nobody sends on a closed queue
	closed bool
	queue  chan cached
	queued atomic.Int64 // bytes in the queue
	done   chan struct{}

	size    int64 // of what is on disk, about; of the writing goroutine
	dropped atomic.Int64
	failed  atomic.Int64
}

type cached struct {
	key     [32]byte
	output  []byte
	expires int64 // nanoseconds since 1970, 0 never
}

// The bounds of what waits to be written. What comes beyond is dropped and counted.
const (
	cacheQueue      = 4096     // outputs
	cacheQueueBytes = 16 << 20 // of them together
	cacheBatch      = 256      // outputs in one transaction
	cacheRowCost    = 100      // bytes of a row beside its output, as estimated
)

const cacheSchema = `
CREATE TABLE IF NOT EXISTS outputs (
  id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, expires INTEGER NOT NULL, sum BLOB NOT NULL, output BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS expiring ON outputs (expires) WHERE expires > 0`

// OpenCache opens the cache of the data folder, which takes at most about most
// bytes of outputs. A file that cannot be used is begun anew. The error is that
// of a folder that cannot be written.
func (s *Store) OpenCache(ctx context.Context, most int64, log *slog.Logger) (*Cache, error) {
	c := &Cache{path: filepath.Join(s.CacheDir(), "nodes.db"), most: most, log: log, queue: make(chan cached, cacheQueue), done: make(chan struct{})}
	err := c.open(ctx)
	if err != nil && ctx.Err() == nil {
		log.Warn("the cache of nodes is unusable and is begun anew", "path", c.path, "error", err)
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(c.path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, folderFault(c.path, err)
			}
		}
		err = c.open(ctx)
	}
	if err != nil {
		return nil, fault.Wrap("", c.path, err, "open the cache of nodes")
	}
	go c.write()
	return c, nil
}

func (c *Cache) open(ctx context.Context) (err error) {
	f, err := os.OpenFile(c.path, os.O_RDWR|os.O_CREATE, 0o600) // SQLite gives its other files the mode of this one
	if err != nil {
		return folderFault(c.path, err)
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return folderFault(c.path, err)
	}
	// A crash of the machine may lose what was written last, and nothing else.
	c.db, err = sql.Open("sqlite", "file:"+c.path+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)"+
		"&_pragma=synchronous(NORMAL)&_pragma=journal_size_limit(4194304)")
	if err != nil {
		return dbFault("open", err)
	}
	defer func() {
		if err != nil {
			c.db.Close()
		}
	}()
	c.db.SetMaxOpenConns(4)
	c.db.SetMaxIdleConns(4)
	if _, err = c.db.ExecContext(ctx, cacheSchema); err != nil {
		return dbFault("open", err)
	}
	// What the pages take is known without reading them.
	c.size = 0
	for _, pragma := range []string{"page_count", "freelist_count", "page_size"} {
		var n int64
		if err = c.db.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(&n); err != nil {
			return dbFault("open", err)
		}
		switch pragma {
		case "page_count":
			c.size = n
		case "freelist_count":
			c.size -= n
		default:
			c.size *= n
		}
	}
	c.load, err = c.db.PrepareContext(ctx, "SELECT expires, sum, output FROM outputs WHERE key = ?")
	return dbFault("open", err)
}

// Load returns an output that did not expire and when it will, zero for never; or
// false.
func (c *Cache) Load(ctx context.Context, key [32]byte) (output []byte, expires time.Time, ok bool) {
	var at int64
	var sum []byte
	if err := c.load.QueryRowContext(ctx, key[:]).Scan(&at, &sum, &output); err != nil {
		if !errors.Is(err, sql.ErrNoRows) && ctx.Err() == nil {
			c.fail("read", err)
		}
		return nil, time.Time{}, false
	}
	if !bytes.Equal(sum, cacheSum(key, output)) {
		c.fail("read", corrupt(c.path, errors.New("an output is not what was written")))
		return nil, time.Time{}, false
	}
	if at == 0 {
		return output, time.Time{}, true
	}
	expires = time.Unix(0, at)
	return output, expires, time.Now().Before(expires)
}

// Save stores an output until expires, the zero time for as long as there is
// room. It keeps the bytes and does not wait: beyond what may be queued, after
// Close, and above an eighth of the cache the output is dropped.
func (c *Cache) Save(key [32]byte, output []byte, expires time.Time) {
	e := cached{key: key, output: output}
	if !expires.IsZero() {
		e.expires = expires.UnixNano()
	}
	cost := e.cost()
	if cost > c.most/8 {
		return
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed || c.queued.Add(cost) > cacheQueueBytes {
		if !c.closed {
			c.queued.Add(-cost)
		}
		c.dropped.Add(1)
		return
	}
	select {
	case c.queue <- e:
	default:
		c.queued.Add(-cost)
		c.dropped.Add(1)
	}
}

// CacheStats are counts since the cache was opened.
type CacheStats struct {
	Dropped int64 // outputs that found no place in the queue
	Failed  int64 // reads and writes that failed
}

// Stats returns counts for diagnostics.
func (c *Cache) Stats() CacheStats { return CacheStats{c.dropped.Load(), c.failed.Load()} }

// Close writes what is queued and ends the cache. A second call returns nil.
func (c *Cache) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	close(c.queue)
	c.mu.Unlock()
	<-c.done
	return dbFault("close the cache of nodes", errors.Join(c.load.Close(), c.db.Close()))
}

func (e *cached) cost() int64 { return int64(len(e.output)) + cacheRowCost }

// cacheSum is what tells an output that was written from one that was damaged.
func cacheSum(key [32]byte, output []byte) []byte {
	h := sha256.New()
	h.Write(key[:])
	h.Write(output)
	return h.Sum(nil)[:8]
}

func (c *Cache) fail(op string, err error) {
	if c.failed.Add(1) == 1 {
		c.log.Warn("the cache of nodes fails, and answers as if it were empty", "op", op, "path", c.path, "error", err)
	}
}

// write moves the queue to disk until it is closed.
func (c *Cache) write() {
	defer close(c.done)
	batch := make([]cached, 0, cacheBatch)
	for e := range c.queue {
		batch = append(batch[:0], e)
		bytes := e.cost()
		for more := true; more && len(batch) < cacheBatch && bytes < c.most/8; {
			select {
			case e, ok := <-c.queue:
				if more = ok; ok {
					batch, bytes = append(batch, e), bytes+e.cost()
				}
			default:
				more = false
			}
		}
		if err := c.store(batch); err != nil {
			c.fail("write", err)
		}
		for i := range batch {
			c.queued.Add(-batch[i].cost())
		}
		clear(batch)
	}
}

// store makes room for a batch and writes it: expired outputs go first, then the
// oldest.
func (c *Cache) store(batch []cached) error {
	tx, err := c.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	size := c.size
	forget := func(where string, args ...any) error {
		rows, err := tx.Query("DELETE FROM outputs WHERE "+where+" RETURNING length(output)", args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var n int64
			if err := rows.Scan(&n); err != nil {
				return err
			}
			size -= n + cacheRowCost
		}
		return rows.Err()
	}
	var more int64
	for i := range batch {
		more += batch[i].cost()
	}
	if size+more > c.most {
		if err := forget("expires > 0 AND expires <= ?", time.Now().UnixNano()); err != nil {
			return err
		}
	}
	for before := size + 1; size < before && size+more > c.most; {
		before = size
		if err := forget("id IN (SELECT id FROM outputs ORDER BY id LIMIT 64)"); err != nil {
			return err
		}
	}
	for i := range batch {
		e := &batch[i]
		if err := forget("key = ?", e.key[:]); err != nil {
			return err
		}
		if _, err := tx.Exec("INSERT INTO outputs (key, expires, sum, output) VALUES (?, ?, ?, ?)", e.key[:], e.expires, cacheSum(e.key, e.output), e.output); err != nil {
			return err
		}
		size += e.cost()
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	c.size = size
	return nil
}
