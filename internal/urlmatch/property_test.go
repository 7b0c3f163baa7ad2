package urlmatch

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// choices reads decisions from fuzz data; what is missing is 0.
type choices struct{ data []byte }

func (c *choices) of(items ...string) string {
	if len(c.data) == 0 {
		return items[0]
	}
	b := int(c.data[0])
	c.data = c.data[1:]
	return items[b%len(items)]
}

func (c *choices) protocol() Protocol {
	if c.of("git", "http") == "git" {
		return Git
	}
	return HTTP
}

// pattern makes a pattern of few words, which may be invalid.
func (c *choices) pattern(p Protocol) string {
	if c.of("", "", "", "", "", "", "", "all") != "" {
		return c.of("**", "https://**", "http://*", "x.example", "git@x.example:a/*")
	}
	scheme := c.of("https://", "", "http://")
	if p == Git {
		scheme = c.of("https://", "", "ssh://", "ssh://git@", "git://", "http://")
	}
	var labels []string
	for range 1 + len(c.of("", "x", "xx", "xxx")) {
		labels = append(labels, c.of("x", "example", "*", "**", "a*", "*x", "a*x", "10", "1*", "0"))
	}
	port := c.of("", "", ":*", ":443", ":22", ":8000")
	path := ""
	for range len(c.of("", "x", "xx", "xxx")) {
		path += "/" + c.of("a", "b", "*", "**", "a*", "*b", "a.git", "A", "A*b", "%61", "a;v", "a.GIT",
			"*.git")
	}
	return scheme + strings.Join(labels, ".") + port + path + c.of("", "", "/")
}

// url makes a URL of the same words, which may be invalid.
func (c *choices) url(p Protocol) string {
	scheme := c.of("https", "http")
	if p == Git {
		scheme = c.of("https", "ssh", "http", "git")
	}
	host := c.of("x.example", "a.x.example", "aax.example", "x", "10.0.10.0", "10.0.x.example",
		"a.b.ax.X", "[::1]", "EXAMPLE.")
	port := c.of("", "", ":443", ":22", ":8000", ":80")
	path := ""
	for range len(c.of("", "x", "xx", "xxx", "xxxx", "xxxxx")) {
		path += c.of("/", "/", "/", "/", "%2F", "//", "%5C", "%252f") +
			c.of("a", "b", "A", "AB", "aa", "ab", "a.git", "..", ".", "%2e%2e", "..;v", "a;v",
				"%61", "%252e%252e", "", "a.GIT", ".git", "a%3Fb", "..%23", "a.", "..%20")
	}
	if path != "" {
		path = "/" + strings.TrimPrefix(path, "/")
	}
	return scheme + "://" + host + port + path
}

func addSeeds(f *testing.F) {
	f.Helper()
	for i := range 200 {
		data := make([]byte, 60)
		x := uint32(i*7919 + 1)
		for j := range data {
			x = x*1664525 + 1013904223
			data[j] = byte(x >> 24)
		}
		f.Add(data)
	}
}

// FuzzPurposes: whatever a pattern allows of a URL, the same words deny. What denies none of
// a URL's readings allows none of them. A place that is allowed is so in each reading.
func FuzzPurposes(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		c := choices{data}
		protocol := c.protocol()
		words := c.pattern(protocol)
		allow, errAllow := ParsePattern(words, protocol, Allow)
		deny, errDeny := ParsePattern(words, protocol, Deny)
		if errAllow != nil || errDeny != nil {
			return
		}
		for range 8 {
			s := c.url(protocol)
			u, err := Parse(s, protocol)
			if err != nil {
				continue
			}
			_, outside := Outside([]Pattern{allow}, u)
			_, _, denied := Denied([]Pattern{deny}, u)
			require.False(t, !outside && !denied, "%s allows %s, and doesn't deny it", words, s)
			for _, l := range u.Readings() {
				require.False(t, allow.Match(l) && !deny.Match(l), "%s allows %s, and doesn't deny it",
					words, l)
				require.False(t, !outside && !allow.Match(l), "%s allows %s, and not %s", words, s, l)
				require.False(t, !denied && deny.Match(l), "%s doesn't deny %s, and denies %s", words, s, l)
			}
		}
	})
}

// FuzzForms: forms that are compared hold what they match. What a pattern means, it means
// again when it is read. Examples match, and have one reading.
func FuzzForms(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		c := choices{data}
		protocol := c.protocol()
		purpose := map[string]Purpose{"allow": Allow, "deny": Deny}
		first, errFirst := ParsePattern(c.pattern(protocol), protocol, purpose[c.of("allow", "deny")])
		second, errSecond := ParsePattern(c.pattern(protocol), protocol, purpose[c.of("allow", "deny")])
		if errFirst != nil || errSecond != nil {
			return
		}
		requireMeaning(t, first)
		var places []Location
		for range 8 {
			if u, err := Parse(c.url(protocol), protocol); err == nil {
				places = append(places, u.Readings()...)
			}
		}
		for _, a := range first.Forms() {
			places = append(places, requireExamples(t, a, protocol)...)
		}
		for _, a := range first.Forms() {
			for _, b := range second.Forms() {
				requireComparable(t, a, b, places)
			}
		}
	})
}

func requireMeaning(t *testing.T, p Pattern) {
	t.Helper()
	var again []Form
	for _, text := range p.Meanings() {
		read, err := ParsePattern(text, p.protocol, p.purpose)
		require.NoError(t, err, p.Written())
		require.Equal(t, []string{text}, read.Meanings())
		again = append(again, read.Forms()...)
	}
	require.Equal(t, p.Forms(), again, p.Written())
}

func requireExamples(t *testing.T, f Form, p Protocol) []Location {
	t.Helper()
	var places []Location
	for _, s := range f.Examples(p, Filling{Text: "other", Deep: 5, Port: FreshPort([]Form{f})}) {
		u, err := Parse(s, p)
		require.NoError(t, err)
		require.Len(t, u.Readings(), 1)
		require.True(t, f.Match(u.Readings()[0]), s)
		places = append(places, u.Readings()...)
	}
	return places
}

func requireComparable(t *testing.T, a, b Form, places []Location) {
	t.Helper()
	met, all := a.Meet(b)
	for _, l := range places {
		both := a.Match(l) && b.Match(l)
		require.False(t, a.Covers(b) && b.Match(l) && !a.Match(l), "%+v covers %+v, but for %s", a, b, l)
		require.False(t, both && !a.Overlaps(b), "%+v and %+v overlap in %s", a, b, l)
		inMet := slices.ContainsFunc(met, func(f Form) bool { return f.Match(l) })
		require.False(t, inMet && !both, "%+v is in %+v and %+v, but for %s", met, a, b, l)
		if all && a.folded == b.folded {
			require.Equal(t, both, inMet, "%+v is what %+v and %+v have in common, with %s", met, a, b, l)
		}
	}
}

// FuzzURL: of any text, the canonical form of its first reading has the same readings, no
// user, no password and no query. A URL matches the pattern that it is itself.
func FuzzURL(f *testing.F) {
	for _, s := range []string{
		"https://me:secret@X.example:443/a%20b/?q", "git@x.example:a/b.git", "ssh://git@[::1]:22/a.git/",
		"http://127.0.0.1/100%25", "https://x/..;/a", "git@[::1]:a", "https://x/a.git.git", "x:[a]@b:c",
		"https://x/a%2f..%5cb//%252e;c", "x:%2e",
	} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, git bool) {
		protocol := HTTP
		if git {
			protocol = Git
		}
		u, err := Parse(s, protocol)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		require.LessOrEqual(t, len(u.Readings()), maxReadings)
		again, err := Parse(u.String(), protocol)
		require.NoError(t, err, u.String())
		u.query = false
		require.Equal(t, u, again)
		require.NotContains(t, u.String(), "?")
		authority, _, _ := strings.Cut(strings.SplitN(u.String(), "://", 2)[1], "/")
		require.NotContains(t, authority, "@")
		for _, purpose := range []Purpose{Allow, Deny} {
			if self, err := ParsePattern(u.String(), protocol, purpose); err == nil {
				require.True(t, self.Match(u.Readings()[0]), "%s", u)
			}
		}
	})
}
