// Package arbitrary makes policies, requests, operations, exports and uses of build caches for
// tests of properties. Names, tags, digests, options, times and words of build rules are few, so
// that they meet often.
package arbitrary

import (
	"iter"
	"os"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"
	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Seeds returns the seeds 0 to n-1. If the environment variable PF_SEEDS has a number, that takes
// the place of n; Seeds panics if it is not a number. A property of whole policies is tried by
// seed, since one can take seconds: Go's fuzzing ends an input that takes ten.
func Seeds(n uint64) iter.Seq[uint64] {
	if more, ok := os.LookupEnv("PF_SEEDS"); ok {
		var err error
		if n, err = strconv.ParseUint(more, 10, 64); err != nil {
			panic("PF_SEEDS: " + err.Error())
		}
	}
	return func(yield func(uint64) bool) {
		for seed := uint64(0); seed < n && yield(seed); seed++ {
		}
	}
}

// Source chooses: it returns a number from 0 to n-1.
type Source func(n int) int

// Day returns midnight UTC of the day of a month in which rules of Policy end and
// begin to warn.
func Day(n int) time.Time { return time.Date(2027, 3, n, 0, 0, 0, 0, time.UTC) }

// Policy returns the text of a policy and what it parses to.
func Policy(choose Source) (string, *policy.Policy) {
	for {
		doc := choose.document()
		text, err := yaml.Marshal(doc)
		if err != nil {
			panic(err)
		}
		// Some combinations are refused, such as an option that is both forced and denied.
		if p, err := policy.Parse("p", text); err == nil {
			return string(text), p
		}
	}
}

// Variant returns a policy that differs little from the one with that text.
func Variant(choose Source, text string) (string, *policy.Policy) {
	for {
		doc := decode(text)
		for range 1 + choose(2) {
			choose.change(&doc)
		}
		changed, err := yaml.Marshal(doc)
		if err != nil {
			panic(err)
		}
		if p, err := policy.Parse("p", changed); err == nil {
			return string(changed), p
		}
	}
}

func (choose Source) document() policy.Document {
	doc := policy.Document{Version: policy.Version}
	if choose(8) == 0 {
		doc.Default = policy.ActionAllow
	}
	if choose(8) == 0 {
		doc.Mode = policy.ModeWarn
	}
	if choose(4) == 0 {
		doc.Limits.Match = choose.some(patterns())
	}
	if choose(2) == 0 {
		doc.Dispatch = policy.DispatchMediate
	}
	if choose(3) == 0 {
		doc.Build = choose.build()
	}
	if choose(6) == 0 {
		doc.DefaultFrontend = choose.one([]string{"a/x:1", "b", "c.example/b:1.7"})
	}
	for range choose(3) {
		doc.Aliases = append(doc.Aliases, choose.alias())
	}
	for range 1 + choose(4) {
		doc.Frontends = append(doc.Frontends, choose.rule())
	}
	choose.guarded(&doc)
	return doc
}

func (choose Source) change(doc *policy.Document) {
	switch choose(9) {
	case 0:
		doc.Frontends = append(doc.Frontends, choose.rule())
	case 1:
		if i := choose(len(doc.Frontends) + 1); i < len(doc.Frontends) {
			doc.Frontends = append(doc.Frontends[:i], doc.Frontends[i+1:]...)
		}
	case 2:
		if i := choose(len(doc.Frontends) + 1); i < len(doc.Frontends) {
			doc.Frontends[i] = choose.rule()
		}
	case 3:
		doc.Aliases = nil
		for range choose(3) {
			doc.Aliases = append(doc.Aliases, choose.alias())
		}
	case 4:
		doc.Limits.Match = nil
		if choose(2) == 0 {
			doc.Limits.Match = choose.some(patterns())
		}
	case 5:
		other := choose.document()
		doc.Default, doc.Mode = other.Default, other.Mode
	case 6:
		doc.Build = choose.build()
	case 7:
		if i := choose(len(doc.Frontends) + 1); i < len(doc.Frontends) &&
			doc.Frontends[i].Action != policy.ActionDeny {
			doc.Frontends[i].Build = choose.build()
		}
	case 8:
		choose.guarded(doc)
	}
}

func (choose Source) alias() policy.Alias {
	pairs := [][2]string{
		{"a/x", "a/y"},
		{"a/x", "a/x"},
		{"a/x", "c.example/a/x"},
		{"a/**", "c.example/**"},
		{"c.example/**", "a/**"},
		{"b", "c.example/b"},
	}
	pair := pairs[choose(len(pairs))]
	a := policy.Alias{From: pair[0], To: pair[1]}
	if choose(2) == 0 && pair[0] != "a/**" && pair[0] != "c.example/**" {
		a.Pins = map[string]string{choose.one([]string{"1", "1.7", "latest"}): choose.one(digests())}
	}
	return a
}

func (choose Source) rule() policy.Rule {
	r := policy.Rule{}
	r.Match = choose.some(patterns())
	if choose(3) == 0 {
		r.Tags = choose.some([]string{"1", "1.*", "1.7", "1.7.1", "latest", "v1.*", "*", "2026.*"})
	}
	if choose(3) == 0 {
		r.Versions = choose.one([]string{
			">=1 <2", ">=1.5", "1.7.x || 2.x", "~1.7", "<1.6", "*", ">=1.7.0-rc1 <2", "1.7.1.2",
			"<2026.3", ">=1.7.1.2 <1.7.1.5", ">2 || <1.4", ">=20261103120000",
		})
		if choose(2) == 0 {
			r.Variants = []string{"labs"}
		}
	}
	if choose(4) == 0 {
		r.ExceptTags = choose.some([]string{"1.5*", "1.7.1", "1", "2.*", "*"})
	}
	if choose(4) == 0 {
		r.Digests = choose.some(digests())
	}
	if choose(5) == 0 {
		r.Clients = choose.some(clientPatterns())
	}
	if choose(6) == 0 {
		r.Expires = Day(1 + choose(3)).Format(time.DateOnly)
	}
	if choose(8) == 0 {
		r.Mode = policy.ModeWarn
	}
	if choose(3) == 0 {
		r.Action = policy.ActionDeny
		return r
	}
	r.RequireDigest = choose(6) == 0
	if choose(8) == 0 {
		r.WarnAfter = Day(1 + choose(3)).Format(time.DateOnly)
	}
	if choose(3) == 0 {
		r.Options = choose.options()
	}
	if choose(3) == 0 {
		r.Build = choose.build()
	}
	if choose(6) == 0 {
		r.Platforms = choose.some([]string{"linux/amd64", "linux/arm64/v8", "linux/arm/v7"})
	}
	if choose(4) == 0 {
		r.Dispatch = policy.Dispatch(choose.one([]string{"forward", "mediate"}))
	}
	return r
}

func (choose Source) options() policy.Options {
	var o policy.Options
	globs := []string{
		"k*", "kx", "*y", "*", "l", "context:b", "context:b::linux/amd64", "context:docker.io/library/*",
		"build-arg:HTTP_*", "build-arg:http_proxy", "attest:SBOM", "platform", "hostname",
	}
	if choose(2) == 0 {
		o.Deny = choose.some(globs)
	}
	if choose(3) == 0 {
		o.Strip = choose.some(globs)
	}
	if choose(3) == 0 {
		o.Only = choose.some(globs)
	}
	if choose(3) == 0 {
		o.Force = map[string]string{choose.one([]string{
			"kx", "l", "context:b", "build-arg:HTTPS_PROXY", "build-arg:BUILDKIT_SANDBOX_HOSTNAME",
		}): choose.one([]string{"v", "w"})}
	}
	if choose(4) == 0 {
		o.Inputs = policy.ActionDeny
	}
	return o
}

// Request returns a request, and a digest for whatever its tag points to.
func Request(choose Source) (policy.Request, digest.Digest) {
	text := choose.one(
		[]string{
			"a/x", "a/y", "a/xx", "a", "b", "c.example/a/x", "c.example/b", "c.example/x",
			"c.example/a/b/x", "d.example/x", "c.example:80/x", "e.d.example/x", "d.example:80/a",
			"10.1.2.3/x",
		})
	if choose(8) > 0 {
		text += ":" +
			choose.one(
				[]string{
					"1", "1.4", "1.5", "1.5.0", "1.7", "1.7.1", "1.7.2", "1.7-labs", "1.7.1-labs",
					"v1.7.1", "2", "2.0.0", "latest", "main", "1.7.0-rc1", "2.0.0-rc1", "01.07", "V1.7.1.2",
					"1_7", "LATEST", "2026.01", "2026.3", "1.7.1.3", "20261103120000",
				})
	}
	if choose(4) == 0 {
		text += "@" + choose.one(digests())
	}
	ref, err := imageref.Parse(text)
	if err != nil {
		panic(err)
	}
	r := policy.Request{Requested: text, Reference: ref, Time: Day(1 + choose(4))}
	if choose(2) == 0 {
		r.Options = map[string]string{}
		for range 1 + choose(2) {
			r.Options[choose.one([]string{
				"k", "kx", "ky", "l", "m", "y", "context:b", "context:b:latest", "context:library/b",
				"context:b::linux/amd64", "context:b::linux/s390x", "build-arg:HTTP_PROXY",
				"build-arg:https_proxy", "attest:sbom", "build-arg:BUILDKIT_ATTEST_SBOM", "hostname",
			})] = choose.one([]string{"v", "w", ""})
		}
	}
	if choose(3) == 0 {
		if r.Options == nil {
			r.Options = map[string]string{}
		}
		r.Options["platform"] = choose.one([]string{
			"linux/amd64", "linux/arm64", "linux/arm/v7,linux/amd64", "linux/s390x", "linux/x86_64",
		})
	}
	if choose(6) == 0 {
		r.Inputs = []string{"in"}
	}
	return r, digest.Digest(choose.one(digests()))
}

// Digest returns one of the digests that rules have, or one that none has.
func Digest(choose Source) digest.Digest {
	return digest.Digest(choose.one(append(digests(), digest.FromString("4").String())))
}

func patterns() []string {
	return []string{
		"a", "b", "a/x", "a/y", "a/x*", "a/*", "a/**", "c.example/**", "c.example/a/*",
		"**/x", "docker.io/**", "**", "*.example/**", "c.example:*/**", "c.example:80/x",
		"10.*.*.*/**", "*.*.example/x",
	}
}

func digests() []string {
	return []string{
		digest.FromString("1").String(), digest.FromString("2").String(), digest.FromString("3").String(),
	}
}

func (choose Source) one(list []string) string { return list[choose(len(list))] }

// some returns one or two of the list.
func (choose Source) some(list []string) []string {
	i := choose(len(list))
	j := choose(len(list))
	if i == j {
		return []string{list[i]}
	}
	return []string{list[i], list[j]}
}
