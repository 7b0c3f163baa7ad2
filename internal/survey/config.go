package survey

import (
	"maps"
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
// file sets is known; the base image can add labels, variables, ports, volumes, and a user if the
// file sets none. The answer is one only if it is the same for all that it may add, as far as the
// policy's own words tell: it is tried with all that rules require, and with all that they forbid.
func (s *Survey) config(d policy.Decision, known buildrules.Config) opcheck.Answer {
	ask := func(c buildrules.Config) opcheck.Answer {
		return opcheck.Check(s.Layers, s.Time, d, buildrules.Operation{Config: &c})
	}
	answer := ask(known)
	readings := s.readings(known)
	for _, c := range readings {
		if other := ask(c); other.Verdict != answer.Verdict {
			if answer.Verdict == policy.Allow {
				answer = other
			}
			answer.Verdict = policy.Undecidable
			answer.Asked = buildrules.Operation{Config: &known}.Describe()
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

// readings returns configurations that the image may have.
func (s *Survey) readings(known buildrules.Config) []buildrules.Config {
	required, forbidden := map[string][]string{}, map[string][]string{}
	for _, p := range s.Policies {
		doc := p.Document()
		collect(doc.Build, required, forbidden)
		for i := range doc.Frontends {
			collect(doc.Frontends[i].Build, required, forbidden)
		}
	}
	users := []string{known.User}
	if known.User == "" {
		users = slices.Concat([]string{"", somebody}, required["user"], forbidden["user"])
	}
	var out []buildrules.Config
	for _, u := range users {
		for _, extra := range []map[string][]string{nil, required, forbidden} {
			c := known
			c.User = u
			c.Labels = maps.Clone(known.Labels)
			for _, l := range extra["labels"] {
				if c.Labels == nil {
					c.Labels = map[string]string{}
				}
				if _, ok := c.Labels[l]; !ok {
					c.Labels[l] = ""
				}
			}
			c.Env = slices.Concat(known.Env, extra["env"])
			c.Ports = slices.Concat(known.Ports, extra["ports"])
			c.Volumes = slices.Concat(known.Volumes, extra["volumes"])
			out = append(out, c)
		}
	}
	return out
}

// collect adds the words of rules on configurations, by what they are about. A star becomes a
// character that it matches.
func collect(rules *buildrules.Rules, required, forbidden map[string][]string) {
	if rules == nil || rules.Config == nil {
		return
	}
	text, err := yaml.Marshal(rules.Config)
	if err != nil {
		return
	}
	var config map[string]map[string][]string
	if yaml.Unmarshal(text, &config) != nil {
		return
	}
	for about, demand := range config {
		for _, w := range demand["require"] {
			required[about] = append(required[about], strings.ReplaceAll(w, "*", "x"))
		}
		for _, w := range demand["forbid"] {
			forbidden[about] = append(forbidden[about], strings.ReplaceAll(w, "*", "x"))
		}
	}
}
