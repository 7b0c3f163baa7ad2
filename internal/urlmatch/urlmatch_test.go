package urlmatch

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, url, want string
		protocol        Protocol
	}{
		{"a plain URL", "https://x.example/a/b", "https://x.example/a/b", HTTP},
		{"upper case", "HTTPS://X.Example/A", "https://x.example/A", HTTP},
		{"the scheme's own port", "https://x.example:443/a", "https://x.example/a", HTTP},
		{"the same with zeros", "https://x.example:0443/a", "https://x.example/a", HTTP},
		{"the port of another scheme", "http://x.example:443/a", "http://x.example:443/a", HTTP},
		{"the port of git", "git://x.example:9418/a", "git://x.example/a", Git},
		{"the port of ssh", "ssh://git@x.example:22/a", "ssh://x.example/a", Git},
		{"the last dot of a host", "https://x.example./a", "https://x.example/a", HTTP},
		{"a password", "https://me:secret@x.example/a", "https://x.example/a", HTTP},
		{"a question", "https://x.example/a?b=/../c", "https://x.example/a", HTTP},
		{"a question instead of a path", "https://x.example?@y.example/", "https://x.example/", HTTP},
		{"no path", "https://x.example", "https://x.example/", HTTP},
		{"a slash at the end", "https://x.example/a/", "https://x.example/a/", HTTP},
		{"a slash at the end of a repository", "https://x.example/a/", "https://x.example/a", Git},
		{"a repository with .git", "https://x.example/a.git", "https://x.example/a", Git},
		{"a repository with both", "https://x.example/a.git/", "https://x.example/a", Git},
		{"a repository called .git", "https://x.example/.git", "https://x.example/.git", Git},
		{"a file with .git", "https://x.example/a.git", "https://x.example/a.git", HTTP},
		{"scp", "git@x.example:a/b.git", "ssh://x.example/a/b", Git},
		{"scp without a user", "x.example:a/b", "ssh://x.example/a/b", Git},
		{"scp with a slash", "git@x.example:/a/b", "ssh://x.example/a/b", Git},
		{"scp with an address", "git@[::1]:a/b", "ssh://[::1]/a/b", Git},
		{"an IPv6 address", "https://[2001:DB8:0::1]:8443/a", "https://[2001:db8::1]:8443/a", HTTP},
		{"an IPv4 address", "http://127.0.0.1:5000/a", "http://127.0.0.1:5000/a", HTTP},
		{"a host of one word", "http://localhost/a", "http://localhost/a", HTTP},
		{"a host with an underscore", "http://my_host/a", "http://my_host/a", HTTP},
		{"a host that only looks like a number", "http://0xy/a", "http://0xy/a", HTTP},
		{"encoded letters", "https://x.example/%61%2db", "https://x.example/a-b", HTTP},
		{"an encoded space", "https://x.example/a%20b", "https://x.example/a%20b", HTTP},
		{"letters of other alphabets", "https://x.example/é", "https://x.example/%C3%A9", HTTP},
		{"the same encoded", "https://x.example/%c3%a9", "https://x.example/%C3%A9", HTTP},
		{"an encoded question mark", "https://x.example/a%3Fb", "https://x.example/a%3Fb", HTTP},
		{"an encoded percent sign", "https://x.example/100%25", "https://x.example/100%25", HTTP},
		{"an encoded dot in a name", "https://x.example/a%2ejs", "https://x.example/a.js", HTTP},
		{"a percent sign in the form of scp", "x.example:a%b", "ssh://x.example/a%25b", Git},
		{"dots in a name", "https://x.example/a..b/...", "https://x.example/a..b/...", HTTP},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l, err := Parse(tt.url, tt.protocol)
			require.NoError(t, err)
			require.Equal(t, tt.want, l.String())
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, url, want string
		protocol        Protocol
	}{
		{"nothing", "", "the URL is empty", HTTP},
		{"no scheme", "x.example/a", "no scheme", HTTP},
		{"the form of scp for a download", "git@x.example:a", "no scheme", HTTP},
		{"a path with a colon", "a/b:c", "no scheme", Git},
		{"a file", "file:///etc/passwd", "scheme must be one of https, http, ssh and git", Git},
		{"ssh for a download", "ssh://x.example/a", "scheme must be one of https and http", HTTP},
		{"a helper of git", "ext::sh://x", "scheme must be one of", Git},
		{
			"an over-long URL", "https://x.example/" + strings.Repeat("a", MaxSize),
			"the URL has 8210 bytes, more than 8192", HTTP,
		},
		{"a fragment", "https://x.example/a#main", "a fragment", Git},
		{"a question of git", "https://x.example/a?b", "the URL has a query (?)", Git},
		{"a backslash", `https://x.example\@y.example/a`, "a backslash", HTTP},
		{"a space", "https://x.example/a b", "a space or a control character", HTTP},
		{"a line break", "https://x.example/a\nb", "a space or a control character", HTTP},
		{"a NUL", "https://x.example/a\x00", "a space or a control character", HTTP},
		{"no UTF-8", "https://x.example/\xff", "not UTF-8", HTTP},
		{"no UTF-8 when it is decoded", "https://x.example/%ff", "not UTF-8 when it is decoded", HTTP},
		{"no host", "https:///a", "the URL's host isn't valid", HTTP},
		{"a port alone", "https://:443/a", "the URL's host isn't valid", HTTP},
		{"an empty label", "https://x..example/a", "the URL's host isn't valid", HTTP},
		{"a host like an option", "ssh://-x/a", "the URL's host isn't valid", Git},
		{"a label that ends in a dash", "https://x-.example/a", "the URL's host isn't valid", HTTP},
		{"two dots at the end", "https://x.example../a", "the URL's host isn't valid", HTTP},
		{"a star", "https://*/a", "the URL's host isn't valid", HTTP},
		{"an encoded host", "https://x%2eexample/a", "the URL's host isn't valid", HTTP},
		{"a host of another alphabet", "https://é.example/a", "xn--…", HTTP},
		{"two users", "https://a@b@x.example/a", "an unexpected @", HTTP},
		{"an empty port", "https://x.example:/a", "a port from 1 to 65535", HTTP},
		{"the port 0", "https://x.example:0/a", "a port from 1 to 65535", HTTP},
		{"a port beyond all", "https://x.example:65979/a", "a port from 1 to 65535", HTTP},
		{"a short address", "http://127.1/a", "isn't a plain IPv4 address", HTTP},
		{"an address as one number", "http://2130706433/a", "isn't a plain IPv4 address", HTTP},
		{"an octal address", "http://0177.0.0.1/a", "isn't a plain IPv4 address", HTTP},
		{"a hexadecimal address", "http://0x7f.0x0.0x0.0x1/a", "isn't a plain IPv4 address", HTTP},
		{
			"a hexadecimal address as one number", "http://0x7f000001/a", "isn't a plain IPv4 address",
			HTTP,
		},
		{"an empty hexadecimal number", "http://127.0.0.0x/a", "isn't a plain IPv4 address", HTTP},
		{"an IPv4 address as IPv6", "http://[::ffff:127.0.0.1]/a", "isn't an IPv6 address", HTTP},
		{"an address with a zone", "http://[fe80::1%25eth0]/a", "isn't an IPv6 address", HTTP},
		{"an open bracket", "http://[::1/a", "isn't an IPv6 address", HTTP},
		{"an encoded NUL", "https://x.example/a%00", "an encoded control character", HTTP},
		{"half an encoded character", "https://x.example/a%2", "without two hexadecimal digits", HTTP},
		{"no encoded character", "https://x.example/a%zz", "without two hexadecimal digits", HTTP},
		{"an encoded control character after two decodings", "https://x.example/a%250ab", "an encoded control character", HTTP},
		{"too many readings", "https://x.example/a//b%252f..%2fc;d//e%5c..;/f", "more than 32 ways", HTTP},
		{".git twice", "https://x.example/a.git.git", ".git more than once", Git},
		{".git twice in other letters", "https://x.example/a.git.GIT", ".git more than once", Git},
		{"a dot before .git", "https://x.example/a..git", "a dot or a space before .git", Git},
		{
			"too many repositories in repositories", "https://x.example/a" + strings.Repeat("/.git", 40),
			"more than 32 ways", Git,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse(tt.url, tt.protocol)
			require.ErrorContains(t, err, tt.want)
		})
	}
	_, err := Parse("https://me:secret@x.example/a%00secret", HTTP)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
}

func TestParseFindsAllReadings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, path string
		protocol   Protocol
		want       []string
	}{
		{"a plain path has one", "a/b", HTTP, []string{"/a/b"}},
		{"an encoded letter has one", "%61/100%25", HTTP, []string{"/a/100%25"}},
		{"an encoded slash", "a%2Fb", HTTP, []string{"/a%2Fb", "/a/b"}},
		{"an encoded backslash", "a%5Cb", HTTP, []string{"/a%5Cb", "/a/b"}},
		{"an empty component", "a//b", HTTP, []string{"/a//b", "/a/b"}},
		{"a slash before the path", "/a", HTTP, []string{"//a", "/a"}},
		{"one dot", "./a", HTTP, []string{"/./a", "/a"}},
		{"two dots", "a/../b", HTTP, []string{"/a/../b", "/b"}},
		{"two dots at the end", "a/b/..", HTTP, []string{"/a/b/..", "/a/"}},
		{"more dots than components", "../../a", HTTP, []string{"/../../a", "/a"}},
		{"encoded dots", "a/%2e%2E/b", HTTP, []string{"/a/../b", "/b"}},
		{
			"two dots after an empty component", "a//../b", HTTP,
			[]string{"/a//../b", "/a/../b", "/a/b", "/b"},
		},
		{
			"two dots with a parameter", "a/..;x/b", HTTP,
			[]string{"/a/..;x/b", "/a/../b", "/b"},
		},
		{"a parameter", "a;v=1/b", HTTP, []string{"/a;v=1/b", "/a/b"}},
		{"an encoded slash and dots", "a%2F..%2Fb", HTTP, []string{"/a%2F..%2Fb", "/a/../b", "/b"}},
		{"what is encoded twice", "a%252Fb", HTTP, []string{"/a%252Fb", "/a%2Fb", "/a/b"}},
		{
			"what is encoded three times", "%25252e%25252e/b", HTTP,
			[]string{"/%25252e%25252e/b", "/%252e%252e/b", "/../b", "/b"},
		},
		{"half an escape after decoding", "a%25zz", HTTP, []string{"/a%25zz"}},
		{"a repository with two slashes", "a//b.git/", Git, []string{"/a//b", "/a/b"}},
		{"a repository with slashes at its end has one", "a//", Git, []string{"/a"}},
		{"a repository with an encoded end", "a%2Fb.git", Git, []string{"/a%2Fb", "/a/b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u, err := Parse("https://x.example/"+tt.path, tt.protocol)
			require.NoError(t, err)
			require.Equal(t, "https://x.example"+tt.want[0], u.String())
			var got []string
			for _, l := range u.Readings() {
				got = append(got, strings.TrimPrefix(l.String(), "https://x.example"))
			}
			require.ElementsMatch(t, tt.want, got)
		})
	}
	u, err := Parse("git@x.example:a%2fb", Git)
	require.NoError(t, err)
	require.Equal(t, "ssh://x.example/a%252fb", u.String(), "git doesn't decode the form of scp")
	require.Len(t, u.Readings(), 3)
}

// patternTest is a pattern with URLs that it matches, and some that it doesn't.
type patternTest struct {
	name, pattern string
	protocol      Protocol
	yes, not      []string
}

func testPatterns(t *testing.T, purpose Purpose, tests []patternTest) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name+" "+tt.pattern, func(t *testing.T) {
			t.Parallel()
			p, err := ParsePattern(tt.pattern, tt.protocol, purpose)
			require.NoError(t, err)
			for want, urls := range map[bool][]string{true: tt.yes, false: tt.not} {
				for _, s := range urls {
					u, err := Parse(s, tt.protocol)
					require.NoError(t, err, s)
					_, _, matches := Denied([]Pattern{p}, u)
					if purpose == Allow {
						_, outside := Outside([]Pattern{p}, u)
						matches = !outside
					}
					require.Equal(t, want, matches, s)
				}
			}
		})
	}
}

func TestAnAllowedPatternMeansTheLeast(t *testing.T) {
	t.Parallel()
	testPatterns(t, Allow, []patternTest{
		{
			"everything on a host is on its own port", "https://x.example/**", HTTP,
			[]string{
				"https://x.example/a", "https://x.example/a/b/c", "https://x.example/",
				"https://x.example", "https://X.example.:443/a?b", "https://x.example/a//b",
			},
			[]string{
				"http://x.example/a", "https://y.x.example/a", "https://x.example.evil/a",
				"https://x.example:444/a", "https://x.example@evil.example/a",
			},
		},
		{
			"no path is the whole host:", "https://x.example", HTTP,
			[]string{"https://x.example", "https://x.example/a/b"},
			[]string{"https://x.example:81/a"},
		},
		{
			"two stars are everything:", "**", Git,
			[]string{"git://x.example:1/a", "git@[::1]:a", "https://10.0.0.1/"},
			nil,
		},
		{
			"a scheme and two stars are every host:", "https://**", HTTP,
			[]string{"https://x/a/b", "https://[::1]/a"},
			[]string{"http://x/a", "https://x:1/a"},
		},
		{
			"two stars at the end are at least one component:", "https://x.example/a/**", HTTP,
			[]string{"https://x.example/a/b", "https://x.example/a/"},
			[]string{"https://x.example/a", "https://x.example/ab", "https://x.example/"},
		},
		{
			"a star is one component:", "https://x.example/a/*", HTTP,
			[]string{"https://x.example/a/b", "https://x.example/a/b%20c", "https://x.example/a/%61"},
			[]string{"https://x.example/a/b/c", "https://x.example/A/b", "https://x.example/a/b%2Fc"},
		},
		{
			"two stars in the middle may be none:", "https://x.example/**/b", HTTP,
			[]string{"https://x.example/b", "https://x.example/a/a/b"},
			[]string{"https://x.example/a/b/", "https://x.example/ab"},
		},
		{
			"a star within a component:", "https://x.example/a*z", HTTP,
			[]string{"https://x.example/az", "https://x.example/a%26*z"},
			[]string{"https://x.example/a/z", "https://x.example/a%2Fz", "https://x.example/a%3Fz"},
		},
		{
			"a star is one label:", "https://*.x.example/a", HTTP,
			[]string{"https://b.x.example/a"},
			[]string{"https://x.example/a", "https://c.b.x.example/a"},
		},
		{
			"two stars are any labels:", "https://**.x.example/a", HTTP,
			[]string{"https://x.example/a", "https://c.b.x.example/a"},
			[]string{"https://ax.example/a"},
		},
		{"a star is no IPv6 address:", "https://*", HTTP, []string{"https://x/"}, []string{"https://[::1]/"}},
		{
			"numbers and stars are IPv4 addresses:", "http://10.0.*.*/a", HTTP,
			[]string{"http://10.0.1.2/a"},
			[]string{"http://10.1.1.2/a", "http://10.0.1.evil/a", "http://10.0.evil.example/a"},
		},
		{
			"any labels of an address:", "http://10.**", HTTP,
			[]string{"http://10.1.2.3/a"},
			[]string{"http://10.evil.example/a", "http://11.0.0.1/"},
		},
		{"http://[::1]:80/a", "http://[::1]:80/a", HTTP, []string{"http://[0:0::1]/a"}, []string{"http://[::2]/a"}},
		{
			"a port is that port:", "https://x.example:8443", HTTP,
			[]string{"https://x.example:8443/a"},
			[]string{"https://x.example/a"},
		},
		{
			"a star is any port:", "https://x.example:*/a", HTTP,
			[]string{"https://x.example:8443/a", "https://x.example/a"},
			[]string{"http://x.example/a"},
		},
		{
			"an encoded character:", "https://x.example/a%20b", HTTP,
			[]string{"https://x.example/a%20b"},
			[]string{"https://x.example/a+b"},
		},
		{
			"a repository:", "https://x.example/*/b.git", Git,
			[]string{"https://x.example/a/b", "https://x.example/a/b.git/"},
			[]string{"https://x.example/b", "ssh://x.example/a/b"},
		},
		{
			"ssh has the form of scp:", "ssh://git@x.example/**", Git,
			[]string{"git@x.example:a", "ssh://x.example:22/a", "x.example:/a/b"},
			[]string{"ssh://x.example:2222/a", "https://x.example/a"},
		},
		{
			"a pattern in the form of scp is ssh:", "git@x.example:org/*", Git,
			[]string{"git@x.example:org/a.git", "ssh://x.example/org/a"},
			[]string{"https://x.example/org/a", "git@x.example:other/a"},
		},
		{
			"no scheme is https for a download:", "x.example/a/*", HTTP,
			[]string{"https://x.example/a/b"},
			[]string{"http://x.example/a/b", "https://x.example:8443/a/b"},
		},
		{
			"no scheme is https and ssh for a repository:", "x.example", Git,
			[]string{"https://x.example/a", "git@x.example:a"},
			[]string{"http://x.example/a", "git://x.example/a", "https://x.example:22/a"},
		},
		{
			"a port without a scheme:", "x.example:8443/a", Git,
			[]string{"https://x.example:8443/a", "ssh://x.example:8443/a"},
			[]string{"https://x.example/a"},
		},
		{
			"an ambiguous path has to be inside in each reading:", "https://x.example/a/**", HTTP,
			[]string{"https://x.example/a/b/../c", "https://x.example/a/b%2Fc", "https://x.example/a//b"},
			[]string{
				"https://x.example/a/../b", "https://x.example/a%2Fb", "https://x.example//a/b",
				"https://x.example/a/%252e%252e/b", "https://x.example/b/../a/c",
			},
		},
		{
			"what a proxy may cut or Windows may trim:", "https://x.example/a/*", HTTP,
			[]string{"https://x.example/a/b%3Fc", "https://x.example/a/b.", "https://x.example/a/b%20"},
			[]string{
				"https://x.example/a/..%3Fx", "https://x.example/a/..%23x", "https://x.example/a/..%20",
				"https://x.example/a/..%253Fx", "https://x.example/a%3Fx/b", "https://x.example/a/..%20.",
			},
		},
		{
			"a repository in a repository:", "https://x.example/a/*", Git,
			[]string{"https://x.example/a/b.GIT", "https://x.example/a/b.git/"},
			[]string{
				"https://x.example/a/.git", "https://x.example/a/.GIT/",
				"https://x.example/a/b/.git",
			},
		},
		{
			"the repository at the root:", "https://x.example/.*", Git,
			[]string{"https://x.example/.a"},
			[]string{"https://x.example/.git"},
		},
		{
			"a repository's own name:", "https://x.example/a/b", Git,
			[]string{"https://x.example/a/b.git"},
			[]string{"https://x.example/a/b.GIT", "https://x.example/a/b/.git"},
		},
	})
}

func TestADeniedPatternMeansTheMost(t *testing.T) {
	t.Parallel()
	testPatterns(t, Deny, []patternTest{
		{
			"no path is the whole host on each port:", "https://x.example", HTTP,
			[]string{"https://x.example", "https://x.example:8443/a/b", "https://X.example./a?b"},
			[]string{"http://x.example/a", "https://y.example/a"},
		},
		{
			"a lone slash is the whole host:", "https://x.example/", Git,
			[]string{"https://x.example/a/b.git"},
			[]string{"ssh://x.example/a"},
		},
		{
			"no scheme is every scheme:", "github.com", Git,
			[]string{
				"https://github.com/a", "git@GitHub.com:a/b.git", "ssh://git@github.com:443/a",
				"git://github.com/a", "http://github.com/a",
			},
			[]string{"https://gist.github.com/a"},
		},
		{"two stars are everything:", "**", Git, []string{"git://x:1/a", "git@[::1]:a"}, nil},
		{
			"a scheme alone:", "http://**", HTTP,
			[]string{"http://x:1/a", "http://[::1]/", "http://1.2.3.4"},
			[]string{"https://x/"},
		},
		{
			"a star is every host:", "http://*", HTTP,
			[]string{"http://a.example:80/b/c", "http://[::1]/"},
			[]string{"https://a.example/"},
		},
		{
			"a star is every host, and every path:", "http://*/*", HTTP,
			[]string{"http://a.example/x", "http://a.example/x/y", "http://a.example"},
			nil,
		},
		{
			"a port is that port:", "x.example:8443", HTTP,
			[]string{"https://x.example:8443/a", "http://x.example:8443"},
			[]string{"https://x.example/"},
		},
		{"an own port is that port:", "https://x.example:443", HTTP, []string{"https://x.example/a"}, []string{"https://x.example:444/"}},
		{
			"a path is also what is below it:", "https://x.example/a", HTTP,
			[]string{"https://x.example/a", "https://x.example/a/", "https://x.example/a/b/c"},
			[]string{"https://x.example/ab", "https://x.example/"},
		},
		{
			"a directory is also itself:", "https://x.example/a/**", HTTP,
			[]string{"https://x.example/a", "https://x.example/a/b"},
			[]string{"https://x.example/ab"},
		},
		{
			"two stars and a slash are the whole host:", "https://x.example/**/", HTTP,
			[]string{"https://x.example", "https://x.example/a"},
			[]string{"https://y.example/a/"},
		},
		{
			"a directory with a slash:", "https://x.example/a/", HTTP,
			[]string{"https://x.example/a", "https://x.example/a/b"},
			[]string{"https://x.example/ab"},
		},
		{
			"letters are in any case:", "github.com/Evil/*/B", Git,
			[]string{"https://github.com/EVIL/a/b", "git@github.com:evil/a/b.git"},
			[]string{"https://github.com/evils/a/b"},
		},
		{
			"an organisation is its repositories:", "github.com/evil*", Git,
			[]string{"https://github.com/evil-org/a", "git@github.com:evil/a"},
			[]string{"https://github.com/good/evil"},
		},
		{
			"the form of scp is ssh:", "git@x.example:org/*", Git,
			[]string{"ssh://x.example:2222/org/a.git"},
			[]string{"https://x.example/org/a"},
		},
		{
			"a star crosses dots:", "https://*.x.example", HTTP,
			[]string{"https://a.x.example/", "https://a.b.x.example/"},
			[]string{"https://x.example/", "https://ax.example/"},
		},
		{
			"a star before a label's end crosses dots:", "https://*x.example", HTTP,
			[]string{"https://x.example/", "https://ax.example/", "https://a.b.x.example/"},
			[]string{"https://x.y.example/"},
		},
		{
			"a star after a label's beginning crosses dots:", "https://x*.example", HTTP,
			[]string{"https://x.example/", "https://xa.b.example/"},
			[]string{"https://ax.example/"},
		},
		{
			"a star in the middle of a label crosses dots:", "https://a*z.example", HTTP,
			[]string{"https://az.example/", "https://a-z.example/", "https://ab.c.yz.example/"},
			[]string{"https://a.example/", "https://b.z.example/"},
		},
		{
			"numbers and stars are names too:", "10.*.*.*", HTTP,
			[]string{"https://10.1.2.3/", "http://10.1.2.evil.example:81/a"},
			[]string{"https://110.1.2.3/", "https://10.1.example/"},
		},
		{"fewer parts of an address:", "10.*", HTTP, []string{"http://10.1.2.3/"}, []string{"http://11.1.2.3/"}},
		{
			"an ambiguous path is denied by one reading:", "https://x.example/a", HTTP,
			[]string{
				"https://x.example/b/../a", "https://x.example//a", "https://x.example/b/..%2fa",
				"https://x.example/%252e/a/b", "https://x.example/a;v=1/b", "https://x.example/b%5c..%5ca",
			},
			[]string{"https://x.example/b/../c", "https://x.example/b%2Fa"},
		},
		{
			"what a proxy may cut or Windows may trim:", "https://x.example/a", HTTP,
			[]string{
				"https://x.example/a%3Fb", "https://x.example/a%23b", "https://x.example/a.",
				"https://x.example/a%20", "https://x.example/a.%20/b", "https://x.example/a%253fb",
				"https://x.example/b/..%20/a",
			},
			[]string{"https://x.example/ab%3Fa", "https://x.example/.a", "https://x.example/b%20a"},
		},
		{
			"a repository with .git in any letters:", "git.example/secrets/keys", Git,
			[]string{
				"https://git.example/secrets/keys.GIT", "git@git.example:secrets/keys.Git/",
				"https://git.example/secrets/keys.gi%54", "https://git.example/secrets/keys.GIT/.git",
			},
			[]string{"https://git.example/secrets/keys-git", "https://git.example/secrets/.git"},
		},
	})
}

func TestPatternRefuses(t *testing.T) {
	t.Parallel()
	const noRange = "a pattern has no ranges of addresses; put stars in their place, as in 10.*.*.*"
	for pattern, want := range map[string]string{
		"":                                     `"" can't be a pattern: the URL is empty`,
		"*://x.example/**":                     "scheme must be one of https, http, ssh and git; a pattern can leave it out",
		"https://me@x.example/**":              "an unexpected @",
		"ssh://me:secret@x.example/**":         "an unexpected @",
		"me@x.example/**":                      "an unexpected @",
		"https://x.example/a?b":                "the URL has a query (?)",
		"https://x.example:8*/a":               "a port from 1 to 65535",
		"https://a**.example/a":                "the URL's host isn't valid",
		"https://**.**.example/a":              "has ** twice in a row; write it once",
		"https://x.example/a**":                "has ** inside a component; ** must be a whole component, use * inside one",
		"https://x.example/**/**":              "has ** twice in a row; write it once",
		"https://x.example/../a":               "programs read its path in several ways",
		"https://x.example/a//b":               "programs read its path in several ways",
		"https://x.example/a%2fb":              "programs read its path in several ways",
		"https://x.example/a%252eb":            "programs read its path in several ways",
		"https://x.example/a%3fb":              "programs read its path in several ways",
		"https://x.example/a./b":               "programs read its path in several ways",
		"https://x.example/a.GIT":              "write the repository without it",
		"https://x.example/a/.git":             "write the repository without it",
		"https://x.example/%2a":                "an encoded star",
		"https://[*]/a":                        "isn't an IPv6 address",
		"https://" + strings.Repeat("x", 1024): "the pattern has 1032 bytes, more than 1024",
		"http://10.0.0.0/8":                    noRange,
		"10.0.0.0/8":                           noRange,
		"172.16.0.0/12/**":                     noRange,
		"192.168.*.*:80/16":                    noRange,
		"fd00::/8":                             noRange,
		"http://[fd00::]/8":                    noRange,
		"http://010.0.0.1":                     "isn't a plain IPv4 address",
	} {
		t.Run(pattern, func(t *testing.T) {
			t.Parallel()
			for _, purpose := range []Purpose{Allow, Deny} {
				_, err := ParsePattern(pattern, Git, purpose)
				require.ErrorContains(t, err, want)
			}
		})
	}
	for _, s := range []string{"https://x.example/", "x.example/", "git@x.example:", "x.example:/"} {
		_, err := ParsePattern(s, Git, Allow)
		require.Error(t, err, s)
	}
	_, err := ParsePattern("https://x.example./", HTTP, Allow)
	require.EqualError(t, err, `"https://x.example./" can't be a pattern: nothing follows the slash `+
		`or colon after its host; write /** there for the whole host`)
	_, err = ParsePattern("http://10.*/a", HTTP, Allow)
	require.ErrorContains(t, err, "its host is no IPv4 address; write one with four parts, such as 10.*.*.*")
	_, err = ParsePattern("http://300.*.*.*/a", HTTP, Allow)
	require.ErrorContains(t, err, "its host is no IPv4 address")
	_, err = ParsePattern("a*a.b*b.c*c.d*d.example", HTTP, Deny)
	require.ErrorContains(t, err, "too many stars within the labels of its host")
}

func TestMeanings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern     string
		protocol    Protocol
		allow, deny string
	}{
		{"**", Git, "**", "**"},
		{"https://X.example", HTTP, "https://x.example/**", "https://x.example/**"},
		{"https://x.example:443/a.git", Git, "https://x.example/a", "https://x.example:443/a"},
		{"x.example", Git, "https://x.example/**, ssh://x.example/**", "x.example/**"},
		{"x.example:22/a", Git, "https://x.example:22/a, ssh://x.example/a", "x.example:22/a"},
		{"x.example:*", HTTP, "https://x.example:*/**", "x.example:*/**"},
		{"git@x.example:a/*", Git, "ssh://x.example/a/*", "ssh://x.example/a/*"},
		{"http://10.*.*.*/%61", HTTP, "http://10.*.*.*/a", "http://10.*.*.*/a"},
	} {
		for purpose, want := range map[Purpose]string{Allow: tt.allow, Deny: tt.deny} {
			p, err := ParsePattern(tt.pattern, tt.protocol, purpose)
			require.NoError(t, err)
			require.Equal(t, want, p.String(), tt.pattern)
		}
	}
}
