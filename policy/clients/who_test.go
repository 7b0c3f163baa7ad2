package clients

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhomADenialIsFor(t *testing.T) {
	t.Parallel()
	uri := func(uri string, cns ...string) Client {
		return Certificate{URIs: []string{uri}, CommonNames: cns}.Client()
	}
	cn := func(names ...string) Client { return Certificate{CommonNames: names}.Client() }
	dns := func(names ...string) Client { return Certificate{DNS: names}.Client() }
	for _, tt := range []struct {
		pattern string
		client  Client
		match   bool // surely
		may     bool
	}{
		{"uid:1", Client{}, false, true},
		{"uid:1", Peer(1), true, true},
		{"uid:1", Peer(2), false, false},
		{"uid:1", cn("a"), false, false},
		{"uid:1", Certificate{}.Client(), false, false},
		{"uid:1", Peer(overflow), false, true},
		{"gid:1", Peer(2, overflow), false, true},
		{"gid:1", Peer(overflow, 2), false, false},
		{"cn:a*", cn("ab"), true, true},
		{"cn:a*", cn("AB"), false, true},
		{"cn:a", cn("b"), false, false},
		{"cn:a", cn("a", "b"), false, true},
		{"cn:a", cn("c", "b"), false, false},
		{"cn:a", cn("*"), false, true},
		{"cn:a", uri("spiffe://x/y", "a"), false, true},
		{"cn:a", uri("spiffe://x/y", "b"), false, false},
		{"cn:a", uri("spiffe://x/y"), false, false},
		{"dns:*.a", dns("b.a"), true, true},
		{"dns:*.a", dns("c.b.a"), false, true},
		{"dns:*.a", dns("a"), false, false},
		{"dns:b*.a", dns("c.b.a"), false, false},
		{"dns:a", dns("x", "*.a"), false, true},
		{"dns:a", dns(make([]string, maxDNS+1)...), false, true},
		{"spiffe://x/a", uri("spiffe://x/a"), true, true},
		{"spiffe://x/a", uri("spiffe://x/A"), false, true},
		{"spiffe://x/a", uri("spiffe://x/a/b"), false, true},
		{"spiffe://x/a", uri("spiffe://x/ab"), false, false},
		{"spiffe://x/a/**", uri("spiffe://x/a/b/c"), true, true},
		{"spiffe://x/a/**", uri("spiffe://x/a"), false, true},
		{"spiffe://x/a/**", uri("spiffe://x"), false, false},
		{"spiffe://x/**", uri("spiffe://x"), false, true},
		{"spiffe://x/*/**", uri("spiffe://x/a"), false, true},
		{"spiffe://x/*/**", uri("spiffe://x"), false, false},
		{"spiffe://x/a", uri("spiffe://x/%61"), false, true},
		{"spiffe://x/a", Certificate{URIs: []string{"spiffe://x/b", "spiffe://x/a"}}.Client(), false, true},
		{"spiffe://x/a", Certificate{URIs: []string{"spiffe://x/b", "spiffe://x/c"}}.Client(), false, false},
		{"cn:a", Unreadable(), false, true},
	} {
		p := parsed(t, tt.pattern)
		say := tt.pattern + " and " + tt.client.String()
		require.Equal(t, tt.match, p.Match(tt.client), say)
		require.Equal(t, tt.may, p.MayMatch(tt.client), say)
	}
}

func TestWhomAListIsFor(t *testing.T) {
	t.Parallel()
	l, err := ParseList([]string{"uid:1", "cn:a*"})
	require.NoError(t, err)
	require.True(t, l.Has(Peer(1)))
	require.False(t, l.Has(Peer(2)))
	require.False(t, l.Has(Client{}))
	require.True(t, l.MayHave(Client{}))
	require.False(t, l.MayHave(Peer(2)))
	require.True(t, List{}.Has(Client{}))
	require.True(t, List{}.Covers(l))
	require.False(t, l.Covers(List{}))
	require.True(t, l.Covers(l[:1]))
	require.False(t, l[:1].Covers(l))
	require.Equal(t, "only for uid:1 and cn:a*, not for uid:2", l.Only(Peer(2)))
	require.Equal(t, "only for uid:1 and cn:a*, and it isn't known who builds", l.Only(Client{}))
	long, err := ParseList([]string{"uid:1", "uid:2", "uid:3", "uid:4"})
	require.NoError(t, err)
	require.Equal(t, "uid:1, uid:2, uid:3 and others", long.String())
	_, err = ParseList([]string{"uid:1", "x"})
	require.ErrorContains(t, err, "is of no known kind")
}

func TestTheNamesOfOneClient(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		names []string
		want  Client
		err   string
	}{
		{nil, Client{}, ""},
		{[]string{"uid:1", "gid:2", "gid:3"}, Peer(1, 2, 3), ""},
		{[]string{"cn:a", "dns:b"}, Certificate{CommonNames: []string{"a"}, DNS: []string{"b"}}.Client(), ""},
		{[]string{"spiffe://a/b"}, Certificate{URIs: []string{"spiffe://a/b"}}.Client(), ""},
		{[]string{"uid:1", "uid:2"}, Client{}, "has one user"},
		{[]string{"gid:1"}, Client{}, "has one user"},
		{[]string{"uid:1", "cn:a"}, Client{}, "either a user and groups, or names in a certificate"},
		{[]string{"spiffe://a/b", "cn:a"}, Client{}, "only one URI counts"},
		{[]string{"spiffe://a/b", "spiffe://a/c"}, Client{}, "only one URI counts"},
		{[]string{"cn:a", "cn:b"}, Client{}, "several common names"},
		{[]string{"dns:a", "dns:a"}, Client{}, "is there twice"},
		{[]string{"cn:a*"}, Client{}, "has a star"},
		{[]string{"a\n"}, Client{}, "can't be printed"},
		{[]string{"alice"}, Client{}, "is of no known kind"},
		{[]string{"uid:65534"}, Client{}, "can't name here"},
	} {
		c, err := Parse(tt.names)
		if tt.err != "" {
			require.ErrorContains(t, err, tt.err, tt.names)
			continue
		}
		require.NoError(t, err)
		require.True(t, tt.want.Equal(c), "%s", c)
		require.Equal(t, tt.names != nil, c.Known())
	}
}

func TestAClientIsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	for _, c := range []Client{
		{},
		Peer(1), Peer(overflow, 1, overflow), Certificate{}.Client(), Unreadable(),
		Certificate{URIs: []string{"spiffe://a/b"}, CommonNames: []string{"a"}, DNS: []string{"b", "*"}}.Client(),
		Certificate{CommonNames: []string{"a", "b"}, DNS: []string{"b"}}.Client(),
	} {
		data, err := json.Marshal(c)
		require.NoError(t, err)
		var again Client
		require.NoError(t, json.Unmarshal(data, &again), string(data))
		require.Equal(t, c.Known(), again.Known())
		require.True(t, c.Equal(again), string(data))
	}
	for text, want := range map[string]string{
		`{"names":["uid:x"]}`:                    "has no number",
		`{"names":["cn:*"]}`:                     "has a star",
		`{"names":[],"more":1}`:                  "unknown field",
		`{"names":[],"unclear":["x"]}`:           "of an unknown kind",
		`{"names":[],"claimed":["https://a?b"]}`: "needs a host",
		`[]`:                                     "can't be read",
		`"uid:1"`:                                "can't be read",
	} {
		var c Client
		require.ErrorContains(t, json.Unmarshal([]byte(text), &c), want, text)
		require.False(t, c.Known())
	}
	require.Error(t, new(Client).UnmarshalJSON([]byte("null null")))
	require.False(t, Peer(1).Equal(Peer(2)))
	require.False(t, Peer(1).Equal(Client{}))
}

// Each pair of patterns that one client can match has a sample that they both match.
func TestSamplesShowEachPairOfPatterns(t *testing.T) {
	t.Parallel()
	texts := []string{
		"uid:1", "gid:1", "gid:2", "cn:a*", "cn:*b", "dns:*.a", "dns:b.*", "dns:c.c", "spiffe://a/**",
		"spiffe://*", "spiffe://a/*/c",
	}
	var lists []Condition
	for _, s := range texts {
		if p, err := ParsePattern(s); err == nil {
			lists = append(lists, Condition{List{p}, true, true})
		}
	}
	require.Len(t, lists, len(texts)-1, "a host has no star")
	samples, all := Samples(lists, math.MaxInt)
	require.True(t, all)
	require.False(t, samples[len(samples)-1].Known())
	count := func(match func(Client) bool) (n int) {
		for _, c := range samples {
			if match(c) {
				n++
			}
		}
		return n
	}
	for _, pair := range [][2]string{
		{"uid:1", "gid:1"},
		{"gid:1", "gid:2"},
		{"cn:a*", "cn:*b"},
		{"cn:a*", "dns:c.c"},
		{"dns:*.a", "dns:b.*"},
		{"dns:*.a", "dns:c.c"},
		{"spiffe://a/**", "spiffe://a/*/c"},
	} {
		a, b := parsed(t, pair[0]), parsed(t, pair[1])
		require.NotZero(t, count(func(c Client) bool { return a.Match(c) && b.Match(c) }), "%s", pair)
	}
	claimed, sure := parsed(t, "cn:a*"), parsed(t, "spiffe://a/**")
	require.NotZero(t, count(func(c Client) bool { return sure.Match(c) && claimed.MayMatch(c) }))
	for _, l := range lists {
		require.NotZero(t, count(l.Has), l.String())
		require.NotZero(t, count(func(c Client) bool { return c.Known() && !l.MayHave(c) }), l.String())
		require.NotZero(t, count(func(c Client) bool { return c.Known() && !l.Has(c) && l.MayHave(c) }),
			l.String())
	}
	few, all := Samples(lists, 3)
	require.False(t, all)
	require.Len(t, few, 4)
	allowing := lists[:1:1]
	allowing[0].Denies = false
	few, all = Samples(allowing, 3)
	require.True(t, all)
	require.Len(t, few, 2, "one of the list, and one that isn't")
	none, all := Samples(nil, 3)
	require.True(t, all)
	require.Equal(t, []Client{{}}, none)
}
