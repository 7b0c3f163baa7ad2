package policy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseLocation(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, url, want string
		kind            Kind
	}{
		{"a plain URL", "https://x.example/a/b", "https://x.example/a/b", KindHTTP},
		{"upper case", "HTTPS://X.Example/A", "https://x.example/A", KindHTTP},
		{"the scheme's own port", "https://x.example:443/a", "https://x.example/a", KindHTTP},
		{"the same with zeros", "https://x.example:0443/a", "https://x.example/a", KindHTTP},
		{"the port of another scheme", "http://x.example:443/a", "http://x.example:443/a", KindHTTP},
		{"the port of git", "git://x.example:9418/a", "git://x.example/a", KindGit},
		{"the port of ssh", "ssh://git@x.example:22/a", "ssh://x.example/a", KindGit},
		{"the last dot of a host", "https://x.example./a", "https://x.example/a", KindHTTP},
		{"a password", "https://me:secret@x.example/a", "https://x.example/a", KindHTTP},
		{"a question", "https://x.example/a?b=/../c", "https://x.example/a", KindHTTP},
		{"a question instead of a path", "https://x.example?@y.example/", "https://x.example/", KindHTTP},
		{"no path", "https://x.example", "https://x.example/", KindHTTP},
		{"a slash at the end", "https://x.example/a/", "https://x.example/a/", KindHTTP},
		{"a slash at the end of a repository", "https://x.example/a/", "https://x.example/a", KindGit},
		{"a repository with .git", "https://x.example/a.git", "https://x.example/a", KindGit},
		{"a repository with both", "https://x.example/a.git/", "https://x.example/a", KindGit},
		{"a repository called .git", "https://x.example/.git", "https://x.example/.git", KindGit},
		{"a file with .git", "https://x.example/a.git", "https://x.example/a.git", KindHTTP},
		{"scp", "git@x.example:a/b.git", "ssh://x.example/a/b", KindGit},
		{"scp without a user", "x.example:a/b", "ssh://x.example/a/b", KindGit},
		{"scp with a slash", "git@x.example:/a/b", "ssh://x.example/a/b", KindGit},
		{"scp with an address", "git@[::1]:a/b", "ssh://[::1]/a/b", KindGit},
		{"an IPv6 address", "https://[2001:DB8:0::1]:8443/a", "https://[2001:db8::1]:8443/a", KindHTTP},
		{"an IPv4 address", "http://127.0.0.1:5000/a", "http://127.0.0.1:5000/a", KindHTTP},
		{"a host of one word", "http://localhost/a", "http://localhost/a", KindHTTP},
		{"a host with an underscore", "http://my_host/a", "http://my_host/a", KindHTTP},
		{"a host that only looks like a number", "http://0xy/a", "http://0xy/a", KindHTTP},
		{"encoded letters", "https://x.example/%61%2db", "https://x.example/a-b", KindHTTP},
		{"an encoded space", "https://x.example/a%20b", "https://x.example/a%20b", KindHTTP},
		{"letters of other alphabets", "https://x.example/é", "https://x.example/%C3%A9", KindHTTP},
		{"the same encoded", "https://x.example/%c3%a9", "https://x.example/%C3%A9", KindHTTP},
		{"an encoded question mark", "https://x.example/a%3Fb", "https://x.example/a%3Fb", KindHTTP},
		{"an encoded percent sign", "https://x.example/100%25", "https://x.example/100%25", KindHTTP},
		{"dots in a name", "https://x.example/a..b/...", "https://x.example/a..b/...", KindHTTP},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l, err := parseLocation(tt.url, tt.kind)
			require.NoError(t, err)
			require.Equal(t, tt.want, l.String())
		})
	}
}

func TestParseLocationRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, url, want string
		kind            Kind
	}{
		{"nothing", "", "the URL is empty", KindHTTP},
		{"no scheme", "x.example/a", "no scheme", KindHTTP},
		{"the form of scp for a download", "git@x.example:a", "no scheme", KindHTTP},
		{"a path with a colon", "a/b:c", "no scheme", KindGit},
		{"a file", "file:///etc/passwd", "another scheme than https, http, ssh and git", KindGit},
		{"ssh for a download", "ssh://x.example/a", "another scheme than https and http", KindHTTP},
		{"a helper of git", "ext::sh://x", "another scheme", KindGit},
		{"an over-long URL", "https://x.example/" + strings.Repeat("a", maxURL), "the URL has 8210 bytes, more than 8192", KindHTTP},
		{"a fragment", "https://x.example/a#main", "a fragment", KindGit},
		{"a question of git", "https://x.example/a?b", "the URL has a ?", KindGit},
		{"a backslash", `https://x.example\@y.example/a`, "a backslash", KindHTTP},
		{"a space", "https://x.example/a b", "a space or a control character", KindHTTP},
		{"a line break", "https://x.example/a\nb", "a space or a control character", KindHTTP},
		{"a NUL", "https://x.example/a\x00", "a space or a control character", KindHTTP},
		{"no UTF-8", "https://x.example/\xff", "not UTF-8", KindHTTP},
		{"no UTF-8 when it is decoded", "https://x.example/%ff", "not UTF-8 when it is decoded", KindHTTP},
		{"no host", "https:///a", "a host that is none", KindHTTP},
		{"a port alone", "https://:443/a", "a host that is none", KindHTTP},
		{"an empty label", "https://x..example/a", "a host that is none", KindHTTP},
		{"a host like an option", "ssh://-x/a", "a host that is none", KindGit},
		{"a label that ends in a dash", "https://x-.example/a", "a host that is none", KindHTTP},
		{"two dots at the end", "https://x.example../a", "a host that is none", KindHTTP},
		{"a star", "https://*/a", "a host that is none", KindHTTP},
		{"an encoded host", "https://x%2eexample/a", "a host that is none", KindHTTP},
		{"a host of another alphabet", "https://é.example/a", "xn--…", KindHTTP},
		{"two users", "https://a@b@x.example/a", "an @ too many", KindHTTP},
		{"an empty port", "https://x.example:/a", "a port from 1 to 65535", KindHTTP},
		{"the port 0", "https://x.example:0/a", "a port from 1 to 65535", KindHTTP},
		{"a port beyond all", "https://x.example:65979/a", "a port from 1 to 65535", KindHTTP},
		{"a short address", "http://127.1/a", "no plain IPv4 address", KindHTTP},
		{"an address as one number", "http://2130706433/a", "no plain IPv4 address", KindHTTP},
		{"an octal address", "http://0177.0.0.1/a", "no plain IPv4 address", KindHTTP},
		{"a hexadecimal address", "http://0x7f.0x0.0x0.0x1/a", "no plain IPv4 address", KindHTTP},
		{"a hexadecimal address as one number", "http://0x7f000001/a", "no plain IPv4 address", KindHTTP},
		{"an empty hexadecimal number", "http://127.0.0.0x/a", "no plain IPv4 address", KindHTTP},
		{"an IPv4 address as IPv6", "http://[::ffff:127.0.0.1]/a", "no IPv6 address, or is an IPv4 one", KindHTTP},
		{"an address with a zone", "http://[fe80::1%25eth0]/a", "no IPv6 address", KindHTTP},
		{"an open bracket", "http://[::1/a", "no IPv6 address", KindHTTP},
		{"an empty component", "https://x.example/a//b", "(//)", KindHTTP},
		{"two slashes at the end", "https://x.example/a//", "(//)", KindGit},
		{"a dot", "https://x.example/./a", ". or ..", KindHTTP},
		{"two dots", "https://x.example/a/..", ". or ..", KindGit},
		{"two dots with a parameter", "https://x.example/a/..;x/b", ". or ..", KindHTTP},
		{"an encoded dot", "https://x.example/a/%2e%2E/b", "an encoded slash, dot", KindHTTP},
		{"an encoded slash", "https://x.example/a%2fb", "an encoded slash", KindHTTP},
		{"an encoded backslash", "https://x.example/a%5cb", "an encoded slash", KindHTTP},
		{"an encoded NUL", "https://x.example/a%00", "an encoded slash, dot, backslash or control", KindHTTP},
		{"what is encoded twice", "https://x.example/a%252e", "would begin another encoded character", KindHTTP},
		{"half an encoded character", "https://x.example/a%2", "begins no encoded character", KindHTTP},
		{"no encoded character", "https://x.example/a%zz", "begins no encoded character", KindHTTP},
		{".git twice", "https://x.example/a.git.git", ".git more than once", KindGit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := parseLocation(tt.url, tt.kind)
			require.ErrorContains(t, err, tt.want)
		})
	}
	_, err := parseLocation("https://me:secret@x.example/a%2fsecret", KindHTTP)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
}

func TestURLPattern(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pattern  string
		kind     Kind
		yes, not []string
	}{
		{
			"https://x.example/**", KindHTTP,
			[]string{"https://x.example/a", "https://x.example/a/b/c", "https://x.example/", "https://x.example", "https://X.example:443/a?b"},
			[]string{"http://x.example/a", "https://y.x.example/a", "https://x.example.evil/a", "https://x.example:444/a", "https://x.example@evil.example/a"},
		},
		{"https://x.example/a/**", KindHTTP, []string{"https://x.example/a/b", "https://x.example/a/"}, []string{"https://x.example/a", "https://x.example/ab", "https://x.example/"}},
		{"https://x.example/a/*", KindHTTP, []string{"https://x.example/a/b", "https://x.example/a/b%20c", "https://x.example/a/%61"}, []string{"https://x.example/a/b/c", "https://x.example/A/b"}},
		{"https://x.example/**/b", KindHTTP, []string{"https://x.example/b", "https://x.example/a/a/b"}, []string{"https://x.example/a/b/", "https://x.example/ab"}},
		{"https://x.example/a*z", KindHTTP, []string{"https://x.example/az", "https://x.example/a%3F*z"}, []string{"https://x.example/a/z"}},
		{"https://*.x.example/a", KindHTTP, []string{"https://b.x.example/a"}, []string{"https://x.example/a", "https://c.b.x.example/a"}},
		{"https://**.x.example/a", KindHTTP, []string{"https://x.example/a", "https://c.b.x.example/a"}, []string{"https://ax.example/a"}},
		{"https://**/a", KindHTTP, []string{"https://x.example/a", "https://[::1]/a"}, []string{"https://x.example:1/a"}},
		{"http://10.0.*.*/a", KindHTTP, []string{"http://10.0.1.2/a"}, []string{"http://10.1.1.2/a"}},
		{"http://10.*.0.1/a", KindHTTP, []string{"http://10.9.0.1/a"}, []string{"http://10.9.0.2/a"}},
		{"http://[::1]:80/a", KindHTTP, []string{"http://[0:0::1]/a"}, []string{"http://[::2]/a"}},
		{"https://x.example:8443", KindHTTP, []string{"https://x.example:8443/"}, []string{"https://x.example:8443/a"}},
		{"https://x.example/a%20b", KindHTTP, []string{"https://x.example/a%20b"}, []string{"https://x.example/a+b"}},
		{"https://x.example/*/b.git", KindGit, []string{"https://x.example/a/b", "https://x.example/a/b.git/"}, []string{"https://x.example/b", "ssh://x.example/a/b"}},
		{"ssh://x.example/**", KindGit, []string{"git@x.example:a", "ssh://x.example:22/a", "x.example:/a/b"}, []string{"ssh://x.example:2222/a", "https://x.example/a"}},
		{"git://x.example/a", KindGit, []string{"git://x.example/a"}, []string{"https://x.example/a"}},
	}
	for _, tt := range tests {
		t.Run(tt.pattern, func(t *testing.T) {
			t.Parallel()
			p, err := parseURLPattern(tt.pattern, tt.kind)
			require.NoError(t, err)
			for want, urls := range map[bool][]string{true: tt.yes, false: tt.not} {
				for _, s := range urls {
					l, err := parseLocation(s, tt.kind)
					require.NoError(t, err, s)
					require.Equal(t, want, p.match(l), s)
				}
			}
		})
	}
}

func TestURLPatternRefuses(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		"":                                     `"" has no scheme; write one like https://corp.example/**, and one more for each other scheme`,
		"x.example/**":                         "has no scheme",
		"git@x.example:a":                      "has no scheme",
		"*://x.example/**":                     "another scheme",
		"https://me@x.example/**":              "an @ too many",
		"https://x.example/a?b":                "the URL has a ?",
		"https://x.example:*/a":                "a port from 1 to 65535",
		"https://a**.example/a":                "a host that is none",
		"https://**.**.example/a":              "has ** twice in a row; write it once",
		"https://x.example/a**":                "has ** inside a component; ** must be a whole component, use * inside one",
		"https://x.example/**/**":              "has ** twice in a row; write it once",
		"https://x.example/../a":               ". or ..",
		"https://x.example/%2a":                "an encoded slash",
		"https://[*]/a":                        "no IPv6 address",
		"https://" + strings.Repeat("x", 1024): "the pattern has 1032 bytes, more than 1024",
	} {
		t.Run(pattern, func(t *testing.T) {
			t.Parallel()
			_, err := parseURLPattern(pattern, KindGit)
			require.ErrorContains(t, err, want)
		})
	}
}

// FuzzLocation: normalising is idempotent, says nothing of what may be a secret, and
// takes nothing that would lead elsewhere if it were decoded or shortened once more.
func FuzzLocation(f *testing.F) {
	for _, s := range []string{
		"https://me:secret@X.example:443/a%20b/?q", "git@x.example:a/b.git", "ssh://git@[::1]:22/a.git/", "http://127.0.0.1/100%25", "https://x/..;/a", "git@[::1]:a", "https://x/a.git.git", "x:[a]@b:c",
	} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, git bool) {
		kind := KindHTTP
		if git {
			kind = KindGit
		}
		l, err := parseLocation(s, kind)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		again, err := parseLocation(l.String(), kind)
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

// FuzzURLPattern: a URL matches the pattern that it is itself; what matches a pattern
// has its scheme and port, and its host unless the pattern's has a star.
func FuzzURLPattern(f *testing.F) {
	for _, p := range []string{"https://x.example/**", "https://*.example:8443/a/*", "ssh://**/a*b", "https://x.example/a.git"} {
		f.Add(p, "https://x.example/a/b")
		f.Add(p, "ssh://git@x.example/aab")
	}
	f.Fuzz(func(t *testing.T, pattern, url string) {
		l, err := parseLocation(url, KindGit)
		if err != nil {
			return
		}
		if self, err := parseURLPattern(l.String(), KindGit); err == nil {
			require.True(t, self.match(l), "%s", l)
		}
		p, err := parseURLPattern(pattern, KindGit)
		if err != nil || !p.match(l) {
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
