package clients

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// FuzzPattern: a pattern that parses is in the form that it prints. It matches a client only if a
// regular expression made of it matches a name that the client has, as it is written. What a
// covered pattern matches, the covering one matches. Of a certificate with a URI, nothing else
// counts.
func FuzzPattern(f *testing.F) {
	f.Add("uid:1000", "gid:0", "", "", "", uint32(1000), uint32(0))
	f.Add("cn:release-*", "cn:*", "", "", "release-1", uint32(0), uint32(1))
	f.Add("dns:*.ci.example", "dns:a*.ci.example", "", "A.ci.example", "a", uint32(0), uint32(1))
	f.Add("spiffe://c/ci/**", "spiffe://c/*/a", "spiffe://c/ci/a", "a", "b", uint32(0), uint32(1))
	f.Add("spiffe://corp/**/a", "cn:**", "spiffe://corp/%2e/a", "*", "\x00", uint32(1), uint32(1))
	f.Add("uid:0", "cn://*", "uid:0", "uid:0", "//a", uint32(65534), uint32(1))
	f.Fuzz(func(t *testing.T, a, b, uri, dns, cn string, uid, gid uint32) {
		p, err := ParsePattern(a)
		if err != nil {
			require.Equal(t, -1, strings.IndexFunc(err.Error(), unicode.IsControl), "%q", err.Error())
			return
		}
		require.Equal(t, a, p.String())
		certificate := Certificate{}
		for _, field := range []struct {
			value string
			in    *[]string
		}{
			{uri, &certificate.URIs}, {dns, &certificate.DNS}, {cn, &certificate.CommonNames},
		} {
			if field.value != "" {
				*field.in = []string{field.value}
			}
		}
		written := []string{"dns:" + strings.ToLower(dns), "cn:" + cn}
		if uri != "" {
			written = []string{uri}
		}
		for _, side := range []struct {
			client Client
			names  []string
		}{
			{certificate.Client(), written},
			{Peer(uid, gid), []string{number(kindUser, uid).text, number(kindGroup, gid).text}},
		} {
			matches := p.Match(side.client)
			if matches {
				e := expression(p)
				found := false
				for _, n := range side.names {
					found = found || e.MatchString(n)
				}
				require.True(t, found, "%s matches none of %q", e, side.names)
				require.True(t, p.kind == kindURI || uri == "" || p.kind == kindUser || p.kind == kindGroup)
			}
			require.False(t, matches && !p.MayMatch(side.client), "%s surely is %s", side.client, p)
			if q, err := ParsePattern(b); err == nil {
				inQ := q.Match(side.client)
				require.False(t, p.Covers(q) && inQ && !matches, "%s covers %s, but not %s", p, q, side.client)
				require.False(t, p.Covers(q) && q.MayMatch(side.client) && !p.MayMatch(side.client),
					"%s covers %s, but not %s, which may be it", p, q, side.client)
			}
			requireSameAgain(t, side.client)
		}
	})
}

// requireSameAgain writes a client and reads it.
func requireSameAgain(t *testing.T, c Client) {
	t.Helper()
	data, err := json.Marshal(c)
	require.NoError(t, err)
	var again Client
	require.NoError(t, json.Unmarshal(data, &again))
	require.True(t, c.Equal(again))
}

// expression returns what the pattern says as a regular expression.
func expression(p Pattern) *regexp.Regexp {
	text := regexp.QuoteMeta(p.text)
	switch p.kind {
	case kindURI:
		if rest, ok := strings.CutSuffix(text, `/\*\*`); ok {
			text = rest + "(/[^/]+)+"
		}
		text = strings.ReplaceAll(text, `/\*\*`, "(/[^/]+)*")
		text = strings.ReplaceAll(text, `\*`, "[^/]*")
	case kindDNS:
		text = strings.ReplaceAll(text, `\*`, `[^.]*`)
	default:
		text = strings.ReplaceAll(text, `\*`, ".*")
	}
	return regexp.MustCompile("^" + text + "$")
}
