package policy

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

func TestTheNamesOfBuildRulesAreThoseThatAreCompared(t *testing.T) {
	t.Parallel()
	p, err := Parse("p", []byte(`{version: 1, build: {
		images: {allow: [busybox, "Corp.example:443/**"], deny: ["**/x"], convert: [{from: docker.io/library/**, to: corp.example/hub/**}]},
		git: {allow: ["HTTPS://Git.example:443/a*/**/b.git"]},
		http: {deny: ["http://*.files.example:8080/%61/*"]},
		frontends: {allow: [docker/dockerfile]}}, dispatch: mediate}`))
	require.NoError(t, err)
	b := p.doc.Build
	allow, deny := b.Images.Patterns()
	require.Equal(t, []string{"docker.io/library/busybox", "corp.example/**"}, allow)
	require.Equal(t, []string{"**/x", "**/x/**"}, deny)
	from, to := b.Images.Convert[0].Names()
	require.Equal(t, []string{"docker.io/library/**", "corp.example/hub/**"}, []string{from, to})
	allow, deny = b.Git.Patterns()
	require.Equal(t, []string{"https://git.example/a*/**/b"}, allow)
	require.Empty(t, deny)
	_, deny = b.HTTP.Patterns()
	require.Equal(t, []string{"http://*.files.example:8080/a/*"}, deny)
	allow, _ = b.Frontends.Patterns()
	require.Equal(t, []string{"docker.io/docker/dockerfile"}, allow)
	require.Equal(t,
		[]buildrules.Kind{
			buildrules.KindImages, buildrules.KindGit, buildrules.KindHTTP,
			buildrules.KindFrontends,
		}, b.Kinds())
}

// Policies are written as YAML to compare them.
func TestBuildRulesCanBeWritten(t *testing.T) {
	t.Parallel()
	p, err := Parse("p",
		[]byte(
			`{version: 1, build: {git: {allow: ["https://a.example/**"]}, http: {requireChecksum: true}, exec: {ulimits: {nofile: 5}}}}`))
	require.NoError(t, err)
	data, err := yaml.Marshal(p.doc.Build)
	require.NoError(t, err)
	require.YAMLEq(t,
		`{git: {allow: ["https://a.example/**"]}, http: {requireChecksum: true}, exec: {ulimits: {nofile: 5}}}`, string(data))
}
