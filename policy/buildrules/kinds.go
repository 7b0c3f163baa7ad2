package buildrules

import (
	"iter"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/urlmatch"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// Kind names a kind of operations, as the fields of [Rules] do: by the path of the field.
type Kind string

// The kinds of operations.
const (
	KindImages    Kind = "images"
	KindGit       Kind = "git"
	KindHTTP      Kind = "http"
	KindLocal     Kind = "local"
	KindOCILayout Kind = "ociLayout"
	KindBlob      Kind = "blob"
	KindExec      Kind = "exec"
	// KindDownloads are requests of commands. Their rules stand below those of KindExec.
	KindDownloads  Kind = "exec.downloads"
	KindFrontends  Kind = "frontends"
	KindContainers Kind = "containers"
	KindConfig     Kind = "config"
)

// row is all that the program knows about one kind. Where a field may be left out, its zero
// value is the strict choice. A test finds a row that lacks another field.
type row struct {
	kind Kind
	// matches reports whether an operation is of the kind.
	matches func(Operation) bool
	// normalize brings an operation of the kind into the form that rules check. An error
	// completes "it asks for".
	normalize func(Operation) (Normalized, error)
	// describe names an operation of the kind for a person. It leaves out secrets.
	describe func(Operation) string

	// field is the kind's field of Rules.
	field field
	// validate checks and compiles the kind's rules, which the document has at the node.
	validate func(v *validator, at *yaml.Node, r *Rules)
	// check returns how an operation breaks the rules.
	check func(*Rules, Normalized) []Violation
	// rewrite replaces check for a kind whose rules also rewrite the reference. It returns the
	// operation with the reference that is read instead, and how that one breaks the rules. An
	// error completes "it asks for".
	rewrite func(*Rules, Normalized) (Normalized, []Violation, error)
	// restricts reports whether the rules forbid anything. The default is that they do if the
	// kind has rules.
	restricts func(*Rules) bool
	// allowed returns the names that the rules allow, as written, and URLs as they are meant;
	// nil if the kind has no such list.
	allowed func(*Rules) iter.Seq[string]
	// patterns returns the rules' patterns in canonical form; nil if the kind has no such lists.
	patterns func(*Rules) (allow, deny []string)
	// globs returns everything else in the rules that can contain a star; nil if nothing can.
	globs func(*Rules) []string

	// noSource says that the daemon doesn't read such an operation from a source. A source
	// policy can't bind the daemon to it.
	noSource bool
	// unseen says that the result of a build doesn't show such an operation.
	unseen bool
	// asked says that the daemon asks about each such operation while it builds, whatever dispatcher
	// ran the frontend.
	asked bool
}

// kinds are all kinds, in the order of the fields of Rules. It is the only list of kinds: all
// code that depends on the kind of an operation loops over it, directly or by [Kinds].
var kinds = []row{
	{
		kind:    KindImages,
		matches: func(o Operation) bool { return o.Image != "" },
		normalize: func(o Operation) (Normalized, error) {
			return normalizeReference("an", "image", o.Image)
		},
		describe: func(o Operation) string { return "the image " + shown(o.Image) },
		field:    rulesOf(func(r *Rules) **ImageRules { return &r.Images }),
		validate: func(v *validator, at *yaml.Node, r *Rules) { v.images(at, r.Images) },
		rewrite: func(r *Rules, n Normalized) (Normalized, []Violation, error) {
			return r.Images.check(n)
		},
		allowed:  func(r *Rules) iter.Seq[string] { return r.Images.allowed },
		patterns: func(r *Rules) (allow, deny []string) { return r.Images.Patterns() },
		globs:    func(r *Rules) []string { return r.Images.globs() },
	},
	{
		kind:      KindGit,
		matches:   func(o Operation) bool { return o.Git != nil },
		normalize: func(o Operation) (Normalized, error) { return o.Git.normalize() },
		describe:  func(o Operation) string { return o.Git.describe() },
		field:     rulesOf(func(r *Rules) **GitRules { return &r.Git }),
		validate:  func(v *validator, at *yaml.Node, r *Rules) { v.git(at, r.Git) },
		check:     func(r *Rules, n Normalized) []Violation { return r.Git.check(n) },
		allowed:   func(r *Rules) iter.Seq[string] { return r.Git.urls.allowed() },
		patterns:  func(r *Rules) (allow, deny []string) { return r.Git.Patterns() },
	},
	{
		kind:      KindHTTP,
		matches:   func(o Operation) bool { return o.HTTP != nil && !o.isUpload() },
		normalize: func(o Operation) (Normalized, error) { return o.HTTP.normalize() },
		describe:  func(o Operation) string { return o.HTTP.describe() },
		field:     rulesOf(func(r *Rules) **HTTPRules { return &r.HTTP }),
		validate:  func(v *validator, at *yaml.Node, r *Rules) { v.http(at, r.HTTP) },
		check:     func(r *Rules, n Normalized) []Violation { return r.HTTP.check(n) },
		allowed:   func(r *Rules) iter.Seq[string] { return r.HTTP.urls.allowed() },
		patterns:  func(r *Rules) (allow, deny []string) { return r.HTTP.Patterns() },
	},
	{
		kind:      KindLocal,
		matches:   func(o Operation) bool { return o.Local != "" || o.isUpload() },
		normalize: normalizeLocal,
		describe: func(o Operation) string {
			if o.HTTP != nil {
				return "the client's context, which it uploads"
			}
			return "the client's directory " + shown(o.Local)
		},
		field:    rulesOf(func(r *Rules) **NameRules { return &r.Local }),
		validate: func(v *validator, at *yaml.Node, r *Rules) { v.names(at, r.Local) },
		check:    func(r *Rules, n Normalized) []Violation { return r.Local.check(n) },
		allowed:  func(r *Rules) iter.Seq[string] { return slices.Values(r.Local.Allow) },
		patterns: func(r *Rules) (allow, deny []string) { return r.Local.Allow, r.Local.Deny },
	},
	{
		kind:    KindOCILayout,
		matches: func(o Operation) bool { return o.OCILayout != "" },
		normalize: func(o Operation) (Normalized, error) {
			return normalizeReference("an", "image in an OCI layout", o.OCILayout)
		},
		describe: func(o Operation) string { return "the image in an OCI layout " + shown(o.OCILayout) },
		field:    rulesOf(func(r *Rules) **PatternRules { return &r.OCILayout }),
		validate: func(v *validator, at *yaml.Node, r *Rules) { v.repositories(at, r.OCILayout) },
		check:    func(r *Rules, n Normalized) []Violation { return r.OCILayout.check(n) },
		allowed:  func(r *Rules) iter.Seq[string] { return slices.Values(r.OCILayout.Allow) },
		patterns: func(r *Rules) (allow, deny []string) { return r.OCILayout.Patterns() },
	},
	{
		kind:      KindBlob,
		matches:   func(o Operation) bool { return o.Blob != "" },
		normalize: normalizeBlob,
		describe:  func(o Operation) string { return "the blob " + shown(o.Blob) },
		field:     rulesOf(func(r *Rules) **PatternRules { return &r.Blob }),
		validate:  func(v *validator, at *yaml.Node, r *Rules) { v.repositories(at, r.Blob) },
		check:     func(r *Rules, n Normalized) []Violation { return r.Blob.check(n) },
		allowed:   func(r *Rules) iter.Seq[string] { return slices.Values(r.Blob.Allow) },
		patterns:  func(r *Rules) (allow, deny []string) { return r.Blob.Patterns() },
	},
	{
		kind:      KindExec,
		matches:   func(o Operation) bool { return o.Exec != nil },
		normalize: func(o Operation) (Normalized, error) { return o.Exec.normalize("a command") },
		describe:  func(o Operation) string { return "a command" + o.Exec.describe() },
		field:     usesOfCommands(),
		validate:  func(v *validator, at *yaml.Node, r *Rules) { v.exec(at, r.Exec) },
		check:     func(r *Rules, n Normalized) []Violation { return r.Exec.check(n) },
		globs:     func(r *Rules) []string { return r.Exec.globs() },
		noSource:  true,
	},
	{
		kind:      KindDownloads,
		matches:   func(o Operation) bool { return o.Download != "" },
		normalize: func(o Operation) (Normalized, error) { return normalizeDownload(o.Download) },
		describe:  func(o Operation) string { return "a command's request for " + plainURL(o.Download) },
		field:     requestsOfCommands(),
		validate:  func(v *validator, at *yaml.Node, r *Rules) { v.downloads(at, r.Exec.Downloads) },
		check:     func(r *Rules, n Normalized) []Violation { return r.Exec.Downloads.check(n) },
		allowed:   func(r *Rules) iter.Seq[string] { return r.Exec.Downloads.urls.allowed() },
		patterns:  func(r *Rules) (allow, deny []string) { return r.Exec.Downloads.Patterns() },
		noSource:  true,
		unseen:    true,
		asked:     true,
	},
	{
		kind:    KindFrontends,
		matches: func(o Operation) bool { return o.Frontend != "" },
		normalize: func(o Operation) (Normalized, error) {
			return normalizeReference("a", "frontend", o.Frontend)
		},
		describe: func(o Operation) string { return "the frontend " + shown(o.Frontend) },
		field:    rulesOf(func(r *Rules) **PatternRules { return &r.Frontends }),
		validate: func(v *validator, at *yaml.Node, r *Rules) { v.repositories(at, r.Frontends) },
		check:    func(r *Rules, n Normalized) []Violation { return r.Frontends.check(n) },
		allowed:  func(r *Rules) iter.Seq[string] { return slices.Values(r.Frontends.Allow) },
		patterns: func(r *Rules) (allow, deny []string) { return r.Frontends.Patterns() },
		noSource: true,
		unseen:   true,
	},
	{
		kind:      KindContainers,
		matches:   func(o Operation) bool { return o.Container != nil },
		normalize: func(o Operation) (Normalized, error) { return o.Container.normalize("a container") },
		describe: func(o Operation) string {
			return "a container of the frontend's" +
				o.Container.describe()
		},
		field: rulesOf(func(r *Rules) *Action { return &r.Containers }),
		validate: func(v *validator, at *yaml.Node, r *Rules) {
			v.action(at, string(KindContainers), r.Containers)
		},
		check: func(r *Rules, n Normalized) []Violation { return r.checkContainer(n) },
		// Without a rule, no container is allowed. Rules on commands bind containers too.
		restricts: func(r *Rules) bool { return r.Containers != ActionAllow || r.Exec.restrictsUse() },
		noSource:  true,
		unseen:    true,
	},
	{
		kind:      KindConfig,
		matches:   func(o Operation) bool { return o.Config != nil },
		normalize: func(o Operation) (Normalized, error) { return o.Config.normalize() },
		describe:  func(o Operation) string { return o.Config.describe() },
		field:     rulesOf(func(r *Rules) **ConfigRules { return &r.Config }),
		validate:  func(v *validator, at *yaml.Node, r *Rules) { v.config(at, r.Config) },
		check:     func(r *Rules, n Normalized) []Violation { return r.Config.check(n) },
		globs:     func(r *Rules) []string { return r.Config.globs() },
		noSource:  true,
	},
}

// Kinds returns all kinds, in the order of the fields of [Rules].
func Kinds() []Kind {
	all := make([]Kind, len(kinds))
	for i := range kinds {
		all[i] = kinds[i].kind
	}
	return all
}

// row returns the kind's row, nil for an unknown kind.
func (k Kind) row() *row {
	for i := range kinds {
		if kinds[i].kind == k {
			return &kinds[i]
		}
	}
	return nil
}

// IsSource reports whether the daemon reads operations of the kind from a source. The daemon
// has to be bound to the sources that were checked. An unknown kind is a source.
func (k Kind) IsSource() bool {
	row := k.row()
	return row == nil || !row.noSource
}

// InResult reports whether the result of a build shows operations of the kind, whatever
// dispatcher ran the frontend. It is true for an unknown kind.
func (k Kind) InResult() bool {
	row := k.row()
	return row == nil || !row.unseen
}

// IsUnseen reports whether dispatch: forward lets a frontend do operations of the kind unchecked,
// because neither the result of a build shows them, nor does the daemon ask about them. It is false
// for an unknown kind.
func (k Kind) IsUnseen() bool {
	row := k.row()
	return row != nil && row.unseen && !row.asked
}

// protocol says how URLs of the kind are read.
func (k Kind) protocol() urlmatch.Protocol {
	if k == KindGit {
		return urlmatch.Git
	}
	return urlmatch.HTTP
}

// Has reports whether there are rules for the kind.
func (r *Rules) Has(k Kind) bool {
	row := k.row()
	return row != nil && row.field.isSet(r)
}

// Kinds returns the kinds for which there are rules, in the order of the fields.
func (r *Rules) Kinds() []Kind {
	return slices.DeleteFunc(Kinds(), func(k Kind) bool { return !r.Has(k) })
}

// Only returns the rules for one kind, without all others.
func (r *Rules) Only(k Kind) Rules {
	var only Rules
	if row := k.row(); row != nil {
		row.field.only(&only, r)
	}
	return only
}

// Restricts reports whether the rules may forbid an operation of the kind. It is true for
// containers unless the rules allow them, and for an unknown kind.
func (r *Rules) Restricts(k Kind) bool {
	row := k.row()
	switch {
	case row == nil:
		return true
	case row.restricts != nil:
		return row.restricts(r)
	}
	return row.field.isSet(r) || r.closes(row)
}

// Enforces reports whether the rules do more than warn about an operation of the kind that they
// forbid.
func (r *Rules) Enforces(k Kind) bool {
	row := k.row()
	return r.Restricts(k) && (row == nil || row.field.mode(r) != imagerules.ModeWarn)
}

// Denies reports whether the rules deny the kind as a whole, by deny in place of its fields.
func (r *Rules) Denies(k Kind) bool {
	row := k.row()
	return row != nil && row.field.denied(r)
}

// closes reports whether the rules have none for the kind, and others: deny refuses it.
func (r *Rules) closes(row *row) bool {
	return r.Others == ActionDeny && !row.noSource && !row.field.isSet(r)
}

// Allowed returns the names that the rules allow for a kind, as written, and URLs as they are
// meant, but no more than limit. It is empty for a kind that has no such list.
func (r *Rules) Allowed(k Kind, limit int) []string {
	row := k.row()
	if row == nil || row.allowed == nil || !row.field.isSet(r) {
		return nil
	}
	var out []string
	for name := range row.allowed(r) {
		if len(out) == limit {
			break
		}
		out = append(out, name)
	}
	return out
}

// Patterns returns the patterns of the rules for a kind in canonical form. It is empty for a
// kind that has no lists of patterns.
func (r *Rules) Patterns(k Kind) (allow, deny []string) {
	if row := k.row(); row != nil && row.patterns != nil && row.field.isSet(r) {
		return row.patterns(r)
	}
	return nil, nil
}

// Globs returns everything in the rules that can contain a star: the patterns of all kinds in
// canonical form, the names of conversions and pins, and all other globs as written.
func (r *Rules) Globs() []string {
	var all []string
	for i := range kinds {
		row := &kinds[i]
		if !row.field.isSet(r) {
			continue
		}
		if row.patterns != nil {
			allow, deny := row.patterns(r)
			all = slices.Concat(all, allow, deny)
		}
		if row.globs != nil {
			all = append(all, row.globs(r)...)
		}
	}
	return all
}
