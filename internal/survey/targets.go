package survey

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/policy-frontend/policy-frontend/internal/expansion"
)

// stages are those of a Dockerfile, and what they use.
type stages struct {
	args []instructions.ArgCommand // before the first stage
	list []instructions.Stage
	used map[int]bool // the stages that another one names
}

func readStages(data []byte) (stages, error) {
	list, args, err := expansion.Stages(data)
	if err != nil {
		return stages{}, err
	}
	s := stages{args: args, list: list, used: map[int]bool{}}
	for i, stage := range list {
		s.use(i, stage.BaseName)
		for _, c := range stage.Commands {
			for _, from := range sourcesOf(c) {
				s.use(len(list), from)
				if n, err := strconv.Atoi(from); err == nil {
					s.used[n] = true
				}
			}
		}
	}
	return s, nil
}

// sourcesOf returns the names of the stages and images that a command copies from.
func sourcesOf(c instructions.Command) []string {
	switch c := c.(type) {
	case *instructions.CopyCommand:
		return []string{c.From}
	case *instructions.RunCommand:
		var out []string
		for _, m := range instructions.GetMounts(c) {
			out = append(out, m.From)
		}
		return out
	}
	return nil
}

// use marks the last stage before the limit that has the name.
func (s *stages) use(limit int, name string) {
	for i := min(limit, len(s.list)) - 1; i >= 0 && name != ""; i-- {
		if strings.EqualFold(s.list[i].Name, name) {
			s.used[i] = true
			return
		}
	}
}

// targets returns the targets that a build could choose: the default one, which is "", and each
// stage with a name that no other stage uses.
func (s *stages) targets() []string {
	out := []string{""}
	for i, stage := range s.list {
		if i < len(s.list)-1 && stage.Name != "" && !s.used[i] {
			out = append(out, stage.Name)
		}
	}
	return out
}

// index returns the number of a target's stage. The default target is the last one.
func (s *stages) index(target string) int {
	last := len(s.list) - 1
	if n, err := strconv.Atoi(target); err == nil && n >= 0 && n < last {
		last = n
	}
	for i := range s.list {
		if target != "" && strings.EqualFold(s.list[i].Name, target) {
			last = i
		}
	}
	return last
}

// chain returns the stage of a target, and those that it builds on.
func (s *stages) chain(target string) []instructions.Stage {
	i := s.index(target)
	out := []instructions.Stage{s.list[i]}
	for j := i - 1; j >= 0; j-- {
		if name := s.list[j].Name; name != "" && strings.EqualFold(name, out[len(out)-1].BaseName) {
			out = append(out, s.list[j])
		}
	}
	return out
}

// configLine returns the line that says most about the configuration of a target: that of its last
// USER, or else that of its FROM.
func (s *stages) configLine(target string) int {
	stage := s.list[s.index(target)]
	at := stage.Location
	for _, c := range stage.Commands {
		if user, ok := c.(*instructions.UserCommand); ok {
			at = user.Location()
		}
	}
	if len(at) == 0 {
		return 0
	}
	return at[0].Start.Line
}

// unsetLines returns the lines of commands that use a variable whose value isn't known: an ARG
// without a default that the build doesn't give, or one that is made of such a variable. Those
// that BuildKit sets itself are in the list known. Under a comment that can silence the frontend's
// warning about a variable without a value, each variable counts as such a one.
func (s *stages) unsetLines(given map[string]string, known []string) map[int]bool {
	unset, out := map[string]bool{}, map[int]bool{}
	for _, c := range s.commands() {
		if arg, ok := c.(*instructions.ArgCommand); ok {
			for _, a := range arg.Args {
				_, isGiven := given[a.Key]
				isKnown := isGiven || s.global(a.Key) || slices.Contains(known, a.Key)
				if a.Value == nil && !isKnown {
					unset[a.Key] = true
				}
			}
		}
		for _, v := range expansion.Variables(c) {
			_, isGiven := given[v.Key]
			unset[v.Key] = uses(v.Value, unset) && !isGiven
		}
		text := expanded(c)
		silent := strings.Contains(text, "$") && slices.ContainsFunc(c.Comments(), isLintComment)
		if at := c.Location(); len(at) > 0 && (silent || uses(text, unset)) {
			out[at[0].Start.Line] = true
		}
	}
	return out
}

// isLintComment reports whether a comment above a command can silence the frontend's warnings about
// it, and with them the one about a variable without a value.
func isLintComment(comment string) bool {
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(comment)), "check")
}

// global reports whether an ARG before the first stage has a default for the name.
func (s *stages) global(name string) bool {
	for i := range s.args {
		for _, a := range s.args[i].Args {
			if a.Key == name && a.Value != nil {
				return true
			}
		}
	}
	return false
}

var reference = regexp.MustCompile(`\$\{?(\w+)`)

// uses reports whether the text has one of the variables.
func uses(text string, names map[string]bool) bool {
	for _, m := range reference.FindAllStringSubmatch(text, -1) {
		if names[m[1]] {
			return true
		}
	}
	return false
}
