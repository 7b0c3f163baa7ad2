// Package policytest tests policies against cases in files. A case has a request and the
// expected answer of the policy.
//
//	policy: policy.yaml
//	cases:
//	  - name: previews are refused
//	    request: docker/dockerfile:1.7-labs
//	    expect: {verdict: deny, rule: no-previews}
//	  - name: base images come from the mirror
//	    request: docker/dockerfile:1
//	    expect: {verdict: allow}
//	    build:
//	      - image: mirror.example/busybox
//	      - image: quay.io/x
//	        expect: {verdict: deny, reason: build.images.allow}
//	    exports:
//	      - push: registry.example/app:1
package policytest

import (
	_ "embed"
	"fmt"
	"path"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/strictyaml"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// MaxSize is the size in bytes of the largest file of cases.
const MaxSize = 4 << 20

// Suite is one file of cases. Use [Parse] to make one.
type Suite struct {
	// File is the file's name, as given to [Parse].
	File string
	// Policy is the file with the policy, relative to the directory of File.
	Policy string
	// Cases are in the order of the file. There is at least one.
	Cases []Case
}

// Case is one request and the expected answer. A case of a file with several requests is one for
// each of them.
type Case struct {
	// Name says what the case shows. It is unique in the file. The names of cases with several
	// requests end with the request.
	Name string
	// Line is where the case begins, counted from 1.
	Line int
	// Overlay is the overlay of the case, if any.
	Overlay Overlay
	// Request is the request that is evaluated. Without a reference, it is that of a build that
	// names no frontend.
	Request policy.Request
	// Expect is the expected answer.
	Expect Expect
	// Client is who builds; unknown if the case doesn't say it.
	Client clients.Client
	// OwnLLB says that the client sends LLB of its own. The Request then has only a time.
	OwnLLB bool
	// Build has operations of the frontend and the expected answers.
	Build []Operation
	// Wishes are what the client wants besides, and the expected answers.
	Wishes []Wish
}

// Overlay is the overlay of a case, or none.
type Overlay struct {
	// The file with the overlay, relative to the directory of the file of cases.
	File string `yaml:"file,omitempty"`
	// The overlay itself.
	Text string `yaml:"text,omitempty"`
	// Whether the case has no overlay, although the file has one.
	None bool `yaml:"none,omitempty"`
}

// Expect is the expected answer. Empty fields aren't compared.
type Expect struct {
	// The verdict of the decision.
	Verdict policy.Verdict `yaml:"verdict" jsonschema:"enum=allow,enum=warn,enum=deny,enum=undecidable"`
	// The name of the rule that decides.
	Rule string `yaml:"rule,omitempty"`
	// The reference that may run, in any spelling.
	Source string `yaml:"source,omitempty"`
	// A part of the reason.
	Reason string `yaml:"reason,omitempty"`
	// Parts of messages. Several can be parts of the same message.
	Messages []string `yaml:"messages,omitempty"`
	// Parts of warnings. Several can be parts of the same warning.
	Warnings []string `yaml:"warnings,omitempty"`
}

// File is a file of cases as written. The comments on its fields are what an editor shows; [Schema]
// has them as descriptions.
type File struct {
	// The file with the policy, relative to the directory of this file.
	Policy string `yaml:"policy"`
	// The overlay of all cases.
	Overlay Overlay `yaml:"overlay,omitempty"`
	// The time of all cases: a day such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z.
	At string `yaml:"at,omitempty"`
	// The cases.
	Cases []FileCase `yaml:"cases" jsonschema:"minItems=1"`
}

// FileCase is a case as written.
type FileCase struct {
	// What the case shows; unique in the file.
	Name string `yaml:"name"`
	// The requested frontend, or several. Without it, the build names no frontend.
	Request []string `yaml:"request,omitempty" single:"true" jsonschema:"minItems=1"`
	// The digest of the requested image, if rules depend on it.
	Digest string `yaml:"digest,omitempty"`
	// The options from the client.
	Options map[string]string `yaml:"options,omitempty"`
	// The names of inputs from other builds.
	Inputs []string `yaml:"inputs,omitempty"`
	// The name of the client, or its names: uid:1000, gid:1000, cn:NAME, dns:NAME, or a URI. Without
	// it, the client is unknown. Only policy-guard knows its clients.
	Client []string `yaml:"client,omitempty" single:"true" jsonschema:"minItems=1"`
	// The time of the case, instead of the file's.
	At string `yaml:"at,omitempty"`
	// The overlay of the case, instead of the file's.
	Overlay Overlay `yaml:"overlay,omitempty"`
	// The expected answer. The verdict can stand alone, as in expect: deny.
	Expect Expect `yaml:"expect" short:"verdict"`
	// Whether the client sends LLB of its own, and asks for no frontend. Only policy-guard sees that.
	OwnLLB bool `yaml:"ownLLB,omitempty"`
	// Operations of the frontend or of the LLB, and the expected answers.
	Build []FileOperation `yaml:"build,omitempty"`
	// Where results go, and the expected answers. Only policy-guard sees that.
	Exports []FileExport `yaml:"exports,omitempty"`
	// The build caches that the build uses, and the expected answers. Only policy-guard sees that.
	Caches []FileCache `yaml:"caches,omitempty"`
	// The expected answer if the client runs containers of its own in the build. The verdict can stand
	// alone, as in debug: deny. Only policy-guard sees that.
	Debug *OperationExpect `yaml:"debug,omitempty" short:"verdict"`
	// What the client wants to do with the builder, outside of builds, and the expected answers. Only
	// policy-guard sees that.
	Administration *FileAdministration `yaml:"administration,omitempty"`
}

//go:embed test.schema.json
var schema string

// Schema returns the JSON Schema (draft 2020-12) of a file of cases. It is generated from [File].
func Schema() []byte { return []byte(schema) }

var format = strictyaml.Format{
	Name: "the document", Begin: "write a policy and its cases",
	Limit: MaxSize,
}

// Parse reads a file of cases of at most [MaxSize] bytes. file is its name in messages. The
// error is a [*strictyaml.Error] with positions.
//
// A case without a time has the file's time. If the file has none either, the time is unknown,
// so a case that passes today passes tomorrow. See [policy.Request].Time for its effect.
func Parse(file string, data []byte) (*Suite, error) {
	var doc File
	strict := strictyaml.Decode(file, data, format, &doc)
	if err := strict.Err(); err != nil {
		return nil, err
	}
	r := reader{strict: strict, doc: &doc, names: map[string]int{}}
	s := &Suite{File: file, Policy: doc.Policy}
	r.path([]any{"policy"}, "policy", doc.Policy, true)
	r.overlay([]any{"overlay"}, doc.Overlay)
	r.time = r.at([]any{"at"}, doc.At)
	if len(doc.Cases) == 0 {
		r.problem([]any{"cases"}, "there are no cases; a file of cases has at least one")
	}
	for i := range doc.Cases {
		s.Cases = append(s.Cases, r.read(i)...)
	}
	if err := strict.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

// reader checks the contents of a well-formed file of cases.
type reader struct {
	strict *strictyaml.Document
	doc    *File
	names  map[string]int // the lines of cases, by name
	time   time.Time      // of cases that have none
}

func (r *reader) problem(path []any, format string, args ...any) {
	r.strict.Problemf(r.strict.At(path...), format, args...)
}

func (r *reader) read(i int) []Case {
	w := &r.doc.Cases[i]
	at := func(keys ...any) []any { return append([]any{"cases", i}, keys...) }
	c := Case{Name: w.Name, Overlay: w.Overlay, Expect: w.Expect}
	c.Line = r.strict.At(at()...).Line
	if w.Name == "" {
		r.problem(at(), "the case has no name; say what it shows")
	} else if line, ok := r.names[w.Name]; ok {
		r.problem(at("name"), "the case on line %d already has the name %q; names must be unique",
			line, w.Name)
	}
	r.names[w.Name] = c.Line
	r.overlay(at("overlay"), w.Overlay)
	if c.Overlay == (Overlay{}) {
		c.Overlay = r.doc.Overlay
	}
	c.Client = r.client(at("client"), w.Client)
	r.expect(at, w.Expect)
	r.builds(at, w)
	if c.OwnLLB = w.OwnLLB; c.OwnLLB {
		r.own(at, w)
	}
	for n := range w.Build {
		c.Build = append(c.Build,
			r.operation(func(keys ...any) []any { return at(append([]any{"build", n}, keys...)...) },
				&w.Build[n]))
	}
	c.Wishes = r.wishes(at, w)
	return r.requests(at, w, c)
}

// client returns the client of a case.
func (r *reader) client(at []any, names []string) clients.Client {
	c, err := clients.Parse(names)
	switch {
	case err != nil:
		r.problem(at, "client: %v", err)
	case names != nil && len(names) == 0:
		r.problem(at, "client is empty; give it an entry, or remove it for an unknown client")
	}
	return c
}

// builds checks that a case whose build doesn't begin has nothing of the build.
func (r *reader) builds(at func(...any) []any, w *FileCase) {
	if v := w.Expect.Verdict; v != policy.Deny && v != policy.Undecidable {
		return
	}
	for _, field := range []struct {
		name  string
		given bool
	}{
		{"build", len(w.Build) > 0},
		{"exports", len(w.Exports) > 0},
		{"caches", len(w.Caches) > 0},
		{"debug", w.Debug != nil},
	} {
		if field.given {
			r.problem(at(field.name), "a frontend that doesn't run builds nothing; remove %s, or expect "+
				"another verdict", field.name)
		}
	}
}

// requests returns the case with each of its requests.
func (r *reader) requests(at func(...any) []any, w *FileCase, c Case) []Case {
	common := r.common(at, w)
	if len(w.Request) == 0 {
		if r.strict.At(at("request")...) != r.strict.At(at()...) {
			r.problem(at("request"), "request is empty; give it an entry, or remove it for a build that "+
				"names no frontend")
		}
		if _, err := imageref.ParseDigest(w.Digest); w.Digest != "" && err != nil {
			r.problem(at("digest"), "digest: %v", err)
		}
		c.Request = common
		return []Case{c}
	}
	if len(w.Request) > 1 && w.Digest != "" {
		r.problem(at("digest"), "digest is that of one request; write a case for each")
	}
	out := make([]Case, len(w.Request))
	for i, requested := range w.Request {
		place := at("request", i)
		c.Request = common
		c.Request.Requested = requested
		ref, err := imageref.Parse(requested)
		if err != nil {
			r.problem(place, "request: %v", err)
			continue
		}
		c.Request.Reference = ref
		if w.Digest != "" {
			if _, err := ref.WithDigest(digest.Digest(w.Digest)); err != nil {
				r.problem(at("digest"), "digest: %v", err)
			}
		}
		out[i] = c
		if len(w.Request) > 1 {
			out[i].Name = fmt.Sprintf("%s (%s)", c.Name, requested)
		}
	}
	return out
}

// common returns what all requests of a case have.
func (r *reader) common(at func(...any) []any, w *FileCase) policy.Request {
	req := policy.Request{Options: w.Options, Inputs: w.Inputs, Digest: digest.Digest(w.Digest)}
	for key := range w.Options {
		if optionkeys.IsOwn(key) {
			r.problem(at("options", key), "%s is the policy frontend's own and no rule judges it; a "+
				"policy on top is the case's overlay", key)
		}
	}
	req.Time = r.time
	if w.At != "" {
		req.Time = r.at(at("at"), w.At)
	}
	return req
}

func (r *reader) expect(at func(...any) []any, e Expect) {
	r.verdict(at, e.Verdict)
	if e.Source != "" {
		if _, err := imageref.Parse(e.Source); err != nil {
			r.problem(at("expect", "source"), "source: %v", err)
		}
	}
}

func (r *reader) verdict(at func(...any) []any, v policy.Verdict) {
	switch v {
	case policy.Allow, policy.Deny, policy.Warn, policy.Undecidable:
	case "":
		r.problem(at("expect"), "expect has no verdict; write expect: {verdict: allow}, or deny, warn "+
			"or undecidable")
	default:
		r.problem(at("expect", "verdict"), "verdict must be allow, deny, warn or undecidable, not %q", v)
	}
}

func (r *reader) overlay(at []any, o Overlay) {
	n := 0
	for _, given := range []bool{o.File != "", o.Text != "", o.None} {
		if given {
			n++
		}
	}
	if n > 1 {
		r.problem(at, "the overlay has more than one of file, text and none; write one of them")
	}
	r.path(append(at, "file"), "overlay", o.File, false)
}

// path checks the name of a file that the suite names.
func (r *reader) path(at []any, what, name string, required bool) {
	switch {
	case name == "" && required:
		r.problem(at, "the %s is missing; write the file's name, relative to the directory of this one",
			what)
	case path.IsAbs(name):
		r.problem(at, "%s must be relative to the directory of this file, not %q", what, name)
	}
}

// at reads a time, which is optional.
func (r *reader) at(at []any, s string) time.Time {
	if s == "" {
		return time.Time{}
	}
	t, err := policy.ParseTime(s)
	if err != nil {
		r.problem(at, "at: %v", err)
	}
	return t
}
