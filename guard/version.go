package guard

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"
	controlapi "github.com/moby/buildkit/api/services/control"
	wlabel "github.com/moby/buildkit/worker/label"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// lacks are what daemons before a version lack. The daemon of the last one asks a policy session
// about everything that it reads.
var lacks = []struct {
	before *semver.Version
	what   string
}{
	{semver.MustParse("0.27.0"), "it doesn't ask about anything that it reads"},
	{semver.MustParse("0.32.0"), "it asks about names as the client wrote them"},
	{semver.MustParse("0.34.0"), "it doesn't ask about git bundles"},
}

// OldDaemonError says why a daemon is too old for a guard.
type OldDaemonError struct {
	// Version is the daemon's, as it says. It may be any text of 200 characters.
	Version string
	// Lacks is what it can't do. There is something.
	Lacks []string
}

// Error implements error.
func (e *OldDaemonError) Error() string {
	return fmt.Sprintf("the daemon is buildkitd %s, and only v%s and later ask about everything that "+
		"they read: %s", e.Version, lacks[len(lacks)-1].before, strings.Join(e.Lacks, "; "))
}

// checkVersion returns an *OldDaemonError for a daemon that doesn't ask about everything.
func checkVersion(name string) error {
	v, err := semver.NewVersion(name)
	var missing []string
	for _, l := range lacks {
		if err == nil && v.LessThan(l.before) {
			missing = append(missing, l.what)
		}
	}
	if err != nil {
		missing = []string{"its version isn't known"}
	}
	if missing == nil {
		return nil
	}
	return &OldDaemonError{Version: safetext.Plain(name), Lacks: missing}
}

// CheckDaemon asks the daemon for its version. It returns an [*OldDaemonError] if the daemon
// doesn't ask the guard about everything that it reads, even if the guard accepts it, and the error
// of the call if it doesn't answer.
func (g *Guard) CheckDaemon(ctx context.Context) error {
	info, err := controlapi.NewControlClient(g.daemon).Info(ctx, &controlapi.InfoRequest{})
	if err != nil {
		return err
	}
	return checkVersion(info.GetBuildkitVersion().GetVersion())
}

// checkDaemon fails unless builds under a policy may begin at the daemon. It is called for each
// build, because another daemon may start behind the same address. No old daemon is accepted under
// rules that only its build proxy can enforce: it wouldn't know that it should. Nor is one that
// can't enforce them.
func (g *Guard) checkDaemon(ctx context.Context, under *Policy) error {
	err := g.CheckDaemon(ctx)
	rules := under.DownloadRules()
	var old *OldDaemonError
	switch {
	case errors.As(err, &old) && g.acceptOldDaemon && rules == "":
		return nil
	case errors.As(err, &old) && g.acceptOldDaemon:
		return fmt.Errorf("the policy has rules on what commands download (%s), and these need a newer "+
			"daemon, also with --accept-old-daemon: %w", rules, err)
	case err != nil || rules == "":
		return err
	}
	return g.checkWorkers(ctx, rules)
}

// sandboxed is the mode of a worker whose commands have a PID namespace of their own
// (executor/oci, ProcessMode).
const sandboxed = "sandbox"

// sharedProcessesError says that a worker gives commands no PID namespace of their own. So they
// outlive their step, and reach the processes of other commands.
type sharedProcessesError struct {
	worker string // its ID
	rules  string // the field of the policy
}

// Error implements error.
func (e sharedProcessesError) Error() string {
	return fmt.Sprintf("the policy has rules on what commands download (%s), and the daemon's worker "+
		"%s can't keep commands to them: it runs them among the daemon's own processes "+
		"(--oci-worker-no-process-sandbox), so they can go on when their build has ended",
		e.rules, safetext.Plain(e.worker))
}

// checkWorkers returns a sharedProcessesError unless all workers of the daemon end a command with
// all processes that it has started. A process that goes on has connections of the build proxy
// about which nobody is asked any more, and the network namespace that a command of another build
// gets.
func (g *Guard) checkWorkers(ctx context.Context, rules string) error {
	daemon := controlapi.NewControlClient(g.daemon)
	all, err := daemon.ListWorkers(ctx, &controlapi.ListWorkersRequest{})
	if err != nil {
		return err
	}
	for _, w := range all.GetRecord() {
		mode := w.GetLabels()[wlabel.OCIProcessMode]
		// A worker of containerd has no other mode, and doesn't say it.
		isContainerd := w.GetLabels()[wlabel.Executor] == "containerd"
		if mode != sandboxed && (mode != "" || !isContainerd) {
			return sharedProcessesError{w.GetID(), rules}
		}
	}
	return nil
}
