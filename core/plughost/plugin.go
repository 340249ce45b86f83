package plughost

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/sparkrsi/spark/sdk/fault"
)

// State says what a plugin is doing.
type State string

// The states of a plugin.
const (
	Ready      State = "ready"      // its process answers
	Restarting State = "restarting" // its process ended and another is due
	Closed     State = "closed"
)

// Info is what the host knows of a plugin.
type Info struct {
	Name         string
	Kind         Kind
	State        State
	PID          int // 0 while no process lives
	Version      string
	Protocol     int
	Capabilities []string // of a backend
	Started      time.Time
	Restarts     int   // processes started after a crash
	Err          error // why the last process ended or could not be started; nil when none did
}

// Plugin is a running plugin. One goroutine owns its processes:
//
//	Launch -> ready <-> restarting
//	            |           |
//	            +--> closed <-+
//
// Methods are safe for concurrent use.
type Plugin struct {
	conn     *conn
	replaces chan replacement
	stop     context.CancelFunc // ends the goroutine
	done     chan struct{}      // closed when the goroutine has ended

	patience  context.Context    // ends when processes are to die without grace
	impatient context.CancelFunc // ends patience

	mu   sync.Mutex // guards info
	info Info
}

// replacement asks the goroutine to put another process in the place of the
// current one.
type replacement struct {
	ctx   context.Context
	spec  Spec
	reply chan error // buffered
}

func newPlugin(s Spec, first *process) *Plugin {
	life, stop := context.WithCancel(context.Background())
	p := &Plugin{conn: &conn{}, replaces: make(chan replacement), stop: stop, done: make(chan struct{})}
	p.patience, p.impatient = context.WithCancel(context.Background())
	p.info = Info{Name: s.Name, Kind: s.Kind}
	p.up(first)
	go p.run(life, s, first)
	return p
}

// Conn returns the connection to the plugin. It stays the same across restarts
// and replacements; while no process answers, its calls fail at once with an
// Unavailable fault.
func (p *Plugin) Conn() grpc.ClientConnInterface { return p.conn }

// Info returns what is known of the plugin now. The slice is the caller's.
func (p *Plugin) Info() Info {
	p.mu.Lock()
	defer p.mu.Unlock()
	info := p.info
	info.Capabilities = slices.Clone(info.Capabilities)
	return info
}

// Replace starts a process of s, checks it, sends new calls to it, lets running
// calls of the old process end and ends that. It returns when new calls go to the
// new process. When the new one cannot be started the old one stays and the fault
// is that of Launch. The name and kind of s must be those of the plugin; zero
// fields of Timing mean their defaults. Conflict after Close.
func (p *Plugin) Replace(ctx context.Context, s Spec) error {
	info := p.Info()
	if s.Name != info.Name || s.Kind != info.Kind {
		return fault.New(fault.Invalid, "plugins."+info.Name, "a %s %s cannot be replaced by a %s %s", info.Kind, info.Name, s.Kind, s.Name)
	}
	s, err := s.complete()
	if err != nil {
		return err
	}
	r := replacement{ctx: ctx, spec: s, reply: make(chan error, 1)}
	select {
	case p.replaces <- r:
		return <-r.reply
	case <-p.done:
		return fault.New(fault.Conflict, "plugins."+info.Name, "the plugin is closed")
	case <-ctx.Done():
		return fault.Wrap("", "plugins."+info.Name, ctx.Err(), "waiting to replace the plugin")
	}
}

// Close ends the plugin: running calls have Timing.Drain to end, a backend is
// closed, the process has Timing.Grace to end and is then killed. When ctx ends
// first it is killed at once. Close returns when the process is gone; an error
// never means that it still runs, unless the kernel holds it. Safe to call twice.
func (p *Plugin) Close(ctx context.Context) error {
	p.stop()
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		p.impatient()
		<-p.done
		return fault.Wrap("", "plugins."+p.Info().Name, ctx.Err(), "the plugin was killed before it had ended by itself")
	}
}

// run owns the processes until life ends.
func (p *Plugin) run(life context.Context, s Spec, cur *process) {
	var olds sync.WaitGroup // processes that drain
	defer func() {
		p.retire(cur, fault.New(fault.Unavailable, "plugins."+s.Name, "the plugin is closed"))
		olds.Wait()
		p.set(func(i *Info) { i.State, i.PID = Closed, 0 })
		p.impatient()
		close(p.done)
	}()
	health := time.NewTicker(s.Timing.Health)
	defer func() { health.Stop() }()
	var (
		due    <-chan time.Time // when the next process is to be started
		pause  = s.Timing.Backoff
		misses int // failed health checks in a row
	)
	for {
		var exited <-chan struct{}
		if cur != nil {
			exited = cur.child.exited
		}
		select {
		case <-life.Done():
			return

		case <-exited:
			why := cur.crashed()
			p.down(why)
			s.Logger.Error("plugin crashed", "error", why)
			cur.end(life)
			if time.Since(cur.started) > s.Timing.Stable {
				pause = s.Timing.Backoff
			}
			cur, due = nil, time.After(pause)

		case <-due:
			due, pause = nil, min(2*pause, s.Timing.MaxBackoff)
			next, err := start(life, &s)
			if err != nil {
				if life.Err() == nil {
					p.down(err)
					s.Logger.Error("plugin does not restart", "error", err, "next", pause)
					due = time.After(pause)
				}
				continue
			}
			cur, misses = next, 0
			p.set(func(i *Info) { i.Restarts++ })
			p.up(cur)
			s.Logger.Info("plugin restarted", "pid", cur.child.pid())

		case <-health.C:
			if cur == nil {
				continue
			}
			if err := cur.ping(life); err == nil {
				misses = 0
			} else if misses++; misses > 1 && life.Err() == nil {
				s.Logger.Error("plugin does not answer and is killed", "error", err)
				cur.child.kill()
			}

		case r := <-p.replaces:
			ctx, cancel := context.WithCancel(r.ctx)
			unhook := context.AfterFunc(life, cancel)
			spec := r.spec
			next, err := start(ctx, &spec)
			unhook()
			cancel()
			if err == nil {
				old := cur
				s, cur, due, pause, misses = spec, next, nil, spec.Timing.Backoff, 0
				health.Reset(s.Timing.Health)
				p.up(cur)
				olds.Go(func() { p.finish(old) })
			}
			r.reply <- err
		}
	}
}

// up makes proc the one that answers.
func (p *Plugin) up(proc *process) {
	p.conn.swap(proc, nil)
	p.set(func(i *Info) {
		i.State, i.PID, i.Started = Ready, proc.child.pid(), proc.started
		i.Version, i.Protocol, i.Capabilities = proc.version, proc.protocol, proc.capabilities
	})
}

// down lets calls fail because of why.
func (p *Plugin) down(why error) {
	p.conn.swap(nil, why)
	p.set(func(i *Info) { i.State, i.PID, i.Err = Restarting, 0, why })
}

// retire takes the last process out of use and ends it; nil is fine.
func (p *Plugin) retire(proc *process, why error) {
	p.conn.swap(nil, why)
	p.finish(proc)
}

// finish drains proc, which is not current any more, and ends it; nil is fine.
func (p *Plugin) finish(proc *process) {
	if proc == nil {
		return
	}
	drain, cancel := context.WithTimeout(p.patience, proc.spec.Timing.Drain)
	proc.drain(drain)
	cancel()
	grace, cancel := context.WithTimeout(p.patience, proc.spec.Timing.Grace)
	defer cancel()
	proc.end(grace)
}

func (p *Plugin) set(change func(*Info)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.info)
}
