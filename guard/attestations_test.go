package guard

import (
	"testing"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/stretchr/testify/require"
)

const sbomScan = `sbom: {generators: {allow: [x/scan, docker/buildkit-syft-scanner]}}`

func TestTheGeneratorOfAnSBOM(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		value string
		want  string // the option for the daemon; "" if it is refused
		why   string
	}{
		"the default": {"", "docker.io/docker/buildkit-syft-scanner:stable-1", ""},
		"the default, as buildx writes it": {
			"type=sbom,disabled=false", "docker.io/docker/buildkit-syft-scanner:stable-1", "",
		},
		"an allowed one":    {"generator=x/scan:1", "docker.io/x/scan:1", ""},
		"one without a tag": {"generator=x/scan", "docker.io/x/scan:latest", ""},
		"one by another spelling": {
			"generator=index.docker.io/x/scan:1,type=sbom", "docker.io/x/scan:1", "",
		},
		"one with a digest": {
			"generator=x/scan:1@" + fakeDigest, "docker.io/x/scan:1@" + fakeDigest, "",
		},
		"the last of several": {"generator=evil,generator=x/scan:1", "docker.io/x/scan:1", ""},
		"a bad one after a good": {
			"generator=x/scan:1,generator=evil", "", "an SBOM by docker.io/library/evil",
		},
		"another repository": {
			"generator=y/scan:1", "", "docker.io/y/scan:1: it allows only x/scan",
		},
		"another registry": {
			"generator=evil.example/x/scan:1", "", "evil.example/x/scan:1: it allows",
		},
		"an empty one": {"generator=", "", "the generator of its SBOM can't be judged"},
		"one that is no reference": {
			"generator=A b", "", "the generator of its SBOM can't be judged",
		},
		"in quotes": {`"generator=x/scan:1"`, "docker.io/x/scan:1", ""},
		"a parameter that says what is read": {
			"generator=x/scan:1,SOURCE=/etc", "", "the parameter SOURCE=/etc, which changes what",
		},
		"a parameter without a value": {"generator=x/scan:1,x", "", "the parameter x="},
		"a key in another letter case": {
			"GENERATOR=evil", "", "the parameter GENERATOR=evil",
		},
		"an attestation of another type":    {"type=other", "", "the parameter type=other"},
		"one that is said not to be wanted": {"type=sbom,disabled=true", "", "disabled=true"},
		"a value that can't be read":        {`"generator`, "", "failed to parse sbom"},
		"a parameter whose value is a quote": {
			`generator=x/scan:1,"a=b,c"`, "", "the parameter a=b,c",
		},
	} {
		all := pairsOf("attest:sbom", tc.value, "target", "x")
		kept, err := attributes(layersOf(t, sbomScan), all)
		if tc.want == "" {
			require.ErrorContains(t, err, tc.why, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, pairsOf("attest:sbom", "generator="+tc.want, "target", "x"), kept, name)
	}
	for key, why := range map[string]string{
		"attest:SBOM": "write attest:sbom", "build-arg:BUILDKIT_ATTEST_SBOM": "write attest:sbom",
		"attest:other": `unknown attestation type "other"`,
	} {
		_, err := attributes(layersOf(t, sbomScan), pairsOf(key, "generator=x/scan"))
		require.ErrorContains(t, err, why)
	}
}

// The daemon makes the SBOM that the request asks for by which the build begins. Rules on the
// options of frontends see it in the request for the frontend.
func TestAnSBOMIsTheSameInBothRequests(t *testing.T) {
	t.Parallel()
	const scan = "generator=docker.io/x/scan:1"
	for name, tc := range map[string]struct {
		begins, asks string // the options; "-" for none
		policy       string // of the rule
		want         string // the frontend's option; "-" for none
		why          string // if it is refused
	}{
		"none": {"-", "-", "", "-", ""},
		"both, in two spellings": {
			"generator=x/scan:1,type=sbom", "generator=x/scan:1", "", scan, "",
		},
		"the daemon alone":   {"generator=x/scan:1", "-", "", scan, ""},
		"the frontend alone": {"-", "generator=x/scan:1", "", scan, ""},
		"two images": {
			"generator=x/scan:1", "generator=x/scan:2", "", "", "by another generator",
		},
		"another image": {
			"generator=x/scan:1", "generator=evil", "", "", "(sbom.generators.allow)",
		},
		"a rule that strips it": {
			"generator=x/scan:1", "-", "strip: [\"attest:sbom\"]", "-", "",
		},
		"a rule that denies it": {
			"generator=x/scan:1", "-", "deny: [\"attest:sbom\"]", "", "attest:sbom",
		},
		"a rule that doesn't list it": {
			"generator=x/scan:1", "-", "only: [target]", "", "attest:sbom",
		},
	} {
		policy := forwarding + sbomScan + "\n"
		if tc.policy != "" {
			policy = "version: 1\nfrontends: [{match: [docker/dockerfile], options: {" + tc.policy + "}}]\n" +
				sbomScan + "\n"
		}
		d, g := newDaemonFor(t, policy, "")
		begins := &controlapi.SolveRequest{Ref: "b", Session: "s1"}
		if tc.begins != "-" {
			begins.FrontendAttrs = pairsOf("attest:sbom", tc.begins)
		}
		c, ctx := begunAs(t, d, g, begins)
		req := asking("docker/dockerfile:1")
		if tc.asks != "-" {
			req.FrontendOpt["attest:sbom"] = tc.asks
		}
		_, err := c.Solve(ctx, req)
		if tc.why != "" {
			require.ErrorContains(t, err, tc.why, name)
			require.Empty(t, frontendRuns(d), name)
			continue
		}
		require.NoError(t, err, name)
		got, ok := frontendRuns(d)[0].FrontendOpt["attest:sbom"]
		require.Equal(t, tc.want != "-", ok, name)
		if ok {
			require.Equal(t, tc.want, got, name)
		}
	}
}
