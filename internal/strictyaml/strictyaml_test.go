package strictyaml_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/strictyaml"
)

type inner struct {
	Name  string            `yaml:"name"`
	Words []string          `yaml:"words" blank:"true"`
	Sizes map[string]int    `yaml:"sizes"`
	Names []string          `yaml:"names" boolean:"*"`
	Notes map[string]string `yaml:"notes" blank:"true"`

	None bool `yaml:"-" scalar:"none"`
}

type outer struct {
	inner `yaml:",inline"`

	Next    *inner `yaml:"next"`
	On      bool   `yaml:"on"`
	Lists   *lists `yaml:"lists" short:"names" boolean:"*"`
	private string
}

type lists struct {
	inner `yaml:",inline"`

	Rules []*inner `yaml:"rules" sequence:"true"`
}

var format = strictyaml.Format{Name: "the list", Begin: "a list begins with name", Limit: 64 << 10}

func decode(doc string) (outer, error) {
	var out outer
	err := strictyaml.Decode("f", []byte(doc), format, &out).Err()
	return out, err
}

func TestDecode(t *testing.T) {
	t.Parallel()
	out, err := decode(`{name: a, words: ["", 1.10], sizes: {x: 1}, next: {name: b}, on: true}`)
	require.NoError(t, err)
	want := outer{
		inner: inner{Name: "a", Words: []string{"", "1.10"}, Sizes: map[string]int{"x": 1}},
		Next:  &inner{Name: "b"}, On: true,
	}
	require.Equal(t, want, out)
	require.Empty(t, out.private)
}

func TestDecodeTakesAWordForAStruct(t *testing.T) {
	t.Parallel()
	out, err := decode("next: none")
	require.NoError(t, err)
	require.Equal(t, &inner{None: true}, out.Next)
}

func TestDecodeTakesABooleanForAList(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string][]string{
		"names: true": {"*"}, "names: false": {}, "names: []": {}, `names: ["true"]`: {"true"},
	} {
		out, err := decode(doc)
		require.NoError(t, err)
		require.Equal(t, want, out.Names, doc)
	}
}

func TestDecodeTakesListsForAStruct(t *testing.T) {
	t.Parallel()
	names := func(names ...string) lists {
		return lists{inner: inner{Names: append([]string{}, names...)}}
	}
	for doc, want := range map[string]lists{
		"lists: [a, b]": names("a", "b"), "lists: []": names(), "lists: true": names("*"),
		"lists: {names: [a]}":        names("a"),
		"lists: [{name: a}]":         {Rules: []*inner{{Name: "a"}}},
		"lists: {rules: [none, {}]}": {Rules: []*inner{{None: true}, {}}},
	} {
		out, err := decode(doc)
		require.NoError(t, err, doc)
		require.Equal(t, &want, out.Lists, doc)
	}
	for doc, want := range map[string]string{
		"lists: [a, {name: b}]": "lists[1] must be a string, not a mapping",
		"lists: [{name: a}, b]": `lists[1] must be a mapping of fields or none, not "b"`,
		"lists: a":              `lists must be a list, not "a"`,
		"lists: [~]":            "lists[0] has no value",
	} {
		_, err := decode(doc)
		require.ErrorContains(t, err, want, doc)
	}
}

func TestDecodeTakesEmptyStringsWhereTheyHaveAMeaning(t *testing.T) {
	t.Parallel()
	out, err := decode(`{notes: {a: ""}, words: [""]}`)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": ""}, out.Notes)
	require.Equal(t, []string{""}, out.Words)
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, doc, want string }{
		{"an empty document", "", "f: the document is empty; a list begins with name"},
		{"another type", "[]", "f:1:1: the list must be a mapping of fields, not a list"},
		{"an inline struct's own name", "inner: {}", `f:1:1: unknown field "inner"`},
		{"a field without a tag", "private: x", `f:1:1: unknown field "private"`},
		{"a typo in an inline field", "nmea: x", `f:1:1: unknown field "nmea"; did you mean "name"?`},
		{
			"an inline field twice", "name: x\nname: y",
			`f:2:1: duplicate field "name"; it is already set on line 1`,
		},
		{
			"another word", "next: all",
			`f:1:7: next must be a mapping of fields or none, not "all"`,
		},
		{"a word in quotes for a list", "names: 'true'", "f:1:8: names must be a list"},
		{"a boolean for another list", "words: true", "f:1:8: words must be a list"},
		{"a field that has only a word", "none: true", `f:1:1: unknown field "none"`},
		{"an empty string", "name: ''", "f:1:7: name is empty"},
		{"a fraction", "sizes: {x: 1.5}", `f:1:12: sizes[x] must be an integer, not "1.5"`},
		{
			"too many bytes", strings.Repeat("x", 64<<10+1),
			"f: the document has 65537 bytes, more than 65536",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := decode(tt.doc)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestErrorCountsAllProblems(t *testing.T) {
	t.Parallel()
	var doc strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&doc, "x%d: 1\n", i)
	}
	_, err := decode(doc.String())
	var broken *strictyaml.Error
	require.ErrorAs(t, err, &broken)
	require.Len(t, broken.Problems, strictyaml.MaxProblems)
	require.Equal(t, 2990, broken.Omitted)
	require.ErrorContains(t, err, "\nand 2990 more")
}

func TestAt(t *testing.T) {
	t.Parallel()
	var out outer
	doc := strictyaml.Decode("f", []byte("name: a\nwords:\n- b\n- c\n"), format, &out)
	require.Equal(t, 4, doc.At("words", 1).Line)
	require.Equal(t, 3, doc.At("words", 7).Line, "the nearest parent begins where its first item does")
	doc.Problemf(doc.At("words", 0), "no %s", "b")
	require.EqualError(t, doc.Err(), "f:3:3: no b")
}

// FuzzDecode: no document makes Decode panic, no message acts on a terminal, and each problem is
// on a line that the document has.
func FuzzDecode(f *testing.F) {
	for _, doc := range []string{
		"name: a", "{next: {words: ['']}}", "- a", "&a x", "<<: {}",
		"a: !!x y", "\xff", "---\n---\n", "words: [*a]", "name: >=1\n", "a:\n\tb: c", "a: 'b\n\n",
		"- - a\n - b", "a: [b}\n", "a: |\n  b\n c: d", "\r\r\r0",
	} {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		_, err := decode(doc)
		lines := 1
		for _, r := range doc {
			if isBreak(r) {
				lines++
			}
		}
		var broken *strictyaml.Error
		if errors.As(err, &broken) {
			for _, p := range broken.Problems {
				require.LessOrEqual(t, p.Line, lines, "%q", p.String())
				require.Equal(t, -1, strings.IndexFunc(p.String(), unicode.IsControl), "%q", p.String())
			}
		}
	})
}

// isBreak reports whether YAML's library begins a new line after the character.
func isBreak(r rune) bool { return strings.ContainsRune("\n\r\u0085\u2028\u2029", r) }
