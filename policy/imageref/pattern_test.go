package imageref

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPattern(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, pattern string
		matches       []string
		misses        []string
	}{
		{
			"a literal pattern matches its repository only", "docker/dockerfile",
			[]string{
				"docker/dockerfile", "DOCKER.IO/docker/dockerfile:1",
				"index.docker.io:443/docker/dockerfile",
			},
			[]string{
				"docker/dockerfile-upstream", "docker/dockerfile/x", "docker",
				"evil.example/docker/dockerfile", "docker:443/dockerfile", "d0cker/dockerfile",
			},
		},
		{
			"a single component is in the library", "dockerfile",
			[]string{"dockerfile", "docker.io/library/dockerfile"},
			[]string{"docker/dockerfile"},
		},
		{
			"a single component after docker.io is in the library", "docker.io/*",
			[]string{"alpine"},
			[]string{"docker/dockerfile"},
		},
		{
			"a star stays within its component", "docker/*",
			[]string{"docker/dockerfile", "docker/x"},
			[]string{"docker/x/y", "other/x"},
		},
		{
			"a star stands for the empty run too", "docker/dockerfile*",
			[]string{"docker/dockerfile", "docker/dockerfile-upstream"},
			[]string{"docker/dockerfile-evil/x"},
		},
		{
			"a star inside a component", "corp.example/a*z/x",
			[]string{"corp.example/az/x", "corp.example/abcz/x"},
			[]string{"corp.example/a/z/x", "corp.example/abc/x"},
		},
		{
			"two stars at the end need one component", "corp.example/a/**",
			[]string{"corp.example/a/b", "corp.example/a/b/c"},
			[]string{"corp.example/a", "corp.example/ab"},
		},
		{
			"two stars in the middle may stand for nothing", "corp.example/**/x",
			[]string{"corp.example/x", "corp.example/a/x", "corp.example/a/b/x"},
			[]string{"corp.example/xx", "corp.example/x/y"},
		},
		{
			"two stars at the front span hosts", "**/dockerfile-upstream",
			[]string{"docker/dockerfile-upstream", "reg.example:5000/dockerfile-upstream"},
			[]string{"docker/dockerfile"},
		},
		{"two stars alone match everything", "**", []string{"alpine", "reg.example:5000/a/b/c"}, nil},
		{
			"two stars after docker.io match all of it", "docker.io/**",
			[]string{"alpine", "docker/dockerfile"},
			[]string{"reg.example/docker/dockerfile"},
		},
		{
			"two stars between docker.io and a name", "docker.io/**/dockerfile",
			[]string{"docker/dockerfile", "dockerfile", "docker.io/a/b/dockerfile"},
			[]string{"docker/dockerfiles"},
		},
		{
			"a host pattern keeps to the host", "*.corp.example/**",
			[]string{"a.corp.example/x"},
			[]string{"corp.example/x", "a.corp.example:5000/x", "a.corp.example.evil/x"},
		},
		{
			"a pattern's host is normalised", "INDEX.docker.io:0443/dockerfile",
			[]string{"dockerfile"},
			[]string{"docker/dockerfile"},
		},
		{
			"a host without a dot keeps its port", "docker:443/dockerfile",
			[]string{"docker:443/dockerfile"},
			[]string{"docker/dockerfile"},
		},
		{
			"an IPv6 host is normalised", "[FD00::0001]:5000/**",
			[]string{"[fd00::1]:5000/x"},
			[]string{"[fd00::2]:5000/x"},
		},
		{
			"localhost is a host", "localhost/*",
			[]string{"localhost/x"},
			[]string{"docker.io/localhost/x"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := ParsePattern(tt.pattern)
			require.NoError(t, err)
			for _, s := range tt.matches {
				require.True(t, p.Match(mustRef(t, s)), "%s should match %s", tt.pattern, s)
			}
			for _, s := range tt.misses {
				require.False(t, p.Match(mustRef(t, s)), "%s should not match %s", tt.pattern, s)
			}
		})
	}
}

func TestPatternRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"an empty pattern", "", "the pattern is empty"},
		{"an open host", "*/x", "write docker.io/*/x for docker.io, or **/x for any host"},
		{"a lone star", "*", "leaves the host open"},
		{"a first component with a star and no dot", "dock*/x", "leaves the host open"},
		{"a tag", "docker/dockerfile:1", "use tags:"},
		{"a digest", "docker/dockerfile@" + digestA, "use digests:"},
		{"a scheme", "docker-image://docker/dockerfile", "has a scheme"},
		{"an upper-case path", "docker/Dockerfile", "upper-case"},
		{"an upper-case folder", "DOCKER/dockerfile", "upper-case"},
		{"two stars inside a component", "docker/a**", "** must be a whole component"},
		{"two stars inside a host", "**.corp.example/x", "in a host use *"},
		{"two stars twice", "docker.io/**/**", "twice in a row"},
		{"a question mark", "docker/dockerfil?", `the character "?" at position 17`},
		{"a control character", "docker/\x1b[0m", `\x1b`},
		{"an empty component", "docker//x", "empty component"},
		{"a trailing slash", "docker/", "empty component"},
		{"a name that can't be", "docker/-x", "matches no possible name"},
		{"a star in a port", "corp.example:*/x", "a port can't have *"},
		{"an invalid port", "corp.example:70000/x", "port from 1 to 65535"},
		{"an IPv6 host without brackets", "fd00::1/x", "needs brackets"},
		{"a host with two colons", "corp.example::443/x", "needs brackets"},
		{"an IPv6 host with an open bracket", "[fd00::1:5000/x", "not an IPv6 address"},
		{"a star in an IPv6 host", "[fd00::*]/x", "an IPv6 host can't have *"},
		{
			"a path that no name can have", "docker/" + strings.Repeat("a", 300),
			"a path has at most 255 characters",
		},
		{"an over-long pattern", strings.Repeat("a/", 600) + "a", "more than 1024"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := ParsePattern(tt.in)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

// A matcher that tries all ways to split a name would not end before the test
// binary's timeout.
func TestPatternsBuiltToBeSlowEnd(t *testing.T) {
	t.Parallel()
	p, err := ParsePattern("docker.io/" + strings.Repeat("**/a*a*a*a*/", 20) + "**/c")
	require.NoError(t, err)
	name, err := ParsePattern("docker.io/" + strings.Repeat(strings.Repeat("a", 7)+"/", 31) + "b")
	require.NoError(t, err)
	require.False(t, p.Covers(name))
}

func TestCovers(t *testing.T) {
	t.Parallel()
	parse := func(s string) Pattern {
		p, err := ParsePattern(s)
		require.NoError(t, err)
		return p
	}
	require.True(t, parse("corp.example/**").Covers(parse("corp.example/a/*")))
	require.False(t, parse("corp.example/*").Covers(parse("corp.example/**")))
	require.False(t, parse("**").Covers(Pattern{}))
	require.False(t, Pattern{}.Covers(parse("a")))
	require.False(t, Pattern{}.Match(Reference{}), "the zero Pattern matches nothing")
	require.False(t, parse("**").Match(Reference{}), "the zero Reference has no name")
	require.Equal(t, "docker/*", parse("docker/*").Familiar())
	require.True(t, parse("docker/*").IsOpen())
	require.False(t, parse("docker/a").IsOpen())
}

func TestCheckTagGlob(t *testing.T) {
	t.Parallel()
	require.NoError(t, CheckTagGlob("1.*"))
	require.Error(t, CheckTag("1.*"))
	for _, bad := range []string{"", ">=1.0", "1.7,1.8", ".1", "-1", "a:b", strings.Repeat("1", 129)} {
		require.Error(t, CheckTagGlob(bad), bad)
	}
}
