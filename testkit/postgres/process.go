package postgres

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one life of the server program.
type process struct {
	pid  int
	done chan struct{} // closed when it ended
	cmd  *exec.Cmd

	mu  sync.Mutex // guards log
	log []byte     // the end of what it wrote
}

// spawn starts c and returns once the server takes connections. A thread of its
// own holds the child: the death signal comes when that thread ends.
func spawn(c *exec.Cmd) (*process, error) {
	p := &process{cmd: c, done: make(chan struct{})}
	out, err := c.StderrPipe()
	if err != nil {
		return nil, err
	}
	started, ready := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := c.Start()
		started <- err
		if err != nil {
			return
		}
		p.read(out, ready)
		c.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	p.pid = c.Process.Pid
	late := time.NewTimer(startTime)
	defer late.Stop()
	select {
	case <-ready:
		return p, nil
	case <-p.done:
		return nil, errors.New("PostgreSQL did not start:\n" + p.tail())
	case <-late.C:
		p.stop(syscall.SIGQUIT)
		return nil, fmt.Errorf("PostgreSQL was not ready within %s:\n%s", startTime, p.tail())
	}
}

// read keeps the end of the log and closes ready when the server says it is.
func (p *process) read(r io.Reader, ready chan struct{}) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if ready != nil && strings.Contains(lines.Text(), "ready to accept connections") {
			close(ready)
			ready = nil
		}
		p.mu.Lock()
		p.log = append(append(p.log, lines.Bytes()...), '\n')
		if n := len(p.log) - logTail; n > 0 {
			p.log = append(p.log[:0], p.log[n:]...)
		}
		p.mu.Unlock()
	}
	io.Copy(io.Discard, r)
}

func (p *process) tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.log)
}

// stop ends the process and waits for it.
func (p *process) stop(s syscall.Signal) error {
	p.cmd.Process.Signal(s)
	late := time.NewTimer(stopTime)
	defer late.Stop()
	select {
	case <-p.done:
		return nil
	case <-late.C:
		p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("PostgreSQL did not stop within %s:\n%s", stopTime, p.tail())
	}
}
