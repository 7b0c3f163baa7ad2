package buildfiles

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// kind says how a file is read.
type kind int

const (
	other kind = iota
	dockerfile
	likely // a Dockerfile if it has a FROM or a syntax line
	named  // a Dockerfile because somebody says so
	template
	bake
	compose
)

// skipped are directories with files of others.
var skipped = []string{".git", ".hg", ".svn", "node_modules", "vendor"}

// notBuildFiles are endings of files that only begin like a Dockerfile's name.
var notBuildFiles = []string{".dockerignore", ".md", ".swp", ".orig", ".bak", "~"}

// templates are endings of files from which a program makes a build file.
var templates = []string{
	".j2", ".jinja", ".jinja2", ".tmpl", ".tpl", ".template", ".in", ".erb", ".mustache", ".m4",
}

// languages are endings of other files that name Dockerfiles, such as dockerfile.go. Dockerfile.go
// can be a Dockerfile too, for programs in Go.
var languages = []string{
	".go", ".html", ".js", ".json", ".nanorc", ".py", ".rb", ".rego", ".sh", ".tmlanguage",
	".tmpreferences", ".ts", ".txt", ".vim", ".xml", ".yaml", ".yml",
}

// from is the instruction without which no Dockerfile can be built.
var from = regexp.MustCompile(`(?mi)^[ \t]*FROM[ \t\\]`)

// hasLanguage reports whether the name is that of a program, or of another kind of file.
func hasLanguage(name string) bool {
	return slices.Contains(languages, strings.ToLower(path.Ext(name)))
}

// kindOf returns the kind of a file with this name.
func kindOf(name string) kind {
	name = strings.ToLower(name)
	hasSuffix := func(s string) bool { return strings.HasSuffix(name, s) }
	for _, word := range []string{"dockerfile", "containerfile"} {
		if name != word && !strings.HasPrefix(name, word+".") && !strings.HasSuffix(name, "."+word) {
			continue
		}
		switch {
		case slices.ContainsFunc(notBuildFiles, hasSuffix):
			return other
		case slices.ContainsFunc(templates, hasSuffix):
			return template
		}
		return dockerfile
	}
	if isLikely(name) {
		switch {
		case slices.ContainsFunc(notBuildFiles, hasSuffix):
			return other
		case slices.ContainsFunc(templates, hasSuffix):
			return template
		}
		return likely
	}
	stem, ok := cutAny(name, ".hcl", ".json")
	if ok && (stem == "docker-bake" || strings.HasPrefix(stem, "docker-bake.")) {
		return bake
	}
	stem, ok = cutAny(name, ".yaml", ".yml")
	for _, word := range []string{"compose", "docker-compose"} {
		rest, found := strings.CutPrefix(stem, word)
		if ok && found && (rest == "" || rest[0] == '.' || rest[0] == '-') {
			return compose
		}
	}
	return other
}

// isLikely reports whether a file with this name in lower case is often a Dockerfile, such as
// dockerfile-prod, dockerfile_prod.alpine, proddockerfile and prod.docker.
func isLikely(name string) bool {
	ext := path.Ext(name)
	if hasLanguage(name) {
		return false
	}
	for _, word := range []string{"dockerfile", "containerfile"} {
		if strings.HasPrefix(name, word+"-") || strings.HasPrefix(name, word+"_") ||
			ext == "" && strings.Contains(name, word) {
			return true
		}
	}
	return ext == ".docker"
}

func cutAny(name string, suffixes ...string) (stem string, ok bool) {
	for _, s := range suffixes {
		if stem, ok := strings.CutSuffix(name, s); ok {
			return stem, true
		}
	}
	return name, false
}

// Tree is a tree of files.
type Tree struct {
	// FS has the files. It must not follow symbolic links that lead out of the tree.
	FS fs.FS
	// Dir is the tree's name in [Build.Origin] and in messages; "" or "." if it needs none.
	Dir string
	// Options are the frontend options that each build gets, whatever describes it.
	Options map[string]string
	// Syntax reports whether the beginning of a file has a syntax line.
	Syntax func([]byte) bool
	// MaxTime bounds the time for one compose file, and for the bake files of one directory. It has
	// no bound if it is 0.
	MaxTime time.Duration
}

// within returns what the function finds, or that it took too long.
func (t Tree) within(name string, find func() Found) Found {
	done := make(chan Found, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- Found{Problems: []Problem{{
					File: name, Message: fmt.Sprintf("internal: reading it stopped: %v", p),
				}}}
			}
		}()
		done <- find()
	}()
	var late <-chan time.Time
	if t.MaxTime > 0 {
		late = time.After(t.MaxTime)
	}
	select {
	case found := <-done:
		return found
	case <-late: // the goroutine goes on; nothing can stop it
		return Found{Problems: []Problem{{
			File: name, Message: fmt.Sprintf("reading it took longer than %s", t.MaxTime),
		}}}
	}
}

// Find returns all builds in the tree: each Dockerfile, each other file with a syntax line, and
// what bake files and compose files describe. It skips directories of version control systems,
// node_modules and vendor.
func (t Tree) Find() (Found, error) {
	var found Found
	var bakes, composes []string
	err := fs.WalkDir(t.FS, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && name == ".":
			return err
		case err != nil:
			found.Problems = append(found.Problems, problemOf(name, err))
			return nil
		case !d.IsDir() && kindOf(d.Name()) == bake:
			bakes = append(bakes, name)
			return nil
		case !d.IsDir() && kindOf(d.Name()) == compose:
			composes = append(composes, name)
			return nil
		case !d.IsDir():
			found.add(t.file(name, d.Type(), kindOf(d.Name()), true))
			return nil
		case name == ".":
			return nil
		case slices.Contains(skipped, d.Name()):
			return fs.SkipDir
		case strings.Count(name, "/") >= MaxDepth:
			found.Problems = append(found.Problems, Problem{
				File: name, Message: fmt.Sprintf("it is deeper than %d directories", MaxDepth),
			})
			return fs.SkipDir
		}
		return nil
	})
	for _, files := range together(bakes) {
		found.add(t.within(files[0], func() Found { return t.bake(files) }))
	}
	for _, name := range composes {
		if files := t.composePair(name); files[0] == name { // an override is read with its base
			found.add(t.within(name, func() Found { return t.compose(files) }))
		}
	}
	found.once()
	return found, err
}

// bakeNames are the files that bake reads if nobody names one, in its order: a later one counts
// more (bake/bake.go in buildx).
var bakeNames = []string{
	"docker-bake.json", "docker-bake.hcl", "docker-bake.override.json", "docker-bake.override.hcl",
}

// bakeGroup returns the files that bake reads together if the name is one of them, or the name
// alone.
func (t Tree) bakeGroup(name string) []string {
	dir, base := path.Split(name)
	if !slices.Contains(bakeNames, base) {
		return []string{name}
	}
	var out []string
	for _, n := range bakeNames {
		if info, err := fs.Stat(t.FS, dir+n); n == base || err == nil && info.Mode().IsRegular() {
			out = append(out, dir+n)
		}
	}
	return out
}

// together groups the bake files of each directory: bake reads them as one. Those that bake reads
// by default come last, in its order.
func together(names []string) [][]string {
	slices.SortStableFunc(names, func(a, b string) int {
		if c := strings.Compare(path.Dir(a), path.Dir(b)); c != 0 {
			return c
		}
		return slices.Index(bakeNames, path.Base(a)) - slices.Index(bakeNames, path.Base(b))
	})
	var out [][]string
	for i, name := range names {
		if i == 0 || path.Dir(name) != path.Dir(names[i-1]) {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], name)
	}
	return out
}

// One returns the builds of one file of the tree, whatever its name is. A file that is neither a
// bake file nor a compose file is a build file. A bake file or a compose file that its program
// reads by default is read with its override, or as the override that it is.
func (t Tree) One(name string) Found {
	k := kindOf(path.Base(name))
	if k == other || k == template {
		switch strings.ToLower(path.Ext(name)) {
		case ".hcl":
			k = bake
		case ".json":
			k = t.kindOfData(name, bake, `"target"`, `"group"`)
		case ".yaml", ".yml":
			k = t.kindOfData(name, compose, "services:")
		default:
			k = named
		}
	}
	switch k {
	case bake:
		return t.within(name, func() Found { return t.bake(t.bakeGroup(name)) })
	case compose:
		return t.within(name, func() Found { return t.compose(t.composePair(name)) })
	}
	return t.file(name, 0, k, false)
}

// kindOfData returns the kind if the file has one of the words, and no syntax line.
func (t Tree) kindOfData(name string, k kind, words ...string) kind {
	data, err := t.read(name)
	if err != nil || t.Syntax(data) {
		return named
	}
	for _, w := range words {
		if bytes.Contains(data, []byte(w)) {
			return k
		}
	}
	return named
}

// file returns the builds of a file that is neither a bake file nor a compose file. found says that
// nobody named the file.
func (t Tree) file(name string, mode fs.FileMode, k kind, found bool) Found {
	if k == template {
		return Found{Problems: []Problem{{
			File: name, Unknown: true, Message: "it is a template; check the file that is made of it",
		}}}
	}
	if k == other && (!mode.IsRegular() || !t.hasSyntax(name)) {
		return Found{}
	}
	data, err := t.read(name)
	if errors.Is(err, errDirectory) {
		return Found{}
	}
	if err != nil {
		p := problemOf(name, err)
		p.Unknown = found && k == likely
		return Found{Problems: []Problem{p}}
	}
	isDockerfile := from.Match(data) || t.Syntax(data)
	mayBeAnother := k == likely || k == dockerfile && hasLanguage(name)
	switch {
	case isDockerfile || !mayBeAnother:
	case found:
		return Found{}
	default: // pre-commit names each file whose name fits
		return Found{Problems: []Problem{{
			File: name, Unknown: true, Message: "it has neither a FROM line nor a syntax line",
		}}}
	}
	options := map[string]string{keyFilename: path.Base(name)}
	for k, v := range t.Options {
		options[k] = v
	}
	return Found{Builds: []Build{{File: name, Data: data, Options: options}}}
}

// head is how much of a file is read for finding its syntax line.
const head = 512

// hasSyntax reports whether a file of unknown kind has a syntax line. It reads little.
func (t Tree) hasSyntax(name string) bool {
	f, err := t.FS.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	data := make([]byte, head)
	n, _ := io.ReadFull(f, data)
	data = data[:n]
	return bytes.Contains(data, []byte("syntax")) && t.Syntax(data)
}

var (
	// errNotAFile is the error for what has no content that ends.
	errNotAFile = errors.New("it is not a regular file")
	// errDirectory is the error for a directory, to which a link can lead.
	errDirectory = errors.New("it is a directory")
)

// read reads a regular file of at most [MaxSize] bytes.
func (t Tree) read(name string) ([]byte, error) {
	info, err := fs.Stat(t.FS, name)
	if err != nil {
		return nil, reasonOf(err)
	}
	if info.IsDir() {
		return nil, errDirectory
	}
	if !info.Mode().IsRegular() { // reading a pipe may never end
		return nil, errNotAFile
	}
	f, err := t.FS.Open(name)
	if err != nil {
		return nil, reasonOf(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	switch {
	case err != nil:
		return nil, reasonOf(err)
	case len(data) > MaxSize:
		return nil, fmt.Errorf("it has more than %d bytes", MaxSize)
	}
	return data, nil
}

func problemOf(name string, err error) Problem {
	return Problem{File: name, Message: reasonOf(err).Error()}
}

// reasonOf returns the error without the name of the file.
func reasonOf(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
