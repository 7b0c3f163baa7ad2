//go:build !image

package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/policy-frontend/policy-frontend/internal/lint"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/internal/survey"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

const checkURL = projectURL + "/blob/main/docs/check.md"

// The words for what check finds, which are codes in SARIF and GitHub's format.
const (
	wordRefused    lint.Code = "refused"
	wordWarned     lint.Code = "warned"
	wordUnknown    lint.Code = "unknown"
	wordUnreadable lint.Code = "unreadable"
)

// checkLevels are the levels of the words, in the order of SARIF's rules.
var checkLevels = []struct {
	word  lint.Code
	level lint.Level
}{
	{wordRefused, lint.Error},
	{wordWarned, lint.Warning},
	{wordUnknown, lint.Note},
	{wordUnreadable, lint.Error},
}

func wordOf(v policy.Verdict) lint.Code {
	switch v {
	case policy.Deny:
		return wordRefused
	case policy.Warn:
		return wordWarned
	}
	return wordUnknown
}

// counted is how often something was refused or caused a warning.
type counted struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// tally counts the findings that refuse or warn, by a name that isn't empty. The most frequent
// name comes first.
func (r checkReport) tally(name func(survey.Finding) string) []counted {
	counts := map[string]int{}
	for _, f := range r.findings {
		if n := name(f); n != "" && f.Verdict != policy.Undecidable {
			counts[n]++
		}
	}
	out := []counted{}
	for _, n := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, counted{n, counts[n]})
	}
	slices.SortStableFunc(out, func(a, b counted) int { return b.Count - a.Count })
	return out
}

func (r checkReport) byRule() []counted {
	return r.tally(func(f survey.Finding) string {
		if f.Rule == policy.BuildRule {
			return policy.BuildRule + "." + f.Kind
		}
		return f.Rule
	})
}

func (r checkReport) byImage() []counted {
	return r.tally(func(f survey.Finding) string { return f.Image })
}

// json has the findings of all builds, and a summary.
func (r checkReport) json() any {
	type summary struct {
		Files      int       `json:"files"`
		Builds     int       `json:"builds"`
		Refused    int       `json:"refused"`
		Warned     int       `json:"warned"`
		Unknown    int       `json:"unknown"`
		Unreadable int       `json:"unreadable"`
		ByRule     []counted `json:"byRule"`
		ByImage    []counted `json:"byImage"`
	}
	type build struct {
		File     string         `json:"file"`
		Build    string         `json:"build,omitempty"`
		Frontend string         `json:"frontend,omitempty"`
		Targets  []string       `json:"targets"`
		Images   []string       `json:"images"`
		Verdict  policy.Verdict `json:"verdict"`
	}
	builds := []build{}
	for _, res := range r.results {
		b := build{res.File, res.Build, res.Frontend, res.Targets, res.Images, res.Verdict}
		if b.Targets == nil {
			b.Targets = []string{}
		}
		if b.Images == nil {
			b.Images = []string{}
		}
		builds = append(builds, b)
	}
	findings, broken := r.findings, r.broken
	if findings == nil {
		findings = []survey.Finding{}
	}
	if broken == nil {
		broken = []brokenFile{}
	}
	return struct {
		Builds     []build          `json:"builds"`
		Findings   []survey.Finding `json:"findings"`
		Unreadable []brokenFile     `json:"unreadable"`
		Summary    summary          `json:"summary"`
	}{builds, findings, broken, summary{
		r.files(), len(r.results), r.count(policy.Deny), r.count(policy.Warn),
		r.count(policy.Undecidable), len(r.broken), r.byRule(), r.byImage(),
	}}
}

// text writes one line for each finding, and a summary.
func (r checkReport) text() string {
	var b strings.Builder
	for _, f := range r.findings {
		fmt.Fprintf(&b, "%s: %s: %s\n", placeIn(f.File, f.Line), wordOf(f.Verdict), r.message(f))
		for _, m := range f.Messages {
			fmt.Fprintf(&b, "    message: %s\n", safetext.Lines(m))
		}
		if f.Verdict == policy.Deny && f.Kind == survey.KindFrontend && len(f.Allowed) > 0 {
			fmt.Fprintf(&b, "    allowed: %s\n", strings.Join(f.Allowed, ", "))
		}
	}
	for _, f := range r.broken {
		fmt.Fprintf(&b, "%s: %s: %s\n", placeIn(f.File, f.Line), wordUnreadable,
			safetext.Lines(f.Message))
	}
	fmt.Fprintf(&b, "%s, %s: %d refused, %d warned, %d unknown, %d unreadable\n",
		several(r.files(), "file"), several(len(r.results), "build"), r.count(policy.Deny),
		r.count(policy.Warn), r.count(policy.Undecidable), len(r.broken))
	if n := r.images(); n > 0 {
		fmt.Fprintf(&b, "Not known offline: ONBUILD instructions of base images, and what the tags of %s "+
			"point to when a build runs\n", several(n, "image"))
	}
	if r.files() > 1 {
		tallyText(&b, "By rule", r.byRule())
		tallyText(&b, "By image", r.byImage())
	}
	return b.String()
}

// images returns how many images builds would look up.
func (r checkReport) images() int {
	images := map[string]bool{}
	for _, res := range r.results {
		for _, name := range res.Images {
			images[name] = true
		}
	}
	return len(images)
}

// several returns a number of things, such as "2 files".
func several(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// maxTally is how many lines of each count people see.
const maxTally = 20

func tallyText(b *strings.Builder, title string, counts []counted) {
	if len(counts) == 0 {
		return
	}
	fmt.Fprintf(b, "%s:\n", title)
	for _, c := range counts[:min(len(counts), maxTally)] {
		fmt.Fprintf(b, "  %4d  %s\n", c.Count, safetext.Plain(c.Name))
	}
	if more := len(counts) - maxTally; more > 0 {
		fmt.Fprintf(b, "        and %d more\n", more)
	}
}

func placeIn(file string, line int) string {
	file = safetext.Plain(file)
	if line > 0 {
		return fmt.Sprintf("%s:%d", file, line)
	}
	return file
}

// message is the finding's reason in one line, and where else it comes from.
func (checkReport) message(f survey.Finding) string {
	text := strings.ReplaceAll(safetext.Lines(f.Reason), "\n", " ")
	named := f.Kind == "file" || f.Kind == string(buildrules.KindConfig)
	if f.Verdict == policy.Undecidable && !named {
		text = safetext.Lines(f.Asked) + ": " + text
	}
	var in []string
	if f.Target != "" {
		in = append(in, "target "+safetext.Quote(f.Target))
	}
	if f.Build != "" {
		in = append(in, safetext.Lines(f.Build))
	}
	if len(in) > 0 {
		text += " (in " + strings.Join(in, ", ") + ")"
	}
	return text
}

// asLint returns the findings in the form of lint's, whose formats serve for these too.
func (r checkReport) asLint() []finding {
	var out []finding
	for _, f := range r.findings {
		word := wordOf(f.Verdict)
		out = append(out, finding{
			Code: word, Level: levelOf(word), File: f.File, Line: f.Line, Message: r.message(f),
		})
	}
	for _, f := range r.broken {
		out = append(out, finding{
			Code: wordUnreadable, Level: levelOf(wordUnreadable), File: f.File, Line: f.Line,
			Message: safetext.Lines(f.Message),
		})
	}
	return out
}

func levelOf(word lint.Code) lint.Level {
	for _, l := range checkLevels {
		if l.word == word {
			return l.level
		}
	}
	return lint.Error
}

func (r checkReport) github() string { return github(r.asLint()) }

func (r checkReport) sarif() sarifLog {
	out := sarif(r.asLint())
	rules := []sarifRule{}
	for _, l := range checkLevels {
		rules = append(rules, sarifRule{
			string(l.word), checkURL + "#" + string(l.word), sarifConfig{l.level},
		})
	}
	out.Runs[0].Tool.Driver.Rules = rules
	return out
}

// junit writes a suite for each file and a case for each build of it. A case fails if something is
// refused, or if the build can't be checked. Warnings and what is unknown are in the suite's
// output.
func (r checkReport) junit(w io.Writer) error {
	suites := map[string]*junitSuite{}
	suite := func(file string) *junitSuite {
		if suites[file] == nil {
			suites[file] = &junitSuite{Name: file}
		}
		return suites[file]
	}
	fail := func(file, name string, line int, problems []string) {
		s := suite(file)
		c := junitCase{Name: name, Class: file, File: file, Line: line}
		if len(problems) > 0 {
			s.Failures++
			c.Failure = &junitFailure{Message: problems[0], Text: strings.Join(problems, "\n")}
		}
		s.Tests++
		s.Cases = append(s.Cases, c)
	}
	for _, res := range r.results {
		var refused []string
		line := max(1, res.Line)
		for _, f := range res.Findings {
			text := placeIn(f.File, f.Line) + ": " + r.message(f)
			if f.Verdict != policy.Deny {
				suite(res.File).Output += text + "\n"
				continue
			}
			if len(refused) == 0 {
				line = max(1, f.Line)
			}
			refused = append(refused, text)
		}
		if res.Error != "" {
			refused = append(refused, placeIn(res.File, res.Line)+": "+res.Error)
		}
		name := res.Build
		if name == "" {
			name = "build"
		}
		fail(res.File, name, line, refused)
	}
	for _, f := range r.broken[len(r.broken)-r.problems:] {
		fail(f.File, "build", f.Line, []string{placeIn(f.File, f.Line) + ": " + f.Message})
	}
	out := junitSuites{Suites: []junitSuite{}}
	for _, file := range slices.Sorted(maps.Keys(suites)) {
		out.Suites = append(out.Suites, *suites[file])
	}
	data, err := xml.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, xml.Header+string(data)+"\n")
	return err
}

// progress shows how many builds are checked, on one line of a terminal.
type progress struct {
	terminal io.Writer // nil for anything else
	total    int

	mu   sync.Mutex
	done int
}

// progressStep is after how many builds the line changes.
const progressStep = 25

func newProgress(stderr io.Writer, total int) *progress {
	p := progress{total: total}
	if f, ok := stderr.(*os.File); ok && total > progressStep {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			p.terminal = f
		}
	}
	return &p
}

func (p *progress) step() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	if p.terminal != nil && p.done%progressStep == 0 {
		fmt.Fprintf(p.terminal, "\r%d of %d builds checked", p.done, p.total)
	}
}

// end clears the line.
func (p *progress) end() {
	if p.terminal != nil {
		fmt.Fprint(p.terminal, "\r\x1b[K")
	}
}
