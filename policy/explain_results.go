package policy

import (
	"cmp"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// results adds what the layers say about where results go, which build caches are used, what makes
// SBOMs, who administrates the builder, whether clients run containers, and what has summaries.
func (t *recorder) results(l Layers, d Decision) {
	if t == nil || !d.goesOn() {
		return
	}
	for _, layer := range l.each() {
		add := func(kind StepKind, reason string) {
			t.add(Step{Kind: kind, Layer: layer.name, Reason: "policy-guard lets " + reason})
		}
		doc := &layer.policy.doc
		if x := doc.Exports; x != nil {
			add(StepExports, "results go only there: "+x.summary())
		}
		if c := doc.Caches; c != nil {
			add(StepCaches, "builds use only these caches: "+c.summary())
		}
		if s := doc.SBOM; s != nil {
			add(StepSBOM, "only these images make SBOMs: "+s.summary())
		}
		if a := doc.Administration; a != nil {
			add(StepAdministration, "only these clients administrate the builder: "+
				safetext.Printable(strings.Join(a.Clients, ", ")))
		}
		if says := doc.attests(); says != "" {
			t.add(Step{Kind: StepAttest, Layer: layer.name, Reason: says})
		}
		if a := doc.Debug; a.AllowsSome() {
			add(StepDebug, "clients run containers of their own"+
				cmp.Or(forWhom(a.clients), " (debug: allow)"))
		}
	}
}

func (x *Exports) summary() string {
	var parts []string
	if types := x.ToClient().names(); types != "" {
		parts = append(parts, "the client ("+types+")")
	}
	if x.Push.names() != "" {
		parts = append(parts, "pushed to "+x.Push.names())
	}
	if x.Store.names() != "" {
		parts = append(parts, "the builder's image store as "+x.Store.names())
	}
	if keys := x.Annotations.names(); keys != "" {
		parts = append(parts, "with annotations "+keys)
	}
	return orNothing(parts)
}

func (c *Caches) summary() string {
	var parts []string
	for _, side := range []struct {
		verb  string
		rules *CacheRules
	}{{"imported from ", c.Imports}, {"exported to ", c.Exports}} {
		if side.rules == nil {
			continue
		}
		if names := side.rules.Registry.names(); names != "" {
			parts = append(parts, side.verb+names)
		}
		if local := side.rules.Local; local.AllowsSome() {
			parts = append(parts, side.verb+"a directory of the client"+forWhom(local.clients))
		}
	}
	return orNothing(parts)
}

func (s *SBOM) summary() string { return cmp.Or(s.Generators.names(), orNothing(nil)) }

func orNothing(parts []string) string {
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, "; ")
}

// names describes the choices for a person; "" for none.
func (r *Choices) names() string {
	var parts []string
	for _, rule := range r.All() {
		text := strings.Join(imageref.Meanings(rule.allow), ", ")
		switch denied := strings.Join(imageref.Meanings(rule.deny), ", "); {
		case text == "" && (denied == "" || len(r.All()) == 1):
			continue
		case text == "":
			text = "not " + denied
		case denied != "":
			text += ", but not " + denied
		}
		parts = append(parts, text+forWhom(rule.clients))
	}
	return safetext.Printable(strings.Join(parts, "; "))
}

// forWhom says whom a rule is for, in brackets; "" for everybody.
func forWhom(l clients.List) string {
	if len(l) == 0 {
		return ""
	}
	return " (for " + l.String() + ")"
}
