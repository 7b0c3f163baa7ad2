package imageref

import (
	"slices"
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
			"a single component after docker.io is in the library", "docker.io/al*",
			[]string{"alpine"},
			[]string{"docker/dockerfile", "al/pine"},
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
			[]string{
				"corp.example/x", "a.corp.example:5000/x", "a.corp.example.evil/x", "a.b.corp.example/x",
			},
		},
		{
			"two stars are any labels of a host", "**.corp.example/**",
			[]string{"a.corp.example/x", "a.b.corp.example/x"},
			[]string{"corp.example/x", "a.corp.example:5000/x"},
		},
		{
			"a star in the middle of a host is one label", "*.dkr.ecr.*.amazonaws.com/**",
			[]string{"1.dkr.ecr.eu-west-1.amazonaws.com/x"},
			[]string{"1.dkr.ecr.eu.evil.amazonaws.com/x", "1.2.dkr.ecr.eu.amazonaws.com/x"},
		},
		{
			"a star is any port, and the default one", "quay.io:*/**",
			[]string{"quay.io/x", "quay.io:443/x", "quay.io:80/x/y"},
			[]string{"quay.io.evil:80/x"},
		},
		{
			"a star is any port of docker.io too", "docker.io:*/alpine",
			[]string{"alpine", "docker.io:80/library/alpine"},
			[]string{"docker.io:80/alpine"},
		},
		{
			"stars between numbers are numbers", "10.*.1*.*/**",
			[]string{"10.1.12.3/x"},
			[]string{"10.1.12.evil/x", "10.1.2.3/x", "10.1.12.3.evil/x", "10.1.12.3:80/x"},
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
		{"a tag", "docker/dockerfile:1", "is for names only; write docker/dockerfile"},
		{"a tag of any name", "**:latest", "is for names only; write **"},
		{"a digest", "docker/dockerfile@" + digestA, "is for names only; write docker/dockerfile"},
		{
			"a registry", "quay.io",
			`"quay.io" is a registry; write quay.io/** for all that it has, or docker.io/library/quay.io for an official image`,
		},
		{"a registry with a port", "localhost:5000", "is a registry; write localhost:5000/** for all"},
		{"a registry with an address", "[::1]:5000", "is a registry; write [::1]:5000/** for all"},
		{"this machine", "localhost", "is a registry; write localhost/** for all"},
		{"registries", "*.corp.example", "is a registry; write *.corp.example/** for all"},
		{"docker.io", "docker.io", "is a registry; write docker.io/** for all"},
		{"a registry on docker.io", "docker.io/quay.io", "is a registry; write quay.io/** for all"},
		{
			"either all official images or all images", "docker.io/*",
			"write docker.io/library/* for the official images, or docker.io/** for all of docker.io",
		},
		{"less than an address", "10.*/x", "an address has four of them; write one like 10.*.*.*"},
		{"more than an address", "10.**/x", "an address has four of them"},
		{"a scheme", "docker-image://docker/dockerfile", "has a scheme"},
		{"an upper-case path", "docker/Dockerfile", "upper-case"},
		{"an upper-case folder", "DOCKER/dockerfile", "upper-case"},
		{"two stars inside a component", "docker/a**", "** must be a whole component"},
		{"two stars inside a host", "a**.corp.example/x", "inside one use *"},
		{"two stars twice", "docker.io/**/**", "twice in a row"},
		{"a question mark", "docker/dockerfil?", `the character "?" at position 17`},
		{"a control character", "docker/\x1b[0m", `\x1b`},
		{"an empty component", "docker//x", "empty component"},
		{"a trailing slash", "docker/", "empty component"},
		{"a name that can't be", "docker/-x", "matches no possible name"},
		{"a star in a port", "corp.example:50*/x", "a port is a number, or * for any port"},
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
			if _, deny := ParseDenyPattern(tt.in); !strings.Contains(tt.want, "an address") {
				require.Equal(t, err, deny)
			}
		})
	}
}

func TestDenyPattern(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, pattern string
		matches       []string
		misses        []string
	}{
		{
			"a denied name is for every port", "quay.io/**",
			[]string{"quay.io/x", "quay.io:80/x", "quay.io:8080/x/y", "quay.io:443/x"},
			[]string{"quay.io.example/x", "notquay.io/x"},
		},
		{"this machine has ports", "localhost/**", []string{"localhost:5000/x", "localhost/x"}, nil},
		{
			"a port that is written is the only one", "quay.io:80/x/y",
			[]string{"quay.io:80/x/y"},
			[]string{"quay.io/x/y", "quay.io:81/x/y"},
		},
		{"an address has ports", "[::1]/**", []string{"[::1]/x", "[0::1]:5000/x"}, []string{"[::2]/x"}},
		{
			"docker.io has several hosts", "docker/dockerfile",
			[]string{
				"docker/dockerfile", "docker.io:80/docker/dockerfile", "index.docker.io:80/docker/dockerfile",
				"registry-1.docker.io/docker/dockerfile", "registry.hub.docker.com/docker/dockerfile",
			},
			[]string{"docker/dockerfile/x", "hub.docker.com/docker/dockerfile", "docker/other"},
		},
		{
			"one component is an official image and an organisation", "bitnami",
			[]string{"bitnami", "bitnami/redis", "docker.io/bitnami/a/b", "docker.io:80/bitnami/redis"},
			[]string{"quay.io/bitnami/redis", "bitnamilegacy/redis"},
		},
		{
			"one component after docker.io is the same", "docker.io/bitnami",
			[]string{"bitnami", "bitnami/redis"},
			[]string{"library/redis"},
		},
		{
			"one component after another host is an image and a directory", "quay.io/org",
			[]string{"quay.io/org", "quay.io/org/x", "quay.io/org/x/y"},
			[]string{"quay.io/orgs"},
		},
		{
			"a directory is an image too", "quay.io/org/**",
			[]string{"quay.io/org", "quay.io/org/x"},
			[]string{"quay.io/orgs", "quay.io/x/org"},
		},
		{
			"a directory of docker.io is no image", "docker/**",
			[]string{"docker/dockerfile"},
			[]string{"docker"},
		},
		{
			"a directory on any host is an image too", "**/evil/**",
			[]string{"a.example/evil", "evil/x"},
			nil,
		},
		{
			"a star in a host stands for dots too", "*.corp.example/**",
			[]string{"a.corp.example/x", "a.b.corp.example:80/x"},
			[]string{"corp.example/x", "a.corp.example.evil/x"},
		},
		{
			"a star after a number is anything", "10.*/**",
			[]string{"10.1.2.3:80/x", "10.evil.example/x"},
			[]string{"110.1.2.3/x"},
		},
		{"everything", "**", []string{"a", "quay.io:80/x"}, nil},
		{
			"what is below a name of more components is denied too", "quay.io/org/team",
			[]string{"quay.io/org/team", "quay.io:80/org/team/x", "quay.io/org/team/x/y"},
			[]string{"quay.io/org", "quay.io/org/teams", "quay.io/org/x/team"},
		},
		{
			"a star at the end denies what is below too", "quay.io/org/*",
			[]string{"quay.io/org/a", "quay.io/org/a/b"},
			[]string{"quay.io/org"},
		},
		{
			"what is below a name on any host is denied too", "**/redis",
			[]string{"redis", "x.example/redis", "x.example/redis/7", "x.example/a/redis/b"},
			[]string{"x.example/redis7"},
		},
		{
			"a star that stands for a host of Docker Hub is for all of them", "*.docker.io/**",
			[]string{"index.docker.io/a/b", "registry-1.docker.io/a/b", "a/b", "redis"},
			[]string{"docker.io.example/a/b"},
		},
		{
			"a star at the end of a host can stand for Docker Hub", "docker.*/a/b",
			[]string{"a/b", "registry-1.docker.io/a/b", "docker.example/a/b/c"},
			[]string{"a/c", "quay.io/a/b"},
		},
		{
			"one host of Docker Hub is all of them", "registry-1.docker.io/bitnami/redis",
			[]string{"bitnami/redis", "index.docker.io/bitnami/redis", "docker.io:80/bitnami/redis"},
			[]string{"bitnami/kafka"},
		},
		{
			"another host of Docker Hub is all of them", "registry.hub.docker.com/**",
			[]string{"bitnami/redis", "redis", "registry-1.docker.io/a/b"},
			[]string{"hub.docker.com/a/b"},
		},
		{
			"an open host with an official image", "*.io/redis",
			[]string{"redis", "library/redis", "redis/x", "quay.io/redis", "quay.io/redis/x"},
			[]string{"a/redis"},
		},
		{
			"one port of Docker Hub is that port of all of its hosts", "registry-1.docker.io:80/a/b",
			[]string{"docker.io:80/a/b", "index.docker.io:80/a/b"},
			[]string{"a/b", "docker.io:81/a/b"},
		},
		{
			"two stars before a host are no label too", "**.corp.example/**",
			[]string{"corp.example/x", "corp.example:80/x", "a.b.corp.example/x"},
			[]string{"evilcorp.example/x"},
		},
		{
			"two stars inside a host are no label too", "a.**.example/x",
			[]string{"a.example/x", "a.b.c.example/x/y"},
			[]string{"ab.example/x", "example/x"},
		},
		{
			"two stars at the end of a host are no label too", "a.**:5000/x",
			[]string{"a:5000/x", "a.b:5000/x"},
			[]string{"ab:5000/x"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			patterns, err := ParseDenyPattern(tt.pattern)
			require.NoError(t, err)
			match := func(s string) bool {
				return slices.ContainsFunc(patterns, func(p Pattern) bool { return p.Match(mustRef(t, s)) })
			}
			for _, s := range tt.matches {
				require.True(t, match(s), "%s should match %s", tt.pattern, s)
			}
			for _, s := range tt.misses {
				require.False(t, match(s), "%s should not match %s", tt.pattern, s)
			}
			require.Equal(t, patterns[0].Meaning(), patterns[len(patterns)-1].Meaning())
		})
	}
}

func TestADeniedHostHasFewOpenLabels(t *testing.T) {
	t.Parallel()
	_, err := ParseDenyPattern("**.a.**.b.**.c.**.example/x")
	require.NoError(t, err)
	_, err = ParseDenyPattern("**.a.**.b.**.c.**.d.**.example/x")
	require.EqualError(t, err,
		`"**.a.**.b.**.c.**.d.**.example/x": a denied host can have ** at most 4 times`)
}

func TestAHostIsNoAmbiguousAddress(t *testing.T) {
	t.Parallel()
	for _, host := range []string{
		"10.1:5000", "012.0.0.1", "0x0a.0.0.1", "127.1", "127.000.000.001", "10.0.0.999", "10.0.0.01",
		"10.0.0.0x1", "2130706433:80", "1.2.3.4.5",
	} {
		_, err := Parse(host + "/x")
		require.ErrorContains(t, err, "can be read as another IPv4 address", host)
	}
	for _, host := range []string{"10.0.0.1", "10.0.0.1:5000", "1.example", "a.0xg", "[::1]:5000"} {
		_, err := Parse(host + "/x")
		require.NoError(t, err, host)
	}
}

func TestMeaning(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		"golang": "golang", "docker.io/golang": "docker.io/library/golang", "docker/*": "docker/*",
		"docker.io/docker/dockerfile": "docker/dockerfile",
		"docker.io/library":           "docker.io/library/library",
		"docker.io/**":                "docker.io/**", "QUAY.io:443/x": "quay.io/x",
	} {
		p, err := ParsePattern(pattern)
		require.NoError(t, err)
		require.Equal(t, want, p.Meaning())
		denied, err := ParseDenyPattern(pattern)
		require.NoError(t, err)
		require.Equal(t, want, denied[0].Meaning())
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
