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
		{"an empty component", "https://x.example/a//b", "(//)", HTTP},
		{"two slashes at the end", "https://x.example/a//", "(//)", Git},
		{"a dot", "https://x.example/./a", ". or ..", HTTP},
		{"two dots", "https://x.example/a/..", ". or ..", Git},
		{"two dots with a parameter", "https://x.example/a/..;x/b", ". or ..", HTTP},
		{"an encoded dot", "https://x.example/a/%2e%2E/b", "an encoded slash, dot", HTTP},
		{"an encoded slash", "https://x.example/a%2fb", "an encoded slash", HTTP},
		{"an encoded backslash", "https://x.example/a%5cb", "an encoded slash", HTTP},
		{"an encoded NUL", "https://x.example/a%00", "an encoded slash, dot, backslash or control", HTTP},
		{"what is encoded twice", "https://x.example/a%252e", "encoded twice", HTTP},
		{"half an encoded character", "https://x.example/a%2", "without two hexadecimal digits", HTTP},
		{"no encoded character", "https://x.example/a%zz", "without two hexadecimal digits", HTTP},
		{".git twice", "https://x.example/a.git.git", ".git more than once", Git},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse(tt.url, tt.protocol)
			require.ErrorContains(t, err, tt.want)
		})
	}
	_, err := Parse("https://me:secret@x.example/a%2fsecret", HTTP)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
}

func TestPattern(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pattern  string
		protocol Protocol
		yes, not []string
	}{
		{
			"https://x.example/**", HTTP,
			[]string{
				"https://x.example/a", "https://x.example/a/b/c", "https://x.example/",
				"https://x.example", "https://X.example:443/a?b",
			},
			[]string{
				"http://x.example/a", "https://y.x.example/a", "https://x.example.evil/a",
				"https://x.example:444/a", "https://x.example@evil.example/a",
			},
		},
		{
			"https://x.example/a/**", HTTP,
			[]string{"https://x.example/a/b", "https://x.example/a/"},
			[]string{"https://x.example/a", "https://x.example/ab", "https://x.example/"},
		},
		{
			"https://x.example/a/*", HTTP,
			[]string{"https://x.example/a/b", "https://x.example/a/b%20c", "https://x.example/a/%61"},
			[]string{"https://x.example/a/b/c", "https://x.example/A/b"},
		},
		{
			"https://x.example/**/b", HTTP,
			[]string{"https://x.example/b", "https://x.example/a/a/b"},
			[]string{"https://x.example/a/b/", "https://x.example/ab"},
		},
		{
			"https://x.example/a*z", HTTP,
			[]string{"https://x.example/az", "https://x.example/a%3F*z"},
			[]string{"https://x.example/a/z"},
		},
		{
			"https://*.x.example/a", HTTP,
			[]string{"https://b.x.example/a"},
			[]string{"https://x.example/a", "https://c.b.x.example/a"},
		},
		{
			"https://**.x.example/a", HTTP,
			[]string{"https://x.example/a", "https://c.b.x.example/a"},
			[]string{"https://ax.example/a"},
		},
		{
			"https://**/a", HTTP,
			[]string{"https://x.example/a", "https://[::1]/a"},
			[]string{"https://x.example:1/a"},
		},
		{"http://10.0.*.*/a", HTTP, []string{"http://10.0.1.2/a"}, []string{"http://10.1.1.2/a"}},
		{"http://10.*.0.1/a", HTTP, []string{"http://10.9.0.1/a"}, []string{"http://10.9.0.2/a"}},
		{"http://[::1]:80/a", HTTP, []string{"http://[0:0::1]/a"}, []string{"http://[::2]/a"}},
		{
			"https://x.example:8443", HTTP,
			[]string{"https://x.example:8443/"},
			[]string{"https://x.example:8443/a"},
		},
		{
			"https://x.example/a%20b", HTTP,
			[]string{"https://x.example/a%20b"},
			[]string{"https://x.example/a+b"},
		},
		{
			"https://x.example/*/b.git", Git,
			[]string{"https://x.example/a/b", "https://x.example/a/b.git/"},
			[]string{"https://x.example/b", "ssh://x.example/a/b"},
		},
		{
			"ssh://x.example/**", Git,
			[]string{"git@x.example:a", "ssh://x.example:22/a", "x.example:/a/b"},
			[]string{"ssh://x.example:2222/a", "https://x.example/a"},
		},
		{"git://x.example/a", Git, []string{"git://x.example/a"}, []string{"https://x.example/a"}},
	}
	for _, tt := range tests {
		t.Run(tt.pattern, func(t *testing.T) {
			t.Parallel()
			p, err := ParsePattern(tt.pattern, tt.protocol)
			require.NoError(t, err)
			for want, urls := range map[bool][]string{true: tt.yes, false: tt.not} {
				for _, s := range urls {
					l, err := Parse(s, tt.protocol)
					require.NoError(t, err, s)
					require.Equal(t, want, p.Match(l), s)
				}
			}
		})
	}
}

func TestPatternRefuses(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		"":                                     `"" has no scheme; write one like https://corp.example/**, and one more for each other scheme`,
		"x.example/**":                         "has no scheme",
		"git@x.example:a":                      "has no scheme",
		"*://x.example/**":                     "scheme must be one of",
		"https://me@x.example/**":              "an unexpected @",
		"https://x.example/a?b":                "the URL has a query (?)",
		"https://x.example:*/a":                "a port from 1 to 65535",
		"https://a**.example/a":                "the URL's host isn't valid",
		"https://**.**.example/a":              "has ** twice in a row; write it once",
		"https://x.example/a**":                "has ** inside a component; ** must be a whole component, use * inside one",
		"https://x.example/**/**":              "has ** twice in a row; write it once",
		"https://x.example/../a":               ". or ..",
		"https://x.example/%2a":                "an encoded slash",
		"https://[*]/a":                        "isn't an IPv6 address",
		"https://" + strings.Repeat("x", 1024): "the pattern has 1032 bytes, more than 1024",
	} {
		t.Run(pattern, func(t *testing.T) {
			t.Parallel()
			_, err := ParsePattern(pattern, Git)
			require.ErrorContains(t, err, want)
		})
	}
}

// FuzzLocation: the canonical form of a canonical form is the same. It has no user, no
// password and no query, and no part that would change if it were decoded once more.
func FuzzLocation(f *testing.F) {
	for _, s := range []string{
		"https://me:secret@X.example:443/a%20b/?q", "git@x.example:a/b.git", "ssh://git@[::1]:22/a.git/",
		"http://127.0.0.1/100%25", "https://x/..;/a", "git@[::1]:a", "https://x/a.git.git", "x:[a]@b:c",
	} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, git bool) {
		protocol := HTTP
		if git {
			protocol = Git
		}
		l, err := Parse(s, protocol)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		again, err := Parse(l.String(), protocol)
		require.NoError(t, err, l.String())
		l.query = false
		require.Equal(t, l, again)
		require.NotContains(t, l.String(), "?")
		authority, path, _ := strings.Cut(strings.SplitN(l.String(), "://", 2)[1], "/")
		require.NotContains(t, authority, "@")
		for _, c := range strings.Split(path, "/") {
			require.NotContains(t, []string{".", ".."}, c)
		}
		for _, c := range l.path {
			require.NotContains(t, c, "/")
			require.NotContains(t, c, `\`)
		}
	})
}

// FuzzPattern: a URL matches the pattern that it is itself; what matches a pattern
// has its scheme and port, and its host unless the pattern's has a star.
func FuzzPattern(f *testing.F) {
	for _, p := range []string{
		"https://x.example/**", "https://*.example:8443/a/*", "ssh://**/a*b",
		"https://x.example/a.git",
	} {
		f.Add(p, "https://x.example/a/b")
		f.Add(p, "ssh://git@x.example/aab")
	}
	f.Fuzz(func(t *testing.T, pattern, url string) {
		l, err := Parse(url, Git)
		if err != nil {
			return
		}
		if self, err := ParsePattern(l.String(), Git); err == nil {
			require.True(t, self.Match(l), "%s", l)
		}
		p, err := ParsePattern(pattern, Git)
		if err != nil || !p.Match(l) {
			return
		}
		require.Equal(t, p.location.scheme, l.scheme)
		require.Equal(t, p.location.port, l.port)
		if !strings.Contains(p.location.host, "*") {
			require.Equal(t, p.location.host, l.host)
		}
		if !strings.Contains(pattern, "*") {
			require.Equal(t, p.location.path, l.path)
		}
	})
}
