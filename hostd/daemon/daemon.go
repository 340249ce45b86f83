// Package daemon serves a host until it is told to end: the HTTP API over the
// unix socket of the data folder and, when asked for, a TCP address, and the
// folders of graphs and modules, whose changes are verified and swapped in.
//
// Start with Serve. The package reads no configuration and opens no host.
package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/hostd/api"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Config is what is served. Host and Handler are required; Serve closes Host.
type Config struct {
	Host         *host.Host
	Handler      http.Handler // of the API, without a guard
	DataDir      string       // holds the unix socket
	Address      string       // TCP address; empty for none
	Token        string       // bearer token of Address; empty only for loopback
	Graphs       string       // folder to serve and watch; empty for none
	Modules      string       // folder to load and watch; empty for none
	DrainTimeout time.Duration
	Logger       *slog.Logger
}

// Bounds of the server and of its end.
const (
	headerTimeout = 10 * time.Second
	bodyTimeout   = time.Minute
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10
	closeTimeout  = 15 * time.Second // for telemetry and plugins, after the drain
)

// Serve loads the folders, serves until ctx is done, then takes no new requests,
// gives those under way c.DrainTimeout, writes telemetry and closes the host. It
// returns nil after such an end; runs that had to be cut off are a Timeout fault.
func Serve(ctx context.Context, c Config) error {
	err := serve(ctx, c)
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if closing := c.Host.Close(end); closing != nil {
		return errors.Join(err, closing)
	}
	c.Logger.Info("ended")
	return err
}

func serve(ctx context.Context, c Config) error {
	w, err := newWatcher(c)
	if err != nil {
		return err
	}
	defer w.close()
	// The socket appears when everything is loaded, so whoever it answers finds
	// the graphs.
	w.scan(ctx, true)
	c.warm(ctx)
	if ctx.Err() != nil {
		return nil
	}
	listeners, err := c.listen()
	if err != nil {
		return err
	}
	// Runs are not tied to ctx: they may go on while the daemon drains.
	runs, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	defer cutOff()
	var wg sync.WaitGroup
	failed := make(chan error, len(listeners))
	var servers []*http.Server
	for i, l := range listeners {
		h := c.Handler
		if i > 0 {
			h = api.Guard(h, c.Token)
		}
		s := &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, IdleTimeout: idleTimeout,
			MaxHeaderBytes: maxHeader, BaseContext: func(net.Listener) context.Context { return runs },
			ErrorLog: slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug)}
		servers = append(servers, s)
		wg.Go(func() {
			if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- fault.Wrap(fault.Unavailable, l.Addr().String(), err, "serve")
			}
		})
		c.Logger.Info("listening", "network", l.Addr().Network(), "address", l.Addr().String())
	}
	c.Logger.Info("ready", "data_dir", c.DataDir, "graphs", c.Graphs, "modules", c.Modules)
	watching, stopWatching := context.WithCancel(ctx)
	wg.Go(func() { w.watch(watching) })
	select {
	case <-ctx.Done():
		c.Logger.Info("ending: no new requests are taken", "drain_timeout", c.DrainTimeout)
	case err = <-failed:
	}
	stopWatching()
	err = errors.Join(err, c.drain(servers, cutOff))
	wg.Wait()
	return err
}

// warm makes every active version ready, so that the first run of a graph waits
// for nothing and what cannot be served is known now.
func (c *Config) warm(ctx context.Context) {
	list, err := c.Host.Store().Graphs(ctx)
	for _, v := range list {
		if err := c.Host.Serve(ctx, v.Graph); err != nil && ctx.Err() == nil {
			c.Logger.Error("graph cannot be served", "graph", v.Graph, "version", v.Label, "error", err.Error(), "hint", fault.HintOf(err))
		}
	}
	if err != nil && ctx.Err() == nil {
		c.Logger.Error("graphs cannot be listed", "error", err.Error(), "hint", fault.HintOf(err))
	}
}

func (c *Config) listen() ([]net.Listener, error) {
	unix, err := api.Listen(c.DataDir)
	if err != nil {
		return nil, err
	}
	if c.Address == "" {
		return []net.Listener{unix}, nil
	}
	tcp, err := net.Listen("tcp", c.Address)
	if err != nil {
		unix.Close()
		return nil, &fault.Error{Kind: fault.Unavailable, Path: c.Address, Msg: "listen", Err: err,
			Hint: "end what listens there, or set another address"}
	}
	return []net.Listener{unix, tcp}, nil
}

// drain waits for the requests under way, and cuts off those that take too long.
func (c *Config) drain(servers []*http.Server, cutOff func()) error {
	ctx, cancel := context.WithTimeout(context.Background(), c.DrainTimeout)
	defer cancel()
	late := false
	for _, s := range servers {
		late = s.Shutdown(ctx) != nil || late
	}
	if !late {
		return nil
	}
	// Handlers end when their context does; those that are left after a moment
	// lose their connection.
	cutOff()
	ctx, cancel = context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, s := range servers {
		if s.Shutdown(ctx) != nil {
			s.Close()
		}
	}
	return fault.New(fault.Timeout, "", "requests were still under way after %v and were cut off", c.DrainTimeout).
		WithHint("raise drain_timeout when runs take longer")
}
