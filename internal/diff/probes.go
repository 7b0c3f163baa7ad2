package diff

import (
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/urlmatch"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// commit is a commit that no rule names.
const commit = "0123456789012345678901234567890123456789"

// probes returns sample operations for the build rules of both decisions: examples of each
// pattern, of the overlap of each pair, and of something that no pattern matches. Similar
// samples are one list, and the simplest is first.
func (c *comparison) probes(before, after policy.Decision) [][]probe {
	var rules []buildrules.Rules
	for _, o := range slices.Concat(after.Obligations.Build, before.Obligations.Build) {
		rules = append(rules, o.Build)
	}
	p := prober{c: c, before: before, after: after}
	for _, k := range buildrules.Kinds() {
		if before.Dispatch == after.Dispatch && !c.differs(before, after, k) {
			continue
		}
		if add, ok := probes[k]; ok {
			add(&p, rules)
		} else {
			c.complete = false // No sample shows the effect of the difference.
		}
	}
	return p.operations
}

// differs reports whether the rules for a kind differ. Those for commands are for containers too.
func (c *comparison) differs(before, after policy.Decision, k buildrules.Kind) bool {
	return kindText(before, k) != kindText(after, k) || before.Restricts(k) != after.Restricts(k) ||
		before.Enforces(k) != after.Enforces(k) ||
		k == buildrules.KindContainers && c.differs(before, after, buildrules.KindExec)
}

// kindText returns the rules of one kind as text, for comparison.
func kindText(d policy.Decision, k buildrules.Kind) string {
	var parts []string
	for _, o := range d.Obligations.Build {
		only := o.Build.Only(k)
		if only.Images != nil {
			images := *only.Images
			only.Images = &images
			for _, r := range images.Rules {
				parts = append(parts, writtenConditions(*r))
			}
			images.Rules = nil
		}
		parts = append(parts, string(o.Mode), string(o.Build.Others), marshal(only))
	}
	return strings.Join(parts, "\x01")
}

// probes add the examples of one kind.
var probes = map[buildrules.Kind]func(p *prober, rules []buildrules.Rules){
	buildrules.KindImages: (*prober).images,
	buildrules.KindGit:    (*prober).git,
	buildrules.KindHTTP:   (*prober).http,
	buildrules.KindLocal:  (*prober).local,
	buildrules.KindOCILayout: func(p *prober, _ []buildrules.Rules) {
		p.patterns(buildrules.KindOCILayout,
			func(n string) buildrules.Operation {
				return buildrules.Operation{OCILayout: n + ":" + p.c.fresh}
			})
	},
	buildrules.KindBlob: func(p *prober, _ []buildrules.Rules) {
		p.patterns(buildrules.KindBlob,
			func(n string) buildrules.Operation {
				return buildrules.Operation{Blob: n + "@" + p.c.other.String()}
			})
	},
	buildrules.KindExec: (*prober).exec,
	buildrules.KindDownloads: func(p *prober, rules []buildrules.Rules) {
		for _, alike := range p.exampleURLs(rules, buildrules.KindDownloads, urlmatch.HTTP) {
			operations := make([]buildrules.Operation, len(alike))
			for i, url := range alike {
				operations[i] = buildrules.Operation{Download: url}
			}
			p.add(operations...)
		}
	},
	buildrules.KindFrontends: func(p *prober, _ []buildrules.Rules) {
		p.patterns(buildrules.KindFrontends,
			func(n string) buildrules.Operation {
				return buildrules.Operation{Frontend: n + ":" + p.c.fresh}
			})
	},
	buildrules.KindContainers: (*prober).containers,
	buildrules.KindConfig:     (*prober).config,
}

// probe is a sample operation. points is the digest to which the tag of its image points.
type probe struct {
	buildrules.Operation
	points digest.Digest
}

// prober collects examples of operations.
type prober struct {
	c             *comparison
	before, after policy.Decision
	operations    [][]probe
}

func (p *prober) add(alike ...buildrules.Operation) {
	probes := make([]probe, len(alike))
	for i, o := range alike {
		probes[i].Operation = o
	}
	p.operations = append(p.operations, probes)
}

// outside returns a name that no pattern has, if there is one that is as simple as that.
func (c *comparison) outside(patterns []globs.Name, parse func(string) globs.Name) string {
	deep := strings.Repeat("/"+c.fresh, c.deep)
	first := c.fresh + ".example/" + c.fresh
	for _, name := range []string{
		first, c.fresh + "." + c.fresh + "/" + c.fresh, "docker.io/" + c.fresh + "/" + c.fresh,
		c.fresh + ".example" + deep, c.fresh + "." + c.fresh + deep, "docker.io" + deep,
		c.fresh + ".example:49151/" + c.fresh, c.fresh + "." + c.fresh + ":49151" + deep,
	} {
		n := parse(name)
		if c.spend(len(patterns)) &&
			!slices.ContainsFunc(patterns, func(p globs.Name) bool { return p.Covers(n) }) {
			return name
		}
	}
	return first
}

// named returns the patterns of the rules of a kind, and whether rules restrict the kind.
func named(rules []buildrules.Rules, k buildrules.Kind) (patterns []string, ok bool) {
	for i := range rules {
		allow, deny := rules[i].Patterns(k)
		patterns = slices.Concat(patterns, allow, deny)
		ok = ok || rules[i].Restricts(k)
	}
	return patterns, ok
}

func (p *prober) git(rules []buildrules.Rules) {
	refs := []string{""}
	if slices.ContainsFunc(rules,
		func(r buildrules.Rules) bool { return r.Git != nil && r.Git.RequireCommit }) {
		refs = append(refs, commit)
	}
	for _, alike := range p.exampleURLs(rules, buildrules.KindGit, urlmatch.Git) {
		var operations []buildrules.Operation
		for _, url := range alike {
			for _, ref := range refs {
				operations = append(operations,
					buildrules.Operation{Git: &buildrules.Git{URL: url, Ref: ref}})
			}
		}
		p.add(operations...)
	}
}

func (p *prober) http(rules []buildrules.Rules) {
	checksums := []string{""}
	if slices.ContainsFunc(rules,
		func(r buildrules.Rules) bool { return r.HTTP != nil && r.HTTP.RequireChecksum }) {
		checksums = append(checksums, p.c.other.String())
	}
	for _, alike := range p.exampleURLs(rules, buildrules.KindHTTP, urlmatch.HTTP) {
		var operations []buildrules.Operation
		for _, url := range alike {
			for _, checksum := range checksums {
				operations = append(operations,
					buildrules.Operation{HTTP: &buildrules.HTTP{URL: url, Checksum: checksum}})
			}
		}
		p.add(operations...)
	}
}

// exampleURLs returns examples of the URL patterns for a kind, of the overlap of each pair, and of
// URLs that none of them matches. Those of one pattern or overlap are one list.
func (p *prober) exampleURLs(
	rules []buildrules.Rules, k buildrules.Kind, protocol urlmatch.Protocol,
) [][]string {
	if _, ok := named(rules, k); !ok {
		return nil
	}
	var forms []urlmatch.Form
	for i := range rules {
		allow, deny := rules[i].URLs(k)
		for _, pattern := range slices.Concat(allow, deny) {
			for _, f := range pattern.Forms() {
				if !slices.ContainsFunc(forms, f.Equal) {
					forms = append(forms, f)
				}
			}
		}
	}
	c := p.c
	all := append([]urlmatch.Form{urlmatch.Everything(protocol)}, forms...)
	for i, a := range forms {
		for _, b := range forms[:i] {
			if !c.spend(meetWork) {
				return nil
			}
			met, ok := a.Meet(b)
			c.complete = c.complete && ok
			all = append(all, met...)
		}
	}
	fill := urlmatch.Filling{Text: c.fresh, Deep: c.deep, Port: urlmatch.FreshPort(forms)}
	var out [][]string
	seen := map[string]bool{}
	for _, f := range all {
		examples := f.Examples(protocol, fill)
		if !c.spend(exampleWork * (len(examples) + 1)) {
			return nil
		}
		var alike []string
		for _, url := range examples {
			if !seen[url] {
				seen[url] = true
				alike = append(alike, url)
			}
		}
		out = append(out, alike)
	}
	return out
}

func (p *prober) local(rules []buildrules.Rules) {
	for _, name := range p.texts(rules, func(b buildrules.Rules) []string {
		allow, deny := b.Patterns(buildrules.KindLocal)
		return slices.Concat(allow, deny)
	}) {
		p.add(buildrules.Operation{Local: name})
	}
	if slices.ContainsFunc(rules, func(b buildrules.Rules) bool { return b.Others != "" }) {
		p.add(buildrules.Operation{Local: "context"}, buildrules.Operation{Local: "dockerfile"})
	}
}

// texts returns examples of globs and of the overlap of each pair, and a text that none of them
// matches.
func (p *prober) texts(rules []buildrules.Rules, of func(buildrules.Rules) []string) []string {
	var patterns []string
	for _, b := range rules {
		patterns = append(patterns, of(b)...)
	}
	return p.textsOf(patterns)
}

// textsOf is texts for these globs.
func (p *prober) textsOf(patterns []string) []string {
	patterns = slices.Sorted(slices.Values(patterns))
	out := []string{p.c.fresh}
	for _, g := range p.c.meets(slices.Compact(patterns)) {
		for _, fill := range []string{p.c.fresh, ""} {
			if s := globs.Example(g, fill); s != "" && !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return out
}
