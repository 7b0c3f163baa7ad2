package survey

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// somebody is a user that an image may set and that a rule hardly names.
const somebody = "some-user-of-the-image"

// config answers for the configuration of an image whose base image isn't known. What the build
// file sets is known; the base image can add labels, variables, ports, volumes, a command, and a
// user if the file sets none. The answer is one only if it is the same for all that it may add, as
// far as the policy's own words tell: it is tried with all that rules require, and with all that
// they forbid.
func (s *Survey) config(d policy.Decision, known buildrules.Config) opcheck.Answer {
	ask := func(c buildrules.Config) opcheck.Answer {
		return opcheck.Check(s.Layers, s.request(), d, buildrules.Operation{Config: &c})
	}
	// Most base images have a command.
	likely := known
	if len(known.Entrypoint)+len(known.Cmd) == 0 {
		likely.Cmd = []string{somebody}
	}
	answer := ask(likely)
	asked := buildrules.Operation{Config: &known}.Describe()
	answer.Asked = asked
	readings := s.readings(known)
	for _, c := range readings {
		if other := ask(c); other.Verdict != answer.Verdict {
			if answer.Verdict == policy.Allow {
				answer = other
			}
			answer.Verdict, answer.Asked = policy.Undecidable, asked
			answer.Reason = "it depends on what the base image sets. If it sets nothing else: " +
				ask(known).Reason
			if ask(known).Verdict == policy.Allow {
				answer.Reason = "it depends on what the base image sets, and rules forbid some of it"
			}
			return answer
		}
	}
	return answer
}

// request returns what [opcheck.Check] has to know beside an operation that names its target.
func (s *Survey) request() policy.Request { return policy.Request{Time: s.Time} }

// words are what rules on configurations name, by what they are about. A label can have a value
// after its key and "=".
type words map[string][]string

// words returns those of all rules.
func (s *Survey) words() (required, forbidden words) {
	required, forbidden = words{}, words{}
	for _, p := range s.Policies {
		doc := p.Document()
		collect(doc.Build, required, forbidden)
		for i := range doc.Frontends {
			collect(doc.Frontends[i].Build, required, forbidden)
		}
	}
	return required, forbidden
}

// readings returns configurations that the image may have.
func (s *Survey) readings(known buildrules.Config) []buildrules.Config {
	required, forbidden := s.words()
	users := []string{known.User}
	if known.User == "" {
		users = slices.Concat([]string{"", somebody}, required["user"], forbidden["user"])
	}
	var out []buildrules.Config
	for _, u := range users {
		for _, extra := range []words{nil, required, forbidden} {
			c := extra.added(known)
			c.User = u
			out = append(out, c)
			c.Cmd = []string{somebody}
			out = append(out, c)
		}
	}
	return out
}

// added returns the configuration with what the words name. What the build file sets stays.
func (w words) added(c buildrules.Config) buildrules.Config {
	labels := map[string]string{}
	for _, l := range w["labels"] {
		key, value, _ := strings.Cut(l, "=")
		labels[key] = value
	}
	maps.Copy(labels, c.Labels)
	c.Labels = labels
	c.Env = slices.Concat(c.Env, w["env"])
	c.Ports = slices.Concat(c.Ports, w["ports"])
	c.Volumes = slices.Concat(c.Volumes, w["volumes"])
	return c
}

// collect adds the words of rules on configurations. It reads the rules as they are written, so
// that a new kind of demand isn't missed: what isn't forbidden is required.
func collect(rules *buildrules.Rules, required, forbidden words) {
	if rules == nil || rules.Config == nil {
		return
	}
	for _, set := range rules.Config.All() {
		text, err := yaml.Marshal(set.Unscoped())
		if err != nil {
			return
		}
		var config map[string]map[string]any
		if yaml.Unmarshal(text, &config) != nil {
			return
		}
		for about, demands := range config {
			for demand, entries := range demands {
				to := required
				if demand == "forbid" {
					to = forbidden
				}
				to[about] = append(to[about], literals(entries)...)
			}
		}
	}
}

var (
	portRange   = regexp.MustCompile(`^(\d+)-\d+`)
	anyProtocol = regexp.MustCompile(`^(\d+)/\*$`)
)

// literals returns something that each entry of a list matches, and "key=value" for those of a map.
// A star becomes a character that it matches, and a range of ports its first.
func literals(entries any) []string {
	var out []string
	switch entries := entries.(type) {
	case []any:
		for _, e := range entries {
			word := anyProtocol.ReplaceAllString(portRange.ReplaceAllString(fmt.Sprint(e), "$1"), "$1/tcp")
			out = append(out, strings.ReplaceAll(word, "*", "x"))
		}
	case map[string]any:
		for key, value := range entries {
			out = append(out, strings.ReplaceAll(key+"="+fmt.Sprint(value), "*", "x"))
		}
	}
	return out
}
