package policy

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// subject is a request, in the form that rules are applied to.
type subject struct {
	imagerules.Subject
	source     imageref.Reference // with the digest that would run, if known
	options    map[string]string
	optionKeys []string // sorted
	inputs     []string // the results of other builds, sorted
}

// newSubject returns the subject of a request. A pinned tag points to its pin, whatever the
// registry says.
func newSubject(r Request, final rewritten) (subject, error) {
	s := subject{
		Subject: imagerules.Subject{
			Ref: final.ref, Digest: final.ref.Digest(),
			TagDigest: cmp.Or(final.pin, r.TagDigest), Now: r.Time,
		},
		source:  final.ref,
		options: r.Options, optionKeys: slices.Sorted(maps.Keys(r.Options)),
		inputs: r.fromBuilds(),
	}
	if _, given := r.Options[contextOption]; !given && r.remoteContext() {
		s.optionKeys = append(s.optionKeys, contextOption)
		slices.Sort(s.optionKeys)
	}
	if s.Ref.Name() == "" {
		return s, errors.New("the request names no frontend")
	}
	s.Name = s.Ref.Pattern()
	if r.TagDigest != "" {
		if _, err := imageref.ParseDigest(r.TagDigest.String()); err != nil {
			return s, fmt.Errorf("what the tag points to: %w", err)
		}
	}
	if r.Digest != "" {
		source, err := s.Ref.WithDigest(r.Digest)
		if err != nil {
			return s, err
		}
		s.source, s.Digest = source, r.Digest
	}
	return s, nil
}

// contextOption is the address of a remote build context.
const contextOption = "context"

// fromBuilds returns the inputs that are results of other builds, sorted. buildx sends contexts as
// inputs too (build/opt.go, loadInputs): those of remote bake files, and git repositories with a
// query. They never have metadata, which is an image configuration that another build made.
func (r Request) fromBuilds() []string {
	inputs := slices.Sorted(slices.Values(r.Inputs))
	return slices.DeleteFunc(inputs, func(name string) bool {
		kind := r.InputSources[name]
		_, hasMetadata := r.Options[optionkeys.InputMetadataPrefix+name]
		return (kind == buildrules.KindGit || kind == buildrules.KindHTTP) && !hasMetadata
	})
}

// remoteContext reports whether the build's own context or the folder of its build file comes as an
// input. That is another way to send the option context.
func (r Request) remoteContext() bool {
	return slices.Contains(r.Inputs, "context") || slices.Contains(r.Inputs, "dockerfile")
}

// as returns the same request under the name that another layer evaluates. The image that runs is
// the same. A pin of that layer counts for that layer only.
func (s subject) as(asked rewritten) subject {
	s.Ref, s.Name = asked.ref, asked.ref.Pattern()
	s.TagDigest = cmp.Or(asked.pin, s.TagDigest)
	return s
}

func matchName(patterns []imageref.Pattern, name imageref.Pattern) bool {
	return slices.ContainsFunc(patterns, func(p imageref.Pattern) bool { return p.Covers(name) })
}
