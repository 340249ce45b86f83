package cli

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/hostd/api"
	"github.com/sparkrsi/spark/hostd/config"
	"github.com/sparkrsi/spark/sdk/fault"
)

// closeTimeout bounds what a command does after its work: writing telemetry and
// ending plugins.
const closeTimeout = 30 * time.Second

// with connects to the host of this execution and calls f: at the address that
// was asked for, else through the daemon that owns the data folder, else in this
// process.
func (a *app) with(ctx context.Context, f func(*api.Client) error) (err error) {
	c, err := a.settings()
	if err != nil {
		return err
	}
	if a.global.flags.Changed("address") || a.env("SPARK_ADDRESS") != "" {
		client := api.TCP(c.Address, c.Token)
		defer client.Close()
		return f(client)
	}
	conn, err := api.Dial(ctx, c.DataDir)
	switch {
	case err == nil:
		conn.Close()
		client := api.Unix(c.DataDir, func(ctx context.Context) (net.Conn, error) { return api.Dial(ctx, c.DataDir) })
		defer client.Close()
		return f(client)
	case !fault.Is(err, fault.NotFound):
		return err
	}
	h, handler, err := a.open(ctx, c, a.logger(c.LogLevel, "warn"), false)
	if err != nil {
		return err
	}
	defer func() {
		// What was recorded is written even when the work was interrupted.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if closing := h.Close(ctx); closing != nil {
			err = errors.Join(err, closing)
		}
	}()
	return f(api.InProcess(handler))
}

// open opens the host that settings describe, with the stock modules. Only one that
// stays takes up runs that were interrupted: a command ends too soon for them.
func (a *app) open(ctx context.Context, c *config.Config, log *slog.Logger, stays bool) (*host.Host, http.Handler, error) {
	hc, err := c.Host()
	if err != nil {
		return nil, nil, err
	}
	hc.Logger, hc.LeaveRuns = log, !stays
	stock, err := a.Stock()
	if err != nil {
		log.Warn("the stock node types are missing", "error", err, "hint", fault.HintOf(err))
	} else {
		hc.Stock = [][]byte{stock}
	}
	h, err := host.Open(ctx, hc)
	if err != nil {
		return nil, nil, err
	}
	return h, api.New(h, api.Options{Version: a.Version, Intake: c.Intake, Logger: log}), nil
}
