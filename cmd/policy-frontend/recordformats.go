package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/policy-frontend/policy-frontend/internal/record"
	"github.com/policy-frontend/policy-frontend/internal/replay"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
)

// recordPart is something that the command record prints.
type recordPart interface {
	text() string
	json() any
}

// recordedBuild is a build in a record.
type recordedBuild struct{ *record.Entry }

func (b recordedBuild) json() any { return b.Entry }

// lineOf is a line about a build.
func lineOf(e *record.Entry) string {
	took := ""
	if e.Seconds > 0 {
		took = fmt.Sprintf("%.1fs", e.Seconds)
	}
	return fmt.Sprintf("%s  %-10s %7s  %s  %s\n", e.Began.UTC().Format(time.RFC3339),
		cmp.Or(string(e.Outcome), "no end"), took, safetext.Printable(e.Client.Identity), frontendOf(e))
}

// text is a line about the build, and lines with what was refused.
func (b recordedBuild) text() string {
	var s strings.Builder
	s.WriteString(lineOf(b.Entry))
	for _, x := range b.Exported {
		to := "sent to the client (" + safetext.Printable(x.Type) + ")"
		if x.Type == policy.ExportImage {
			to = "stored as "
			if x.Push {
				to = "pushed to "
			}
			to += printable(x.Names)
		}
		if x.Digest != "" {
			to += " as " + safetext.Printable(x.Digest)
		}
		fmt.Fprintf(&s, "    %s\n", to)
	}
	for _, r := range b.Refusals {
		fmt.Fprintf(&s, "    refused: %s%s\n", shownText(r.Reason), byRule(r.Rule))
	}
	for _, w := range b.Warnings {
		fmt.Fprintf(&s, "    warning: %s\n", shownText(w))
	}
	return s.String()
}

// frontendOf returns what the build was served by, for a person.
func frontendOf(e *record.Entry) string {
	switch {
	case e.Decision == nil:
		return "no frontend"
	case e.Decision.LLB:
		return "LLB of its own"
	}
	return safetext.Printable(cmp.Or(e.Decision.Requested, e.Decision.Image))
}

// shownText returns a text of a record for a person.
func shownText(s string) string { return safetext.OneLine(safetext.Lines(s)) }

func printable(texts []string) string {
	shown := make([]string, len(texts))
	for i, t := range texts {
		shown[i] = safetext.Printable(t)
	}
	return safetext.And(shown)
}

func byRule(rule string) string {
	if rule == "" {
		return ""
	}
	return " (rule " + safetext.Printable(rule) + ")"
}

// recordSum counts builds.
type recordSum struct {
	Builds    int            `json:"builds"`
	Outcomes  map[string]int `json:"outcomes"` // "" for no recorded end
	Clients   map[string]int `json:"clients"`
	Frontends map[string]int `json:"frontends"`
	Refusals  map[string]int `json:"refusals"` // by rule, "" for an unknown one
	Warned    int            `json:"warned"`
	// Omitted are builds that have no line, because a client had too many refused in a second.
	Omitted int `json:"omitted"`
}

// byCount returns what was counted, the most frequent first.
func byCount(counts map[string]int) []string {
	return slices.SortedFunc(maps.Keys(counts), func(x, y string) int {
		return cmp.Or(counts[y]-counts[x], strings.Compare(x, y))
	})
}

func newRecordSum() *recordSum {
	return &recordSum{
		Outcomes: map[string]int{}, Clients: map[string]int{}, Frontends: map[string]int{},
		Refusals: map[string]int{},
	}
}

func (s *recordSum) add(e *record.Entry) {
	s.Builds++
	s.Outcomes[string(e.Outcome)]++
	s.Clients[e.Client.Identity]++
	s.Frontends[frontendOf(e)]++
	for _, r := range e.Refusals {
		s.Refusals[r.Rule]++
	}
	if len(e.Warnings) > 0 {
		s.Warned++
	}
	s.Omitted += e.Omitted["builds"]
}

func (s *recordSum) json() any { return s }

func (s *recordSum) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "builds: %d, with warnings: %d\n", s.Builds, s.Warned)
	for _, list := range []struct {
		name, none string
		counts     map[string]int
	}{
		{"outcomes", "no end", s.Outcomes},
		{"clients", "", s.Clients},
		{"frontends", "", s.Frontends},
		{"refusals by rule", "not known", s.Refusals},
	} {
		if len(list.counts) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s:\n", list.name)
		for _, name := range byCount(list.counts) {
			fmt.Fprintf(&b, "  %6d  %s\n", list.counts[name],
				safetext.Printable(cmp.Or(name, list.none)))
		}
	}
	if s.Omitted > 0 {
		fmt.Fprintf(&b, "%d more builds were refused at once and have no line\n", s.Omitted)
	}
	return b.String()
}

// replayedBuild is a recorded build that another policy would refuse.
type replayedBuild struct {
	entry  *record.Entry
	result replay.Result
}

func (b replayedBuild) json() any {
	type build struct {
		ID       string        `json:"id"`
		Began    time.Time     `json:"began"`
		Client   record.Client `json:"client"`
		Build    string        `json:"build"`
		Frontend string        `json:"frontend"`
		Outcome  string        `json:"outcome,omitempty"`
		replay.Result
	}
	return build{
		b.entry.ID, b.entry.Began, b.entry.Client, b.entry.Build, frontendOf(b.entry),
		string(b.entry.Outcome), b.result,
	}
}

func (b replayedBuild) text() string {
	var s strings.Builder
	s.WriteString(lineOf(b.entry))
	for _, r := range b.result.Refusals {
		fmt.Fprintf(&s, "    would be refused: %s%s\n", shownText(r.Reason), byRule(r.Rule))
	}
	if len(b.result.Refusals) == 0 {
		fmt.Fprintf(&s, "    can't be said without %s\n", shownText(safetext.And(b.result.Unknown)))
	}
	return s.String()
}

// replaySum counts what another policy says about recorded builds.
type replaySum struct {
	// Builds were asked about. Refused of them weren't refused, and would be. Undecidable is how many
	// weren't refused and would perhaps be. Still is how many were refused and would be again. Allowed
	// is how many were refused, and the policy would refuse nothing that is recorded of them.
	Builds      int `json:"builds"`
	Refused     int `json:"refused"`
	Undecidable int `json:"undecidable"`
	Still       int `json:"stillRefused"`
	Allowed     int `json:"noLongerRefused"`
	// Unknown is what the policy wasn't asked about, and in how many builds.
	Unknown map[string]int `json:"unknown"`
}

// add counts a build, and reports whether it is one to print.
func (s *replaySum) add(e *record.Entry, r replay.Result) bool {
	s.Builds++
	for _, what := range r.Unknown {
		s.Unknown[what]++
	}
	was := e.Outcome == record.Refused
	switch {
	case r.Verdict == policy.Deny && was:
		s.Still++
	case r.Verdict == policy.Deny:
		s.Refused++
		return true
	case was:
		s.Allowed++
	case r.Verdict == policy.Undecidable:
		s.Undecidable++
		return true
	}
	return false
}

func (s replaySum) json() any {
	return struct {
		Sum replaySum `json:"sum"`
	}{s}
}

// maxUnknown is how many things that aren't recorded are listed for a person.
const maxUnknown = 10

func (s replaySum) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d builds: %d would be refused that weren't, %d that were would be again, %d that "+
		"were perhaps not\n", s.Builds, s.Refused, s.Still, s.Allowed)
	if s.Undecidable > 0 {
		fmt.Fprintf(&b, "%d depend on a digest that isn't recorded\n", s.Undecidable)
	}
	unknown := byCount(s.Unknown)
	for i, what := range unknown {
		if i == maxUnknown {
			fmt.Fprintf(&b, "not asked about: %d other things\n", len(unknown)-i)
			break
		}
		fmt.Fprintf(&b, "not asked about, in %d builds: %s\n", s.Unknown[what], shownText(what))
	}
	return b.String()
}
