package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/core/store"
)

// Runs returns the runs with checkpoints and those that execute now, newest first;
// a limit of 0 is PageSize.
func (c *Client) Runs(ctx context.Context, f store.RunFilter) ([]*host.RunState, error) {
	q := url.Values{}
	for key, v := range map[string]string{"graph": f.Graph, "status": string(f.Status)} {
		if v != "" {
			q.Set(key, v)
		}
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	return list[*host.RunState](ctx, c, "/v1/runs", q)
}

// ShowRun returns one run by its id or at least six digits of it.
func (c *Client) ShowRun(ctx context.Context, id string) (*host.RunState, error) {
	return get[host.RunState](ctx, c, runPath(id), nil)
}

// Answer answers a question of a run and returns how far the run comes. A run that
// failed returns its Result beside the error.
func (c *Client) Answer(ctx context.Context, id string, a Answer) (*host.Result, error) {
	res, beside, err := exchange[host.Result](ctx, c, http.MethodPost, runPath(id)+"/answer", a)
	if err != nil {
		return beside.Run, err
	}
	return res, nil
}

// Resume continues a run that was interrupted, like Answer.
func (c *Client) Resume(ctx context.Context, id string) (*host.Result, error) {
	res, beside, err := send[host.Result](ctx, c, http.MethodPost, runPath(id)+"/resume", "", nil, nil)
	if err != nil {
		return beside.Run, err
	}
	return res, nil
}

// Cancel ends a run.
func (c *Client) Cancel(ctx context.Context, id string) error {
	_, _, err := send[Cancelled](ctx, c, http.MethodPost, runPath(id)+"/cancel", "", nil, nil)
	return err
}

// Replay tries recorded runs again.
func (c *Client) Replay(ctx context.Context, r Replay) (*host.ReplayReport, error) {
	return post[host.ReplayReport](ctx, c, "/v1/runs/replay", r)
}

func runPath(id string) string { return "/v1/runs/" + url.PathEscape(id) }
