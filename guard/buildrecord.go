package guard

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/internal/record"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
)

const (
	// maxRecorded bounds the texts in the record of a build, in bytes. In JSON, with the names of
	// their fields, they take less than twice as much: see [record.MaxLine].
	maxRecorded = 2 << 20
	// reservedShare is what each of three kinds of items has of that for itself: see [roomFor].
	reservedShare = maxRecorded / 12
	// heldByItem is about what an item of a list takes beside its texts, in bytes.
	heldByItem = 200
	// shortestHidden is the length of the shortest value of a build-arg that is removed from reasons.
	// Shorter ones are parts of words.
	shortestHidden = 6
)

// buildRecord is what is recorded of one build. All of its exported uses are methods that can be
// called for nil, which records nothing, and by several goroutines at once.
type buildRecord struct {
	recorder *recorder
	who      Identity

	mu      sync.Mutex
	entry   record.Entry
	begun   bool
	done    bool
	size    int               // of the texts
	held    int               // by the values
	account *account          // of the build; nil before it has begun
	places  map[string]int    // in the sources, by what tells them apart, and by reference
	values  map[string]bool   // of build-args, which no reason has
	hide    *strings.Replacer // of the values; nil if there are further ones
	blind   bool              // some values couldn't be kept
	choice  *frontend.Choice  // that is in force
}

// openRecord begins to record what a client asks for, and writes nothing yet. end must be called.
func (c *call) openRecord(req *controlapi.SolveRequest, under *Policy) *buildRecord {
	r := c.guard.recorder
	if r == nil {
		return nil
	}
	b := &buildRecord{recorder: r, who: c.who, places: map[string]int{}, values: map[string]bool{}}
	b.entry = record.Entry{
		Version: record.Version, ID: newID(), Began: r.clock().UTC(), Build: logText(req.Ref),
		Client: recordedClient(c),
		Policy: documentOf(under.Identity()),
	}
	b.began(req)
	return b
}

func documentOf(id policy.Identity) record.Document {
	return record.Document{ID: logText(id.ID), Digest: id.Digest.String()}
}

// begin writes that the build begins. Without that, it must not begin.
func (b *buildRecord) begin(a *account) error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	line, err := b.line(record.Begun)
	if err != nil {
		return err
	}
	if _, ok := a.tryTake(b.size + b.held + len(line)); !ok {
		return errMemory
	}
	if err := b.recorder.begin(b.entry.ID, line); err != nil {
		return err
	}
	b.begun, b.account = true, a
	return nil
}

// line returns the entry as it is now.
func (b *buildRecord) line(e record.Event) ([]byte, error) {
	b.entry.Event, b.entry.Time = e, b.recorder.clock().UTC()
	line, err := b.entry.Line()
	if err != nil {
		b.recorder.log.Error("a build can't be recorded", "build", b.entry.Build, "why",
			logText(err.Error()))
		return nil, errUnrecorded
	}
	return line, nil
}

// finished notes that the build has succeeded, and what the daemon says about its result.
func (b *buildRecord) finished(resp *controlapi.SolveResponse) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done = true
	digest := resp.GetExporterResponse()[exptypes.ExporterImageDigestKey]
	images := 0
	for _, x := range b.entry.Asked.Exports {
		if makesImage(x.Type) {
			images++
		}
	}
	for _, x := range b.entry.Asked.Exports {
		exported := record.Exported{Export: x}
		if makesImage(x.Type) && images == 1 { // the answer has one digest, of any of them
			exported.Digest = logText(digest)
		}
		b.entry.Exported = append(b.entry.Exported, exported)
	}
}

// end writes how the build has ended. err is what the client got, ctx is that of its call.
func (b *buildRecord) end(ctx context.Context, err error) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var omitted int
	if b.begun {
		omitted = b.recorder.early.takeOmitted(b.who)
	} else {
		before, ok := b.recorder.early.admit(b.who)
		if !ok {
			return
		}
		omitted = before
	}
	if omitted > 0 {
		b.omit("builds", omitted)
	}
	if b.choice != nil {
		b.warn(b.choice.Decided().Warnings)
	}
	e := &b.entry
	switch {
	case b.done:
		e.Outcome = record.Done
	case len(e.Refusals) > 0 || e.Omitted[refusalsList] > 0:
		e.Outcome = record.Refused
	case ctx.Err() != nil && b.recorder.isEnding():
		e.Outcome = record.BrokenOff
	case ctx.Err() != nil && !brokeOff(err):
		e.Outcome = record.Canceled
	default:
		e.Outcome = record.Failed
	}
	if !b.done {
		e.Code = status.Code(err).String()
		if err == nil { // a panic
			e.Code = codes.Internal.String()
		}
	}
	e.Seconds = b.recorder.clock().Sub(e.Began).Round(time.Microsecond).Seconds()
	if line, err := b.line(record.Ended); err == nil {
		b.recorder.end(e.ID, line)
	}
}

// brokeOff reports whether the daemon was lost, or policy-guard ended the build. A client learns of
// that from other calls too, and may end its own call before it has the answer.
func brokeOff(err error) bool {
	return slices.Contains([]codes.Code{codes.Unavailable, codes.Aborted}, status.Code(err))
}

// makesImage reports whether an exporter makes an image with a digest.
func makesImage(exporter string) bool {
	return exporter == policy.ExportImage || exporter == client.ExporterOCI ||
		exporter == client.ExporterDocker
}

// The names of lists, in [record.Entry].Omitted.
const (
	sourcesList   = "sources"
	refusalsList  = "refusals"
	warningsList  = "warnings"
	downloadsList = "downloads"
)

// roomFor returns how many bytes the texts of all items may have if one with these texts is added
// to the list of that name.
//
// A command chooses how many requests, warnings and refused sources there are. So each of these
// leaves room for what says more about the build.
func roomFor(list string, texts []string) int {
	switch {
	case list == refusalsList && texts[0] == aSource: // commands can go on after these
		return maxRecorded - reservedShare
	case list == refusalsList:
		return maxRecorded
	case list == warningsList:
		return maxRecorded - 2*reservedShare
	}
	return maxRecorded - 3*reservedShare
}

// room reports whether there is room for an item with these texts in the list of that name. If
// not, the item counts as omitted.
func (b *buildRecord) room(list string, texts ...string) bool {
	size := heldByItem
	for _, s := range texts {
		size += len(s)
	}
	ok := b.size+size <= roomFor(list, texts)
	if ok && b.account != nil {
		_, ok = b.account.tryTake(size)
	}
	if !ok {
		b.omit(list, 1)
		return false
	}
	b.size += size
	return true
}

func (b *buildRecord) omit(list string, n int) {
	if b.entry.Omitted == nil {
		b.entry.Omitted = map[string]int{}
	}
	b.entry.Omitted[list] += n
}

// reason is [logText] for a text that can repeat what the client has sent.
func (b *buildRecord) reason(s string) string {
	if b.blind {
		return safetext.Hidden
	}
	if b.hide == nil {
		forms := map[string]bool{}
		for v := range b.values {
			forms[v] = true
			// Messages repeat it in this form, and cut it.
			forms[strings.TrimSuffix(safetext.Printable(v), "…")] = true
		}
		var pairs []string
		longerFirst := func(v, w string) int { return len(w) - len(v) } // it may begin with a shorter one
		for _, v := range slices.SortedFunc(maps.Keys(forms), longerFirst) {
			pairs = append(pairs, v, safetext.Hidden)
		}
		b.hide = strings.NewReplacer(pairs...)
	}
	return logText(b.hide.Replace(s))
}

// refused notes that something was refused. what is as in the log.
func (b *buildRecord) refused(what string, why error) {
	if b != nil {
		b.refusal(what, ruleBehind(why), why.Error())
	}
}

// refusal is refused for a rule, which is "" if it isn't known.
func (b *buildRecord) refusal(what, rule, why string) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r := record.Refusal{What: what, Rule: logText(rule), Reason: b.reason(why)}
	if b.room(refusalsList, r.What, r.Rule, r.Reason) {
		b.entry.Refusals = append(b.entry.Refusals, r)
	}
}

// denied notes that the policy refuses what a frontend or LLB of the client's own is.
func (b *buildRecord) denied(what string, d policy.Decision) {
	b.decided(d)
	b.refusal(what, RuleOf(d), d.Reason)
}

// chosen notes what the build goes on with. Its warnings are those that it has in the end.
func (b *buildRecord) chosen(c *frontend.Choice) {
	if b == nil {
		return
	}
	b.decided(c.Decision)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.choice = c
}

// decided notes a decision. The first one that allows something stays.
func (b *buildRecord) decided(d policy.Decision) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if before := b.entry.Decision; before != nil && before.Verdict != string(policy.Deny) {
		return
	}
	b.entry.Decision = &record.Decision{
		Verdict: string(d.Verdict), LLB: d.Rule == policy.LLBRule, Requested: logText(d.Requested),
		Image: logText(d.Image), Digest: d.Reference.Digest().String(), Dispatch: string(d.Dispatch),
		Rule: logText(d.Rule), Layer: d.Layer, Reason: b.reason(d.Reason),
	}
	if d.Overlay != nil {
		overlay := documentOf(*d.Overlay)
		b.entry.Decision.Overlay = &overlay
	}
	b.warn(d.Warnings)
}

// reported notes the warnings in the decision that the policy frontend's image reports with its
// result.
func (b *buildRecord) reported(decision []byte) {
	var d struct{ Warnings []string }
	if b == nil || json.Unmarshal(decision, &d) != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.warn(d.Warnings)
}

// warn notes warnings of the policy, each once. mu is held.
func (b *buildRecord) warn(warnings []string) {
	for _, w := range warnings {
		w = b.reason(w)
		if !slices.Contains(b.entry.Warnings, w) && b.room(warningsList, w) {
			b.entry.Warnings = append(b.entry.Warnings, w)
		}
	}
	if d := b.entry.Decision; d != nil && d.Verdict == string(policy.Allow) && len(warnings) > 0 {
		d.Verdict = string(policy.Warn)
	}
}

// recordedClient returns the client of a call with all names by which a policy knows it.
func recordedClient(c *call) record.Client {
	recorded := record.Client{Identity: logText(string(c.who))}
	names, err := json.Marshal(c.client)
	if err == nil { // it is null for a client without names
		err = json.Unmarshal(names, &recorded)
	}
	if err != nil {
		c.guard.log.Error("internal: the names of a client aren't recorded", "client",
			recorded.Identity, "why", err)
	}
	return recorded
}
