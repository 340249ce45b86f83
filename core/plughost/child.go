package plughost

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin/runner"

	"github.com/sparkrsi/spark/sdk/plugin"
)

// child is an operating system process in a group of its own. Its pipes are
// drained whatever it writes, so it never blocks on them, and its death is seen
// even when a descendant holds them open:
//
//	stdout: first line -> go-plugin's handshake, the rest -> log
//	stderr: log; the last lines are kept to explain a crash
//	fd 3:   a pipe that only ends when this host does
type child struct {
	logs      *logs
	handshake *io.PipeReader
	first     *io.PipeWriter
	line      atomic.Pointer[string] // first line of stdout, nil until it came

	stdout, stderr *os.File // our ends
	parent         *os.File // our end; closing it tells the child that we are gone

	mu     sync.Mutex // guards the three fields below
	cmd    *exec.Cmd  // its Process is nil before Start
	killed bool       // kill was called; Start refuses after it
	reaped bool       // the pid may belong to somebody else

	exited chan struct{} // closed when the process was reaped and its output read
	err    error         // how it ended; valid after exited
}

var _ runner.Runner = (*child)(nil)

// newChild prepares the process of s, whose temporary folder is dir.
func newChild(s *Spec, dir string) (*child, error) {
	path, name := s.Path, s.Path
	if path == "" {
		var err error
		if path, name, err = self(); err != nil {
			return nil, err
		}
	}
	c := &child{logs: &logs{out: s.Logger}, exited: make(chan struct{})}
	c.handshake, c.first = io.Pipe()
	c.cmd = &exec.Cmd{
		Path:        path,
		Args:        append([]string{name}, s.Args...),
		Env:         append(append([]string{}, s.Env...), "TMPDIR="+dir, plugin.ParentFD+"=3"),
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	return c, nil
}

// Start starts the process. go-plugin calls it once.
func (c *child) Start(context.Context) error {
	var theirs []*os.File
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
	}()
	pipe := func() (r, w *os.File, err error) {
		if r, w, err = os.Pipe(); err == nil {
			theirs = append(theirs, r, w)
		}
		return r, w, err
	}
	keep := func(f *os.File) *os.File {
		for i := range theirs {
			if theirs[i] == f {
				theirs = append(theirs[:i], theirs[i+1:]...)
				break
			}
		}
		return f
	}
	stdout, outw, err := pipe()
	if err != nil {
		return err
	}
	stderr, errw, err := pipe()
	if err != nil {
		return err
	}
	parentr, parent, err := pipe()
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed {
		return errors.New("ended before it was started")
	}
	c.cmd.Stdout, c.cmd.Stderr, c.cmd.ExtraFiles = outw, errw, []*os.File{parentr}
	if err := c.cmd.Start(); err != nil {
		return err
	}
	c.stdout, c.stderr, c.parent = keep(stdout), keep(stderr), keep(parent)
	go c.wait()
	return nil
}

// wait reaps the process, ends what is left of its group and closes the pipes.
func (c *child) wait() {
	drained := make(chan struct{}, 2)
	go func() { c.readStdout(); drained <- struct{}{} }()
	go func() { c.logs.copy(c.stderr, true); drained <- struct{}{} }()

	c.err = c.cmd.Wait()
	c.kill()
	c.mu.Lock()
	c.reaped = true
	c.mu.Unlock()
	// A descendant that left the group may hold the pipes: what it says after this
	// is lost.
	deadline := time.Now().Add(250 * time.Millisecond)
	c.stdout.SetReadDeadline(deadline)
	c.stderr.SetReadDeadline(deadline)
	<-drained
	<-drained
	c.stdout.Close()
	c.stderr.Close()
	c.parent.Close()
	close(c.exited)
}

// readStdout hands the first line to go-plugin and logs the others.
func (c *child) readStdout() {
	r := bufio.NewReaderSize(c.stdout, maxLine)
	line, err := r.ReadSlice('\n')
	text := strings.TrimSpace(string(line))
	c.line.Store(&text)
	if len(line) > 0 {
		fmt.Fprintln(c.first, text)
	}
	c.first.Close()
	if err == nil || errors.Is(err, bufio.ErrBufferFull) {
		c.logs.copy(r, false)
	}
}

// kill ends the process and all that is left of its group, or keeps it from being
// started.
func (c *child) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.killed = true
	if c.cmd.Process != nil && !c.reaped {
		syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	}
}

// pid returns the id of the process, 0 when it was not started.
func (c *child) pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd.Process == nil {
		return 0
	}
	return c.cmd.Process.Pid
}

// ended says how the process ended. Call it after exited was closed.
func (c *child) ended() string {
	how := "exit status 0"
	if c.err != nil {
		how = c.err.Error()
	}
	if last := c.logs.last(); last != "" {
		return how + "; its last words: " + last
	}
	return how
}

// The rest of runner.Runner.

func (c *child) Wait(context.Context) error { <-c.exited; return c.err }
func (c *child) Kill(context.Context) error { c.kill(); return nil }

func (c *child) Stdout() io.ReadCloser { return c.handshake }
func (c *child) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

func (c *child) Name() string                    { return c.cmd.Args[0] }
func (c *child) Diagnose(context.Context) string { return "" }

func (c *child) ID() string {
	if pid := c.pid(); pid != 0 {
		return strconv.Itoa(pid)
	}
	return ""
}

func (c *child) PluginToHost(network, address string) (string, string, error) {
	return network, address, nil
}

func (c *child) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}
