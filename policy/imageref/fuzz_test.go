package imageref

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/globs"
)

// FuzzReference: what parses is in a form that parses to itself, names the same
// kind of host as was written, and is read by BuildKit's parser as the same name.
func FuzzReference(f *testing.F) {
	for _, s := range []string{
		"alpine", "docker/dockerfile:1", "DOCKER/dockerfile", "docker:443/dockerfile", "docker.io:0443/x",
		"index.docker.io:443/x/y@" + digestA,
		"LOCALHOST:443/x", "[::1]:443/x", "[FD00:0::1]/x", "reg.example:99999/x", "docker.io/docker.io/x",
		"docker.io/localhost/x", "a:443/b:443", "A.b:443/c",
		strings.Repeat("a", 64), "docker.io/" + strings.Repeat("a", 64),
		"x@sha384:" + strings.Repeat("a", 96), "docker.io/library/library", "0:0443/0",
		"index.docker.io0/x", "index.docker.io:80/x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			require.Equal(t, -1, strings.IndexFunc(err.Error(), unicode.IsControl), "%q", err.Error())
			return
		}
		for _, form := range []string{r.String(), r.Familiar()} {
			again, err := Parse(form)
			require.NoError(t, err)
			require.Equal(t, r, again)
		}
		host, path, _ := strings.Cut(r.Name(), "/")
		require.NotEmpty(t, path)
		require.True(t, isHost(host))
		require.Equal(t, strings.ToLower(host), host)
		// The host is the one that was written, or docker.io where none was.
		written, _, slash := strings.Cut(s, "/")
		written = strings.ToLower(written)
		switch {
		case !slash || !isHost(written):
			require.Equal(t, dockerHost, host)
		case strings.HasPrefix(written, "["):
			require.True(t, strings.HasPrefix(host, "["))
		default:
			want := hostName(written)
			if want == indexHost && host == dockerHost {
				want = dockerHost
			}
			require.Equal(t, want, hostName(host))
		}
	})
}

func hostName(host string) string {
	name, _, _ := strings.Cut(host, ":")
	return name
}

// FuzzPattern: the matcher says what a naive regular expression says, and a
// pattern without stars matches exactly the repository that it names. The same words in a
// denial match at least as much.
func FuzzPattern(f *testing.F) {
	for _, s := range [][2]string{
		{"docker/dockerfile", "docker/dockerfile:1"},
		{"docker/*", "docker/a/b"},
		{"**", "a"},
		{"**/x", "h.example/a/x"},
		{"corp.example/**/x/**", "corp.example/x/y"},
		{"corp.example/a*b*c", "corp.example/abbc"},
		{"docker.io/**", "a"},
		{"*.example/**", "a.example/b"},
		{"docker.io/library/*", "a"},
		{"*.example:*/a", "a.example:5000/a"},
		{"**.example/a", "a.b.example/a"},
		{"10.*.*.1/a", "10.2.3.1/a"},
		{"**/a*/**", "b.c/aa/d/e"},
		{"docker:443/x", "docker/x"},
		{"[::1]/x", "[::1]:443/x"},
		{"docker.io/**/b", "b"},
		{"0::1/0", "0"},
		{"r::443/o", "o"},
		{strings.Repeat("0", 64), "0"},
		{"[::1:1/x", "[::1]:443/x"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pat, ref string) {
		p, err := ParsePattern(pat)
		if err != nil {
			require.Equal(t, -1, strings.IndexFunc(err.Error(), unicode.IsControl), "%q", err.Error())
			return
		}
		again, err := ParsePattern(p.String())
		require.NoError(t, err)
		require.Equal(t, p.components, again.components, "the normalised pattern is the same pattern")
		if !strings.Contains(pat, "*") {
			require.Equal(t, p.String(), mustRef(t, p.String()).Name())
			if r, err := Parse(pat); err == nil { // 64 hexadecimal digits by themselves are no reference
				require.Equal(t, p.String(), r.Name())
			}
			require.True(t, p.Covers(p))
		}
		r, err := Parse(ref)
		if err != nil {
			return
		}
		exact, err := ParsePattern(r.Name())
		require.NoError(t, err, "every name is a pattern of itself")
		require.Equal(t, r.Name(), exact.String())
		require.Equal(t, exact.components, r.Pattern().components)
		require.Equal(t, oracle(p.String()).MatchString(r.Name()), p.Match(r), "%s on %s", p, r.Name())

		denied, err := ParseDenyPattern(pat)
		require.NoError(t, err)
		for _, d := range denied {
			require.Equal(t, oracle(d.String()).MatchString(r.Name()), d.Match(r), "%s on %s", d, r.Name())
		}
		matches := func(d Pattern) bool { return d.Match(r) }
		require.True(t, !p.Match(r) || slices.ContainsFunc(denied, matches),
			"what %s allows, it denies too: %s", pat, r.Name())
	})
}

// oracle is the meaning of a normalised pattern, written naively.
func oracle(pattern string) *regexp.Regexp {
	if pattern == "**" {
		return regexp.MustCompile(`^.+$`)
	}
	host, path, _ := strings.Cut(pattern, "/")
	if host == "**" {
		host, path = "", pattern
	} else {
		star := `[^/.:]*`
		if globs.IsIPv4(strings.TrimSuffix(host, ":*")) {
			star = `\d*`
		}
		host = regexp.QuoteMeta(host) + "/"
		host = strings.Replace(host, `:\*/`, `(:\d+)?/`, 1)
		host = strings.ReplaceAll(host, `\*\*`, `[^/:]{0,}`)
		host = strings.ReplaceAll(host, `\*`, star)
	}
	s := "/" + regexp.QuoteMeta(path)
	s = strings.ReplaceAll(s, `/\*\*/`, `/(\D+/)*`)
	if rest, ok := strings.CutSuffix(s, `/\*\*`); ok {
		s = rest + `/.+`
	}
	s = strings.ReplaceAll(s, `\*`, `[^/]*`)
	return regexp.MustCompile(`^` + host + strings.ReplaceAll(s[1:], `\D+`, `[^/]+`) + `$`)
}
