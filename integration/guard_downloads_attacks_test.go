package integration

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/stretchr/testify/require"
	"github.com/tonistiigi/fsutil"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// asked runs a build function that a client made itself, for a Dockerfile in a folder.
func asked(t *testing.T, addr, dir string, o client.SolveOpt, run gwclient.BuildFunc) error {
	t.Helper()
	fs, err := fsutil.NewFS(dir)
	require.NoError(t, err)
	o.LocalMounts = map[string]fsutil.FS{"context": fs, "dockerfile": fs}
	c, err := client.New(t.Context(), addr)
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	if run == nil {
		o.Frontend = "dockerfile.v0"
		_, err = c.Solve(t.Context(), nil, o, nil)
		return err
	}
	_, err = c.Build(t.Context(), o, "", run, nil)
	return err
}

// evaluating begins to evaluate a Dockerfile by a call that doesn't end with the build.
func evaluating(ctx context.Context, c gwclient.Client) (<-chan error, error) {
	res, err := c.Solve(ctx, gwclient.SolveRequest{Frontend: "dockerfile.v0"})
	if err != nil {
		return nil, err
	}
	ref, err := res.SingleRef()
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- ref.Evaluate(context.WithoutCancel(ctx)) }()
	return ended, nil
}

// A daemon asks about nothing any more when it has ended a build, although a call about the build
// may go on, with its commands.
func TestNoCommandOutlivesItsBuildUnderRulesOnDownloads(t *testing.T) {
	t.Parallel()
	w := newDownloads(t)
	g, build := w.guard(t, w.policy(""))
	outlive := strings.Join([]string{
		"downloader get " + w.http + "/allowed/begun", "sleep 4",
		"downloader get " + w.http + "/denied/outlived",
		"downloader get " + w.https + "/denied/outlived", "touch /went-on",
	}, "; ")
	for name, c := range map[string]struct {
		command string
		after   func(context.Context, <-chan error) (*gwclient.Result, error)
		refused bool
	}{
		"a build that ends well": {outlive, func(
			context.Context, <-chan error,
		) (*gwclient.Result, error) {
			if !harness.Poll(time.Minute, func() bool { return w.got("/allowed/begun") }) {
				return nil, errors.New("the command didn't begin")
			}
			return gwclient.NewResult(), nil
		}, false},
		"a build that was refused a download": {
			"for i in 1 2 3 4 5 6; do downloader get " + w.http + "/denied/outlived; sleep 0.5; done",
			func(_ context.Context, ended <-chan error) (*gwclient.Result, error) { return nil, <-ended },
			true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := w.dockerfile(t, "echo '"+name+"'; "+c.command)
			err := asked(t, g.Addr, dir, client.SolveOpt{}, func(
				ctx context.Context, gw gwclient.Client,
			) (*gwclient.Result, error) {
				ended, err := evaluating(ctx, gw)
				if err != nil {
					return nil, err
				}
				return c.after(ctx, ended)
			})
			if c.refused {
				require.ErrorContains(t, err, refusedDownload)
			} else {
				require.NoError(t, err)
			}
			again := build(t, dir)
			again.RequireFailure(t, refusedDownload)
			require.NotContains(t, again.Text(), "CACHED [2/2]")
			require.Zero(t, w.count("/denied/outlived"))
		})
	}
}

// What the client's own source policy denies is refused by the daemon, which asks nobody.
func TestNoSourcePolicyOfAClientUnderRulesOnDownloads(t *testing.T) {
	t.Parallel()
	w := newDownloads(t)
	g, _ := w.guard(t, w.policy(""))
	dir := w.dockerfile(t, "downloader get "+w.http+"/allowed/verify || touch /without")
	err := asked(t, g.Addr, dir, client.SolveOpt{SourcePolicy: &spb.Policy{Rules: []*spb.Rule{{
		Action:   spb.PolicyAction_DENY,
		Selector: &spb.Selector{Identifier: w.http + "/allowed/verify"},
	}}}}, nil)
	require.ErrorContains(t, err, "it has a source policy")
}

// The guard itself reads a context by URL, and a command asks for the same URL in the meantime.
func TestWhatTheGuardReadsIsNoDownloadOfACommand(t *testing.T) {
	t.Parallel()
	w := newDownloads(t)
	g, _ := w.guard(t, w.policy(""))
	read := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		select {
		case <-read:
		case <-r.Context().Done():
		case <-time.After(time.Minute):
		}
		_, _ = rw.Write([]byte("FROM scratch\n"))
	}))
	t.Cleanup(slow.Close)
	dir := w.dockerfile(t, "sleep 2; downloader get "+slow.URL+"/own; touch /went-on")
	err := asked(t, g.Addr, dir, client.SolveOpt{}, func(
		ctx context.Context, gw gwclient.Client,
	) (*gwclient.Result, error) {
		ended, err := evaluating(ctx, gw)
		if err != nil {
			return nil, err
		}
		go func() {
			_, _ = gw.Solve(ctx, gwclient.SolveRequest{
				Frontend: "dockerfile.v0", FrontendOpt: map[string]string{"context": slow.URL + "/own"},
			})
		}()
		err = <-ended
		close(read)
		return gwclient.NewResult(), err
	})
	require.ErrorContains(t, err, refusedDownload)
}

// gRPC itself refuses a question that it can't read.
func TestAQuestionThatCanNotBeReadRefusesTheBuild(t *testing.T) {
	t.Parallel()
	w := newDownloads(t)
	g, build := w.guard(t, w.policy(""))
	host := strings.TrimPrefix(w.http, "http://")
	for name, query := range map[string]string{
		"bytes that aren't text": `\377`,
		"a URL that is too long": `'"$(head -c 70000 /dev/zero | tr '\0' a)"'`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := w.dockerfile(t, `p=${HTTP_PROXY#http://}; p=${p%/}; (printf 'GET http://`+host+
				`/allowed/unread?`+query+` HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'; sleep 3) | `+
				`nc ${p%:*} ${p#*:} | head -1; sleep 2`)
			for range 2 {
				o := build(t, dir)
				o.RequireFailure(t, "a question of the daemon can't be read")
			}
			require.Contains(t, g.Log(), "can't be read")
		})
	}
}
