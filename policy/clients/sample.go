package clients

import (
	"fmt"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
)

// maxSampled is how many patterns [Samples] compares with each other.
const maxSampled = 200

// Condition makes something be for some clients: what it allows, what it denies, or both.
type Condition struct {
	List
	Allows, Denies bool
}

// Samples returns clients that stand for all others under these conditions, one for each way in
// which they are for clients, as far as one or two patterns tell: each pattern alone, each pair of
// them, and names that can't be read. The unknown client is the last, unless one without names
// stands for it. all is false if there are more than most, or too many patterns.
func Samples(conditions []Condition, most int) (out []Client, all bool) {
	s := sampler{conditions: conditions, seen: map[string]bool{}}
	var patterns []Pattern
	for _, c := range conditions {
		for _, p := range c.List {
			if !slices.ContainsFunc(patterns, func(o Pattern) bool { return o.text == p.text }) {
				patterns = append(patterns, p)
			}
		}
	}
	if len(patterns) == 0 {
		return []Client{{}}, true
	}
	s.fill = freshText(patterns)
	all = len(patterns) <= maxSampled
	patterns = patterns[:min(len(patterns), maxSampled)]
	s.add(Client{known: true})
	for _, p := range patterns {
		s.alone(p)
	}
	for i, p := range patterns {
		for _, o := range patterns[i+1:] {
			s.both(p, o)
		}
	}
	for _, k := range Unreadable().unclear {
		s.add(Client{known: true, unclear: []kind{k}})
		for _, p := range patterns {
			if n, ok := s.example(p.kind, p.parts); ok && slices.Contains(besides(p.kind), k) {
				s.add(Client{known: true, names: []name{n}, unclear: []kind{k}})
			}
		}
	}
	if len(s.out) > most {
		s.out, all = s.out[:most], false
	}
	s.add(Client{})
	return s.out, all
}

type sampler struct {
	conditions []Condition
	fill       string // no pattern has it
	seen       map[string]bool
	out        []Client
}

// freshText returns a text that is a part of no pattern.
func freshText(patterns []Pattern) string {
	for i := 0; ; i++ {
		text := fmt.Sprintf("z%dz", i)
		if !slices.ContainsFunc(patterns, func(p Pattern) bool {
			return strings.Contains(strings.ToLower(p.text), text)
		}) {
			return text
		}
	}
}

// add keeps a client unless the conditions are for another one in the same way.
func (s *sampler) add(c Client) {
	var key strings.Builder
	for _, l := range s.conditions {
		fmt.Fprint(&key, l.Allows && l.Has(c), l.Denies && l.MayHave(c), " ")
	}
	if !s.seen[key.String()] {
		s.seen[key.String()] = true
		s.out = append(s.out, c)
	}
}

// alone adds clients with one name that the pattern matches, surely or perhaps.
func (s *sampler) alone(p Pattern) {
	n, ok := s.example(p.kind, p.parts)
	if !ok {
		return
	}
	s.add(Client{known: true, names: []name{n}})
	if n.kind == kindCommon || n.kind == kindDNS {
		s.add(Client{known: true, claimed: []name{n}})
	}
	for _, near := range s.nearby(n) {
		s.add(Client{known: true, names: []name{near}})
	}
}

// besides returns the kinds of other names of the same client.
func besides(k kind) []kind {
	switch k {
	case kindCommon:
		return []kind{kindDNS}
	case kindDNS:
		return []kind{kindCommon, kindDNS}
	case kindURI:
		return []kind{kindCommon, kindDNS}
	case kindUser:
		return []kind{kindGroup}
	}
	return []kind{kindUser, kindGroup}
}

// nearby returns names that a pattern for the name matches only where it is read broadly.
func (s *sampler) nearby(n name) []name {
	var texts []string
	switch n.kind {
	case kindCommon:
		_, rest, _ := strings.Cut(n.text, ":")
		texts = []string{string(kindCommon) + ":" + strings.ToUpper(rest)}
	case kindDNS:
		_, rest, _ := strings.Cut(n.text, ":")
		texts = []string{string(kindDNS) + ":" + s.fill + "." + rest}
	case kindURI:
		texts = []string{n.text + "/" + s.fill}
		if i := strings.LastIndexByte(n.text, '/'); n.text[i-1] != '/' {
			texts = append(texts, n.text[:i])
		}
	}
	var out []name
	for _, text := range texts {
		if near, err := parseName(text, false); err == nil {
			out = append(out, near)
		}
	}
	return out
}

// both adds clients that both patterns match.
func (s *sampler) both(p, o Pattern) {
	a, okA := s.example(p.kind, p.parts)
	b, okB := s.example(o.kind, o.parts)
	if !okA || !okB {
		return
	}
	if p.kind == o.kind {
		forms, _ := p.parts.Meet(o.parts)
		for _, form := range forms {
			if n, ok := s.example(p.kind, form); ok {
				s.add(Client{known: true, names: []name{n}})
			}
		}
	}
	several := func(k kind) bool { return k == kindGroup || k == kindDNS }
	onSocket := func(k kind) bool { return k == kindUser || k == kindGroup }
	switch {
	case onSocket(p.kind) != onSocket(o.kind), p.kind == o.kind && !several(p.kind):
	case p.kind == kindURI:
		s.add(Client{known: true, names: []name{a}, claimed: []name{b}})
	case o.kind == kindURI:
		s.add(Client{known: true, names: []name{b}, claimed: []name{a}})
	default:
		s.add(Client{known: true, names: []name{a, b}})
	}
}

// example returns a name that a pattern with these parts matches.
func (s *sampler) example(k kind, parts globs.Name) (name, bool) {
	between := "."
	if k == kindURI {
		between = "/"
	}
	var texts []string
	for _, part := range parts {
		if part != "**" {
			texts = append(texts, globs.Example(part, s.fill))
		}
	}
	n, err := parseName(strings.Join(texts, between), false)
	return n, err == nil
}
