package survey

import (
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// dependsOnVariable is why an answer isn't known.
const dependsOnVariable = "it depends on a variable that the build file doesn't set: a build-arg " +
	"or the base image may set it"

// expanded returns the text of a command in which the frontend replaces variables. Those of a
// command line are the shell's.
func expanded(c instructions.Command) string {
	run, ok := c.(*instructions.RunCommand)
	if !ok {
		return fmt.Sprint(c)
	}
	return strings.Join(uncertainFlags(run), " ")
}

// uncertainFlags returns the flags of a RUN that name secrets, ssh agents and devices.
func uncertainFlags(run *instructions.RunCommand) []string {
	var out []string
	words := strings.Fields(run.String())
	for _, w := range words[min(1, len(words)):] {
		if w == `\` {
			continue
		}
		if !strings.HasPrefix(w, "--") {
			break
		}
		w = strings.ReplaceAll(w, `"`, "")
		lower := strings.ToLower(w)
		if strings.Contains(lower, "type=secret") || strings.Contains(lower, "type=ssh") ||
			strings.HasPrefix(lower, "--device") {
			out = append(out, w)
		}
	}
	return out
}

// addUnset adds that the sources of an ADD with an unset variable can be URLs. The frontend takes
// them for files.
func (c *conversion) addUnset() {
	fetched := map[int]bool{}
	for _, a := range c.out.asked {
		if a.HTTP != nil || a.Git != nil {
			fetched[a.line] = true
		}
	}
	for _, command := range c.stages.commands() {
		add, ok := command.(*instructions.AddCommand)
		if !ok || len(add.Location()) == 0 {
			continue
		}
		line := add.Location()[0].Start.Line
		if !c.undefined[line] || fetched[line] {
			continue
		}
		for _, source := range add.SourcePaths {
			if canBeURL(source) {
				c.out.asked = append(c.out.asked, asked{
					line: line, may: []buildrules.Kind{buildrules.KindHTTP, buildrules.KindGit},
					text: "an ADD of " + source,
				})
			}
		}
	}
}

// canBeURL reports whether the source of an ADD can be a URL once its variables have values. A "/"
// comes after the scheme or the host.
func canBeURL(source string) bool {
	before, _, ok := strings.Cut(source, "$")
	return ok && (!strings.Contains(before, "/") || strings.Contains(before, ":") ||
		strings.HasPrefix(before, "github.com/"))
}

// unsure returns the parts of a target's configuration that depend on unset variables, as rules
// name them. A part with "=" is about values alone.
func (c *conversion) unsure(target string) map[string]bool {
	out := map[string]bool{}
	for _, stage := range c.stages.chain(target) {
		for _, command := range stage.Commands {
			at := command.Location()
			if len(at) == 0 || !c.undefined[at[0].Start.Line] {
				continue
			}
			switch command := command.(type) {
			case *instructions.UserCommand:
				out["user"] = true
			case *instructions.ExposeCommand:
				out["ports"] = true
			case *instructions.VolumeCommand:
				out["volumes"] = true
			case *instructions.EnvCommand:
				out[partOf("env", command.Env)] = true
			case *instructions.LabelCommand:
				out[partOf("labels", command.Labels)] = true
			}
		}
	}
	return out
}

// partOf returns the name if a key has a variable, or else the name and "=".
func partOf(name string, pairs instructions.KeyValuePairs) string {
	for _, p := range pairs {
		if strings.Contains(p.Key, "$") {
			return name
		}
	}
	return name + "="
}

// restricts reports whether rules are about one of the parts; see [conversion.unsure].
func (s *Survey) restricts(parts map[string]bool) bool {
	required, forbidden := s.words()
	for _, w := range []words{required, forbidden} {
		for about, entries := range w {
			if parts[about] {
				return true
			}
			for _, e := range entries {
				if parts[about+"="] && strings.Contains(e, "=") {
					return true
				}
			}
		}
	}
	return false
}

// uncertain returns the answer, or Undecidable if the answer depends on an unset variable. What is
// refused without a value stays refused, unless the value is most of it, as of a URL.
func (c *check) uncertain(d policy.Decision, a asked, answer opcheck.Answer) opcheck.Answer {
	k, err := a.Kind()
	depends := false
	switch {
	case err != nil || !d.Restricts(k):
	case a.HTTP != nil || a.Git != nil:
		depends = a.variable
	case answer.Verdict == policy.Deny:
	case a.Exec != nil:
		depends = a.variable && len(a.Exec.Secrets)+len(a.Exec.SSH)+len(a.Exec.Devices) > 0
	case a.Config != nil:
		depends = c.survey.restricts(a.unsure)
	}
	if depends {
		answer.Verdict, answer.Rule, answer.Layer = policy.Undecidable, "", ""
		answer.Reason = dependsOnVariable
	}
	return answer
}

// perhaps answers for an operation of which only the kinds that it may have are known.
func (c *check) perhaps(d policy.Decision, a asked) opcheck.Answer {
	for _, k := range a.may {
		if d.Restricts(k) {
			return opcheck.Answer{
				Verdict: policy.Undecidable, Asked: a.text, Reason: dependsOnVariable,
			}
		}
	}
	return opcheck.Answer{Verdict: policy.Allow, Asked: a.text}
}
