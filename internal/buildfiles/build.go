// Package buildfiles finds build files in a tree, and reads the files that describe builds: bake
// files and compose files.
//
// It takes plain data and the defaults of variables. What it can't evaluate, it names and leaves
// out: a Problem says so. The files are hostile; see [MaxSize] and [MaxDepth] for its bounds.
package buildfiles

import (
	"maps"
	"path"
	"slices"
	"strings"
)

const (
	// MaxSize is the size in bytes of the largest file that is read. BuildKit doesn't show the lines
	// of larger build files.
	MaxSize = 1 << 20
	// MaxDepth is how deep directories are searched.
	MaxDepth = 64
)

// Build is a build that somebody could start.
type Build struct {
	// File is the name of the build file in its tree, with slashes.
	File string
	// Data is the build file, of at most [MaxSize] bytes. It is nil if it can't be read: Missing
	// says why.
	Data    []byte
	Missing string
	// FirstLine is the line of File at which Data begins, counted from 1. 0 is the same as 1.
	FirstLine int
	// Options are the frontend options that the client sends.
	Options map[string]string
	// Inputs are the names of the frontend inputs that the client sends.
	Inputs []string
	// Origin says which part of which other file describes the build, or is "".
	Origin string
}

// Problem is a file, or a part of one, that can't be used.
type Problem struct {
	// File is the file's name in its tree. Line counts from 1; it is 0 for the whole file.
	File string
	Line int
	// Message says why.
	Message string
	// Unknown says that the file may be right: a person, or the build, knows more.
	Unknown bool
}

// Found is what a tree has.
type Found struct {
	Builds   []Build
	Problems []Problem
}

func (f *Found) add(g Found) {
	f.Builds = append(f.Builds, g.Builds...)
	f.Problems = append(f.Problems, g.Problems...)
}

// once removes what is there twice: a file that another one includes is also found by its name.
func (f *Found) once() {
	builds, problems := map[string][]Build{}, map[Problem]bool{}
	f.Builds = slices.DeleteFunc(f.Builds, func(b Build) bool {
		if b.Origin == "" {
			return false
		}
		same := func(c Build) bool {
			return b.File == c.File && b.FirstLine == c.FirstLine && maps.Equal(b.Options, c.Options)
		}
		if slices.ContainsFunc(builds[b.Origin], same) {
			return true
		}
		builds[b.Origin] = append(builds[b.Origin], b)
		return false
	})
	f.Problems = slices.DeleteFunc(f.Problems, func(p Problem) bool {
		was := problems[p]
		problems[p] = true
		return was
	})
}

// described is a build that a bake or compose file describes, in the words that both share.
type described struct {
	file, origin string // of the description
	line         int
	dir          string // to which context is relative
	context      string
	dockerfile   string
	inline       string
	inlineLine   int
	contexts     map[string]string
	options      map[string]string
	// template says that other targets build on this one, so it needn't be complete.
	template bool
}

// build reads the build file that the description names.
func (t Tree) build(d described) Found {
	b := Build{
		File: d.file, Origin: d.origin, Options: maps.Clone(d.options), FirstLine: d.inlineLine,
	}
	if b.Options == nil {
		b.Options = map[string]string{}
	}
	for _, name := range slices.Sorted(maps.Keys(d.contexts)) {
		b.addContext(name, d.contexts[name])
	}
	maps.Copy(b.Options, t.Options)
	b.Options[keyFilename] = defaultName
	remote := isRemote(d.context)
	if remote {
		b.Options[keyContext] = d.context
	}
	if d.inline != "" {
		b.Data = []byte(d.inline)
		if remote {
			b.Options[keyDockerfile] = "dockerfile"
		}
		return Found{Builds: []Build{b}}
	}
	name := d.dockerfile
	if name == "" {
		name = defaultName
	}
	b.FirstLine = 0
	if remote {
		b.Options[keyFilename] = name
		b.Missing = "the build file is at " + d.context + ", which can't be read offline"
		return Found{Builds: []Build{b}}
	}
	file := path.Join(d.dir, d.context, name)
	if path.IsAbs(d.context) || path.IsAbs(name) || file == ".." || strings.HasPrefix(file, "../") {
		return d.unknown("its build file is outside of the directory that is checked: " + name)
	}
	data, err := t.read(file)
	if err != nil {
		if d.template {
			return Found{}
		}
		return d.unknown("its build file can't be read: " + err.Error())
	}
	b.File, b.Data = file, data
	b.Options[keyFilename] = path.Base(file)
	return Found{Builds: []Build{b}}
}

// unknown says that the build can't be checked.
func (d described) unknown(why string) Found {
	return Found{Problems: []Problem{{
		File: d.file, Line: d.line, Message: d.origin + ": " + why, Unknown: true,
	}}}
}

// Frontend options (frontend/dockerui/config.go and context.go in BuildKit).
const (
	keyFilename   = "filename"
	keyContext    = "context"
	keyDockerfile = "dockerfilekey"

	defaultName = "Dockerfile"
)

// addContext adds a named context as buildx does (build/opt.go in buildx): another target is an
// input, and a path is a directory of the client.
func (b *Build) addContext(name, value string) {
	key := "context:" + name
	switch scheme, _, ok := strings.Cut(value, ":"); {
	case ok && (scheme == "target" || scheme == "service"):
		b.Inputs = append(b.Inputs, name)
		b.Options[key] = "input:" + name
	case isRemote(value), ok && (scheme == "docker-image" || scheme == "oci-layout"):
		b.Options[key] = value
	default:
		b.Options[key] = "local:" + name
	}
}

// isRemote reports whether a context is a URL.
func isRemote(context string) bool {
	for _, prefix := range []string{"https://", "http://", "git://", "ssh://", "git@", "github.com/"} {
		if strings.HasPrefix(context, prefix) {
			return true
		}
	}
	return false
}
