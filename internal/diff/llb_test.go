package diff

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatLLBMayDoIsCompared(t *testing.T) {
	t.Parallel()
	const corp = "version: 1\nllb: allow\nbuild: {images: {allow: [\"corp.example/**\"]}, others: deny}\n"
	for name, tc := range map[string]struct {
		a, b   string
		widens bool
		text   string // one of the statements; "" for none
	}{
		"allow": {
			"version: 1\n", "version: 1\nllb: allow\n", true, "llb: allow, before deny",
		},
		"deny":                {"version: 1\nllb: allow\n", "version: 1\nllb: deny\n", false, "llb: deny, before allow"},
		"deny in other words": {"version: 1\n", "version: 1\nllb: deny\n", false, ""},
		"the same":            {corp, corp, false, ""},
		"more images": {
			corp, "version: 1\nllb: allow\nbuild: {images: {allow: [\"corp.example/**\", " +
				"\"other.example/**\"]}, others: deny}\n", true, "no longer refused in a build",
		},
		"fewer images": {
			"version: 1\nllb: allow\nbuild: {images: {allow: [\"corp.example/**\", " +
				"\"other.example/**\"]}, others: deny}\n", corp, false, "now refused in a build",
		},
		"no build rules any more": {corp, "version: 1\nllb: allow\n", true, "no longer refused"},
	} {
		t.Run(name, func(t *testing.T) {
			r := Compare(parse(t, tc.a), parse(t, tc.b), now())
			require.Equal(t, tc.widens, r.Widened, "%+v", r)
			var texts []string
			for _, s := range r.Statements {
				texts = append(texts, s.Text)
			}
			if tc.text == "" {
				require.Empty(t, texts)
				return
			}
			require.Contains(t, strings.Join(texts, "\n"), tc.text)
		})
	}
}
