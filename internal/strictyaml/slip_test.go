package strictyaml_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSlips(t *testing.T) {
	t.Parallel()
	const special = " is special in YAML; put it in quotes"
	tests := []struct{ name, doc, want string }{
		{
			"a star in a list", "name: a\nwords: [*.corp.example/**]",
			`f:2:9: a value that begins with *` + special + `: "*.corp.example/**"`,
		},
		{
			"a star in a long list", "name: a\n\nnext:\n  words: [a, *-rc]\n",
			`f:4:14: a value that begins with *` + special + `: "*-rc"`,
		},
		{
			"a star below a dash", "words:\n  - a\n  - *-rc # no previews\n",
			`f:3:5: a value that begins with *` + special + `: "*-rc"`,
		},
		{"two stars", "words: [**]", `f:1:9: a value that begins with *` + special + `: "**"`},
		{
			"a comparison", "name: >=1.4 <2",
			`f:1:7: a value that begins with >` + special + `: ">=1.4 <2"`,
		},
		{
			"a comparison in brackets", "{name: >=1.4}",
			`f:1:8: a value that begins with >` + special + `: ">=1.4"`,
		},
		{
			"a comparison with a space", "name: > 1.4",
			`f:1:7: a value that begins with >` + special + `: "> 1.4"`,
		},
		{
			"a comparison that is a block of text", "name: >1\n",
			`f:1:7: name is empty, because > and | begin a block of text; put the value in quotes`,
		},
		{"an at sign", "name: @team", `f:1:7: a value that begins with @` + special + `: "@team"`},
		{"a backtick", "name: `a`", "f:1:7: a value that begins with `" + special + ": \"`a`\""},
		{"a percent sign", "name: %x", `f:1:7: a value that begins with %` + special + `: "%x"`},
		{"quotes in the value", `words: [*"a]`, `f:1:9: a value that begins with *` + special + `: '*"a'`},
		{
			"a long value", "name: @" + strings.Repeat("x", 80),
			`f:1:7: a value that begins with @` + special,
		},
		{
			"an address in a list", "name: a\nwords: [[::1]:5000/x]",
			`f:2:9: an address such as [::1] begins a list in YAML; put the whole value in quotes`,
		},
		{
			"an address as the value of a list", "words: [[::1]]",
			`f:1:9: an address such as [::1] begins a list in YAML; put the whole value in quotes`,
		},
		{
			"a tab", "name: a\nnext:\n\tname: b\n",
			`f:3:1: the line is indented with a tab, and YAML takes only spaces; write spaces`,
		},
		{
			"a tab after spaces", "next:\n  name: b\n  \twords: [a]\n",
			`f:3:3: the line is indented with a tab, and YAML takes only spaces; write spaces`,
		},
		{
			"a value with a colon", "name: see: this", `f:1:7: a value with a colon and a space, or one ` +
				`at its end, must be in quotes`,
		},
		{"no space after a colon", "name: a\nwords:[a]\non: true", `f:2:7: write a space after the colon`},
		{"a bracket that stays open", "words: [a, b\non: true\n", `f:1:8: this [ is never closed`},
		{"a brace that stays open", "next: {name: b\n", `f:1:7: this { is never closed`},
		{"the wrong bracket", "words: [a, b}\n", `f:1:13: this } doesn't close the [ before it`},
		{"a bracket too many", "words: [a]]\n", "f:1:11: more text follows the closing bracket; put the " +
			"whole value in quotes"},
		{"quotes that stay open", "name: \"a\nwords: [b]\n", `f:1:7: the quotes that begin here are never closed`},
		{
			"text after quotes", `words: ["*"-rc]`, `f:1:12: more text follows the closing quote; put the ` +
				`whole value in quotes, or write a comma`,
		},
		{
			"a line that isn't indented like the others", "next:\n    name: b\n  words: [a]\n",
			"f:3:3: the line is indented unlike the lines above; write it at the column of those that it " +
				"belongs to",
		},
		{
			"a key that is indented too far", "next:\n  name: b\n    words: [a]\n",
			"f:3:5: the line has a key, but is indented as if it went on with the value above; write it at " +
				"the column of the other keys",
		},
		{
			"lines that end with carriage returns", "name: a\r\nwords: [*-rc]\r\n",
			`f:2:9: a value that begins with *` + special + `: "*-rc"`,
		},
		{"a column after other letters", "words: [äöü, *x]", `f:1:14: a value that begins with *` + special + `: "*x"`},
		{
			"a comment instead of a value", "name: #team\n",
			`f:1:6: name has no value; give it one or remove it; a value that begins with # must be in quotes`,
		},
		{"a truth in quotes", `on: "true"`, `f:1:5: on must be true or false, not "true"; write it without quotes`},
		{"a number in quotes", `sizes: {x: "1"}`, `f:1:12: sizes[x] must be an integer, not "1"; write it without quotes`},
		{
			"an address that is a valid list", "name: [1::2]",
			`f:1:7: name must be a string, not a list; put an address such as [::1] in quotes`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := decode(tt.doc)
			require.EqualError(t, err, tt.want)
		})
	}
}

func TestWhatOnlyLooksLikeASlip(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"a star in a block of text":    "name: |\n  *x\n  @y\nwords: [\"*\"]\n",
		"a star on a line of a text":   "name: a\n  *x*\n",
		"an upper-case truth":          "on: TRUE",
		"a block of text below a dash": "words:\n- >-\n  a: b\n  *c\n- d\n",
		"a list over several lines":    "words: [\n\ta,\n  'b',\n]\n",
		"a percent sign inside":        "words: [a%, 50%]",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := decode(doc)
			require.NoError(t, err)
			// The first slip is the one at the end, and not the line that looks like one.
			broken := strings.TrimRight(doc, "\n") + "\nnext: @x\n"
			_, err = decode(broken)
			require.ErrorContains(t, err, "a value that begins with @ is special")
		})
	}
}
