package plughost

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/plugin"
	"github.com/sparkrsi/spark/sdk/proto"
)

// reapLimit bounds the wait for a killed process to vanish. It only passes when
// the process hangs in the kernel.
const reapLimit = 5 * time.Second

// process is one open plugin process with its connection. It is made by start
// and ended once by end.
type process struct {
	spec    *Spec
	child   *child
	client  *goplugin.Client
	conn    *grpc.ClientConn
	dir     string // its TMPDIR
	note    string // its file in Spec.Folder, "" when there is none
	started time.Time

	version      string // what it says of itself
	protocol     int
	capabilities []string

	calls sync.WaitGroup // calls in progress; see conn
}

// errSlow is the cause of a context that ended because the start took too long.
var errSlow = errors.New("start took too long")

// start starts, shakes hands with, checks and opens one process. When it fails
// nothing is left of it.
func start(ctx context.Context, s *Spec) (*process, error) {
	if err := s.verify(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.Timing.Start, errSlow)
	defer cancel()
	dir, err := os.MkdirTemp(tempBase(), tempPrefix)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "plugins."+s.Name, err, "no temporary folder for the plugin")
	}
	p := &process{spec: s, dir: dir, started: time.Now()}
	if p.child, err = newChild(s, dir); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	p.client = p.newClient()
	if err = p.connect(ctx); err == nil {
		err = p.open(ctx)
	}
	if err != nil {
		gone, cancel := context.WithCancel(context.Background())
		cancel() // it has nothing to save: kill it at once
		p.end(gone)
		return nil, err
	}
	return p, nil
}

// newClient returns go-plugin's side of the process.
func (p *process) newClient() *goplugin.Client {
	versions := map[int]goplugin.PluginSet{}
	for _, v := range plugin.Versions() {
		versions[v] = goplugin.PluginSet{}
	}
	out := &writer{logs: p.child.logs}
	return goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			MagicCookieKey: plugin.CookieKey, MagicCookieValue: plugin.CookieValue,
		},
		VersionedPlugins: versions,
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, _ string) (runner.Runner, error) {
			p.child.cmd.Env = append(p.child.cmd.Env, cmd.Env...)
			return p.child, nil
		},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		AutoMTLS:         true,
		SkipHostEnv:      true,
		StartTimeout:     p.spec.Timing.Start + reapLimit, // our own deadline comes first
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: p.dir},
		SyncStdout:       out,
		SyncStderr:       out,
		Logger:           hclog.NewNullLogger(),
		GRPCDialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(plugin.MaxMessage), grpc.MaxCallSendMsgSize(plugin.MaxMessage))},
	})
}

// connect starts the process and shakes hands. go-plugin's calls take no context:
// they run aside, and end when the child does.
func (p *process) connect(ctx context.Context) error {
	type result struct {
		conn *grpc.ClientConn
		err  error
	}
	results := make(chan result, 1)
	go func() {
		_, err := p.client.Start()
		if err != nil {
			results <- result{err: err}
			return
		}
		protocol, err := p.client.Client()
		if err != nil {
			results <- result{err: err}
			return
		}
		results <- result{conn: protocol.(*goplugin.GRPCClient).Conn}
	}()
	var r result
	select {
	case r = <-results:
	case <-ctx.Done():
		p.child.kill()
		select {
		case <-results:
		case <-time.After(reapLimit):
		}
		return p.late(ctx, "its handshake")
	}
	if r.err != nil {
		return p.refused(ctx, r.err)
	}
	p.conn, p.protocol = r.conn, p.client.NegotiatedVersion()
	var err error
	p.note, err = writeNote(p.spec, p.child.pid(), p.dir)
	return err
}

// open checks the health of the process, asks who it is and opens it.
func (p *process) open(ctx context.Context) error {
	if err := p.ping(ctx); err != nil {
		return p.failed(ctx, err, "its health check")
	}
	var err error
	switch open := (&proto.OpenRequest{ConfigJson: p.spec.Config}); p.spec.Kind {
	case Backend:
		client := proto.NewBackendClient(p.conn)
		var info *proto.BackendInfo
		if info, err = client.Info(ctx, &proto.InfoRequest{}); err != nil {
			return p.failed(ctx, err, "its answer to Info")
		}
		p.version, p.capabilities = info.Version, info.Capabilities
		_, err = client.Open(ctx, open)
	case Model:
		client := proto.NewModelClient(p.conn)
		var info *proto.ProviderInfo
		if info, err = client.Info(ctx, &proto.InfoRequest{}); err != nil {
			return p.failed(ctx, err, "its answer to Info")
		}
		p.version = info.Version
		_, err = client.Open(ctx, open)
	}
	if err != nil {
		return p.failed(ctx, err, "its answer to Open")
	}
	return nil
}

// ping returns nil when the process answers its health check within HealthLimit.
func (p *process) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.spec.Timing.HealthLimit)
	defer cancel()
	resp, err := grpc_health_v1.NewHealthClient(p.conn).Check(ctx,
		&grpc_health_v1.HealthCheckRequest{Service: goplugin.GRPCServiceName})
	if err != nil {
		return plugin.FromStatus(err)
	}
	if resp.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		return fault.New(fault.Unavailable, "plugins."+p.spec.Name, "the plugin says it is %s", resp.Status)
	}
	return nil
}

// end ends the process: it is asked to, until ctx ends, and then killed with its
// group. It removes the TMPDIR and the note.
func (p *process) end(ctx context.Context) {
	if p.conn != nil && p.spec.Kind == Backend && ctx.Err() == nil && !p.gone() {
		if _, err := proto.NewBackendClient(p.conn).Close(ctx, &proto.CloseRequest{}); err != nil {
			p.spec.Logger.Warn("plugin did not close cleanly", "error", plugin.FromStatus(err))
		}
	}
	ended := make(chan struct{})
	go func() { defer close(ended); p.client.Kill() }()
	select {
	case <-ended:
	case <-ctx.Done():
		p.child.kill()
		select {
		case <-ended:
		case <-time.After(reapLimit):
			p.spec.Logger.Error("plugin process cannot be ended", "pid", p.child.pid())
		}
	}
	if p.conn != nil {
		p.conn.Close()
	}
	if err := os.RemoveAll(p.dir); err != nil {
		p.spec.Logger.Warn("temporary folder of a plugin is left behind", "folder", p.dir, "error", err)
	}
	if p.note != "" {
		os.Remove(p.note)
	}
}

// gone reports whether the process has ended.
func (p *process) gone() bool {
	select {
	case <-p.child.exited:
		return true
	default:
		return false
	}
}
