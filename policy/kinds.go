package policy

import (
	"cmp"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/urlmatch"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Kind names a kind of facts as the fields of Build do.
type Kind string

// The kinds of facts.
const (
	KindImages     Kind = "images"
	KindGit        Kind = "git"
	KindHTTP       Kind = "http"
	KindLocal      Kind = "local"
	KindOCILayout  Kind = "ociLayout"
	KindBlob       Kind = "blob"
	KindExec       Kind = "exec"
	KindFrontends  Kind = "frontends"
	KindContainers Kind = "containers"
	KindConfig     Kind = "config"
)

// kindRow is all that the program knows of one kind. The zero value of a field is the
// strict one, or a test finds that it is missing.
type kindRow struct {
	kind Kind
	// asks reports whether a fact is of the kind.
	asks func(Fact) bool
	// read brings a fact of the kind into the form that rules check. An error completes
	// "it asks for".
	read func(Fact) (claim, error)
	// describe names a fact of the kind for a person, without what may be a secret.
	describe func(Fact) string

	// rules finds the kind's rules in a Build.
	rules rulesField
	// validate checks and compiles the kind's rules, which the document has at the node.
	validate func(v *validator, at *yaml.Node, b *Build)
	// check returns how a claim breaks the rules, which restrict the kind.
	check func(*Build, claim) []objection
	// rewrite stands in place of check for a kind whose rules also rewrite the reference. It
	// returns how what is read instead breaks the rules. An error completes "it asks for".
	rewrite func(*Build, imageref.Reference) (imageref.Reference, []objection, error)
	// restricts reports whether the rules forbid anything; nil if all rules do that are there.
	restricts func(*Build) bool
	// allowed returns the names that the rules allow, as they are written; nil if the kind
	// has no such list.
	allowed func(*Build) []string
	// patterns returns the patterns of the rules in the form in which they are compared; nil
	// if the kind has no such lists.
	patterns func(*Build) (allow, deny []string)
	// globs returns whatever else in the rules can have a star; nil if nothing can.
	globs func(*Build) []string

	// noSource says that the daemon doesn't read operations of this kind from a source. No
	// source policy can bind it to them.
	noSource bool
	// unseen says that a result doesn't show operations of this kind.
	unseen bool
}

// kinds are all kinds, in the order of Build's fields. All code that depends on the kind
// of an operation asks this table.
var kinds = []kindRow{
	{
		kind:     KindImages,
		asks:     func(f Fact) bool { return f.Image != "" },
		read:     func(f Fact) (claim, error) { return readReference(KindImages, "an", "image", f.Image) },
		describe: func(f Fact) string { return "the image " + shown(f.Image) },
		rules:    rulesOf(func(b *Build) **ImageRules { return &b.Images }),
		validate: func(v *validator, at *yaml.Node, b *Build) { v.images(at, b.Images) },
		rewrite: func(b *Build, r imageref.Reference) (imageref.Reference, []objection, error) {
			return b.Images.judge(r)
		},
		allowed:  func(b *Build) []string { return b.Images.Allow },
		patterns: func(b *Build) (allow, deny []string) { return b.Images.Patterns() },
		globs:    func(b *Build) []string { return b.Images.globs() },
	},
	{
		kind:     KindGit,
		asks:     func(f Fact) bool { return f.Git != nil },
		read:     func(f Fact) (claim, error) { return f.Git.read() },
		describe: func(f Fact) string { return f.Git.describe() },
		rules:    rulesOf(func(b *Build) **GitRules { return &b.Git }),
		validate: func(v *validator, at *yaml.Node, b *Build) { v.git(at, b.Git) },
		check:    func(b *Build, c claim) []objection { return b.Git.object(c) },
		allowed:  func(b *Build) []string { return b.Git.Allow },
		patterns: func(b *Build) (allow, deny []string) { return b.Git.Patterns() },
	},
	{
		kind:     KindHTTP,
		asks:     func(f Fact) bool { return f.HTTP != nil },
		read:     func(f Fact) (claim, error) { return f.HTTP.read() },
		describe: func(f Fact) string { return f.HTTP.describe() },
		rules:    rulesOf(func(b *Build) **HTTPRules { return &b.HTTP }),
		validate: func(v *validator, at *yaml.Node, b *Build) { v.http(at, b.HTTP) },
		check:    func(b *Build, c claim) []objection { return b.HTTP.object(c) },
		allowed:  func(b *Build) []string { return b.HTTP.Allow },
		patterns: func(b *Build) (allow, deny []string) { return b.HTTP.Patterns() },
	},
	{
		kind:     KindLocal,
		asks:     func(f Fact) bool { return f.Local != "" },
		read:     readLocal,
		describe: func(f Fact) string { return "the client's folder " + shown(f.Local) },
		rules:    rulesOf(func(b *Build) **NameRules { return &b.Local }),
		validate: func(v *validator, at *yaml.Node, b *Build) { v.names(at, b.Local) },
		check:    func(b *Build, c claim) []objection { return b.Local.object(c) },
		allowed:  func(b *Build) []string { return b.Local.Allow },
		patterns: func(b *Build) (allow, deny []string) { return b.Local.Allow, b.Local.Deny },
	},
	{
		kind: KindOCILayout,
		asks: func(f Fact) bool { return f.OCILayout != "" },
		read: func(f Fact) (claim, error) {
			return readReference(KindOCILayout, "an", "image in an OCI layout", f.OCILayout)
		},
		describe: func(f Fact) string { return "the image in an OCI layout " + shown(f.OCILayout) },
		rules:    rulesOf(func(b *Build) **PatternRules { return &b.OCILayout }),
		validate: func(v *validator, at *yaml.Node, b *Build) { v.repositories(at, b.OCILayout) },
		check:    func(b *Build, c claim) []objection { return b.OCILayout.object(c) },
		allowed:  func(b *Build) []string { return b.OCILayout.Allow },
		patterns: func(b *Build) (allow, deny []string) { return b.OCILayout.Patterns() },
	},
	{
		kind:     KindBlob,
		asks:     func(f Fact) bool { return f.Blob != "" },
		read:     readBlob,
		describe: func(f Fact) string { return "the blob " + shown(f.Blob) },
		rules:    rulesOf(func(b *Build) **PatternRules { return &b.Blob }),
		validate: func(v *validator, at *yaml.Node, b *Build) { v.repositories(at, b.Blob) },
		check:    func(b *Build, c claim) []objection { return b.Blob.object(c) },
		allowed:  func(b *Build) []string { return b.Blob.Allow },
		patterns: func(b *Build) (allow, deny []string) { return b.Blob.Patterns() },
	},
	{
		kind:     KindExec,
		asks:     func(f Fact) bool { return f.Exec != nil },
		read:     func(f Fact) (claim, error) { return f.Exec.read(KindExec, "a command") },
		describe: func(f Fact) string { return "a command" + f.Exec.describe() },
		rules:    rulesOf(func(b *Build) **ExecRules { return &b.Exec }),
		validate: func(v *validator, at *yaml.Node, b *Build) { v.exec(at, b.Exec) },
		check:    func(b *Build, c claim) []objection { return b.Exec.object(c) },
		globs:    func(b *Build) []string { return slices.Concat(b.Exec.Secrets, b.Exec.Hosts, b.Exec.CgroupParents) },
		noSource: true,
	},
	{
		kind:     KindFrontends,
		asks:     func(f Fact) bool { return f.Frontend != "" },
		read:     func(f Fact) (claim, error) { return readReference(KindFrontends, "a", "frontend", f.Frontend) },
		describe: func(f Fact) string { return "the frontend " + shown(f.Frontend) },
		rules:    rulesOf(func(b *Build) **PatternRules { return &b.Frontends }),
		validate: func(v *validator, at *yaml.Node, b *Build) { v.repositories(at, b.Frontends) },
		check:    func(b *Build, c claim) []objection { return b.Frontends.object(c) },
		allowed:  func(b *Build) []string { return b.Frontends.Allow },
		patterns: func(b *Build) (allow, deny []string) { return b.Frontends.Patterns() },
		noSource: true,
		unseen:   true,
	},
	{
		kind:     KindContainers,
		asks:     func(f Fact) bool { return f.Container != nil },
		read:     func(f Fact) (claim, error) { return f.Container.read(KindContainers, "a container") },
		describe: func(f Fact) string { return "a container of the frontend's" + f.Container.describe() },
		rules:    rulesOf(func(b *Build) *Action { return &b.Containers }),
		validate: func(v *validator, at *yaml.Node, b *Build) { v.containers(at, b.Containers) },
		check:    func(b *Build, c claim) []objection { return b.container(c) },
		// Without a rule, no container is allowed. Rules on commands bind containers too.
		restricts: func(b *Build) bool { return b.Containers != ActionAllow || b.Exec != nil },
		noSource:  true,
		unseen:    true,
	},
	{
		kind:     KindConfig,
		asks:     func(f Fact) bool { return f.Config != nil },
		read:     func(f Fact) (claim, error) { return f.Config.read() },
		describe: func(f Fact) string { return f.Config.describe() },
		rules:    rulesOf(func(b *Build) **ConfigRules { return &b.Config }),
		validate: func(v *validator, at *yaml.Node, b *Build) { v.config(at, b.Config) },
		check:    func(b *Build, c claim) []objection { return b.Config.object(c) },
		globs:    func(b *Build) []string { return b.Config.globs() },
		noSource: true,
	},
}

// rulesField is where a Build has the rules of a kind.
type rulesField struct {
	named   func(*Build) bool    // whether it has any
	inherit func(b, from *Build) // takes those of another Build if it has none
}

func rulesOf[T comparable](field func(*Build) *T) rulesField {
	var none T
	return rulesField{
		named:   func(b *Build) bool { return *field(b) != none },
		inherit: func(b, from *Build) { *field(b) = cmp.Or(*field(b), *field(from)) },
	}
}

// Kinds returns all kinds, in the order of Build's fields.
func Kinds() []Kind {
	all := make([]Kind, len(kinds))
	for i := range kinds {
		all[i] = kinds[i].kind
	}
	return all
}

// row returns the kind's row; nil for a kind that there isn't.
func (k Kind) row() *kindRow {
	for i := range kinds {
		if kinds[i].kind == k {
			return &kinds[i]
		}
	}
	return nil
}

// IsSource reports whether operations of the kind read a source, so the daemon has to be
// bound to those that were checked. It is true for a kind that there isn't.
func (k Kind) IsSource() bool {
	row := k.row()
	return row == nil || !row.noSource
}

// InResult reports whether the result of a build shows operations of the kind, whatever
// dispatcher ran the frontend. It is true for a kind that there isn't.
func (k Kind) InResult() bool {
	row := k.row()
	return row == nil || !row.unseen
}

// inherit adds another document's rules of each kind that b has no rules of.
func (b *Build) inherit(from *Build) {
	for i := range kinds {
		kinds[i].rules.inherit(b, from)
	}
}

// names reports whether there are rules of the kind.
func (b *Build) names(k Kind) bool {
	row := k.row()
	return row != nil && row.rules.named(b)
}

// Kinds returns the kinds that there are rules of, in the order of Build's fields.
func (b *Build) Kinds() []Kind {
	return slices.DeleteFunc(Kinds(), func(k Kind) bool { return !b.names(k) })
}

// restricts reports whether the rules may forbid something of the kind.
func (b *Build) restricts(k Kind) bool {
	row := k.row()
	switch {
	case row == nil:
		return true
	case row.restricts != nil:
		return row.restricts(b)
	}
	return row.rules.named(b)
}

// allowed returns at most five of the names that the rules allow of a kind.
func (b *Build) allowed(k Kind) []string {
	var all []string
	if row := k.row(); row != nil && row.allowed != nil && row.rules.named(b) {
		all = row.allowed(b)
	}
	return slices.Clone(all[:min(len(all), maxAllowed)])
}

// Globs returns all that can have a star in the rules, in the form in which they are compared: see
// [Rule.Patterns], [GitRules.Patterns] and [Conversion.Names].
func (b *Build) Globs() []string {
	var all []string
	for i := range kinds {
		row := &kinds[i]
		if !row.rules.named(b) {
			continue
		}
		if row.patterns != nil {
			allow, deny := row.patterns(b)
			all = slices.Concat(all, allow, deny)
		}
		if row.globs != nil {
			all = append(all, row.globs(b)...)
		}
	}
	return all
}

// Patterns returns the patterns of the rules of a kind, as Globs does; none for a kind that
// has no lists of patterns.
func (b *Build) Patterns(k Kind) (allow, deny []string) {
	if row := k.row(); row != nil && row.patterns != nil && row.rules.named(b) {
		return row.patterns(b)
	}
	return nil, nil
}

// Only returns the rules of one kind, without those of all others.
func (b *Build) Only(k Kind) Build {
	var only Build
	if row := k.row(); row != nil {
		row.rules.inherit(&only, b)
	}
	return only
}

// protocol says how URLs of the kind are read.
func (k Kind) protocol() urlmatch.Protocol {
	if k == KindGit {
		return urlmatch.Git
	}
	return urlmatch.HTTP
}
