package replay

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/record"
	"github.com/policy-frontend/policy-frontend/policy"
)

const (
	one = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	two = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
)

func layersOf(t *testing.T, text string) policy.Layers {
	t.Helper()
	p, err := policy.Parse("p", []byte("version: 1\n"+text))
	require.NoError(t, err)
	l, err := policy.Stack(p, nil)
	require.NoError(t, err)
	return l
}

// built is a build by docker/dockerfile:1 that was allowed.
func built(change func(e *record.Entry)) *record.Entry {
	e := &record.Entry{
		Began: time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC), Outcome: record.Done,
		Decision: &record.Decision{
			Verdict: "allow", Requested: "docker/dockerfile:1",
			Image: "docker.io/docker/dockerfile:1@" + one, Digest: one, Dispatch: "forward",
		},
		Sources: []record.Source{
			{
				Kind: "image", Name: "docker.io/docker/dockerfile:1", Digest: one, For: "frontend",
				Verdict: "allow",
			},
			{Kind: "local", Name: "dockerfile", For: "request", Verdict: "allow"},
		},
	}
	if change != nil {
		change(e)
	}
	return e
}

func reading(sources ...record.Source) func(*record.Entry) {
	return func(e *record.Entry) { e.Sources = append(e.Sources, sources...) }
}

func requesting(urls ...string) func(*record.Entry) {
	return func(e *record.Entry) {
		for _, url := range urls {
			e.Downloads = append(e.Downloads, record.Download{URL: url, Times: 1, Verdict: "allow"})
		}
	}
}

const dockerfile = "frontends: [{name: d, match: [docker/dockerfile]}]\n"

func TestWhatAnotherPolicyWouldRefuse(t *testing.T) {
	t.Parallel()
	busybox := record.Source{
		Kind: "image", Name: "docker.io/library/busybox:1", Digest: two, Verdict: "allow",
	}
	mirrored := busybox
	mirrored.Read = "mirror.example/busybox:1"
	nested := busybox
	nested.Name = "docker.io/docker/dockerfile:2"
	const mediated = "frontends: [{name: d, match: [docker/dockerfile], dispatch: mediate, " +
		"build: {images: {allow: [alpine]}}}]\n"
	pinned := busybox
	pinned.Name += "@" + two
	download := record.Source{Kind: "http", Name: "https://***@files.example/a?***", Verdict: "allow"}
	git := record.Source{
		Kind: "git", Name: "https://git.example/a.git", Ref: "main", Secrets: []string{"deploy"},
		Verdict: "allow",
	}
	pushing := func(e *record.Entry) {
		e.Asked.Exports = []record.Export{{
			Type: "image", Push: true, Names: []string{"registry.example/app:1"},
			Annotations: []string{"org.a"},
		}}
	}
	for name, tt := range map[string]struct {
		policy  string
		entry   *record.Entry
		verdict policy.Verdict
		refused []string // a part of each refusal: the rule, what was asked and why
		unknown string   // a part of what isn't known, or ""
	}{
		"the same policy": {dockerfile, built(reading(busybox, download, git)), policy.Allow, nil, ""},
		"another frontend": {
			"frontends: [{name: d, match: [other/frontend]}]\n", built(nil), policy.Deny,
			[]string{"default the frontend docker/dockerfile:1 no rule allows"},
			"",
		},
		"the digest of the frontend": {
			"frontends: [{name: d, match: [docker/dockerfile], digests: ['" + two + "']}]\n", built(nil),
			policy.Deny,
			[]string{"default the frontend docker/dockerfile:1"},
			"",
		},
		"the same digest of the frontend": {
			"frontends: [{name: d, match: [docker/dockerfile], digests: ['" + one + "']}]\n", built(nil),
			policy.Allow, nil, "",
		},
		"a digest that isn't recorded": {
			"frontends: [{name: d, match: [other/dockerfile], digests: ['" + one + "']}]\n" +
				"aliases: [{from: docker/dockerfile, to: other/dockerfile}]\n", built(nil),
			policy.Undecidable, nil, "the digest",
		},
		"a rule that had expired": {
			"frontends: [{name: d, match: [docker/dockerfile], expires: 2027-02-01}]\n", built(nil),
			policy.Deny,
			[]string{"the frontend docker/dockerfile:1"},
			"",
		},
		"a rule that expires later": {
			"frontends: [{name: d, match: [docker/dockerfile], expires: 2027-04-01}]\n", built(nil),
			policy.Allow, nil, "",
		},
		"an option": {
			"frontends: [{name: d, match: [docker/dockerfile], options: {deny: ['build-arg:A*']}}]\n",
			built(func(e *record.Entry) { e.Asked.Options = []string{"build-arg:AB", "target"} }),
			policy.Deny,
			[]string{"build-arg:AB"},
			"",
		},
		"a platform": {
			"frontends: [{name: d, match: [docker/dockerfile], platforms: [linux/arm64]}]\n",
			built(func(e *record.Entry) {
				e.Asked.Platform, e.Asked.Options = "linux/amd64", []string{"platform"}
			}), policy.Deny,
			[]string{"linux/amd64"},
			"",
		},
		"a frontend input": {
			"frontends: [{name: d, match: [docker/dockerfile], options: {inputs: deny}}]\n",
			built(func(e *record.Entry) { e.Asked.Inputs = []record.Input{{Name: "base"}} }),
			policy.Deny,
			[]string{"input"},
			"",
		},
		"a base image": {
			dockerfile + "build: {images: {allow: [mirror.example/**]}}\n", built(reading(busybox)),
			policy.Deny,
			[]string{"the image docker.io/library/busybox:1"},
			"",
		},
		"the digest of a base image": {
			dockerfile + "build: {images: {rules: [{name: b, match: [busybox], digests: ['" + one + "']}]}}\n",
			built(reading(pinned)), policy.Deny,
			[]string{"busybox"},
			"",
		},
		"the same digest of a base image": {
			dockerfile + "build: {images: {rules: [{name: b, match: [busybox], digests: ['" + two + "']}]}}\n",
			built(reading(pinned)), policy.Allow, nil, "",
		},
		"a digest that a build would have to ask for": {
			dockerfile + "build: {images: {rules: [{name: b, match: [busybox], digests: ['" + two + "']}]}}\n",
			built(reading(busybox)), policy.Deny,
			[]string{"write it in the reference"},
			"",
		},
		"an image that was asked for without a digest": {
			dockerfile + "build: {images: {allow: [busybox], requireDigest: true}}\n",
			built(reading(busybox)), policy.Deny,
			[]string{"busybox"},
			"",
		},
		"an image that was asked for by its digest": {
			dockerfile + "build: {images: {allow: [busybox], requireDigest: true}}\n",
			built(reading(pinned)), policy.Allow, nil, "",
		},
		"an image that is converted as it was": {
			dockerfile + "build: {images: {allow: [mirror.example/**], convert: " +
				"[{from: 'docker.io/library/**', to: 'mirror.example/**'}]}}\n",
			built(reading(mirrored)), policy.Allow, nil, "",
		},
		"an image that is converted otherwise": {
			dockerfile + "build: {images: {allow: [new.example/**], convert: " +
				"[{from: 'docker.io/library/**', to: 'new.example/**'}]}}\n",
			built(reading(mirrored)), policy.Allow, nil, "the digest of new.example/busybox:1",
		},
		"a download": {
			dockerfile + "build: {http: {allow: ['https://other.example/**']}}\n",
			built(reading(download)), policy.Deny,
			[]string{"files.example/a"},
			"",
		},
		"an allowed download": {
			dockerfile + "build: {http: {allow: ['https://files.example/**']}}\n",
			built(reading(download)), policy.Allow, nil, "",
		},
		"a repository": {
			dockerfile + "build: {git: deny}\n", built(reading(git)), policy.Deny,
			[]string{"https://git.example/a.git"},
			"",
		},
		"a secret for a repository": {
			dockerfile + "build: {exec: {secrets: [other]}}\n", built(reading(git)), policy.Deny,
			[]string{"deploy"},
			"what build.exec is about",
		},
		"a push": {
			dockerfile + "exports: {push: {allow: [other.example/**]}}\n", built(pushing), policy.Deny,
			[]string{"exports a push to registry.example/app:1"},
			"",
		},
		"an allowed push": {
			dockerfile + "exports: {push: {allow: [registry.example/**]}, annotations: [org.*]}\n",
			built(pushing), policy.Allow, nil, "",
		},
		"an annotation": {
			dockerfile + "exports: {push: {allow: [registry.example/**]}}\n", built(pushing), policy.Deny,
			[]string{"org.a"},
			"",
		},
		"a cache": {
			dockerfile, built(func(e *record.Entry) {
				e.Asked.Caches = []record.Cache{{Type: "registry", Name: "registry.example/c:1"}}
			}), policy.Deny, []string{"caches the import of the build cache registry.example/c:1"}, "",
		},
		"an entitlement": {
			dockerfile, built(func(e *record.Entry) { e.Asked.Entitlements = []string{"network.host"} }),
			policy.Deny,
			[]string{"the entitlement network.host"},
			"",
		},
		"an SBOM": {
			dockerfile, built(func(e *record.Entry) { e.Asked.SBOM = "docker.io/docker/scanner:1" }),
			policy.Deny,
			[]string{"sbom an SBOM by docker.io/docker/scanner:1"},
			"",
		},
		"LLB of the client's own": {
			dockerfile, built(func(e *record.Entry) {
				e.Decision = &record.Decision{LLB: true, Verdict: "allow"}
			}), policy.Deny, []string{"llb LLB of the client's own"}, "",
		},
		"allowed LLB of the client's own": {
			dockerfile + "llb: allow\n", built(func(e *record.Entry) {
				e.Decision = &record.Decision{LLB: true, Verdict: "allow"}
			}), policy.Allow, nil, "",
		},
		"a build that ended early": {
			dockerfile, built(func(e *record.Entry) { e.Decision = nil }), policy.Allow, nil,
			"a frontend: the build ended before one was chosen",
		},
		"a build with an overlay": {
			dockerfile, built(func(e *record.Entry) {
				e.Decision.Overlay = &record.Document{Digest: one}
			}), policy.Allow, nil, "the overlay",
		},
		"a build with more sources": {
			dockerfile, built(func(e *record.Entry) { e.Omitted = map[string]int{"sources": 3} }),
			policy.Allow, nil, "3 more sources",
		},
		"rules on what isn't recorded": {
			dockerfile + "build: {config: {user: {require: [app]}}}\n", built(nil), policy.Allow, nil,
			"what build.config is about",
		},
		"requests of commands": {
			dockerfile + "build: {exec: {downloads: {allow: [deb.example]}}}\n",
			built(requesting("https://deb.example/a?***", "https://***@evil.example/a")),
			policy.Deny,
			[]string{"build a command's request for https://evil.example/a"},
			"",
		},
		"requests of commands that aren't recorded": {
			dockerfile + "build: {exec: {downloads: {allow: [deb.example]}}}\n", built(nil),
			policy.Allow, nil, "what build.exec.downloads is about",
		},
		"an image that a mediated frontend may run": {
			mediated, built(reading(nested)), policy.Allow, nil,
			"whether docker.io/docker/dockerfile:2 ran as a frontend",
		},
		"an image that no frontend may run": {
			mediated, built(reading(mirrored)), policy.Deny,
			[]string{"the image docker.io/library/busybox:1"},
			"",
		},
		"a mode that only warns": {
			"mode: warn\n" + dockerfile + "build: {images: {allow: [mirror.example/**]}}\n",
			built(reading(busybox)), policy.Warn, nil, "",
		},
		"the Dockerfile frontend of the daemon": {
			"defaultFrontend: corp/dockerfile:1\nfrontends: [{name: d, match: [corp/dockerfile]}]\n",
			built(func(e *record.Entry) {
				e.Decision = &record.Decision{Verdict: "allow", Requested: "dockerfile.v0"}
			}), policy.Allow, nil, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := Ask(layersOf(t, tt.policy), tt.entry)
			require.Equal(t, tt.verdict, r.Verdict, r)
			require.Len(t, r.Refusals, len(tt.refused), r)
			for i, want := range tt.refused {
				got := r.Refusals[i]
				require.Contains(t, got.Rule+" "+got.Asked+" "+got.Reason, want)
			}
			if tt.unknown == "" {
				require.Empty(t, r.Unknown)
				return
			}
			require.Contains(t, strings.Join(r.Unknown, "\n"), tt.unknown)
		})
	}
}

// Rules for some clients are asked about the client that built.
func TestWhoBuiltIsAsked(t *testing.T) {
	t.Parallel()
	const allowed = "frontends: [{name: d, match: [docker/dockerfile], clients: [\"cn:release-*\"]}]\n"
	const denied = "default: allow\n" +
		"frontends: [{name: d, match: [docker/dockerfile], action: deny, clients: [\"cn:bob\"]}]\n"
	for name, tc := range map[string]struct {
		client          record.Client
		allowed, denied policy.Verdict
	}{
		"a client that both name by no rule": {
			record.Client{Names: []string{"cn:alice"}}, policy.Deny, policy.Allow,
		},
		"the one that is allowed": {
			record.Client{Names: []string{"cn:release-1"}}, policy.Allow, policy.Allow,
		},
		"the one that is denied": {record.Client{Names: []string{"cn:bob"}}, policy.Deny, policy.Deny},
		"one that may be denied": {
			record.Client{Names: []string{"cn:alice"}, Claimed: []string{"cn:bob"}}, policy.Deny, policy.Deny,
		},
		"one that may have any common name": {
			record.Client{Unclear: []string{"cn"}}, policy.Deny, policy.Deny,
		},
		"no name":                      {record.Client{}, policy.Deny, policy.Allow},
		"names that no policy knows":   {record.Client{Names: []string{"nobody"}}, policy.Deny, policy.Deny},
		"kinds that this has not seen": {record.Client{Unclear: []string{"x"}}, policy.Deny, policy.Deny},
	} {
		e := built(func(e *record.Entry) { e.Client = tc.client })
		require.Equal(t, tc.allowed, Ask(layersOf(t, allowed), e).Verdict, name)
		require.Equal(t, tc.denied, Ask(layersOf(t, denied), e).Verdict, name)
	}
}
