package policytest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Wish is something that the client of a case wants besides a frontend and its operations, and the
// expected answer.
type Wish struct {
	opcheck.Wish
	// Line is where it begins, counted from 1.
	Line int
	// Expect is the expected answer.
	Expect OperationExpect
}

// wishEntry is an entry of a list of a case that makes a [Wish].
type wishEntry interface {
	// wish returns what the entry says. The error completes a message about the entry.
	wish() (opcheck.Wish, error)
	expected() *OperationExpect
}

// FileExport is where a result goes, as it is written in a file.
type FileExport struct {
	// The exporter that sends the result to the client.
	Client string `yaml:"client,omitempty" jsonschema:"enum=local,enum=tar,enum=oci,enum=docker"`
	// The name to which the image is pushed, or several.
	Push []string `yaml:"push,omitempty" single:"true" jsonschema:"minItems=1"`
	// The name of the image in the builder's own image store, or several.
	Store []string `yaml:"store,omitempty" single:"true" jsonschema:"minItems=1"`
	// The keys of annotations that the client sets.
	Annotations []string `yaml:"annotations,omitempty"`
	// The expected answer. The verdict can stand alone. The default is allow.
	Expect *OperationExpect `yaml:"expect,omitempty" short:"verdict"`
}

func (f FileExport) expected() *OperationExpect { return f.Expect }

func (f FileExport) wish() (opcheck.Wish, error) {
	n := 0
	for _, given := range []bool{f.Client != "", len(f.Push) > 0, len(f.Store) > 0} {
		if given {
			n++
		}
	}
	e := policy.Export{Type: f.Client, Push: len(f.Push) > 0, Annotations: f.Annotations}
	switch clients := policy.ClientExporters(); {
	case n == 0:
		return opcheck.Wish{}, errors.New("the entry says nowhere to go; write client, push or store")
	case n > 1:
		return opcheck.Wish{}, errors.New("the entry has more than one of client, push and store; write " +
			"an entry for each")
	case f.Client == "":
		e.Type = policy.ExportImage
	case !slices.Contains(clients, f.Client):
		return opcheck.Wish{}, fmt.Errorf("client must be %s, not %q", safetext.Or(clients), f.Client)
	}
	for _, name := range append(slices.Clone(f.Push), f.Store...) {
		ref, err := imageref.Parse(name)
		if err != nil {
			return opcheck.Wish{}, err
		}
		e.Names = append(e.Names, ref)
	}
	return opcheck.WishExport(e), nil
}

// FileCache is a build cache that a build uses, as it is written in a file.
type FileCache struct {
	// The type of the cache that the build imports, such as registry or local.
	Import string `yaml:"import,omitempty"`
	// The type of the cache that the build exports, such as registry, local or inline.
	Export string `yaml:"export,omitempty"`
	// The name of a cache of the type registry.
	Ref string `yaml:"ref,omitempty"`
	// The expected answer. The verdict can stand alone. The default is allow.
	Expect *OperationExpect `yaml:"expect,omitempty" short:"verdict"`
}

func (f FileCache) expected() *OperationExpect { return f.Expect }

func (f FileCache) wish() (opcheck.Wish, error) {
	if (f.Import == "") == (f.Export == "") {
		return opcheck.Wish{}, errors.New("the entry has to have one of import and export, with the type " +
			"of the cache")
	}
	u := policy.CacheUse{Export: f.Export != "", Type: f.Import + f.Export}
	if (u.Type == policy.CacheRegistry) != (f.Ref != "") {
		return opcheck.Wish{}, fmt.Errorf("ref is the name of a cache of the type %s, and only such a cache "+
			"has one", policy.CacheRegistry)
	}
	if f.Ref != "" {
		var err error
		if u.Name, err = imageref.Parse(f.Ref); err != nil {
			return opcheck.Wish{}, fmt.Errorf("ref: %w", err)
		}
	}
	return opcheck.WishCache(u), nil
}

// FileAdministration is what the client wants to do with the builder, as it is written in a file.
type FileAdministration struct {
	// The expected answer if the client wants to see the disk usage. The verdict can stand alone.
	DiskUsage *OperationExpect `yaml:"diskUsage,omitempty" short:"verdict"`
	// The expected answer if the client wants to prune the builder. The verdict can stand alone.
	Pruning *OperationExpect `yaml:"pruning,omitempty" short:"verdict"`
}

// wishes returns what a case says besides its operations.
func (r *reader) wishes(at func(...any) []any, w *FileCase) []Wish {
	return slices.Concat(
		wishesOf(r, at, "exports", w.Exports),
		wishesOf(r, at, "caches", w.Caches),
		r.wish(at, opcheck.WishDebug(), w.Debug, "debug"),
		r.administration(at, w.Administration),
	)
}

// administration returns what a case says about the client and the builder, if anything.
func (r *reader) administration(at func(...any) []any, w *FileAdministration) []Wish {
	const field = "administration"
	if w == nil {
		return nil
	}
	if *w == (FileAdministration{}) {
		r.problem(at(field), "the field says nothing; write diskUsage, pruning or both, or remove it")
	}
	return slices.Concat(
		r.wish(at, opcheck.WishAdministration(policy.DiskUsage), w.DiskUsage, field, "diskUsage"),
		r.wish(at, opcheck.WishAdministration(policy.Pruning), w.Pruning, field, "pruning"),
	)
}

// wish returns what a case says about a wish by a field that has only the expected answer, if
// anything.
func (r *reader) wish(
	at func(...any) []any, wish opcheck.Wish, w *OperationExpect, field ...any,
) []Wish {
	if w == nil {
		return nil
	}
	below := func(keys ...any) []any { // the expectation is the field itself
		return at(append(slices.Clone(field), keys[min(1, len(keys)):]...)...)
	}
	asked := Wish{Wish: wish, Line: r.strict.At(below()...).Line, Expect: r.expected(below, w)}
	r.noImage(below, asked.Expect)
	return []Wish{asked}
}

// noImage refuses an expected image for what isn't an operation.
func (r *reader) noImage(at func(...any) []any, e OperationExpect) {
	if e.Image != "" {
		r.problem(at("expect", "image"), "image is about an operation; remove it")
	}
}

func wishesOf[T wishEntry](r *reader, at func(...any) []any, field string, list []T) []Wish {
	out := make([]Wish, len(list))
	for i, entry := range list {
		below := func(keys ...any) []any { return at(append([]any{field, i}, keys...)...) }
		wish, err := entry.wish()
		if err != nil {
			r.problem(below(), "%v", err)
		}
		out[i] = Wish{
			Wish: wish, Line: r.strict.At(below()...).Line, Expect: r.expected(below, entry.expected()),
		}
		r.noImage(below, out[i].Expect)
	}
	return out
}

// own checks a case of LLB that no frontend made.
func (r *reader) own(at func(...any) []any, w *FileCase) {
	const format = "%s is about a frontend, and LLB of the client's own has none; remove it, or ownLLB"
	for field, given := range map[string]bool{
		"request": len(w.Request) > 0, "digest": w.Digest != "", "options": len(w.Options) > 0,
		"inputs": len(w.Inputs) > 0,
	} {
		if given {
			r.problem(at(field), format, field)
		}
	}
	if w.Expect.Source != "" {
		r.problem(at("expect", "source"), format, "source")
	}
	for i := range w.Build {
		b := &w.Build[i]
		why := opcheck.NotInLLB(b.Operation)
		if b.Dockerfile != "" {
			why = "a dockerfile is for a frontend; name a file with llb"
		}
		if why != "" {
			r.problem(at("build", i), "%s", why)
		}
	}
}
