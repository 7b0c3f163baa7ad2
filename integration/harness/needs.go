package harness

import "github.com/Masterminds/semver/v3"

// Skipper is a [T] that can end without a verdict, as every [testing.TB] can.
type Skipper interface {
	T
	Skipf(format string, args ...any)
}

// Needs skips the test on a buildkitd that is older than version, such as "v0.20.0". why
// says what the daemon lacks, not what the product can't do there: a refusal by the
// product on an older daemon is a test of its own.
func (e *Env) Needs(t Skipper, version, why string) {
	t.Helper()
	if e.Older(version) {
		t.Skipf("BuildKit %s is needed, this is %s: %s", version, e.buildkitd.Version, why)
	}
}

// NeedsRoot skips the test on a rootless buildkitd and says why.
func (e *Env) NeedsRoot(t Skipper, why string) {
	t.Helper()
	if e.buildkitd.Rootlesskit != "" {
		t.Skipf("a buildkitd with root is needed, this is rootless: %s", why)
	}
}

// NeedsRootless skips the test on a buildkitd that isn't rootless and says why.
func (e *Env) NeedsRootless(t Skipper, why string) {
	t.Helper()
	if e.buildkitd.Rootlesskit == "" {
		t.Skipf("a rootless buildkitd is needed: %s", why)
	}
}

// NeedsCurrent skips the test unless it runs on the current buildkitd, and says why: the
// daemons don't differ in the subject of the test, and the test takes long.
func (e *Env) NeedsCurrent(t Skipper, why string) {
	t.Helper()
	if e.buildkitd != e.Tools.CurrentBuildkitd() {
		t.Skipf("tested on the current buildkitd only: %s", why)
	}
}

// NeedsOwnDaemon skips the test on a daemon that ran already, see [BuildkitHostVariable],
// and says why: the test looks at the daemon's containers or its log.
func (e *Env) NeedsOwnDaemon(t Skipper, why string) {
	t.Helper()
	if e.existing != nil {
		t.Skipf("a daemon that the test starts is needed, %s is set: %s", BuildkitHostVariable, why)
	}
}

// Older tells whether the daemons are of a version before the given one.
func (e *Env) Older(version string) bool {
	return semver.MustParse(e.buildkitd.Version).LessThan(semver.MustParse(version))
}

// BuildKitVersion returns the version of the daemons, such as "v0.34.2".
func (e *Env) BuildKitVersion() string { return e.buildkitd.Version }
