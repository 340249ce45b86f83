package telemetry

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Names in the folder of a spool.
const (
	spoolSuffix   = ".batch"
	partSuffix    = ".part"    // being written
	damagedSuffix = ".damaged" // set aside
	spoolLock     = "lock"
)

// What begins every file. The last byte is the version of the format, or says that
// the batch went through a collector already.
const (
	spoolMagic     = "SPKSPOO\x01"
	spoolCollected = "SPKSPOO\x02"
)

// diskBlock is what a file takes at least: many small ones must not fill a disk
// that the sum of their bytes would not.
const diskBlock = 4 << 10

// spool keeps batches in a folder while the backend does not take them: one file
// a batch, written once under a name of its own and then renamed, never changed,
// and removed when the backend has it. A process that is killed at any point so
// leaves whole batches and at most one unfinished file, which counts for nothing.
//
//	file = "SPKSPOO" 0x01|0x02 crc32c(batch) batch      batch as backend.EncodePacked
//	name = SEQUENCE-TRACES.batch                   16 hex digits, decimal
//
// The order of the names is the order of the batches. Owned by the exporter.
type spool struct {
	dir    string
	limit  int64 // bytes on disk
	lock   *os.File
	files  []spooled // oldest first
	bytes  int64
	traces int
	next   uint64
	fresh  []string // not yet synced
	buf    []byte
}

// spooled is one file of the spool.
type spooled struct {
	name   string
	size   int64 // on disk
	traces int
}

// errSpoolFull says that the spool has reached its bound.
var errSpoolFull = errors.New("the spool has reached spool_max_bytes")

// openSpool returns the spool in dir, with what a former process left there. It
// makes the folder. Faults: Locked when another recorder owns it, ReadOnly when it
// cannot be written.
func openSpool(dir string, limit int64) (_ *spool, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, spoolFault(dir, err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, spoolLock), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, spoolFault(dir, err)
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fault.New(fault.Locked, dir, "another recorder owns this spool").
				WithHint("give every host and profile a spool folder of its own")
		}
		return nil, spoolFault(dir, err)
	}
	s := &spool{dir: dir, limit: limit, lock: lock}
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, spoolFault(dir, err)
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasSuffix(name, partSuffix) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return nil, spoolFault(dir, err)
			}
			continue
		}
		seq, traces, ok := parseSpoolName(name)
		if !ok {
			continue // set aside, or not ours
		}
		info, err := e.Info()
		if err != nil {
			return nil, spoolFault(dir, err)
		}
		s.add(spooled{name, onDisk(info.Size()), traces})
		s.next = max(s.next, seq+1)
	}
	return s, nil
}

func spoolFault(dir string, err error) error {
	f := &fault.Error{Kind: fault.Unavailable, Op: "spool", Path: dir, Msg: "cannot be used", Err: err}
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR):
		f.Kind, f.Hint = fault.ReadOnly, "make the folder writable for this user, or choose another spool folder"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		f.Hint = "free space on the disk"
	}
	return f
}

func spoolName(seq uint64, traces int) string {
	return fmt.Sprintf("%016x-%d%s", seq, traces, spoolSuffix)
}

func parseSpoolName(name string) (seq uint64, traces int, ok bool) {
	base, ok := strings.CutSuffix(name, spoolSuffix)
	if !ok {
		return 0, 0, false
	}
	n, err := fmt.Sscanf(base, "%x-%d", &seq, &traces)
	return seq, traces, err == nil && n == 2 && traces >= 0 && spoolName(seq, traces) == name
}

func onDisk(size int64) int64 { return (size + diskBlock - 1) / diskBlock * diskBlock }

func (s *spool) add(f spooled) {
	s.files = append(s.files, f)
	s.bytes += f.size
	s.traces += f.traces
}

func (s *spool) path(name string) string { return filepath.Join(s.dir, name) }

// append puts batches at the end. On any error nothing of them is kept.
func (s *spool) append(collected bool, parts ...*backend.Packed) error {
	for i, p := range parts {
		if err := s.appendOne(collected, p); err != nil {
			for range i {
				err = errors.Join(err, s.undo())
			}
			return err
		}
	}
	return nil
}

// undo removes the newest batch.
func (s *spool) undo() error {
	f := s.files[len(s.files)-1]
	s.files = s.files[:len(s.files)-1]
	s.forget(f)
	return os.Remove(s.path(f.name))
}

func (s *spool) appendOne(collected bool, p *backend.Packed) error {
	magic := spoolMagic
	if collected {
		magic = spoolCollected
	}
	s.buf = append(s.buf[:0], magic...)
	s.buf = append(s.buf, 0, 0, 0, 0)
	s.buf = backend.EncodePacked(s.buf, p)
	const head = len(spoolMagic) + 4
	binary.LittleEndian.PutUint32(s.buf[len(spoolMagic):], crc32.Checksum(s.buf[head:], castagnoli))
	size := onDisk(int64(len(s.buf)))
	if s.bytes+size > s.limit {
		return errSpoolFull
	}
	f := spooled{spoolName(s.next, len(p.Blocks)), size, len(p.Blocks)}
	part := s.path(f.name + partSuffix)
	err := os.WriteFile(part, s.buf, 0o600)
	if err == nil {
		err = os.Rename(part, s.path(f.name))
	}
	if err != nil {
		os.Remove(part)
		return spoolFault(s.dir, err)
	}
	s.next++
	s.add(f)
	s.fresh = append(s.fresh, f.name)
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// head returns the oldest batch, and whether it was collected. When the file is
// damaged, whole is false and p holds the traces that verify, if any can be found:
// the rest is lost. The error is of the disk.
func (s *spool) head() (p *backend.Packed, collected, whole bool, err error) {
	path := s.path(s.files[0].name)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &backend.Packed{}, false, false, nil // somebody removed it
	}
	if err != nil {
		return nil, false, false, spoolFault(path, err)
	}
	const head = len(spoolMagic) + 4
	if len(b) > head {
		collected = string(b[:len(spoolMagic)]) == spoolCollected
		whole = (collected || string(b[:len(spoolMagic)]) == spoolMagic) &&
			crc32.Checksum(b[head:], castagnoli) == binary.LittleEndian.Uint32(b[len(spoolMagic):])
		if p, err = backend.DecodeBatch(b[head:]); err == nil && whole {
			return p, collected, true, nil
		}
	}
	if p == nil {
		p = &backend.Packed{}
	}
	var v backend.Verifier
	p.Sketches = nil // nothing tells which of them are whole; the next ones include them
	p.Blocks = slices.DeleteFunc(p.Blocks, func(block []byte) bool {
		_, err := v.Verify(block)
		return err != nil
	})
	return p, collected, false, nil
}

// done removes the oldest batch, which the backend has.
func (s *spool) done() error {
	err := os.Remove(s.path(s.pop().name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return spoolFault(s.dir, err)
	}
	return nil
}

// setAside keeps the oldest file under another name, for people to look at, and
// returns that name.
func (s *spool) setAside() (string, error) {
	path := s.path(s.pop().name)
	err := os.Rename(path, path+damagedSuffix)
	return path + damagedSuffix, err
}

func (s *spool) pop() spooled {
	f := s.files[0]
	s.files = s.files[1:]
	if len(s.files) == 0 {
		s.files = nil
	}
	s.forget(f)
	return f
}

func (s *spool) forget(f spooled) {
	s.bytes -= f.size
	s.traces -= f.traces
	s.fresh = slices.DeleteFunc(s.fresh, func(n string) bool { return n == f.name })
}

// sync returns once the files of these names, which were fresh, survive the loss of
// power; those that were removed meanwhile need not. It may run beside all else.
func (s *spool) sync(ctx context.Context, names []string) error {
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := syncFile(s.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return spoolFault(s.dir, err)
		}
	}
	if len(names) == 0 {
		return nil
	}
	if err := syncFile(s.dir); err != nil {
		return spoolFault(s.dir, err)
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func (s *spool) close() { s.lock.Close() }
