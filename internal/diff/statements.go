package diff

import (
	"fmt"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/policy"
)

// statements returns the differences in the policies themselves.
func (c *comparison) statements() []Statement {
	sideA, sideB := c.a, c.b
	a, b := &sideA.Document, &sideB.Document
	out := []Statement{}
	addf := func(format string, args ...any) {
		out = append(out, Statement{Text: fmt.Sprintf(format, args...)})
	}
	field := func(name, before, after string) {
		if before != after {
			addf("%s: %s, before %s", name, orNone(after), orNone(before))
		}
	}
	field("id", a.ID, b.ID)
	field("contact", a.Contact, b.Contact)
	field("mode", string(a.Mode), string(b.Mode))
	field("default", string(a.Default), string(b.Default))
	field("defaultFrontend", a.DefaultFrontend, b.DefaultFrontend)
	field("dispatch", string(a.Dispatch), string(b.Dispatch))
	if sideA.built[policy.BuildRule] != sideB.built[policy.BuildRule] {
		addf("changed: the build rules of the whole policy")
	}
	field("limits", strings.Join(a.Limits.Patterns(), ", "), strings.Join(b.Limits.Patterns(), ", "))
	if before, after := a.Overlay.Accept, b.Overlay.Accept; before != after {
		out = append(out, Statement{
			Widens: before == policy.AcceptNone,
			Text:   fmt.Sprintf("overlay.accept: %s, before %s: builds that send an overlay", after, before),
		})
	}
	return append(out, slices.Concat(
		c.grantStatements(), aliasStatements(a, b), ruleStatements(sideA, sideB))...)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// oneLine returns a text of several lines on one.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func aliasStatements(a, b *policy.Document) []Statement {
	texts := func(p *policy.Document) []string {
		var out []string
		for i := range p.Aliases {
			from, to := p.Aliases[i].Names()
			out = append(out, fmt.Sprintf("alias from %s to %s with %d pins", from, to,
				len(p.Aliases[i].Pins)))
		}
		return out
	}
	return added(texts(a), texts(b))
}

func added(before, after []string) []Statement {
	var out []Statement
	was, is := map[string]bool{}, map[string]bool{}
	for _, s := range before {
		was[s] = true
	}
	for _, s := range after {
		is[s] = true
		if !was[s] {
			out = append(out, Statement{Text: "added: " + s})
		}
	}
	for _, s := range before {
		if !is[s] {
			out = append(out, Statement{Text: "removed: " + s})
		}
	}
	return out
}

func ruleStatements(a, b *side) []Statement {
	names := func(s *side) []string {
		var out []string
		for i := range s.Frontends {
			out = append(out, "rule "+s.Frontends[i].Name)
		}
		return out
	}
	out := added(names(a), names(b))
	before := map[string]int{}
	for i := range a.Frontends {
		before[a.Frontends[i].Name] = i
	}
	for i := range b.Frontends {
		now := &b.Frontends[i]
		j, ok := before[now.Name]
		if !ok {
			continue
		}
		if a.frontends.entries[j].written != b.frontends.entries[i].written {
			out = append(out, Statement{Text: "changed: rule " + now.Name})
		}
		was := &a.Frontends[j]
		for _, f := range []struct{ field, before, after string }{
			{"message", was.Message, now.Message}, {"contact", was.Contact, now.Contact},
		} {
			if f.before != f.after {
				out = append(out, Statement{Text: fmt.Sprintf("rule %s: %s: %s, before %s", now.Name, f.field,
					orNone(oneLine(f.after)), orNone(oneLine(f.before)))})
			}
		}
	}
	return out
}
