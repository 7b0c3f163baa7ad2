package guard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/internal/record"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
)

// aDownload is what a refusal is about when a command requested a URL.
const aDownload = "a download"

// maxPlainSources bounds the URLs that a build keeps of sources that look like downloads.
const maxPlainSources = 1000

// downloads is what a build knows of what its commands download. The policy has rules on that, in
// any of its parts: only then the daemon asks.
type downloads struct {
	// lineage is the one that the build is in. It is nil before the decision, and under a policy
	// without such rules.
	lineage *lineage
	inputs  []*lineage // those of the build's inputs
	stop    sync.Once  // of the build, by a refusal

	mu    sync.Mutex
	stops bool // stop is done, or under way
	// inherited are warnings of builds before in the build's lineages. The client doesn't know them
	// yet.
	inherited []string
	open      int             // questions without an answer
	plain     map[string]bool // URLs of sources of which the daemon asks as of a download
	unread    bool            // there may be more of them
	// warned are all warnings about downloads of the commands that the build has had, once it has left
	// its lineage.
	warned []string
	left   bool            // the lineage was left to other builds
	ending bool            // the build has ended, but for open questions
	close  func()          // closes the policy session; nil if there is none
	gone   <-chan struct{} // closed when the daemon has ended the build that was stopped
}

// isDownload reports whether a question may be about a request of a command. The daemon asks about
// a request as about a source of that URL without attributes. The Dockerfile frontend's sources
// have some.
func (b *build) isDownload(source *pb.SourceOp) bool {
	scheme, _, ok := strings.Cut(source.GetIdentifier(), ":")
	return ok && (scheme == "http" || scheme == "https") && len(source.GetAttrs()) == 0 &&
		b.policy.DownloadRules() != ""
}

// begin notes a question. The returned function is called with its answer.
func (d *downloads) begin() func() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open++
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.open--
		d.closeIfDone()
	}
}

// lateTime is how long a command may still run when its build has ended. A build that fails doesn't
// wait for its other commands, which the daemon kills (solver/scheduler.go, build).
const lateTime = 10 * time.Second

// end is called when the build has ended. The policy session stays as long as a question is open,
// and as long as commands whose results others may get can ask: without it, the daemon would
// refuse, and a command might go on before the daemon has ended it.
func (d *downloads) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left && !d.ending && d.close != nil {
		time.AfterFunc(lateTime, d.close)
	}
	d.ending = true
	d.closeIfDone()
}

// isLate reports whether a question comes after the end of the build, or when its lineage has been
// left to other builds: these would get the result, and no warning.
func (d *downloads) isLate() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ending || d.left
}

// closeWith sets what closes the policy session.
func (d *downloads) closeWith(closeSession func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.close = closeSession
	d.closeIfDone()
}

func (d *downloads) closeIfDone() {
	if d.ending && !d.left && d.open == 0 && d.close != nil {
		d.close()
	}
}

// enter begins the build's part in a lineage of builds that have something in common, and returns
// the lineage's id. All frontends of a build are in one lineage.
func (b *build) enter(common string) (id string, err error) {
	d := &b.downloads
	d.mu.Lock()
	defer d.mu.Unlock()
	switch { // a build that has ended leaves no lineage any more
	case d.ending:
		return "", errors.New("the build has ended")
	case d.lineage == nil:
		for _, l := range d.inputs {
			if !b.guard.lineages.join(l, common, b) {
				return "", errors.New("a frontend input comes from a build under other rules on downloads, " +
					"or from one that was refused a download: build both targets together again")
			}
		}
		d.lineage = b.guard.lineages.take(common, b)
		for _, l := range d.lineages() {
			for _, w := range b.guard.lineages.warnings(l) {
				if !slices.Contains(d.inherited, w) {
					d.inherited = append(d.inherited, w)
				}
			}
		}
	case d.lineage.of != common:
		return "", errors.New("other rules on downloads are for the build now than when it began; " +
			"build again")
	}
	return d.lineage.id, nil
}

// leave ends the build's part in its lineage. clean says that the daemon has ended the build by
// itself. A question without an answer says the opposite: the answer may be a warning.
func (b *build) leave(clean bool) {
	d := &b.downloads
	d.mu.Lock()
	clean = clean && d.open == 0
	l, inputs, all := d.lineage, d.inputs, d.lineages()
	d.lineage, d.inputs = nil, nil
	d.left = d.left || clean && l != nil
	d.mu.Unlock()
	if l != nil {
		if !clean {
			b.proof.speaksAgainst("a command still asked for a download when it ended")
			for _, spoiled := range all {
				b.guard.lineages.spoil(spoiled, errEndedEarly, b)
			}
		}
		d.noteWarned(b.guard.lineages.warnings(l))
	}
	for _, input := range inputs {
		d.noteWarned(b.guard.lineages.warnings(input))
		b.guard.lineages.leave(input, b)
	}
	if l != nil {
		b.guard.lineages.done(l, b)
	}
}

func (d *downloads) noteWarned(warnings []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.warned = append(d.warned, warnings...)
}

// warnings returns the warnings about downloads of the commands that the build has had. It has left
// its lineage.
func (d *downloads) warnings() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.warned
}

// spoil keeps other builds from results of this one's commands. It stops those under way that may
// get some.
func (b *build) spoil(why error) {
	for _, l := range b.lineagesOf() {
		b.guard.lineages.spoil(l, why, b)
	}
}

// stop implements [lineageUser].
func (b *build) stop(why error) { b.cancel(why) }

// hasInput reports whether the client may build on a result of its own as an input, and notes whose
// commands the build then has. An input is chosen before the build is in a lineage.
func (b *build) hasInput(opts map[string]string, id string) bool {
	name := b.asResults(opts, []string{id})[0]
	known, by := b.guard.results.has(b.who, name)
	if !known {
		return false
	}
	b.proof.buildsOn(by)
	if b.policy.DownloadRules() == "" {
		return true
	}
	made := b.guard.lineages.of(b.who, name)
	d := &b.downloads
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range made {
		switch {
		case slices.Contains(d.inputs, l):
		case d.lineage != nil:
			return false
		default:
			d.inputs = append(d.inputs, l)
		}
	}
	return len(made) > 0
}

// made remembers the results that the client may build on, by the names of [build.asResults], and
// what a summary of what builds on them needs to know.
func (b *build) made(names []string, by madeBy) {
	b.guard.results.add(b.who, names, by)
	all := b.lineagesOf()
	if len(all) == 0 {
		return
	}
	for _, name := range names {
		b.guard.lineages.note(b.who, name, all)
	}
}

// lineagesOf returns the lineages of the build's commands.
func (b *build) lineagesOf() []*lineage {
	b.downloads.mu.Lock()
	defer b.downloads.mu.Unlock()
	return b.downloads.lineages()
}

// lineages is [build.lineagesOf] under the lock.
func (d *downloads) lineages() []*lineage {
	if d.lineage == nil {
		return nil
	}
	return append(slices.Clone(d.inputs), d.lineage)
}

// noteSources remembers the sources in a definition about which the daemon asks as about downloads.
func (b *build) noteSources(def *pb.Definition) {
	if b.policy.DownloadRules() == "" {
		return
	}
	for f, err := range llbops.FromDefinition(def) {
		if err != nil {
			b.downloads.mu.Lock()
			b.downloads.unread = true
			b.downloads.mu.Unlock()
			return
		}
		if f.Source != nil && b.isDownload(f.Source) {
			b.notePlain(f.Source.GetIdentifier())
		}
	}
}

func (b *build) notePlain(url string) {
	d := &b.downloads
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.plain == nil {
		d.plain = map[string]bool{}
	}
	if len(d.plain) >= maxPlainSources {
		d.unread = true
		return
	}
	d.plain[url] = true
}

// isSource reports whether the build may have a source of this URL.
func (b *build) isSource(url string) bool {
	d := &b.downloads
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.plain[url] || d.unread
}

// judgeDownload judges a request of a command by the decision on the frontend. If the build has a
// source of the same URL, nobody knows of which of the two a question is, so both have to be
// allowed. It returns what is read instead of the source.
func (b *build) judgeDownload(
	ctx context.Context, source *pb.SourceOp, platform *pb.Platform,
) (*pb.SourceOp, error) {
	url, choice := source.GetIdentifier(), b.chosen()
	ruling, err := choice.JudgeDownload(ctx, url)
	var instead *pb.SourceOp
	if err == nil && b.isSource(url) {
		instead, err = b.judge(ctx, source, platform, false)
	}
	switch {
	case err != nil:
		b.record.download(url, policy.Deny, ruleBehind(err))
		return nil, err
	case ruling.Verdict == policy.Warn:
		b.record.download(url, policy.Warn, boundedRule(ruling.Layer, ruling.Rule))
		b.warnOf(ctx, ruling.Reason)
	default:
		b.record.download(url, policy.Allow, RuleOf(choice.Decision))
	}
	if instead != nil { // a command isn't served what is read instead
		b.spoil(errNotServed)
	}
	return instead, nil
}

// warnOf has the client warned about a download, and the builds that follow in the build's
// lineages: they may get the result from the cache. Nobody knows of which lineage the command is.
func (b *build) warnOf(ctx context.Context, reason string) {
	isNew := false
	for _, l := range b.lineagesOf() {
		isNew = b.guard.lineages.warn(l, reason) || isNew
	}
	if !isNew {
		return
	}
	steps, _, stop := b.runningSteps(ctx)
	stop()
	b.showWarning(ctx, reason, steps)
}

// warnAgain has the client warned about what builds before in the lineage have downloaded. The
// build may have their results from the cache.
func (b *build) warnAgain(ctx context.Context) {
	b.downloads.mu.Lock()
	warnings := b.downloads.inherited
	b.downloads.inherited = nil
	b.downloads.mu.Unlock()
	b.record.inherited(warnings)
	for _, w := range warnings {
		b.showAlone(ctx, w)
	}
}

// refuseDownload refuses the whole build for what a command requested, and returns when the command
// can't end well any more. Only then may it see the refusal: it might go on without what it
// requested, and so might the build.
func (b *build) refuseDownload(ctx context.Context, why error) {
	rule, reason := ruleBehind(why), why.Error()
	if d, ok := frontend.DecisionOf(why); ok {
		reason = d.Reason
	}
	b.record.refusal(aDownload, rule, reason)
	b.guard.noteRefusal(b.who, aDownload, shortName(aDownload), rule, reason, "build", b.client)
	b.downloads.mu.Lock()
	b.downloads.stops = true
	b.downloads.mu.Unlock()
	b.downloads.stop.Do(func() {
		steps, gone, _ := b.runningSteps(ctx) // until the daemon has ended the build
		b.downloads.mu.Lock()
		b.downloads.gone = gone
		b.downloads.mu.Unlock()
		b.cancel(refusedDownloadError{why, steps})
		b.spoil(refusedDownloadError{why, steps})
	})
	b.downloads.mu.Lock()
	gone := b.downloads.gone
	b.downloads.mu.Unlock()
	select {
	case <-ctx.Done(): // the command has ended, or the time for an answer
	case <-gone:
	}
}

// refuseUnread refuses the whole build for a question that nobody could judge: a command may have
// asked it, and was refused already.
func (b *build) refuseUnread(err error) {
	if b.policy.DownloadRules() == "" { // then it was about a source, and the build fails by itself
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), answerTimeout)
	defer cancel()
	b.refuseDownload(ctx, fmt.Errorf("a question of the daemon can't be read, such as one about a URL "+
		"that is too long or isn't text: %s", status.Convert(err).Message()))
}

// awaitStop waits until the build is stopped, if a download was refused. The daemon may have ended
// the build before.
func (b *build) awaitStop() {
	b.downloads.mu.Lock()
	stops := b.downloads.stops
	b.downloads.mu.Unlock()
	if stops {
		b.downloads.stop.Do(func() {})
	}
}

// errNotServed stops builds that share commands with one in which a request may have failed.
var errNotServed = brokenError("a request of a command that it shares with another build may " +
	"have failed; build again")

// errEndedEarly stops builds that share commands with one that was ended while these may have run.
var errEndedEarly = brokenError("another build of the client has ended early, and it shares " +
	"commands with that one; build again")

// refusedDownloadError is why a build was ended for what a command requested.
type refusedDownloadError struct {
	why   error
	steps []shownStep // that ran then
}

// Error implements error.
func (e refusedDownloadError) Error() string { return e.why.Error() }

// maxSteps is how many of the steps that ran a refusal names.
const maxSteps = 3

// status returns the refusal as the error of a call.
func (e refusedDownloadError) status() error {
	var s strings.Builder
	s.WriteString("policy-guard refuses a download: ")
	s.WriteString(e.why.Error())
	for i, step := range e.steps {
		label := "command:"
		if len(e.steps) > 1 {
			label = "one of:"
		}
		if i == maxSteps {
			fmt.Fprintf(&s, "\n  %-13s %d more", "", len(e.steps)-maxSteps)
			break
		}
		if i > 0 {
			label = ""
		}
		fmt.Fprintf(&s, "\n  %-13s %s", label, safetext.Printable(step.name))
	}
	return status.Error(codes.PermissionDenied, s.String())
}

// inherited notes warnings of builds before in the lineage.
func (b *buildRecord) inherited(warnings []string) {
	if b == nil || len(warnings) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.warn(warnings)
}

// download notes a request of a command, once for each answer.
func (b *buildRecord) download(url string, v policy.Verdict, rule string) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	d := record.Download{URL: logText(url), Verdict: string(v), Rule: logText(rule)}
	key := strings.Join([]string{aDownload, d.URL, d.Verdict, d.Rule}, "\x00")
	if at, known := b.places[key]; known {
		b.entry.Downloads[at].Times++
		return
	}
	if d.Times = 1; !b.room(downloadsList, d.URL, d.Verdict, d.Rule) {
		return
	}
	b.places[key] = len(b.entry.Downloads)
	b.entry.Downloads = append(b.entry.Downloads, d)
}
