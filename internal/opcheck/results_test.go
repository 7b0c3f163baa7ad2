package opcheck

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
)

func TestAnswersAboutResultsAndCaches(t *testing.T) {
	t.Parallel()
	p, err := policy.Parse("p", []byte(`version: 1
exports: {client: [oci], push: {allow: [x/y]}, store: {allow: [x/z]}}
caches: {imports: {registry: {allow: [x/y]}}, exports: {local: allow}}
sbom: {generators: {allow: [x/y]}}
`))
	require.NoError(t, err)
	l, err := policy.Stack(p, nil)
	require.NoError(t, err)
	from := func(s string) (Answer, error) { return CheckCache(l, false, s) }
	to := func(s string) (Answer, error) { return CheckCache(l, true, s) }
	sbom := func(s string) (Answer, error) { return CheckSBOM(l, s) }
	export := func(s string) (Answer, error) { return CheckExport(l, s) }
	for name, tt := range map[string]struct {
		answer func(string) (Answer, error)
		text   string
		want   policy.Verdict // "" if it isn't understood
		asked  string
	}{
		"a push":                       {export, "push=x/y:1", policy.Allow, "a push to docker.io/x/y:1"},
		"another push":                 {export, "push=x/z", policy.Deny, "docker.io/x/z:latest"},
		"an image in the store":        {export, "store=x/z", policy.Allow, "docker.io/x/z:latest in"},
		"an exporter to the client":    {export, "oci", policy.Allow, "of the type oci"},
		"another exporter":             {export, "tar", policy.Deny, "type tar"},
		"a push without a name":        {export, "push", "", ""},
		"a name for the client":        {export, "oci=x", "", ""},
		"an unknown exporter":          {export, "image", "", ""},
		"an invalid name":              {export, "push=X Y", "", ""},
		"an import":                    {from, "registry=x/y", policy.Allow, "import of the build cache"},
		"an import from a directory":   {from, "local", policy.Deny, "of the type local"},
		"an import by another service": {from, "s3", policy.Deny, "of the type s3"},
		"an export to a registry":      {to, "registry=x/y", policy.Deny, "export of the build cache"},
		"an export to a directory":     {to, "local", policy.Allow, "type local"},
		"an inline export":             {to, "inline", policy.Allow, "type inline"},
		"a registry without a name":    {to, "registry", "", ""},
		"a cache whose name is none":   {to, "registry=", "", ""},
		"an SBOM":                      {sbom, "x/y:1", policy.Allow, "an SBOM by docker.io/x/y:1"},
		"another SBOM":                 {sbom, "x/z", policy.Deny, "docker.io/x/z:latest"},
		"an SBOM by no image":          {sbom, "X Y", "", ""},
	} {
		a, err := tt.answer(tt.text)
		if tt.want == "" {
			require.Error(t, err, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, tt.want, a.Verdict, name)
		require.Contains(t, a.Asked, tt.asked, name)
		require.Contains(t, a.Messages, seen, name)
		require.Equal(t, tt.want == policy.Deny, a.Reason != "" && a.Rule != "", name)
	}
}
