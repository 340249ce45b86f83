package telemetry_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/sparkrsi/spark/core/plughost"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Variables by which a test that repeats itself in another process tells that
// process the folder it has to itself, and how that folder is made full.
const (
	diskDir  = "SPARK_TEST_DISK"
	diskKind = "SPARK_TEST_DISK_KIND"
)

// small and limited are the kinds: a file system in memory that only this process
// and its children see, which some kernels refuse to ordinary users, and a limit of
// the processes on the size of files, which works everywhere.
const (
	small   = "small"
	limited = "limited"
)

const diskSize = 16 << 20

// onDisk runs the test again in a process of its own for each kind of disk, where
// inside is called with it.
func onDisk(t *testing.T, inside func(t *testing.T, d *disk)) {
	if dir := os.Getenv(diskDir); dir != "" {
		d := &disk{kind: os.Getenv(diskKind), dir: dir}
		if d.kind == small {
			if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", diskSize)); err != nil {
				t.Fatalf("mount: %v", err)
			}
		}
		inside(t, d)
		return
	}
	again := func(kind string) (string, error) {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), diskDir+"="+t.TempDir(), diskKind+"="+kind)
		if kind == small {
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
				UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
				GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
		}
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		return out.String(), err
	}
	for _, kind := range []string{small, limited} {
		out, err := again(kind)
		if kind == small && err != nil && (errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSPC) || strings.Contains(out, "mount: ")) {
			t.Logf("the kernel gives this user no file system of its own (%v): the limit alone has to do", err)
			continue
		}
		if t.Log(out); err != nil {
			t.Errorf("%s disk: %v", kind, err)
		}
	}
}

// disk is a folder that can be made full.
type disk struct {
	kind, dir string
	before    syscall.Rlimit
	processes []int // that are limited
}

func (d *disk) ballast() string { return filepath.Join(d.dir, "ballast") }

// fill leaves no room at all; p is the process that writes to d, too.
func (d *disk) fill(t *testing.T, p *plughost.Plugin) {
	t.Helper()
	if d.kind == limited {
		d.processes = []int{os.Getpid(), p.Info().PID}
		for _, pid := range d.processes {
			if err := fileLimit(pid, &syscall.Rlimit{Cur: 0, Max: ^uint64(0)}, &d.before); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	f, err := os.Create(d.ballast())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// free makes room again.
func (d *disk) free(t *testing.T) {
	t.Helper()
	if d.kind == limited {
		for _, pid := range d.processes {
			if err := fileLimit(pid, &d.before, nil); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	if err := os.Remove(d.ballast()); err != nil {
		t.Fatal(err)
	}
}

// fileLimit sets how large the process may make a file.
func fileLimit(pid int, limit, old *syscall.Rlimit) error {
	if _, _, e := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_FSIZE, uintptr(unsafe.Pointer(limit)), uintptr(unsafe.Pointer(old)), 0, 0); e != 0 {
		return e
	}
	return nil
}

// Database and spool share a disk that becomes full. No run notices, what finds no
// room is counted, the database is not damaged, and once there is room all that was
// kept arrives.
func TestFullDisk(t *testing.T) { onDisk(t, fullDisk) }

func fullDisk(t *testing.T, d *disk) {
	s := file(d.dir)
	p, c := s.open(t)
	cfg := telemetry.Defaults()
	cfg.BufferSize, cfg.MaxQueueSize, cfg.CaptureInputs = 20, 100, true
	r, err := telemetry.New(cfg, c, telemetry.Options{SpoolDir: filepath.Join(d.dir, "spool")})
	if err != nil {
		t.Fatal(err)
	}
	l := newLoad(t, time.Microsecond)
	asked := int64(0)
	record := func(n int) {
		t.Helper()
		begin := time.Now()
		got := l.at(t, r, 4000, time.Duration(n)*time.Second/4000, int(asked))
		asked += int64(len(got.run))
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("%d runs took %s", n, took)
		}
	}
	record(100)
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		d.fill(t, p)
		dropped := r.Stats().Dropped
		for tries := 0; r.Stats().Dropped < dropped+100; tries++ {
			if tries == 100 {
				t.Fatalf("the disk is not full: %+v", r.Stats())
			}
			record(200)
		}
		if err := r.Flush(t.Context()); err == nil || d.kind == small && fault.HintOf(err) == "" {
			t.Errorf("flushed to a full disk: %v, hint %q", err, fault.HintOf(err))
		}
		full := r.Stats()
		if full.DroppedByReason["spool_disk"]+full.DroppedByReason["queue_full"] != full.Dropped || full.DroppedByReason["spool_disk"] == 0 || full.LastError == "" {
			t.Errorf("while full: %+v", full)
		}
		t.Logf("round %d on a %s disk: of %d runs %d were dropped: %s", round, d.kind, asked, full.Dropped, full.LastError)
		d.free(t)
		for tries := 0; r.Flush(t.Context()) != nil; tries++ {
			if tries == 10_000 {
				t.Fatalf("with room again: %+v", r.Stats())
			}
			pause(t)
		}
		record(100)
	}
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	st := r.Stats()
	if st.ExportedTraces+st.Dropped != asked || st.Traces != st.ExportedTraces || st.Waiting != 0 || st.SpoolTraces != 0 || st.SpoolDamaged != 0 {
		t.Errorf("of %d runs: %+v", asked, st)
	}
	if left, err := filepath.Glob(filepath.Join(d.dir, "spool", "*.*")); err != nil || len(left) > 0 {
		t.Errorf("in the spool: %v, %v", left, err)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, c = s.open(t) // checks the file
	seen, total := runs(t, c)
	if int64(total) != st.ExportedTraces || len(seen) != total {
		t.Errorf("%d traces of %d runs in the file, %d were exported", total, len(seen), st.ExportedTraces)
	}
	for x, err := range c.Traces(t.Context(), backend.Filter{}) {
		if err != nil || len(x.Spans) != steps {
			t.Fatalf("%+v, %v", x, err)
		}
	}
}

// A folder that cannot be written is refused by its name, with what to do: for root,
// too, whom the mode of a folder does not stop.
func TestReadOnlyFolder(t *testing.T) { onDisk(t, readOnlyFolder) }

func readOnlyFolder(t *testing.T, d *disk) {
	refused := func(dir string) {
		t.Helper()
		_, _, err := file(dir).launch(t.Context())
		if !fault.Is(err, fault.ReadOnly) || fault.HintOf(err) == "" || !strings.Contains(err.Error(), dir) {
			t.Errorf("database in %s: %v (%s, hint %q)", dir, err, fault.KindOf(err), fault.HintOf(err))
		}
		_, err = telemetry.New(telemetry.Defaults(), nil, telemetry.Options{SpoolDir: dir})
		if !fault.Is(err, fault.ReadOnly) || fault.HintOf(err) == "" || !strings.Contains(err.Error(), dir) {
			t.Errorf("spool in %s: %v (%s, hint %q)", dir, err, fault.KindOf(err), fault.HintOf(err))
		}
	}
	taken := filepath.Join(d.dir, "file")
	if err := os.WriteFile(taken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(filepath.Join(taken, "telemetry"))
	if d.kind == limited {
		return
	}
	dir := filepath.Join(d.dir, "locked")
	p, c, err := file(dir).launch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := telemetry.New(telemetry.Defaults(), c, telemetry.Options{SpoolDir: filepath.Join(dir, "spool")})
	if err != nil {
		t.Fatal(err)
	}
	newLoad(t, time.Microsecond).at(t, r, 1000, 100*time.Millisecond, 0)
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	refused(dir) // with what was written there before
	refused(filepath.Join(dir, "new"))
}
