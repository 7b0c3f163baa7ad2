package export

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/sourcepolicy"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// at is the time of the tests' exports and requests.
func at() time.Time { return time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC) }

// choices reads decisions from fuzz data; what is missing is 0.
type choices struct{ data []byte }

func (c *choices) below(n int) int {
	if len(c.data) == 0 {
		return 0
	}
	b := c.data[0]
	c.data = c.data[1:]
	return int(b) % n
}

func pick(c *choices, items []string) string { return items[c.below(len(items))] }

// some returns up to three of the items, none for most choices.
func some(c *choices, items []string) []string {
	var out []string
	for range max(0, c.below(8)-4) {
		out = append(out, pick(c, items))
	}
	return out
}

var (
	fuzzPatterns = []string{
		"docker/dockerfile", "a.example/x/y", "a.example/x/z",
		"mirror.corp/docker/dockerfile", "docker/*", "a.example/**", "**/dockerfile", "**", "*.corp/**",
		"a.example/x/*", "docker:443/x",
	}
	fuzzNames = []string{
		"docker/dockerfile", "a.example/x/y", "a.example/x/z",
		"mirror.corp/docker/dockerfile", "docker.io/docker/other", "a.example/x/y/z", "A.EXAMPLE/x/y",
		"a.example:443/x/y", "a.example:0443/x/y", "index.docker.io/docker/dockerfile", "a.corp:5000/x",
		"busybox", "[::1]:5000/x",
	}
	fuzzTags = []string{
		"1", "1.7", "1.7.1", "1.4.0", "1.5.0", "1.10.2", "2", "2.0.0", "v1.7.1",
		"1.7.1-labs", "1.7-labs", "latest", "0.9", "1.4.3", "01.7", "2.0.0-rc1",
		"2-rc1", "v2.0-beta", "1.7-LABS", "1.7.1.0", "1-alpine", "2.0.0-rc_1",
		"18446744073709551615.0.0", "99999999999999999999.1.1",
	}
	fuzzGlobs = []string{
		"1", "1.*", "latest", "*", "1.7.1", "v*", "*-labs", "2*", "1.7.1-labs", "1.7.*", "v*-labs",
	}
	fuzzVersions = []string{
		">=1.4.0 <2.0.0", ">=1.4.3 <=1.10.2", "1.7", "~1.7", "1.x || >=2.0.0",
		">1.4.0 <1.10.0 || 2.0.0", "<2", ">=1.5.0-rc1", "^0.9", "*",
		"<=1.7", ">1.4 <=2", "~>1.4", "1.2 - 1.7",
	}
)

func fuzzDigest(n int) string { return digest.FromString(fmt.Sprint(n)).String() }

// world is what a registry says a tag points to.
func world(name, tag string) digest.Digest {
	if len(tag)%2 == 0 {
		return digest.Digest(fuzzDigest(len(tag) % 3))
	}
	return digest.FromString(name + ":" + tag)
}

func fuzzRule(c *choices) map[string]any {
	r := map[string]any{"match": append([]string{pick(c, fuzzPatterns)}, some(c, fuzzPatterns)...)}
	set := func(key string, items []string) {
		if len(items) > 0 {
			r[key] = items
		}
	}
	deny := c.below(3) == 0
	set("tags", some(c, fuzzGlobs))
	set("exceptTags", some(c, fuzzGlobs))
	set("digests", some(c, []string{fuzzDigest(0), fuzzDigest(1), fuzzDigest(2)}))
	if c.below(3) == 1 {
		r["versions"] = pick(c, fuzzVersions)
		set("variants", some(c, []string{"labs", "x"}))
	}
	if c.below(4) == 1 {
		r["expires"] = pick(c, []string{"2027-01-01", "2027-03-01"})
	}
	if c.below(8) == 1 {
		r["mode"] = "warn"
	}
	if deny {
		r["action"] = "deny"
		return r
	}
	if c.below(5) == 1 {
		r["requireDigest"] = true
	}
	if c.below(5) == 1 {
		r["options"] = map[string]any{"deny": []string{"target"}}
	}
	return r
}

func fuzzAlias(c *choices) map[string]any {
	names := []string{
		"docker/dockerfile", "mirror.corp/docker/dockerfile", "a.example/x/y",
		"a.example/x/z",
	}
	if c.below(4) == 1 {
		folders := []string{"docker.io/**", "mirror.corp/**", "a.example/**", "docker/**"}
		return map[string]any{"from": pick(c, folders), "to": pick(c, folders)}
	}
	a := map[string]any{"from": pick(c, names), "to": pick(c, names)}
	if tags := some(c, fuzzTags); len(tags) > 0 {
		pins := map[string]any{}
		for _, t := range tags {
			pins[t] = fuzzDigest(c.below(4))
		}
		a["pins"] = pins
	}
	return a
}

// fuzzPolicy makes a policy of the choices, nil if it isn't a valid one.
func fuzzPolicy(t *testing.T, c *choices) *policy.Policy {
	t.Helper()
	doc := map[string]any{"version": 1}
	if c.below(6) == 1 {
		doc["default"] = "allow"
	}
	if c.below(10) == 1 {
		doc["mode"] = "warn"
	}
	if limits := some(c, fuzzPatterns); len(limits) > 0 {
		doc["limits"] = map[string]any{"match": limits}
	}
	var aliases []any
	for range max(0, c.below(6)-2) {
		aliases = append(aliases, fuzzAlias(c))
	}
	if len(aliases) > 0 {
		doc["aliases"] = aliases
	}
	rules := []any{fuzzRule(c)}
	for range c.below(4) {
		rules = append(rules, fuzzRule(c))
	}
	doc["frontends"] = rules
	data, err := json.Marshal(doc)
	require.NoError(t, err)
	p, err := policy.Parse("fuzz", data)
	if err != nil {
		return nil
	}
	return p
}

func fuzzReferences(c *choices) []string {
	var out []string
	for range 6 {
		ref := pick(c, fuzzNames)
		if c.below(4) > 0 {
			ref += ":" + pick(c, fuzzTags)
		}
		switch c.below(4) {
		case 1:
			ref += "@" + fuzzDigest(c.below(4))
		case 2:
			if named, err := reference.ParseNormalizedNamed(ref); err == nil {
				if tagged, ok := named.(reference.Tagged); ok {
					ref += "@" + world(named.Name(), tagged.Tag()).String()
				}
			}
		}
		out = append(out, ref)
	}
	return out
}

// bySourcePolicy asks for a frontend as BuildKit's gateway does, and returns the
// image that would run.
func bySourcePolicy(data []byte, ref string) (reference.Canonical, error) {
	var p spb.Policy
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, err
	}
	engine := sourcepolicy.NewEngine([]*spb.Policy{&p})
	ask := func(named reference.Named, attrs map[string]string) (reference.Named, error) {
		op := &pb.SourceOp{Identifier: "docker-image://" + named.String(), Attrs: attrs}
		if _, err := engine.Evaluate(context.Background(), op); err != nil {
			return nil, err
		}
		return reference.ParseNormalizedNamed(strings.TrimPrefix(op.Identifier, "docker-image://"))
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return nil, err
	}
	named, err = ask(reference.TagNameOnly(named), nil)
	if err != nil {
		return nil, err
	}
	if _, ok := named.(reference.Digested); !ok {
		if named, err = reference.WithDigest(named,
			world(named.Name(), named.(reference.Tagged).Tag())); err != nil {
			return nil, err
		}
	}
	named, err = ask(named, map[string]string{"image.recordtype": "frontend"})
	if err != nil {
		return nil, err
	}
	return named.(reference.Canonical), nil
}

// A strict source policy runs no frontend that the policy would not, and no other
// image of it. What it isn't strict about, it says.
func FuzzSourcePolicyNeverAllowsMore(f *testing.F) {
	for i := range 64 {
		h := digest.FromString(fmt.Sprint("seed", i))
		f.Add([]byte(h.Encoded() + digest.FromString(h.String()).Encoded()))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &choices{data}
		p := fuzzPolicy(t, c)
		if p == nil {
			return
		}
		o := Options{Time: at(), Strict: c.below(2) == 0}
		out, err := Export(p, SourcePolicy, o)
		require.NoError(t, err)
		if slices.ContainsFunc(out.Notes, func(n Note) bool { return n.Effect == AllowsMore }) {
			require.False(t, o.Strict, "a strict export has a note that it allows more: %v", out.Notes)
			return
		}
		layers, err := policy.Stack(p, nil)
		require.NoError(t, err)
		for _, asked := range fuzzReferences(c) {
			runs, err := bySourcePolicy(out.Data, asked)
			if err != nil {
				continue
			}
			ref, err := imageref.Parse(asked)
			require.NoError(t, err, "%s runs, and is no reference to the policy", asked)
			// Whatever the policy asks a registry for, it gets the registry's word.
			tag := ""
			if tagged, ok := runs.(reference.Tagged); ok {
				tag = tagged.Tag()
			}
			request := policy.Request{Reference: ref, Digest: runs.Digest(), Time: at()}
			if tag != "" {
				request.TagDigest = world(runs.Name(), tag)
			}
			d := policy.Decide(layers, request)
			require.Contains(t, []policy.Verdict{policy.Allow, policy.Warn}, d.Verdict, "%s runs %s: %s\n%s",
				asked, runs, d.Reason, out.Data)
			require.Equal(t, runs.Name(), d.Reference.Name())
			require.Equal(t, runs.Digest(), d.Reference.Digest())
		}
	})
}

var quotedName = regexp.MustCompile(`(?m)^    "(.*)",$`)

// listedNames are those of a buildkitd fragment's allowlist.
func listedNames(t *testing.T, data []byte) []string {
	t.Helper()
	var out []string
	for _, m := range quotedName.FindAllStringSubmatch(string(data), -1) {
		out = append(out, m[1])
	}
	if len(out) == 0 {
		require.Contains(t, string(data), "enabled = false\n\n[frontend.\"gateway.v0\"]\n",
			"dockerfile.v0 is on")
		require.True(t, strings.HasSuffix(string(data), "  enabled = false\n"),
			"an empty list, which allows all")
	}
	return out
}

// The policy allows at least one image of every name in the list. In a strict export, it allows all
// of them.
func FuzzBuildkitdNeverAllowsMore(f *testing.F) {
	for i := range 64 {
		f.Add([]byte(digest.FromString(fmt.Sprint("seed", i)).Encoded()))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &choices{data}
		p := fuzzPolicy(t, c)
		if p == nil {
			return
		}
		layers, err := policy.Stack(p, nil)
		require.NoError(t, err)
		lenient, err := Export(p, Buildkitd, Options{Time: at()})
		require.NoError(t, err)
		strict, err := Export(p, Buildkitd, Options{Time: at(), Strict: true})
		require.NoError(t, err)
		for _, name := range listedNames(t, lenient.Data) {
			require.True(t, someAllowed(layers, name), "%s is listed, and no image of it is allowed", name)
		}
		for _, n := range strict.Notes {
			require.NotEqual(t, AllowsMore, n.Effect, n.Message)
		}
		for _, name := range listedNames(t, strict.Data) {
			for _, tag := range append([]string{"some-tag"}, fuzzTags...) {
				for _, suffix := range []string{"", "@" + fuzzDigest(0)} {
					ref, err := imageref.Parse(name + ":" + tag + suffix)
					require.NoError(t, err)
					d := policy.Decide(layers,
						policy.Request{
							Reference: ref, Digest: digest.Digest(fuzzDigest(0)),
							TagDigest: digest.Digest(fuzzDigest(0)), Time: at(),
						})
					require.NotEqual(t, policy.Deny, d.Verdict, "%s: %s", ref, d.Reason)
				}
			}
		}
	})
}

// someAllowed looks for an allowed image of the name by trying.
func someAllowed(layers policy.Layers, name string) bool {
	digests := []string{""}
	for i := range 4 {
		digests = append(digests, "@"+fuzzDigest(i))
	}
	tags := append([]string{"some-tag"}, fuzzTags...)
	for _, g := range fuzzGlobs {
		for _, fill := range []string{"", "0", "1", "a"} {
			tags = append(tags, strings.ReplaceAll(g, "*", fill))
		}
	}
	for major := range 4 {
		for minor := range 12 {
			for patch := range 5 {
				tags = append(tags, fmt.Sprintf("%d.%d.%d", major, minor, patch))
			}
		}
	}
	for _, tag := range tags {
		for _, d := range digests {
			ref, err := imageref.Parse(name + ":" + tag + d)
			if err != nil {
				continue
			}
			r := policy.Request{Reference: ref, Digest: ref.Digest(), TagDigest: ref.Digest(), Time: at()}
			if v := policy.Decide(layers, r); v.Verdict.Permits() && v.Reference.SameRepository(ref) {
				return true
			}
		}
	}
	return false
}
