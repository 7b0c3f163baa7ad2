package globs

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, glob, s string
		want          bool
	}{
		{"a star stands for the rest", "1.*", "1.7.1", true},
		{"a star alone stands for everything", "*", "1", true},
		{"a dot is a dot", "1.*", "11", false},
		{"without a star the whole string has to be equal", "1.7", "1.7.1", false},
		{"a star at the beginning", "*-labs", "1.7-labs", true},
		{
			"a glob that is built to be slow", strings.Repeat("*a", 200) + "b", strings.Repeat("a", 255),
			false,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, Match(tt.glob, tt.s))
		})
	}
}

func TestNameMatch(t *testing.T) {
	t.Parallel()
	require.True(t, ParseName("a/*").Match([]string{"a", "**"}), "stars of a name are characters")
	require.False(t, ParseName("a/*").Covers(ParseName("a/**")))
	slow := ParseName("h/" + strings.Repeat("**/a*a*a*a*/", 20) + "**/c")
	require.False(t,
		slow.Match(strings.Split("h/"+strings.Repeat(strings.Repeat("a", 30)+"/", 30)+"b", "/")))
}

func TestCovers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, big, small string
		want             bool
	}{
		{"a text covers itself", "abc", "abc", true},
		{"no other", "abc", "abd", false},
		{"a star covers every text, the empty one too", "*", "", true},
		{"a star covers a star", "a*", "a*b", true},
		{"a letter covers no star", "ab", "a*", false},
		{"a star in the middle is no letter of the other", "a*b", "a*", false},
		{"two stars cover one", "**", "*", true},
		{"going back to the last star finds the end", "*ab", "aab", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, Covers(tt.big, tt.small))
		})
	}
}

func TestNameCovers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, big, small string
		want             bool
	}{
		{"a folder covers what is in it", "c.example/**", "c.example/a", true},
		{"and folders in it", "c.example/**", "c.example/a/**", true},
		{"not its own name", "c.example/a/**", "c.example/a", false},
		{"one component covers no more", "c.example/*", "c.example/**", false},
		{"any depth in the middle covers none at all", "c.example/**/x", "c.example/x", true},
		{"a star covers part of a component", "c.example/*", "c.example/a-*", true},
		{"a star stays within its component", "c.example/*", "c.example/a/b", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, ParseName(tt.big).Covers(ParseName(tt.small)))
		})
	}
}

func TestMeet(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, a, b string
		want       []string
	}{
		{"of the same", "a", "a", []string{"a"}},
		{"of two texts", "a", "b", []string{}},
		{"of a star and a text", "*", "ab", []string{"ab"}},
		{"of two ends", "a*", "*b", []string{"a*b"}},
		{"of two ends that may overlap", "ab*", "*bc", []string{"ab*bc", "abc"}},
		{"of nothing in common", "a*", "b*", []string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, all := Meet(tt.a, tt.b)
			require.True(t, all)
			require.ElementsMatch(t, tt.want, got)
			require.Equal(t, len(tt.want) > 0, Overlaps(tt.a, tt.b))
		})
	}
}

func TestNameMeet(t *testing.T) {
	t.Parallel()
	got, all := ParseName("c.example/**").Meet(ParseName("**/dockerfile"))
	require.True(t, all)
	var texts []string
	for _, n := range got {
		texts = append(texts, n.String())
	}
	require.Contains(t, texts, "c.example/dockerfile")
	require.Contains(t, texts, "c.example/*/**/dockerfile")
}

func TestMeetIsBounded(t *testing.T) {
	t.Parallel()
	got, all := Meet(strings.Repeat("*a", 30)+"*", strings.Repeat("*b", 30)+"*")
	require.False(t, all)
	require.LessOrEqual(t, len(got), MaxForms)
}

func TestExample(t *testing.T) {
	t.Parallel()
	require.Equal(t, "c.example/x/x/x/d", ParseName("c.example/*/**/d").Example("x", 2))
	require.Equal(t, "x.x/d", ParseName("**/d").Example("x", 1))
	require.Equal(t, "x.x/d", ParseName("**/d").Example("x", 0))
	require.Equal(t, "c.example/x", ParseName("c.example/**").Example("x", 0))
}

// FuzzSets holds the three questions to what the globs match.
func FuzzSets(f *testing.F) {
	f.Add("a*", "*b", "ab")
	f.Add("*a*", "a*a", "aaa")
	f.Add("x/**", "**/y", "x/y")
	f.Add("x/**/z/*", "x/*/**", "x/z/z")
	f.Fuzz(func(t *testing.T, a, b, s string) {
		for _, in := range []string{a, b, s} {
			if len(in) > 12 || strings.Trim(in, "ab*/") != "" || strings.Contains(in, "//") ||
				strings.Trim(in, "/") != in || in == "" {
				t.Skip()
			}
		}
		if strings.Contains(s, "*") {
			t.Skip()
		}
		if !strings.Contains(a+b+s, "/") {
			inA, inB := Match(a, s), Match(b, s)
			require.False(t, Covers(a, b) && inB && !inA, "covers: %s is in %s and not in %s", s, b, a)
			forms, all := Meet(a, b)
			require.Equal(t, len(forms) > 0, Overlaps(a, b))
			require.True(t, !all || inBoth(forms, s) == (inA && inB),
				"%v is what %s and %s have in common, with %s", forms, a, b, s)
		}
		p, q, name := ParseName(a), ParseName(b), ParseName(s)
		inP, inQ := p.Covers(name), q.Covers(name)
		require.False(t, p.Covers(q) && inQ && !inP, "covers: %s is in %s and not in %s", s, b, a)
		require.False(t, inP && inQ && !p.Overlaps(q))
		forms, all := p.Meet(q)
		found := false
		for _, f := range forms {
			found = found || f.Covers(name)
		}
		require.True(t, !all || found == (inP && inQ), "%v is what %s and %s have in common, with %s",
			forms, a, b, s)
	})
}

// FuzzHosts holds the three questions to what patterns of image names match.
func FuzzHosts(f *testing.F) {
	f.Add("*.a:*/x", "**.a/x", "b.a/x")
	f.Add("1.*.1.*/x", "1.**/**", "1.2.1.2/x")
	f.Add("**a.a:1/x", "a**.a:*/x", "aa.a:1/x")
	f.Add("**/x", "*.*:*/x", "a.b/x")
	f.Fuzz(func(t *testing.T, a, b, s string) {
		for _, in := range []string{a, b, s} {
			host, path, ok := strings.Cut(in, "/")
			name, port := SplitPort(host)
			if !ok || len(in) > 14 || strings.Trim(path, "x*") != "" || strings.Trim(name, "ab1*.") != "" ||
				port != "" && port != "1" && port != "*" || path == "" || name == "" ||
				strings.Contains(in, "***") || strings.HasSuffix(host, ":") ||
				strings.Trim(name, "*") == "" && port != "" {
				t.Skip()
			}
		}
		if strings.Contains(s, "*") {
			t.Skip()
		}
		p, q, name := ParseImage(a), ParseImage(b), ParseImage(s)
		inP, inQ := p.Covers(name), q.Covers(name)
		require.False(t, p.Covers(q) && inQ && !inP, "covers: %s is in %s and not in %s", s, b, a)
		require.False(t, inP && inQ && !p.Overlaps(q), "overlap: %s is in %s and in %s", s, b, a)
		forms, all := p.Meet(q)
		found := false
		for _, f := range forms {
			found = found || f.Covers(name)
		}
		require.True(t, !all || found == (inP && inQ), "%v is what %s and %s have in common, with %s",
			forms, a, b, s)
		index := NewIndex(slices.All([]string{a}))
		require.True(t, !inP || slices.Equal(index.Find(s), []int{0}), "the index misses %s for %s", a, s)
	})
}

func TestHosts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, big, small string
		covers, overlap  bool
	}{
		{"a star is one label", "*.a.example/x", "b.a.example/x", true, true},
		{"a star is no more than one label", "*.a.example/x", "c.b.a.example/x", false, false},
		{"two stars are some labels", "**.a.example/x", "c.b.a.example/x", true, true},
		{"two stars have what a star has", "**.a.example/x", "*.a.example/x", true, true},
		{"a star has less than two stars", "*.a.example/x", "**.a.example/x", false, true},
		{"any port is none too", "a.example:*/x", "a.example/x", true, true},
		{"any port is each", "a.example:*/x", "a.example:80/x", true, true},
		{"no port is not any", "a.example/x", "a.example:*/x", false, true},
		{"ports differ", "a.example:80/x", "a.example:81/x", false, false},
		{"an address has numbers only", "10.*.*.*/x", "10.1.2.3/x", true, true},
		{"a name is no address", "10.*.*.*/x", "10.a.b.c/x", false, false},
		{"an address is a name of four labels", "*.*.*.*/x", "10.*.*.*/x", true, true},
		{"names of four labels are not all addresses", "10.*.*.*/x", "*.*.*.*/x", false, true},
		{"an IPv6 address has ports", "[::1]:*/x", "[::1]:80/x", true, true},
		{"an IPv6 address without a port", "[::1]/x", "[::1]:80/x", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			big, small := ParseImage(tt.big), ParseImage(tt.small)
			require.Equal(t, tt.covers, big.Covers(small))
			require.Equal(t, tt.overlap, big.Overlaps(small))
			require.Equal(t, tt.overlap, small.Overlaps(big))
			require.Equal(t, tt.big, big.String())
		})
	}
	require.Equal(t, "x.x.a.example:49151/x", ParseImage("**.a.example:*/*").Example("x", 2))
	require.Equal(t, "x.a.example/x", ParseImage("*.a.example:*/*").Example("x", 0))
	require.Equal(t, "10.253.1.1/x", ParseImage("10.*.1.1/*").Example("x", 0))
}

func inBoth(forms []string, s string) bool {
	for _, f := range forms {
		if Match(f, s) {
			return true
		}
	}
	return false
}

func TestFresh(t *testing.T) {
	t.Parallel()
	var begin, single []string
	for _, letter := range strings.Split("zqjxwvkyufhgbpmdlcnirtsoae0987654321", "") {
		single = append(single, "*"+letter+"*")
		if letter != "7" {
			begin = append(begin, letter+"-*")
		}
	}
	tests := []struct {
		name  string
		globs []string
		want  string
	}{
		{"globs don't spell it", []string{"a*", "*b", "docker.io/rust"}, "other"},
		{"one holds other", []string{"mother"}, "zzz"},
		{"letter case doesn't matter", []string{"mOther"}, "zzz"},
		{"other ends as one begins", []string{"*r-x"}, "zzz"},
		{"other holds one", []string{"*the*"}, "zzz"},
		{"the next letter", []string{"o*", "docker.io/**", "*z"}, "qqq"},
		{"nearly all letters begin one, and another ends one", append(begin, "o*", "*a7"), "zz77"},
		{"each letter is one", single, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, ok := Fresh(tt.globs)
			require.Equal(t, tt.want != "", ok)
			if ok {
				require.Equal(t, tt.want, got)
			}
		})
	}
}
