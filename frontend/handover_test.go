package frontend

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy"
)

// mediatedPolicy has its frontend handed over.
const mediatedPolicy = corpPolicy + "    dispatch: mediate\n"

const (
	pinnedFrontend = "docker.io/docker/dockerfile:1@" + string(digestOne)
	pinnedSelf     = selfRef + "@" + string(digestTwo)
)

// newOutside returns a daemon that has the policy image, which a client asks for docker/dockerfile.
func newOutside(t *testing.T, pairs ...string) *fakeClient {
	t.Helper()
	fake := newFake(t, "", nil)
	fake.opts = map[string]string{"source": "docker/dockerfile:1"}
	for i := 0; i < len(pairs); i += 2 {
		fake.opts[pairs[i]] = pairs[i+1]
	}
	fake.tags[selfRef] = digestTwo
	fake.configs = map[string]string{selfRef: `{"config": {"Labels": {"` + LabelHandOver + `": "1"}}}`}
	return fake
}

// chooseWith decides outside, with the policy in a file and more files beside it.
func chooseWith(
	t *testing.T, fake *fakeClient, doc string, more map[string]string,
) (*Choice, error) {
	t.Helper()
	dir := t.TempDir()
	files := maps.Clone(more)
	if files == nil {
		files = map[string]string{}
	}
	files["policy.yaml"] = doc
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return Frontend{
		Policy:     PolicyFile(filepath.Join(dir, "policy.yaml")),
		PolicyText: PolicyText{Name: "policy.yaml", Files: files},
		Mediator:   selfRef, CacheMounts: "theirs",
	}.Choose(t.Context(), fake, gatewayFrontend)
}

func TestWhatIsHandedOverToThePolicyImage(t *testing.T) {
	const rules = "    build: {images: {allow: [\"**\"]}}\n"
	for name, tc := range map[string]struct {
		doc      string
		more     map[string]string
		frontend string
	}{
		"dispatch: mediate":       {doc: mediatedPolicy},
		"build rules":             {doc: corpPolicy + rules},
		"build rules and forward": {doc: corpPolicy + "    dispatch: forward\n" + rules},
		"build rules and builtin": {
			doc: builtinPolicy + rules, frontend: "docker.io/docker/dockerfile:1",
		},
		"a policy that includes files": {
			doc: mediatedPolicy + "include: [more.yaml]\n", more: map[string]string{
				"more.yaml": "version: 1\nfrontends: [{name: ü, match: [x/y]}]\n",
			},
		},
		"an overlay with build rules": {doc: corpPolicy},
	} {
		t.Run(name, func(t *testing.T) {
			sent := map[string]string{
				"target": "x", "build-arg:BUILDKIT_SYNTAX": "docker/dockerfile:1",
				optionkeys.Overlay:     "version: 1\ndefault: allow\nbuild: {images: {allow: [\"**\"]}}\n",
				optionkeys.CacheMounts: "mine",
			}
			fake := newOutside(t)
			maps.Copy(fake.opts, sent)
			choice, err := chooseWith(t, fake, tc.doc, tc.more)
			require.NoError(t, err)
			require.True(t, choice.Mediated)
			require.Equal(t, gatewayFrontend, choice.Frontend)
			require.Zero(t, choice.Deadline)
			require.Empty(t, fake.solved)

			files := maps.Clone(tc.more)
			if files == nil {
				files = map[string]string{}
			}
			files["policy.yaml"] = tc.doc
			if tc.frontend == "" {
				tc.frontend = pinnedFrontend
			}
			handed, err := gatewayopts.Parse(choice.Options).HandOver()
			require.NoError(t, err)
			require.Equal(t, &gatewayopts.HandOver{
				Policy: "policy.yaml", Files: files, Frontend: tc.frontend, CacheMounts: "theirs",
			}, handed)
			for key := range choice.Options {
				if optionkeys.IsHandOver(key) {
					delete(choice.Options, key)
				}
			}
			sent["source"], sent["cmdline"] = pinnedSelf, pinnedSelf+" docker/dockerfile:1"
			require.Equal(t, sent, choice.Options)
		})
	}
}

func TestARequestWithoutOptionsIsHandedOver(t *testing.T) {
	fake := newOutside(t)
	fake.opts = nil // as they arrive from a client that sends none
	path := filepath.Join(t.TempDir(), "policy.yaml")
	require.NoError(t, os.WriteFile(path, []byte("dispatch: mediate\n"+corpPolicy), 0o600))
	choice, err := Frontend{Policy: PolicyFile(path), Mediator: selfRef}.Choose(t.Context(), fake,
		policy.DaemonDockerfile)
	require.NoError(t, err)
	require.True(t, choice.Mediated)
	require.NotEmpty(t, choice.Options["source"])
}

func TestTheDaemonRunsOnlyThePolicyImageForWhatIsHandedOver(t *testing.T) {
	choice, err := chooseWith(t, newOutside(t), mediatedPolicy, nil)
	require.NoError(t, err)
	asked := func(ref string) string {
		return choice.Refuses(&pb.SourceOp{
			Identifier: dockerImageProto + ref,
			Attrs:      map[string]string{pb.AttrImageRecordType: recordFrontend},
		})
	}
	require.Empty(t, asked(pinnedSelf))
	for _, ref := range []string{
		selfRef, selfRef + "@" + string(digestOne), pinnedFrontend, "docker.io/evil/x:1",
	} {
		require.NotEmpty(t, asked(ref), ref)
	}
	other := *choice
	require.True(t, choice.Same(&other))
	other.runs = choice.Decision.Reference
	require.False(t, choice.Same(&other))
}

func TestWhatIsNotHandedOver(t *testing.T) {
	for name, tc := range map[string]struct {
		pairs []string
		doc   string
		edit  func(*fakeClient)
		why   string
	}{
		"a frontend that the policy refuses": {
			pairs: []string{"source", "evil/dockerfile:1"}, why: "no rule allows evil/dockerfile:1",
		},
		"an image that would ignore the policy": {
			edit: func(f *fakeClient) { f.configs = nil }, why: "which would ignore its policy",
		},
		"an image that can't be read": {
			edit: func(f *fakeClient) { delete(f.tags, selfRef) }, why: "its image can't be read",
		},
		"a build with a named context over the policy image": {
			pairs: []string{"context:" + selfRef, "docker-image://evil"},
			why:   "would replace the policy frontend",
		},
		"a build with a named context over the policy image's digest for a platform": {
			pairs: []string{"context:" + pinnedSelf + "::linux/amd64", "docker-image://evil"},
			why:   "would replace the policy frontend",
		},
		"a policy that is too large": {
			doc: mediatedPolicy + "#" + strings.Repeat("x", gatewayopts.MaxHandOver),
			why: "the policy can't be handed over to the policy image: it takes",
		},
		"a build whose options are too large with the policy": {
			pairs: []string{"build-arg:A", strings.Repeat("x", gatewayopts.MaxOptions)},
			why:   "a frontend can be started with at most",
		},
		"a piece that the client sends": {
			pairs: []string{optionkeys.HandOverPiece + "0", ""}, why: "is policy-guard's own",
		},
		"a digest that the client sends in another letter case": {
			pairs: []string{"build-arg:policy_frontend_Guard_digest", ""}, why: "is policy-guard's own",
		},
		"an option of the same kind that nobody knows": {
			pairs: []string{optionkeys.HandOverPrefix, ""}, why: "is policy-guard's own",
		},
		"the policy image itself": {
			pairs: []string{"source", selfRef}, why: "asks the policy frontend to run itself",
		},
	} {
		t.Run(name, func(t *testing.T) {
			fake := newOutside(t, tc.pairs...)
			if tc.edit != nil {
				tc.edit(fake)
			}
			if tc.doc == "" {
				tc.doc = mediatedPolicy
			}
			choice, err := chooseWith(t, fake, tc.doc, nil)
			require.Nil(t, choice)
			require.ErrorContains(t, err, tc.why)
			require.Empty(t, fake.solved)
		})
	}
}

// handed returns the options of a build that policy-guard hands over with a policy.
func handed(t *testing.T, doc string, edit func(*gatewayopts.HandOver)) map[string]string {
	t.Helper()
	h := gatewayopts.HandOver{
		Policy: "policy.yaml", Files: map[string]string{"policy.yaml": doc}, Frontend: pinnedFrontend,
		CacheMounts: "theirs",
	}
	if edit != nil {
		edit(&h)
	}
	opts, err := h.Options()
	require.NoError(t, err)
	opts["cmdline"] = pinnedSelf + " docker/dockerfile:1"
	return opts
}

// inImage serves a build in an image, which has no policy of its own if embedded is "".
func inImage(
	t *testing.T, c client.Client, embedded string, fromGuard bool,
) (*client.Result, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.yaml")
	if embedded != "" {
		require.NoError(t, os.WriteFile(path, []byte(embedded), 0o600))
	}
	now := func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }
	return Frontend{
		Policy: PolicyFile(path), PolicyFromGuard: fromGuard, Now: now,
	}.Build(t.Context(), c)
}

func TestAnImageDecidesByThePolicyThatIsHandedOver(t *testing.T) {
	const overlay = "version: 1\nfrontends: [{name: mine, match: [docker/dockerfile]}]\n"
	const refusing = "version: 1\nfrontends: [{name: other, match: [x/y]}]\n"
	const expired = "version: 1\nfrontends:\n" +
		"- {name: old, match: [docker/dockerfile], expires: 2025-01-01}\n"
	const options = corpPolicy + "    options: {only: [target]}\n"
	for name, tc := range map[string]struct {
		embedded  string
		fromGuard bool
		opts      map[string]string
		edit      func(map[string]string)
		why       string // "" if it runs
		rule      string
	}{
		"it alone, if the image has none": {
			fromGuard: true, opts: handed(t, corpPolicy, nil), rule: "dockerfile",
		},
		"a policy of several files": {
			fromGuard: true, rule: "dockerfile",
			opts: handed(t, "version: 1\ninclude: [sub/more.yaml]\n", func(h *gatewayopts.HandOver) {
				h.Files["sub/more.yaml"] = corpPolicy[:strings.Index(corpPolicy, "contact")] +
					corpPolicy[strings.Index(corpPolicy, "frontends"):]
			}),
		},
		"it refuses": {
			fromGuard: true, opts: handed(t, refusing, nil), why: "no rule allows docker/dockerfile:1",
		},
		"its rule has expired meanwhile": {
			fromGuard: true, opts: handed(t, expired, nil), why: "expired",
		},
		"the client's overlay tightens it": {
			fromGuard: true, opts: handed(t, corpPolicy, nil),
			edit: func(o map[string]string) { o[optionkeys.Overlay] = refusing },
			why:  "the overlay decided: no rule allows docker/dockerfile:1",
		},
		"the client's overlay allows too": {
			fromGuard: true, opts: handed(t, corpPolicy, nil), rule: "dockerfile",
			edit: func(o map[string]string) { o[optionkeys.Overlay] = overlay },
		},
		"both, if the image has one too": {
			embedded: overlay, opts: handed(t, corpPolicy, nil), rule: "mine",
		},
		"both, if the image has one too and the flag": {
			embedded: overlay, fromGuard: true, opts: handed(t, corpPolicy, nil), rule: "mine",
		},
		"it can't widen the image's": {
			embedded: refusing, opts: handed(t, corpPolicy, nil),
			why: "no rule allows docker/dockerfile:1",
		},
		"it can't widen the image's with the flag": {
			embedded: refusing, fromGuard: true, opts: handed(t, corpPolicy, nil),
			why: "no rule allows docker/dockerfile:1",
		},
		"it tightens the image's": {
			embedded: corpPolicy, opts: handed(t, refusing, nil),
			why: "the overlay decided: no rule allows docker/dockerfile:1",
		},
		"it can't replace the policy of an image that has to have one": {
			opts: handed(t, corpPolicy, nil), why: "holds no policy",
		},
		"an image that accepts no overlay accepts it neither": {
			embedded: corpPolicy + "overlay: {accept: none}\n", opts: handed(t, corpPolicy, nil),
			why: "accepts no overlay",
		},
		"an overlay is one layer too many beside both": {
			embedded: corpPolicy, opts: handed(t, corpPolicy, nil),
			edit: func(o map[string]string) { o[optionkeys.Overlay] = overlay },
			why:  "takes no third one",
		},
		"none came": {
			fromGuard: true, opts: map[string]string{"cmdline": selfRef + " docker/dockerfile:1"},
			why: "build through policy-guard",
		},
		"none came, and the image has one": {
			embedded: corpPolicy, fromGuard: true,
			opts: map[string]string{"cmdline": selfRef + " docker/dockerfile:1"},
			why:  "build through policy-guard",
		},
		"a forged piece": {
			fromGuard: true, opts: handed(t, corpPolicy, nil),
			edit: func(o map[string]string) { o[optionkeys.HandOverPiece+"0"] += " " },
			why:  "didn't arrive as it was sent: its digest is wrong",
		},
		"a forged digest": {
			embedded: corpPolicy, opts: handed(t, corpPolicy, nil),
			edit: func(o map[string]string) {
				o[optionkeys.HandOverDigest] = digest.FromString("").String()
			},
			why: "didn't arrive as it was sent: its digest is wrong",
		},
		"no policy": {
			fromGuard: true, why: "policy-guard's policy can't be used",
			opts: handed(t, corpPolicy, func(h *gatewayopts.HandOver) { h.Policy = "../x" }),
		},
		"an invalid policy": {
			fromGuard: true, opts: handed(t, "version: 7\n", nil),
			why: "policy-guard's policy can't be used",
		},
		"another digest than policy-guard allowed": {
			fromGuard: true, why: "policy-guard allowed docker/dockerfile:1@" + string(digestTwo),
			opts: handed(t, corpPolicy, func(h *gatewayopts.HandOver) {
				h.Frontend = "docker.io/docker/dockerfile:1@" + string(digestTwo)
			}),
		},
		"another name than policy-guard allowed": {
			fromGuard: true, opts: handed(t, "aliases: [{from: docker/dockerfile, to: x/dockerfile}]\n"+
				strings.Replace(corpPolicy, "docker/dockerfile", "x/dockerfile", 1), nil),
			why: "policy-guard allowed docker/dockerfile:1@",
		},
		"no frontend that policy-guard allowed": {
			fromGuard: true, why: "names the frontend that it allowed",
			opts: handed(t, corpPolicy, func(h *gatewayopts.HandOver) { h.Frontend = "" }),
		},
		"options that it allows": {
			fromGuard: true, opts: handed(t, options, nil), rule: "dockerfile",
			edit: func(o map[string]string) { o["target"] = "x" },
		},
		"a namespace for cache mounts that the image's own policy removes": {
			embedded: corpPolicy + "    options: {strip: [\"" + optionkeys.CacheMounts + "\"]}\n",
			opts:     handed(t, corpPolicy, nil), why: "removes or forces the build-arg",
		},
		"a namespace for cache mounts in place of the one that the image's own policy forces": {
			embedded: corpPolicy + "    options: {force: {\"" + optionkeys.CacheMounts + "\": mine}}\n",
			opts:     handed(t, corpPolicy, nil), why: "sets the option",
		},
		"a namespace for cache mounts that policy-guard's policy removes": {
			fromGuard: true, rule: "dockerfile", opts: handed(t, corpPolicy+
				"    options: {strip: [\""+optionkeys.CacheMounts+"\"]}\n", nil),
		},
		"a namespace for cache mounts, which is an option like others to an image of its own": {
			embedded: options, opts: handed(t, corpPolicy, nil), why: optionkeys.CacheMounts,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.edit != nil {
				tc.edit(tc.opts)
			}
			c := newFake(t, "", tc.opts)
			c.opts[optionkeys.Source] = pinnedSelf
			c.tags["docker.io/x/dockerfile:1"] = digestOne
			_, err := inImage(t, c, tc.embedded, tc.fromGuard)
			if tc.why != "" {
				require.ErrorContains(t, err, tc.why)
				require.Empty(t, c.solved)
				return
			}
			require.NoError(t, err)
			require.Len(t, c.solved, 1)
			opts := c.solved[0].FrontendOpt
			require.Equal(t, "theirs", opts[optionkeys.CacheMounts])
			require.False(t, slices.ContainsFunc(slices.Collect(maps.Keys(opts)), optionkeys.IsOwn))
		})
	}
}

func TestAHandedOverRequestNamesWhoAsked(t *testing.T) {
	const refusing = "version: 1\nfrontends: [{name: other, match: [x/y]}]\n"
	opts := handed(t, refusing, nil)
	c := newFake(t, "# syntax=docker/dockerfile:1\nFROM scratch\n", opts)
	_, err := inImage(t, c, "", true)
	require.ErrorContains(t, err, "requested by: line 1 of Dockerfile")
	opts["build-arg:BUILDKIT_SYNTAX"] = "docker/dockerfile:1"
	_, err = inImage(t, newFake(t, "", opts), "", true)
	require.ErrorContains(t, err, "requested by: the build-arg BUILDKIT_SYNTAX")
	var denial *DenialError
	require.ErrorAs(t, err, &denial)
	require.Equal(t, policy.Deny, denial.Decision.Verdict)
}

func TestTheDockerfileHasTheLabel(t *testing.T) {
	t.Parallel()
	dockerfile, err := os.ReadFile("../Dockerfile")
	require.NoError(t, err)
	require.Contains(t, string(dockerfile), "\nLABEL "+LabelHandOver+`="1"`+"\n")
}
