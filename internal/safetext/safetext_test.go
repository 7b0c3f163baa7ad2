package safetext

import (
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

func TestPrintable(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, printable, plain string }{
		{"plain text", "docker/dockerfile:1", "docker/dockerfile:1", "docker/dockerfile:1"},
		{"nothing", "", "", `""`},
		{"an escape sequence", "a\x1b[31m", `a\x1b[31m`, `"a\x1b[31m"`},
		{"a directional mark", "a\u202eb", `a\u202eb`, `"a\u202eb"`},
		{"invalid UTF-8", "a\xff", `a\xff`, `"a\xff"`},
		{"a quote", `a"b`, `a"b`, `"a"b"`},
		{"other letters", "é€", "é€", "é€"},
		{
			"a long text", strings.Repeat("é", 300), strings.Repeat("é", MaxRunes) + "…",
			`"` + strings.Repeat("é", MaxRunes) + `…"`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.printable, Printable(tt.in))
			require.Equal(t, tt.plain, Plain(tt.in))
		})
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a\nb[0m", Lines("a\nb\x1b[0m\xff"))
	require.Len(t, Lines(strings.Repeat("x", 5000)), maxLines+len("…"))
}

func TestCheck(t *testing.T) {
	t.Parallel()
	require.NoError(t, Check("a\nb", 3, true))
	require.ErrorContains(t, Check("a\nb", 3, false), "U+000A at byte 2")
	require.ErrorContains(t, Check("abcd", 3, false), "is too long: 4 bytes, at most 3 are allowed")
}

func TestLists(t *testing.T) {
	t.Parallel()
	require.Empty(t, Or[string](nil))
	require.Equal(t, "a", Or([]string{"a"}))
	require.Equal(t, "a or b", Or([]string{"a", "b"}))
	require.Equal(t, "a, b and c", And([]string{"a", "b", "c"}))
}

// FuzzPrintable: nothing that comes out holds a control character.
func FuzzPrintable(f *testing.F) {
	f.Add("a\x1b[0m\u202e\xff\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, out := range []string{Printable(s), Quote(s), Plain(s)} {
			require.Equal(t, -1, strings.IndexFunc(out, func(r rune) bool { return !unicode.IsGraphic(r) }),
				"%q", out)
		}
	})
}

func TestWhole(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 300)
	require.Equal(t, long, Whole(long))
	seen := map[string]string{}
	for _, s := range []string{`"`, `\"`, `\\"`, "\"\\", "\n", `\n`, "\xff", "\ufffd", `\xff`, ""} {
		require.NotContains(t, seen, Whole(s), "%q and %q", s, seen[Whole(s)])
		seen[Whole(s)] = s
	}
}

func TestWithoutSecrets(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"https://a.example/b":                 "https://a.example/b",
		"https://u:p@a.example/b?t=1#v1":      "https://***@a.example/b?***#v1",
		"docker-image://a.example/b@sha256:1": "docker-image://a.example/b@sha256:1",
		"no URL?":                             "no URL?",
	} {
		require.Equal(t, want, WithoutSecrets(url))
	}
}
