package export

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// pin is the digest that aliases give a tag of a name. The digest is "" if they differ.
type pin struct{ name, tag, digest string }

// pinsOf returns the pins of the aliases, sorted. They are for the name that an alias replaces and
// for the new one. exact has these names, and usual has them on the host that is usually written
// for their registry.
func (e *exporter) pinsOf() (exact, usual []pin) {
	type key struct{ name, tag string }
	var found [2]map[key]string
	found[0], found[1] = map[key]string{}, map[key]string{}
	for i := range e.doc.Aliases {
		from, to := e.doc.Aliases[i].Names()
		for tag, d := range e.doc.Aliases[i].Pins {
			for _, name := range []string{from, to} {
				for n, k := range []key{{name, tag}, {usualName(name), tag}} {
					if other, ok := found[n][k]; ok && other != d {
						found[n][k] = ""
					} else {
						found[n][k] = d
					}
				}
			}
		}
	}
	var out [2][]pin
	for n, m := range found {
		for k, d := range m {
			out[n] = append(out[n], pin{k.name, k.tag, d})
		}
		slices.SortFunc(out[n], func(a, b pin) int {
			return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.tag, b.tag))
		})
	}
	return out[0], out[1]
}

// usualName returns the name of a repository on the host that is usually written for its registry.
func usualName(name string) string {
	ref, err := imageref.Parse(name)
	if err != nil {
		return name
	}
	return imageref.DefaultHost(ref).Name()
}

// everyHost returns patterns for the repository on each port and host of its registry.
func everyHost(usual string) []string {
	patterns, err := imageref.ParseDenyPattern(usual)
	if err != nil {
		return []string{usual} // An alias can't have such a name.
	}
	_, path, _ := strings.Cut(usual, "/")
	var out []string
	for _, p := range patterns {
		if _, other, _ := strings.Cut(p.String(), "/"); other == path {
			out = append(out, p.String())
		}
	}
	return out
}

// pinConversions returns conversions that give the pinned tags of the names their digests.
func pinConversions(exact []pin) []sourceRule {
	var out []sourceRule
	for _, p := range exact {
		if p.digest != "" {
			image := p.name + ":" + p.tag
			out = append(out, pinConversion(image, image+"@"+p.digest))
		}
	}
	return out
}

// pinConversion converts an image to another one. It is a regular expression, because older
// BuildKits convert what an EXACT rule matches to itself (sourcepolicy/formatter.go of v0.14).
func pinConversion(from, to string) sourceRule {
	return sourceRule{
		Action: "CONVERT", Selector: selector{
			Identifier: "^" + imageScheme + regexp.QuoteMeta(from) + "$", MatchType: "REGEX",
		},
		Updates: &sourceUpdate{imageScheme + to},
	}
}

// pinned returns rules on references as written, which refuse a pinned tag without its digest. The
// exact names come last, since their pins come first.
func (e *exporter) pinned(exact, usual []pin) []sourceRule {
	var out []sourceRule
	add := func(names []string, p pin) {
		tag := ":" + regexp.QuoteMeta(p.tag)
		out = append(out, images("DENY", names, tag+anyDigest, unmarked))
		if p.digest != "" {
			out = append(out, images("ALLOW", names, tag+"@"+regexp.QuoteMeta(p.digest), unmarked))
		}
	}
	for _, p := range usual {
		add(everyHost(p.name), p)
	}
	for _, p := range exact {
		add([]string{p.name}, p)
	}
	e.notePins(exact, usual)
	return out
}

// notePins adds notes about pins that hold more strictly than in the policy.
func (e *exporter) notePins(exact, usual []pin) {
	if len(usual) > 0 {
		e.note(nil, RefusesMore, "on other ports and hosts of a registry, a tag that an alias pins is "+
			"refused without its digest")
	}
	for _, p := range exact {
		if p.digest == "" {
			e.note(nil, RefusesMore, "aliases pin %s:%s to different digests; it is refused", p.name, p.tag)
		}
	}
}

// regoPin is a pin on each port and host of a registry as the Rego policy reads it.
type regoPin struct {
	Names  string `json:"names"`
	Tag    string `json:"tag"`
	Digest string `json:"digest"`
}

// noDigest is a digest that no image has.
const noDigest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

// regoPins returns the digests of tags by exact name, and the pins on other hosts and ports.
func (e *exporter) regoPins() (pins map[string]map[string]string, twins []regoPin) {
	pins, twins = map[string]map[string]string{}, []regoPin{}
	exact, usual := e.pinsOf()
	for _, p := range exact {
		if pins[p.name] == nil {
			pins[p.name] = map[string]string{}
		}
		pins[p.name][p.tag] = cmp.Or(p.digest, noDigest)
	}
	for _, p := range usual {
		twins = append(twins, regoPin{
			Names: "^" + anyOf(nameRegexes(everyHost(p.name), true)) + "$", Tag: p.tag,
			Digest: cmp.Or(p.digest, noDigest),
		})
	}
	e.notePins(exact, usual)
	return pins, twins
}
