package diff

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Options have twins, named contexts have platforms, and a build has to name a platform that the
// rule has.
func TestCompareOptions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, a, b string
		want       []string
	}{
		{
			"a platform more", "platforms: [linux/amd64]", "platforms: [linux/amd64, linux/arm64]",
			[]string{"+allowed a:latest platform=linux/arm64"},
		},
		{
			"a platform less", "platforms: [linux/amd64, linux/arm64]", "platforms: [linux/amd64]",
			[]string{"-refused a:latest platform=linux/arm64"},
		},
		{
			"any platform", "platforms: [linux/amd64]", "",
			[]string{"+allowed a:latest"},
		},
		{
			"the same platforms in other words", "platforms: [linux/amd64, linux/arm64]",
			"platforms: [linux/aarch64, linux/x86_64]", nil,
		},
		{
			"an option less for one platform", "platforms: [linux/amd64], options: {deny: [target]}",
			"platforms: [linux/amd64]",
			[]string{
				"+loosened a:latest platform=linux/amd64; no longer required: options.deny: target",
				"+allowed a:latest platform=linux/amd64 target=other",
			},
		},
		{
			"a context of one platform denied, which denies it for all", `options: {deny: ["context:base"]}`,
			`options: {deny: ["context:base::linux/amd64"]}`, nil,
		},
		{
			"a context less", `options: {deny: ["context:base", "context:top"]}`,
			`options: {deny: ["context:docker.io/library/base:latest"]}`,
			[]string{
				"+loosened a:latest; no longer required: options.deny: context:top",
				"+loosened a:latest context:top=other; no longer refused: option context:top",
				"+loosened a:latest context:top::linux/amd64=other; " +
					"no longer refused: option context:top::linux/amd64",
			},
		},
		{
			"a context for one platform", `options: {only: ["context:base::linux/amd64"]}`,
			`options: {only: ["context:base"]}`,
			[]string{
				"+loosened a:latest; no longer required: options.only: context:base::linux/amd64",
				"+loosened a:latest context:base=other; no longer refused: option context:base",
				"+loosened a:latest context:base::linux/other=other; " +
					"no longer refused: option context:base::linux/other",
				"-tightened a:latest; now required: options.only: context:base",
			},
		},
		{
			"a proxy in capital letters", `options: {deny: ["build-arg:HTTP_PROXY"]}`,
			`options: {deny: ["build-arg:http_proxy"]}`, nil,
		},
		{
			"a twin", `options: {deny: [hostname, "attest:sbom"]}`,
			`options: {deny: ["build-arg:BUILDKIT_SANDBOX_HOSTNAME", "build-arg:BUILDKIT_ATTEST_SBOM"]}`, nil,
		},
		{
			"an option no longer removed", `options: {strip: ["context:base"]}`, "",
			[]string{
				"+loosened a:latest context:base=other; no longer required: options.strip: context:base",
				"+loosened a:latest context:base::linux/amd64=other; " +
					"no longer required: options.strip: context:base::linux/amd64",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			policyOf := func(fields string) string {
				if fields != "" {
					fields = ", " + fields
				}
				return head + "- {name: a, match: [a]" + fields + "}\n"
			}
			r := Compare(parse(t, policyOf(tt.a)), parse(t, policyOf(tt.b)), now())
			require.ElementsMatch(t, tt.want, lines(r))
			require.True(t, r.Complete)
		})
	}
}
