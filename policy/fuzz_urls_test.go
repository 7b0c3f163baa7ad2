package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/urlmatch"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// FuzzURLRules: what a list of patterns allows, the same list denies. An allowed URL is allowed
// however it is read, and a URL that is denied in one reading is denied. An ambiguous path is
// no more than a warning under mode: warn.
func FuzzURLRules(f *testing.F) {
	addDecideSeeds(f)
	f.Fuzz(func(t *testing.T, words, urls, _ []byte) {
		w, u := choices(words), choices(urls)
		kind, protocol := buildrules.KindHTTP, urlmatch.HTTP
		field := "http: {%s: %s}"
		switch w.next(3) {
		case 1:
			kind, protocol, field = buildrules.KindGit, urlmatch.Git, "git: {%s: %s}"
		case 2:
			kind, field = buildrules.KindDownloads, "exec: {downloads: {%s: %s}}"
		}
		list := generatePatterns(&w, protocol)
		rules := func(key, mode string) Decision {
			return decided(t, fmt.Sprintf(
				"version: 1\ndefault: allow\ndispatch: mediate\nmode: %s\nbuild: {"+field+"}\n",
				mode, key, list), "")
		}
		allow, deny, warn := rules("allow", "enforce"), rules("deny", "enforce"), rules("deny", "warn")
		for range 6 {
			url := generateURL(&u, protocol)
			read, err := urlmatch.Parse(url, protocol)
			if err != nil {
				require.Equal(t, Deny, warn.Check(source(kind, url)).Verdict, url)
				continue
			}
			allowed := allow.Check(source(kind, url)).Verdict == Allow
			denied := deny.Check(source(kind, url)).Verdict == Deny
			require.False(t, allowed && !denied, "%s allows %s, and doesn't deny it", list, url)
			require.NotEqual(t, Deny, warn.Check(source(kind, url)).Verdict, url)
			for _, l := range read.Readings() {
				one := source(kind, l.String())
				require.False(t, allowed && allow.Check(one).Verdict != Allow,
					"%s allows %s, and not as %s", list, url, l)
				require.False(t, !denied && deny.Check(one).Verdict == Deny,
					"%s doesn't deny %s, and denies %s", list, url, l)
			}
		}
	})
}

func source(k buildrules.Kind, url string) buildrules.Operation {
	switch k {
	case buildrules.KindGit:
		return buildrules.Operation{Git: &buildrules.Git{URL: url}}
	case buildrules.KindDownloads:
		return buildrules.Operation{Download: url}
	}
	return buildrules.Operation{HTTP: &buildrules.HTTP{URL: url}}
}

// generatePatterns returns a list of valid patterns of URLs, as YAML.
func generatePatterns(c *choices, p urlmatch.Protocol) string {
	var out []string
	for range 1 + c.next(3) {
		s := c.of("https://", "", "http://", "ssh://git@", "git://") +
			c.of("x.example", "*.example", "**", "*", "*ample", "10.*.*.*", "[::1]") +
			c.of("", "", ":*", ":443", ":8080") +
			c.of("", "/", "/**", "/a", "/a/", "/a/**", "/*/b", "/A*", "/**/b.git")
		_, errAllow := urlmatch.ParsePattern(s, p, urlmatch.Allow)
		_, errDeny := urlmatch.ParsePattern(s, p, urlmatch.Deny)
		if errAllow == nil && errDeny == nil {
			out = append(out, fmt.Sprintf("%q", s))
		}
	}
	if len(out) == 0 {
		return `["**"]`
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// generateURL returns a URL of the same words, which may be invalid.
func generateURL(c *choices, p urlmatch.Protocol) string {
	scheme := c.of("https", "http")
	if p == urlmatch.Git {
		scheme = c.of("https", "http", "ssh", "git")
	}
	path := ""
	for range c.next(5) {
		path += c.of("/", "/", "//", "%2f", "%5C", "%252F") +
			c.of("a", "b", "A", "b.git", "..", ".", "%2e%2e", "..;", "b;v", "%61", "")
	}
	return scheme + "://" + c.of("x.example", "X.example.", "y.x.example", "10.0.0.1", "10.0.0.x",
		"[::1]", "0177.0.0.1") + c.of("", "", ":443", ":8080", ":22") + "/" +
		strings.TrimPrefix(path, "/")
}
