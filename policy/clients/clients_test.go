package clients

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func parsed(t *testing.T, s string) Pattern {
	t.Helper()
	p, err := ParsePattern(s)
	require.NoError(t, err, s)
	require.Equal(t, s, p.String())
	return p
}

func TestWhomAPatternMatches(t *testing.T) {
	t.Parallel()
	uri := func(s ...string) Client { return Certificate{URIs: s}.Client() }
	dns := func(s ...string) Client { return Certificate{DNS: s}.Client() }
	cn := func(s ...string) Client { return Certificate{CommonNames: s}.Client() }
	for name, tt := range map[string]struct {
		pattern string
		client  Client
		want    bool
	}{
		"a user by number":                        {"uid:1000", Peer(1000), true},
		"no user whose number begins alike":       {"uid:1000", Peer(10000), false},
		"no user with the number of the group":    {"gid:1000", Peer(1000, 5), false},
		"the main group":                          {"gid:5", Peer(1000, 5, 6), true},
		"another group":                           {"gid:6", Peer(1000, 5, 6, 7), true},
		"a common name":                           {"cn:alice", cn("alice"), true},
		"a common name in another case isn't it":  {"cn:alice", cn("Alice"), false},
		"a star in a common name":                 {"cn:release-*", cn("release-1"), true},
		"a star crosses all characters":           {"cn:release-*", cn("release-1/x y.z"), true},
		"a common name that only begins so":       {"cn:release", cn("release-1"), false},
		"a common name that begins with slashes":  {"cn://*", cn("//a.b"), true},
		"a DNS name":                              {"dns:ci.example", dns("ci.example"), true},
		"a DNS name in any case":                  {"dns:ci.example", dns("CI.Example"), true},
		"one of several DNS names":                {"dns:ci.example", dns("a.example", "ci.example"), true},
		"a star is one label":                     {"dns:*.example", dns("ci.example"), true},
		"a star is no more labels":                {"dns:*.example", dns("a.ci.example"), false},
		"a star is no fewer labels":               {"dns:*.example", dns("example"), false},
		"a part of a label":                       {"dns:ci-*.example", dns("ci-1.example"), true},
		"a URI":                                   {"spiffe://corp/ci", uri("spiffe://corp/ci"), true},
		"a URI without a path":                    {"spiffe://corp", uri("spiffe://corp"), true},
		"a host without its path":                 {"spiffe://corp", uri("spiffe://corp/ci"), false},
		"another host":                            {"spiffe://corp/**", uri("spiffe://corp.evil/ci"), false},
		"another scheme":                          {"spiffe://corp/ci", uri("https://corp/ci"), false},
		"a path in another case":                  {"spiffe://corp/ci", uri("spiffe://corp/CI"), false},
		"a star is a segment":                     {"spiffe://corp/ci/*", uri("spiffe://corp/ci/a"), true},
		"a star is no more segments":              {"spiffe://corp/ci/*", uri("spiffe://corp/ci/a/b"), false},
		"two stars are several segments":          {"spiffe://corp/ci/**", uri("spiffe://corp/ci/a/b"), true},
		"two stars at the end are at least one":   {"spiffe://corp/ci/**", uri("spiffe://corp/ci"), false},
		"two stars in the middle are none, too":   {"spiffe://corp/**/ci", uri("spiffe://corp/ci"), true},
		"the URI of a mail address":               {"https://x/*@corp", uri("https://x/alice@corp"), true},
		"an escape isn't decoded":                 {"spiffe://corp/ci/**", uri("spiffe://corp/ci/%2e%2e/x"), false},
		"a path that leads elsewhere":             {"spiffe://corp/ci/**", uri("spiffe://corp/ci/../x"), false},
		"an empty segment":                        {"spiffe://corp/ci/**", uri("spiffe://corp/ci//x"), false},
		"a slash at the end":                      {"spiffe://corp/ci/**", uri("spiffe://corp/ci/x/"), false},
		"a query":                                 {"spiffe://corp/ci/**", uri("spiffe://corp/ci/x?y"), false},
		"a fragment":                              {"spiffe://corp/ci/**", uri("spiffe://corp/ci/x#"), false},
		"a user in a URI":                         {"spiffe://corp/**", uri("spiffe://a@corp/ci"), false},
		"a port in a URI":                         {"spiffe://corp/**", uri("spiffe://corp:1/ci"), false},
		"an upper-case host in a URI":             {"spiffe://corp/**", uri("spiffe://Corp/ci"), false},
		"an upper-case scheme":                    {"spiffe://corp/**", uri("SPIFFE://corp/ci"), false},
		"a star in a URI of a certificate":        {"spiffe://corp/**", uri("spiffe://corp/*"), false},
		"a NUL in a URI":                          {"spiffe://corp/**", uri("spiffe://corp/a\x00b"), false},
		"several URIs":                            {"spiffe://corp/**", uri("spiffe://corp/a", "spiffe://corp/b"), false},
		"a long URI":                              {"spiffe://corp/**", uri("spiffe://corp/" + strings.Repeat("a", MaxSize)), false},
		"a URI that looks like a common name":     {"cn:*", uri("cn://x"), false},
		"a URI that looks like a user":            {"uid:0", uri("uid:0"), false},
		"a common name that looks like a URI":     {"spiffe://corp/*", cn("spiffe://corp/a"), false},
		"a common name that looks like a user":    {"uid:0", cn("uid:0"), false},
		"a DNS name that looks like a user":       {"uid:0", dns("uid:0"), false},
		"an empty common name":                    {"cn:*", cn(""), false},
		"several common names":                    {"cn:*", cn("a", "b"), false},
		"a NUL in a common name":                  {"cn:release-*", cn("release-\x00"), false},
		"a star in a common name of a client":     {"cn:*", cn("*"), false},
		"a common name in broken UTF-8":           {"cn:*", cn("a\xff"), false},
		"a directional mark in a common name":     {"cn:*", cn("a\u202eb"), false},
		"a space at the end of a common name":     {"cn:*", cn("a "), false},
		"a long common name":                      {"cn:*", cn(strings.Repeat("a", maxCommon+1)), false},
		"a wildcard certificate":                  {"dns:*.example", dns("*.example"), false},
		"a DNS name with a dot at its end":        {"dns:*.example", dns("ci.example."), false},
		"a NUL in a DNS name":                     {"dns:*.example", dns("ci\x00.example"), false},
		"a DNS name in Unicode":                   {"dns:*.example", dns("cí.example"), false},
		"a DNS name in another script":            {"dns:xn--c-oga.example", dns("xn--c-oga.example"), true},
		"a DNS name that is an IP address":        {"dns:*.*.*.*", dns("192.0.2.1"), false},
		"an empty DNS name":                       {"dns:*", dns(""), false},
		"nobody":                                  {"cn:*", Client{}, false},
		"a certificate without names":             {"cn:*", Certificate{}.Client(), false},
		"the common name beside a URI":            {"cn:alice", Certificate{URIs: []string{"spiffe://c/a"}, CommonNames: []string{"alice"}}.Client(), false},
		"the DNS name beside a URI":               {"dns:a", Certificate{URIs: []string{"spiffe://c/a"}, DNS: []string{"a"}}.Client(), false},
		"the common name beside an unusable URI":  {"cn:alice", Certificate{URIs: []string{"urn:x"}, CommonNames: []string{"alice"}}.Client(), false},
		"the common name beside a DNS name":       {"cn:alice", Certificate{DNS: []string{"a"}, CommonNames: []string{"alice"}}.Client(), true},
		"a DNS name beside one that isn't usable": {"dns:a", dns("*", "a"), true},
	} {
		require.Equal(t, tt.want, parsed(t, tt.pattern).Match(tt.client), name)
	}
	require.False(t, Pattern{}.Match(Peer(0, 0)))
	require.False(t, Pattern{}.Match(Client{}))
}

func TestTooManyNamesAreNone(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range maxDNS {
		many = append(many, fmt.Sprintf("a%d.example", i))
	}
	p := parsed(t, "dns:a1.example")
	require.True(t, p.Match(Certificate{DNS: many}.Client()))
	require.False(t, p.Match(Certificate{DNS: append(many, "b.example")}.Client()))
}

func TestMistakesInPatterns(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"":                            `"" is of no known kind`,
		"alice":                       `"alice" is of no known kind; write uid:NUMBER, gid:NUMBER, cn:NAME, dns:NAME or a URI`,
		"*":                           "is of no known kind",
		"**":                          "is of no known kind",
		"user:alice":                  "is of no known kind",
		"UID:1":                       "is of no known kind",
		"email:a@b":                   "is of no known kind",
		"spiffe:corp":                 "is of no known kind",
		"uid:root":                    `"uid:root" has no number: names of users mean something else on each machine, so write uid: and the number that "id -u NAME" shows`,
		"gid:builders":                `so write gid: and the number that "getent group NAME" shows`,
		"uid:":                        "has no number",
		"uid:*":                       "has no number",
		"uid:1*":                      "has no number",
		"uid:-1":                      "has no number",
		"uid:+1":                      "has no number",
		"uid: 1":                      "has no number",
		"uid:0x1":                     "has no number",
		"uid:1_000":                   "has no number",
		"uid:01":                      `"uid:01" has zeros before its number; write uid:1`,
		"uid:4294967295":              "has a number above 4294967294",
		"uid:99999999999":             "has a number above",
		"gid:65534":                   "stands for everybody whom the kernel can't name here",
		"cn:":                         "has no name after cn:",
		"cn: a":                       "has a space at an end",
		"cn:a**":                      "has **; write *",
		"cn:a\x00":                    "can't be printed",
		"cn:" + long(257):             "is too long: 257 bytes",
		"dns:":                        "has an empty label",
		"dns:a..b":                    "has an empty label",
		"dns:**.example":              "has **; write * for one label",
		"dns:CI.example":              "has upper-case letters; write dns:ci.example",
		"dns:cí.example":              "with xn--",
		"dns:a_b":                     "has other characters",
		"dns:-a":                      "begins or ends with -",
		"dns:" + long(64):             "is longer than 63",
		"dns:192.0.2.1":               "as an IP address does",
		"dns:a.0x1":                   "as an IP address does",
		"dns:a:1":                     "has other characters",
		"dns://a/b":                   "has other characters",
		"://a":                        "has no scheme",
		"Spiffe://a":                  "has no scheme in lower case",
		"1a://a":                      "has no scheme",
		"spiffe://":                   "needs a host",
		"spiffe:///a":                 "needs a host",
		"spiffe://Corp/a":             "lower-case letters",
		"spiffe://corp:1/a":           "without a port",
		"spiffe://a@corp/a":           "needs a host",
		"spiffe://[::1]/a":            "needs a host",
		"spiffe://*.corp/a":           "has a star in its host",
		"spiffe://corp/":              "has an empty segment",
		"spiffe://corp//a":            "has an empty segment",
		"spiffe://corp/a/":            "has an empty segment",
		"spiffe://corp/./a":           "has a segment .",
		"spiffe://corp/../a":          "has a segment ..",
		"spiffe://corp/a**":           "has ** in a part of a segment",
		"spiffe://corp/%2e":           "such as an escape or a query",
		"spiffe://corp/a?b":           "such as an escape or a query",
		"spiffe://corp/a#b":           "such as an escape or a query",
		"spiffe://corp/a b":           "such as an escape or a query",
		"spiffe://" + long(254):       "of at most 253",
		"spiffe://a/" + long(MaxSize): "is too long",
	} {
		_, err := ParsePattern(s)
		require.ErrorContains(t, err, want, s)
	}
}

func long(n int) string { return strings.Repeat("a", n) }

func TestPatternsAmongEachOther(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b   string
		covers bool
	}{
		{"uid:1", "uid:1", true},
		{"uid:1", "gid:1", false},
		{"cn:*", "cn:a*", true},
		{"cn:a*", "cn:*b", false},
		{"cn:*", "dns:a", false},
		{"cn://*", "cn://a.b", true},
		{"dns:*.a", "dns:b.a", true},
		{"dns:*.a", "dns:*.*.a", false},
		{"spiffe://a/**", "spiffe://a/b/*", true},
		{"spiffe://a/*", "spiffe://a/**", false},
		{"spiffe://a/*", "spiffe://b/*", false},
	} {
		a, b := parsed(t, tt.a), parsed(t, tt.b)
		require.Equal(t, tt.covers, a.Covers(b), "%s %s", a, b)
	}
}

func TestHowAClientIsNamed(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]Client{
		"uid:1":                          Peer(1),
		"uid:1 and gid:2":                Peer(1, 2),
		"uid:1, gid:9, gid:3 and others": Peer(1, 9, 7, 3, 3, 9),
		"uid:1, gid:9 and gid:3":         Peer(1, 9, 3, 3, 9),
		"spiffe://a/b":                   Certificate{URIs: []string{"spiffe://a/b"}}.Client(),
		"cn:a and dns:b":                 Certificate{DNS: []string{"B"}, CommonNames: []string{"a"}}.Client(),
		"a client without a name that a policy can know": Certificate{URIs: []string{"urn:a"}}.Client(),
	} {
		require.Equal(t, want, c.String())
	}
}

func TestThePatternsInTheDocumentation(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../docs/policy.md")
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(data), "\n### Clients\n")
	require.True(t, ok)
	section, _, _ = strings.Cut(section, "\n## ")
	rows := regexp.MustCompile("(?m)^\\| `([^`]*)` \\|").FindAllStringSubmatch(section, -1)
	require.Len(t, rows, 5)
	for _, row := range rows {
		parsed(t, row[1])
	}
}
