package frontend

import (
	"testing"

	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
)

const noRoot = `version: 1
build:
  config: {user: {forbid: [root]}, labels: {require: [owner]}}
frontends: [{match: [docker/dockerfile]}]
`

// Exporters choose one of the configurations by rules of their own, so all of them must be allowed.
func TestEveryConfigurationThatAnExporterCouldTakeIsChecked(t *testing.T) {
	t.Parallel()
	const (
		on   = `"os":"linux","architecture":"amd64"`
		good = `{` + on + `,"config":{"User":"app","Labels":{"owner":"x"}}}`
		bad  = `{` + on + `,"config":{"User":"root","Labels":{"owner":"x"}}}`
		all  = exptypes.ExporterImageConfigKey
		amd  = all + "/linux/amd64"
		ids  = exptypes.ExporterPlatformsKey
		one  = `{"Platforms":[{"ID":"linux/amd64","Platform":{` + on + `}}]}`
		two  = `{"Platforms":[{"ID":"linux/amd64","Platform":{` + on + `}},` +
			`{"ID":"linux/arm64","Platform":{"os":"linux","architecture":"arm64"}}]}`
	)
	single := func(id string) *gwpb.Result {
		return &gwpb.Result{Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: id}}}
	}
	mapped := func(keys ...string) *gwpb.Result {
		refs := map[string]*gwpb.Ref{}
		for _, k := range keys {
			refs[k] = &gwpb.Ref{Id: "solved"}
		}
		return &gwpb.Result{Result: &gwpb.Result_Refs{Refs: &gwpb.RefMap{Refs: refs}}}
	}
	for name, tc := range map[string]struct {
		res        *gwpb.Result
		metadata   map[string]string
		subrequest bool
		want       string // as requireRefusal takes it
	}{
		"one image": {
			res:      single("solved"),
			metadata: map[string]string{all: good},
		},
		"one image of a platform": {
			res:      mapped("linux/amd64"),
			metadata: map[string]string{amd: good, ids: one},
		},
		"two images": {
			res:      mapped("linux/amd64", "linux/arm64"),
			metadata: map[string]string{amd: good, all + "/linux/arm64": good, ids: two},
		},
		"the answer to a subrequest": {
			res:        &gwpb.Result{},
			metadata:   map[string]string{"result.json": "{}"},
			subrequest: true,
		},
		"a bad one": {
			res:      single("solved"),
			metadata: map[string]string{all: bad},
			want: `build: the policy refuses the image that is built: its user is "root" ` +
				`(build.config.user.forbid: "root")`,
		},
		"a bad one in a subrequest": {
			res:        single("solved"),
			metadata:   map[string]string{all: bad},
			subrequest: true,
			want: `build: the policy refuses the image that is built: its user is "root" ` +
				`(build.config.user.forbid: "root")`,
		},
		"none": {
			res: single("solved"),
			want: `build: the policy refuses the image that is built: its user is "root" ` +
				`(build.config.user.forbid: "root") (and 1 more)`,
		},
		"a bad one for the platform of a single image": {
			res:      single("solved"),
			metadata: map[string]string{all: good, amd: bad},
			want: `build: the policy refuses the image that is built for linux/amd64: its user ` +
				`is "root" (build.config.user.forbid: "root")`,
		},
		"a bad one for a platform that no image is of": {
			res:      mapped("x"),
			metadata: map[string]string{all + "/x": good, amd: bad, ids: one},
			want: `build: the policy refuses the image that is built for linux/amd64: its user ` +
				`is "root" (build.config.user.forbid: "root")`,
		},
		"none for a platform that is listed": {
			res:      mapped("x"),
			metadata: map[string]string{all + "/x": good, ids: one},
			want: `build: the policy refuses the image that is built for linux/amd64: its user ` +
				`is "root" (build.config.user.forbid: "root") (and 1 more)`,
		},
		"none for the daemon's platform": {
			res:      mapped("x"),
			metadata: map[string]string{all + "/x": good},
			want: `build: the policy refuses the image that is built: its user is "root" ` +
				`(build.config.user.forbid: "root") (and 1 more)`,
		},
		"a bad one for an image without files": {
			res:      single(""),
			metadata: map[string]string{all: bad},
			want: `build: the policy refuses the image that is built: its user is "root" ` +
				`(build.config.user.forbid: "root")`,
		},
		"a bad one for an image without files, of a platform": {
			res:      mapped(),
			metadata: map[string]string{amd: bad, ids: one},
			want: `build: the policy refuses the image that is built for linux/amd64: its user ` +
				`is "root" (build.config.user.forbid: "root")`,
		},
		"a bad one for nothing": {
			res:      &gwpb.Result{},
			metadata: map[string]string{all: bad},
			want: `build: the policy refuses the image that is built: its user is "root" ` +
				`(build.config.user.forbid: "root")`,
		},
		"nothing at all": {
			res: &gwpb.Result{},
			want: `build: the policy refuses the image that is built: its user is "root" ` +
				`(build.config.user.forbid: "root") (and 1 more)`,
		},
		"platforms that can't be read": {
			res:      single("solved"),
			metadata: map[string]string{amd: good, ids: "x"},
			want: "invariant: it asks for an image whose platforms can't be read, which no rule " +
				"can allow",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := map[string]string{}
			if tc.subrequest {
				opts[keyRequestID] = "frontend.outline"
			}
			m := monitorOf(t, newFake(t, "", opts), noRoot)
			tc.res.Metadata = map[string][]byte{}
			for k, v := range tc.metadata {
				tc.res.Metadata[k] = []byte(v)
			}
			err := m.result(t.Context(), m.build, tc.res)
			requireRefusal(t, err, tc.want)
		})
	}
}

// A condition is for the target that the frontend got, and a nested frontend gets another one than
// the build asks for.
func TestConditionsAreForTheTargetThatTheFrontendGets(t *testing.T) {
	t.Parallel()
	const (
		isRoot = `build: the policy refuses the image that is built: its user is "root" ` +
			`(build.config.user.forbid: "root")`
		image = `{"config":{"Cmd":["sh"]}}`
	)
	for name, tc := range map[string]struct {
		sets         string
		obliged      policy.Obligations
		opts, nested map[string]string
		config       string
		want         string
	}{
		"a target that is excepted": {
			sets: "exceptTargets: [base]", opts: map[string]string{"target": "Base"}, config: image,
		},
		"another target": {
			sets: "exceptTargets: [base]", opts: map[string]string{"target": "app"}, config: image,
			want: isRoot,
		},
		"no target": {sets: "exceptTargets: [base]", config: image, want: isRoot},
		"a target by number": {
			sets: "targets: [app]", opts: map[string]string{"target": "0"}, config: image, want: isRoot,
		},
		"a target that is chosen": {
			sets: "targets: [app]", opts: map[string]string{"target": "app"}, config: image, want: isRoot,
		},
		"a target that isn't chosen": {
			sets: "targets: [app]", opts: map[string]string{"target": "base"}, config: image,
		},
		"a target that the policy sets": {
			sets: "exceptTargets: [base]", config: image, want: isRoot,
			obliged: policy.Obligations{Force: map[string]string{"target": "app"}},
			opts:    map[string]string{"target": "base"},
		},
		"a target that the policy removes": {
			sets: "exceptTargets: [base]", config: image, want: isRoot,
			obliged: policy.Obligations{Strip: []string{"target"}},
			opts:    map[string]string{"target": "base"},
		},
		"the target of a nested frontend": {
			sets: "exceptTargets: [base]", opts: map[string]string{"target": "base"},
			nested: map[string]string{"target": "app"}, config: image, want: isRoot,
		},
		"the target that a nested frontend lacks": {
			sets: "exceptTargets: [base]", opts: map[string]string{"target": "base"},
			nested: map[string]string{}, config: image, want: isRoot,
		},
		"a nested frontend's target that is excepted": {
			sets: "exceptTargets: [base]", opts: map[string]string{"target": "app"},
			nested: map[string]string{"target": "base"}, config: image,
		},
		"files without a configuration": {sets: "results: runnable"},
		"files with a configuration":    {sets: "results: runnable", config: `{"config":{"Env":["A=b"]}}`},
		"an image that runs":            {sets: "results: runnable", config: image, want: isRoot},
		"a command that two programs read differently": {
			sets: "results: runnable", config: `{"config":{"CMD":["sh"]}}`,
			want: `invariant: it asks for an image with a configuration that can't be read: ` +
				`"Cmd is spelled CMD", which no rule can allow`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := monitorOf(t, newFake(t, "", tc.opts), "version: 1\n"+
				"build: {config: [{"+tc.sets+", user: {forbid: [root]}}]}\n"+
				"frontends: [{match: [docker/dockerfile]}]\n")
			m.inner.decision.Obligations = tc.obliged
			if tc.nested != nil {
				m.build = m.build.nest(tc.nested, nil)
				m = m.within(m.inner)
			}
			res := &gwpb.Result{Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: "solved"}}}
			if tc.config != "" {
				res.Metadata = map[string][]byte{exptypes.ExporterImageConfigKey: []byte(tc.config)}
			}
			requireRefusal(t, m.result(t.Context(), m.build, res), tc.want)
		})
	}
}

// If the frontend returns no SBOM, the daemon runs the client's image to make one.
func TestTheImageOfTheDaemonsSBOMIsChecked(t *testing.T) {
	t.Parallel()
	const doc = `version: 1
build: {images: {allow: [scan/good], convert: [{from: scan/old, to: scan/good}]}}
frontends: [{match: [docker/dockerfile]}]
`
	built := func() *gwpb.Result {
		return &gwpb.Result{Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: "solved"}}}
	}
	scanned := built()
	scanned.Attestations = map[string]*gwpb.Attestations{
		"": {Attestation: []*gwpb.Attestation{{InTotoPredicateType: predicateSPDX}}},
	}
	for name, tc := range map[string]struct {
		opts   map[string]string
		res    *gwpb.Result
		nested bool
		want   string
	}{
		"no SBOM": {res: built()},
		"by an image that is allowed": {
			opts: map[string]string{"attest:sbom": "generator=scan/good"},
			res:  built(),
		},
		"by another image": {
			opts: map[string]string{"attest:sbom": "generator=scan/evil:1"},
			res:  built(),
			want: "build: the policy refuses the image scan/evil:1: it allows only scan/good " +
				"(build.images.allow)",
		},
		"by another image in a build-arg": {
			opts: map[string]string{"build-arg:BUILDKIT_ATTEST_SBOM": "generator=scan/evil"},
			res:  built(),
			want: "build: the policy refuses the image scan/evil:latest: it allows only " +
				"scan/good (build.images.allow)",
		},
		"by the daemon's own choice": {
			opts: map[string]string{"attest:sbom": ""},
			res:  built(),
			want: "build: the policy refuses the image docker/buildkit-syft-scanner:stable-1: it " +
				"allows only scan/good (build.images.allow)",
		},
		"by an image that would not be converted": {
			opts: map[string]string{"attest:sbom": "generator=scan/old"},
			res:  built(),
			want: "invariant: it asks for an SBOM by the image docker.io/scan/old:latest, which " +
				"BuildKit wouldn't replace with docker.io/scan/good:latest, which no rule can " +
				"allow",
		},
		"by what is no image": {
			opts: map[string]string{"attest:sbom": "generator=Scan/"},
			res:  built(),
			want: "invariant: it asks for an SBOM by Scan/, which isn't an image reference, " +
				"which no rule can allow",
		},
		"that the frontend made": {
			opts: map[string]string{"attest:sbom": "generator=scan/evil"},
			res:  scanned,
		},
		"of nothing": {
			opts: map[string]string{"attest:sbom": "generator=scan/evil"},
			res:  &gwpb.Result{},
		},
		"of what another frontend asks for": {
			opts:   map[string]string{"attest:sbom": "generator=scan/evil"},
			res:    built(),
			nested: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := monitorOf(t, newFake(t, "", tc.opts), doc)
			m.build.nested = tc.nested
			err := m.result(t.Context(), m.build, tc.res)
			requireRefusal(t, err, tc.want)
		})
	}
}

// requireRefusal fails the test unless err is a refusal with the rule and the reason of want,
// which is "RULE: REASON". If want is empty, err has to be nil.
func requireRefusal(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" {
		require.NoError(t, err)
		return
	}
	var r *refusal
	require.ErrorAs(t, err, &r)
	require.Equal(t, policy.Deny, r.decision.Verdict)
	require.Equal(t, want, r.decision.Rule+": "+r.decision.Reason)
}
