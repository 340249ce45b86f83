//go:build unix

package wasmhost

import (
	"io/fs"
	"os"
	"syscall"

	"github.com/tetratelabs/wazero/experimental"
)

// arena is the linear memory of one instance: address space for its whole limit
// is reserved once, so growing moves nothing (a move of 200 MiB could not be
// interrupted), the garbage collector never counts it, and closing the instance
// gives it back at once.
type arena struct {
	buf    []byte
	denied bool // the guest asked for more than its limit
}

var _ experimental.LinearMemory = (*arena)(nil)

func newArena(limit int) (*arena, error) {
	buf, err := syscall.Mmap(-1, 0, limit, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil, err
	}
	return &arena{buf: buf}, nil
}

// Allocate makes arena a wazero memory allocator for one memory, its own.
func (a *arena) Allocate(_, _ uint64) experimental.LinearMemory { return a }

// Reallocate returns the first size bytes, nil above the limit.
func (a *arena) Reallocate(size uint64) []byte {
	if size > uint64(len(a.buf)) {
		a.denied = true
		return nil
	}
	return a.buf[:size]
}

// Free gives the memory back. Safe to call twice.
func (a *arena) Free() {
	if a.buf != nil {
		_ = syscall.Munmap(a.buf) // fails only for a range that was never mapped
		a.buf = nil
	}
}

func ownedByUs(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}
