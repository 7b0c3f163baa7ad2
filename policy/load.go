package policy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/internal/strictyaml"
	"github.com/policy-frontend/policy-frontend/internal/versions"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

const (
	// maxIncludes is how many files one policy can include, directly or not.
	maxIncludes = 32
	// maxIncludeDepth is how deep included files can include others.
	maxIncludeDepth = 8

	// maxIncludePath is the length in bytes of the longest path of an included file.
	maxIncludePath = 255
)

// Load reads the embedded policy called name from fsys, as [Parse] does, with the files that
// it includes. All files together have at most [MaxSize] bytes, and there are at most 32
// included ones. Names are slash-separated paths in fsys ([fs.ValidPath]). The path of an
// included file is relative to the directory of the file that includes it.
//
// If the policy itself can't be opened or read, the error is that of fsys, so [errors.Is]
// finds [fs.ErrNotExist], or wraps [ErrOutside]. If a document isn't valid, or an included file
// can't be read, the error is a [*ParseError] with the name of the file.
//
// Callers that read from a disk pass the FS of an os.Root. Then no symbolic link leads out of
// the policy's directory.
func Load(fsys fs.FS, name string) (*Policy, error) {
	l := newLoader(withFiles)
	l.fsys = fsys
	data, err := l.read(name)
	if err != nil {
		return nil, err
	}
	return l.load(name, data, MaxSize)
}

// format describes policy documents. The loader checks their size before.
var format = strictyaml.Format{
	Name:  "the policy",
	Begin: fmt.Sprintf("a policy begins with version: %d", Version), Limit: MaxSize,
}

// role is what a document is for.
type role int

const (
	alone     role = iota // an embedded policy without its folder
	withFiles             // an embedded policy in its folder
	overlaid              // an overlay
	included              // a file that a policy includes
)

// loader reads one policy, which may be several documents.
type loader struct {
	role     role
	fsys     fs.FS
	policy   *Policy
	names    imagerules.Names
	versions versions.Cache
	seen     map[string]bool // the files
	chain    []string        // the file that is read now, and those that include it
	size     int             // bytes so far
	sums     strings.Builder // as sha256sum would print them
	problems []strictyaml.Problem
	omitted  int
}

func newLoader(k role) *loader {
	return &loader{
		role: k, policy: &Policy{}, names: imagerules.Names{},
		versions: versions.Cache{}, seen: map[string]bool{},
	}
}

// load makes a policy of the main document and what it includes.
func (l *loader) load(file string, data []byte, limit int) (*Policy, error) {
	if len(data) > limit {
		message := fmt.Sprintf("the document has %d bytes, more than %d", len(data), limit)
		if l.role == withFiles { // No more than that was read.
			message = fmt.Sprintf("the document has more than %d bytes", limit)
		}
		return nil, &ParseError{Problems: []Problem{{File: file, Message: message}}}
	}
	l.document(l.role, file, data)
	if err := newParseError(l.problems, l.omitted); err != nil {
		return nil, err
	}
	p := l.policy
	p.digest = digest.FromBytes(data)
	if len(l.seen) > 1 {
		p.digest = digest.FromString(l.sums.String())
	}
	p.index = imagerules.NewIndex(func(yield func(int, *imagerules.Rule) bool) {
		for i := range p.doc.Frontends {
			if !yield(i, &p.doc.Frontends[i].Rule) {
				return
			}
		}
	})
	p.renames = newRenames(p.doc.Aliases)
	p.pins, p.usualPins = newAliasPins(p.doc.Aliases)
	p.allows = p.newCandidates()
	return p, nil
}

// document adds one document to the policy, and then those that it includes.
func (l *loader) document(k role, file string, data []byte) {
	l.seen[file] = true
	l.chain = append(l.chain, file)
	defer func() { l.chain = l.chain[:len(l.chain)-1] }()
	l.size += len(data)
	fmt.Fprintf(&l.sums, "%s  %s\n", digest.FromBytes(data).Encoded(), file)

	p := &Policy{}
	d := strictyaml.Decode(file, data, format, &p.doc)
	root := d.Root()
	// A document with a broken structure has no meaning to check.
	if d.Err() == nil {
		v := validator{Document: d, loader: l, root: root, policy: p}
		v.validate(k)
	}
	problems, omitted := d.Problems()
	l.problems, l.omitted = append(l.problems, problems...), l.omitted+omitted
	if len(problems) > 0 {
		return
	}
	if k == included {
		l.policy.doc.Aliases = append(l.policy.doc.Aliases, p.doc.Aliases...)
		l.policy.doc.Frontends = append(l.policy.doc.Frontends, p.doc.Frontends...)
	} else {
		l.policy = p
	}
	for i, name := range p.doc.Include {
		at := child(root, "include").Content[i]
		if data, err := l.include(path.Join(path.Dir(file), name)); err != nil {
			l.problems = append(l.problems,
				strictyaml.Problem{
					File: file, Line: at.Line, Column: at.Column,
					Message: "include: " + err.Error(),
				})
		} else {
			l.document(included, path.Join(path.Dir(file), name), data)
		}
	}
}

// include reads the file of that name, unless it can't be included now.
func (l *loader) include(name string) ([]byte, error) {
	switch {
	case slices.Contains(l.chain, name):
		return nil,
			fmt.Errorf("%s includes itself: %s", name,
				strings.Join(append(slices.Clone(l.chain), name), " includes "))
	case l.seen[name]:
		return nil, fmt.Errorf("%s is already included; include each file once", name)
	case len(l.seen) > maxIncludes:
		return nil, fmt.Errorf("%s is one file too many: a policy includes at most %d", name, maxIncludes)
	case len(l.chain) > maxIncludeDepth:
		return nil,
			fmt.Errorf("%s is included too deep: at most %d levels below the policy", name, maxIncludeDepth)
	}
	data, err := l.read(name)
	if err != nil {
		return nil, fmt.Errorf("%s %s", safetext.Printable(name), unread(err))
	}
	if l.size+len(data) > MaxSize {
		return nil, fmt.Errorf("with %s, the policy has more than %d bytes", name, MaxSize)
	}
	return data, nil
}

// read reads a file, at most a byte more than there is room for. What isn't a
// regular file, such as a pipe, could keep it waiting for ever.
func (l *loader) read(name string) ([]byte, error) {
	info, err := fs.Stat(l.fsys, name)
	if err != nil {
		return nil, fileError(err)
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("it isn't a regular file")}
	}
	f, err := l.fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, int64(MaxSize-l.size)+1))
}

// unread says why a file can't be read, without the words of the system for it.
func unread(err error) string {
	var path *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "doesn't exist; a path is relative to the directory of the file that includes it"
	case errors.Is(err, fs.ErrPermission):
		return "can't be read: permission denied"
	case errors.Is(err, ErrOutside):
		return "can't be read: " + ErrOutside.Error()
	case errors.As(err, &path):
		return "can't be read: " + safetext.Printable(path.Err.Error())
	}
	return "can't be read: " + safetext.Printable(err.Error())
}

// ErrOutside is the error of a file that a symbolic link puts outside the policy's directory.
var ErrOutside = errors.New("a symbolic link leads out of the policy's directory; copy the file " +
	"into the directory, or name the file that the link leads to")

// fileError returns [ErrOutside] for the error of an os.Root about a path that leaves it. Package
// os has no name for that error.
func fileError(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) && path.Err.Error() == "path escapes from parent" {
		return &fs.PathError{Op: path.Op, Path: path.Path, Err: ErrOutside}
	}
	return err
}

func (v *validator) includes(k role) {
	n := child(v.root, "include")
	if n == nil {
		return
	}
	switch k {
	case overlaid:
		v.addf(n, "an overlay can't include files; write everything into it")
		return
	case alone:
		v.addf(n,
			"include needs the directory of the policy, and here is only its text; load it from its file")
		return
	}
	v.list(n, "include", v.policy.doc.Include, checkInclude)
}

func checkInclude(s string) error {
	if err := safetext.Check(s, maxIncludePath, false); err != nil {
		return fmt.Errorf("%s %w", safetext.Quote(s), err)
	}
	if !fs.ValidPath(s) || s == "." || strings.Contains(s, `\`) {
		return fmt.Errorf(
			"%s is not a path below the policy's directory; write one like team/rules.yaml, without .. and / in front", safetext.Quote(s))
	}
	return nil
}

// onlyIncluded refuses what an included file can't say.
func (v *validator) onlyIncluded() {
	for i := 0; i+1 < len(v.root.Content); i += 2 {
		key := v.root.Content[i]
		if !slices.Contains([]string{"version", "id", "aliases", "frontends", "include"}, key.Value) {
			v.addf(key,
				"%s belongs in the policy itself; an included file has only version, id, aliases, frontends and include", key.Value)
		}
	}
}

// child returns the value of the mapping's field, or nil if it has none.
func child(n *yaml.Node, key string) *yaml.Node { return strictyaml.Child(n, key) }
