package diff

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// side is one of the two policies.
type side struct {
	policy.Document
	policy *policy.Policy
	layers policy.Layers  // for the client
	client clients.Client // unknown unless [side.as] made the side
	// frontends are the rules on frontends, in the order of the document.
	frontends ruleset
	// built are the digests of the build rules of the rules, and of the policy itself, by name.
	built map[string]string
}

func newSide(p *policy.Policy) *side {
	s := &side{Document: p.Document(), policy: p, built: map[string]string{}}
	// Stack fails only for policies that package policy didn't make. The zero layers then
	// refuse everything.
	s.layers, _ = policy.Stack(p, nil)
	f := &s.frontends
	for _, l := range s.Limits.Patterns() {
		f.limits = append(f.limits, globs.ParseImage(l))
	}
	for i := range s.Aliases {
		from, to := s.Aliases[i].Names()
		f.rename(from, to)
		if len(s.Aliases[i].Pins) > 0 {
			f.pin(from, s.Aliases[i].Pins)
			f.pin(to, s.Aliases[i].Pins)
		}
	}
	for i := range s.Frontends {
		r := &s.Frontends[i]
		f.add(&r.Rule, written(r), r.Patterns()...)
		if r.Build != nil {
			s.built[r.Name] = digest.FromString(marshal(r.Build)).String()
		}
	}
	if s.Build != nil {
		s.built[policy.BuildRule] = digest.FromString(marshal(s.Build)).String()
	}
	f.global = strings.Join([]string{
		string(s.Default), string(s.Mode), string(s.Dispatch), s.built[policy.BuildRule],
		s.Limits.Timeout, s.Limits.Memory, strconv.Itoa(s.Limits.Nesting), marshal(s.Limits.Patterns()),
		marshal(s.Aliases),
	}, "\x00")
	f.complete()
	return s
}

// builtin reports whether some frontends run as the built-in one.
func (s *side) builtin() bool {
	return s.Dispatch == policy.DispatchBuiltin || slices.ContainsFunc(s.Frontends,
		func(r policy.Rule) bool { return r.Dispatch == policy.DispatchBuiltin })
}

// texts returns all globs of the policy, from which the fresh text must differ.
func (s *side) texts() []string {
	var out []string
	for i := range s.Frontends {
		r := &s.Frontends[i]
		out = append(out, r.Patterns()...)
		for _, list := range [][]string{
			r.Tags, r.ExceptTags, r.Options.Deny, r.Options.Strip, r.Options.Only, r.Platforms,
		} {
			out = append(out, list...)
		}
		for k := range r.Options.Force {
			out = append(out, k)
		}
		if r.Build != nil {
			out = append(out, r.Build.Globs()...)
		}
	}
	if s.Build != nil {
		out = append(out, s.Build.Globs()...)
	}
	for i := range s.Aliases {
		from, to := s.Aliases[i].Names()
		out = append(out, from, to)
	}
	return append(out, s.Limits.Patterns()...)
}

// depth returns the number of components of the longest pattern.
func depth(patterns []string) int {
	n := 0
	for _, t := range patterns {
		n = max(n, strings.Count(t, "/")+1)
	}
	return n
}

// written returns a rule as text, without the fields that are only shown to people.
func written(r *policy.Rule) string {
	bare := *r
	bare.Name, bare.Message, bare.Contact = "", "", ""
	return marshal(bare)
}

// writtenConditions is written for a rule on images.
func writtenConditions(r imagerules.Rule) string {
	r.Name, r.Message, r.Contact = "", "", ""
	return marshal(r)
}

// marshal returns a parsed value as text, for comparison.
func marshal(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return "" // The rule then counts as changed.
	}
	return string(data)
}
