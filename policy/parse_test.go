package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

func mustParse(tb testing.TB, doc string) *Policy {
	tb.Helper()
	p, err := Parse("policy.yaml", []byte(doc))
	require.NoError(tb, err)
	return p
}

func TestParseReadsEveryField(t *testing.T) {
	t.Parallel()
	doc := `version: 1
id: corp-ci
default: allow
contact: "#build-help"
defaultFrontend: docker/dockerfile:1
frontends:
  - name: dockerfile
    match: [docker/dockerfile]
    tags: [1.10, 2, "1.*"]
    digests: ["` + digestA + `"]
    requireDigest: true
    message: |
      two
      lines
  - action: deny
    match: ["**"]
overlay: {accept: none}
`
	p := mustParse(t, doc)
	require.Equal(t, 1, p.doc.Version)
	require.Equal(t, "corp-ci", p.doc.ID)
	require.Equal(t, ActionAllow, p.doc.Default)
	require.Equal(t, "#build-help", p.doc.Contact)
	require.Equal(t, "docker/dockerfile:1", p.doc.DefaultFrontend)
	require.Equal(t, AcceptNone, p.doc.Overlay.Accept)
	require.Len(t, p.doc.Frontends, 2)

	r := p.doc.Frontends[0]
	require.Equal(t, "dockerfile", r.Name)
	require.Equal(t, []string{"docker/dockerfile"}, r.Match)
	require.Equal(t, []string{"1.10", "2", "1.*"}, r.Tags, "numbers stay as written")
	require.Equal(t, []string{digestA}, r.Digests)
	require.True(t, r.RequireDigest)
	require.Equal(t, ActionAllow, r.Action, "missing is allow")
	require.Equal(t, "two\nlines\n", r.Message)
	require.Equal(t, []string{"docker.io/docker/dockerfile"}, r.Patterns())
	require.Equal(t, []int{7, 5}, []int{r.Line(), r.Column()})
	require.False(t, r.Unnamed())

	require.Equal(t, "frontends[1]", p.doc.Frontends[1].Name)
	require.True(t, p.doc.Frontends[1].Unnamed())
	require.Equal(t, Identity{ID: "corp-ci", Digest: digest.FromString(doc)}, p.Identity())
}

func TestParseDefaults(t *testing.T) {
	t.Parallel()
	p := mustParse(t, "version: 1")
	require.Equal(t, ActionDeny, p.doc.Default)
	require.Equal(t, AcceptNarrow, p.doc.Overlay.Accept)
}

func TestParseAcceptsTheSameDataInOtherDress(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"a byte order mark": "\ufeffversion: 1\nid: x\n",
		"CRLF line ends":    "version: 1\r\nid: x\r\n",
		"JSON":              `{"version": 1, "id": "x"}`,
		"a document marker": "%YAML 1.1\n---\nversion: 1\nid: x\n...\n",
		"comments":          "# a\nversion: 1 # b\nid: x\n# c\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, "x", mustParse(t, doc).doc.ID)
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	rule := "version: 1\nfrontends:\n- match: [a]\n"
	tests := []struct{ name, doc, want string }{
		{"an empty document", "", "p: the document is empty"},
		{"a document of comments", "# nothing\n", "p: the document is empty"},
		{"a document that is null", "null\n", "p:1:1: the policy has no value"},
		{
			"a document that is a list", "- version: 1\n",
			"p:1:1: the policy must be a mapping of fields, not a list",
		},
		{
			"a document that is a text", "version\n",
			`p:1:1: the policy must be a mapping of fields, not "version"`,
		},
		{"a second document", "version: 1\n---\nversion: 1\n", "p:2:1: a second document begins here"},
		{"a second document that is broken", "version: 1\n---\na: [\n", "p:3:4: this [ is never closed"},
		{"a missing version", "id: x\n", "p:1:1: the version is missing; write version: 1"},
		{
			"another version", "version: 2\n",
			"p:1:10: version 2 is not known; this program reads version 1",
		},
		{"a version that is a text", "version: \"1\"\n", `p:1:10: version must be an integer, not "1"`},
		{
			"an unknown field", "version: 1\nfrontend: []\n",
			`p:2:1: unknown field "frontend"; did you mean "frontends"?`,
		},
		{
			"a field in another case", "version: 1\nDEFAULT: allow\n",
			`p:2:1: unknown field "DEFAULT"; did you mean "default"?`,
		},
		{
			"an unknown field of a rule", rule + "  tag: [b]\n",
			`p:4:3: unknown field "tag"; did you mean "tags"?`,
		},
		{
			"an unknown field like no other", "version: 1\nsignatures: []\n",
			`p:2:1: unknown field "signatures"`,
		},
		{"a field without a name", "version: 1\n\"\": x\n", `p:2:1: unknown field ""`},
		{"an unexported field", "version: 1\ndigest: x\n", `p:2:1: unknown field "digest"`},
		{
			"a duplicate field", "version: 1\ndefault: deny\ndefault: allow\n",
			`p:3:1: duplicate field "default"; it is already set on line 2`,
		},
		{
			"a duplicate field in quotes", "version: 1\ndefault: deny\n\"default\": allow\n",
			`p:3:1: duplicate field "default"`,
		},
		{
			"a duplicate field in an escape", "version: 1\ndefault: deny\n\"\\x64efault\": allow\n",
			`p:3:1: duplicate field "default"`,
		},
		{"a problem after a byte order mark", "\ufeffid: x\n", "p:1:1: the version is missing"},
		{"a problem further on after a byte order mark", "\ufeffversion: 2\n", "p:1:10: version 2"},
		{"a wrong byte after a byte order mark", "\ufeffa\xff", "p:1:2: the document is not UTF-8"},
		{
			"a very long value is not repeated in full",
			"version: 1\ndefault: " + strings.Repeat("x", 5000) + "\n",
			`not "` + strings.Repeat("x", 200) + `…"`,
		},
		{"a null field", "version: 1\nfrontends:\n", "p:2:11: frontends has no value"},
		{"a null item", "version: 1\nfrontends:\n- ~\n", "p:3:3: frontends[0] has no value"},
		{"an empty text", "version: 1\nid: \"\"\n", "p:2:5: id is empty"},
		{
			"a text for a list", "version: 1\nfrontends:\n- match: a\n",
			`p:3:10: match must be a list, not "a"`,
		},
		{"a list for a text", "version: 1\nid: [a]\n", "p:2:5: id must be a string, not a list"},
		{
			"a boolean for a text", "version: 1\nid: true\n",
			`p:2:5: id must be a string, not "true"; put it in quotes`,
		},
		{
			"a text for a boolean", rule + "  requireDigest: yes\n",
			`p:4:18: requireDigest must be true or false, not "yes"`,
		},
		{
			"a mapping for a list", "version: 1\nfrontends: {a: b}\n",
			"p:2:12: frontends must be a list, not a mapping",
		},
		{"a list as a key", "version: 1\n[a]: b\n", "p:2:1: a field's name must be a string, not a list"},
		{"an anchor", "version: 1\nid: &x a\n", "p:2:5: the anchor &x is not allowed"},
		{"an anchor on the document", "&x\nversion: 1\n", "the anchor &x is not allowed"},
		{"an anchor on a key", "version: 1\n&x id: a\n", "p:2:1: the anchor &x is not allowed"},
		{"an alias", "version: 1\nid: &x a\ncontact: *x\n", "p:3:10: the alias *x is not allowed"},
		{"a merge key", "version: 1\n<<: {id: a}\n", "p:2:1: the merge key << is not allowed"},
		{"a custom tag", "version: 1\nid: !x a\n", "p:2:5: the tag !x is not allowed"},
		{"a standard tag", "version: 1\nid: !!str a\n", "p:2:5: the tag !!str is not allowed"},
		{
			"a syntax error", "version: 1\n\tid: a\n",
			"p:2:1: the line is indented with a tab, and YAML takes only spaces; write spaces",
		},
		{"invalid UTF-8", "version: 1\nid: \xff\n", "p:2:5: the document is not UTF-8"},
		{"UTF-16", "\xff\xfev\x00", "p:1:1: the document is not UTF-8"},
		{"deep nesting", strings.Repeat("[", 20000), "not valid YAML"},
		{
			"nesting under an unknown field", "a: " + strings.Repeat("[", 500) + strings.Repeat("]", 500),
			`unknown field "a"`,
		},
		{
			"an over-long document", "version: 1\n#" + strings.Repeat("x", MaxSize),
			"p: the document has 4194316 bytes, more than 4194304",
		},
		{
			"an invalid action", "version: 1\ndefault: Deny\n",
			`p:2:10: default must be allow or deny, not "Deny"`,
		},
		{
			"a rule's action that is none", rule + "  action: block\n",
			`p:4:11: action must be allow or deny, not "block"`,
		},
		{
			"an invalid overlay", "version: 1\noverlay: {accept: signed}\n",
			`p:2:19: accept must be none or narrow, not "signed"`,
		},
		{
			"a default frontend that is no reference", "version: 1\ndefaultFrontend: Docker/X\n",
			"p:2:18: defaultFrontend: ",
		},
		{"a rule without match", "version: 1\nfrontends:\n- name: a\n", "p:3:3: the rule has no match"},
		{"an empty match", "version: 1\nfrontends:\n- match: []\n", "p:3:10: match is empty"},
		{"empty tags", rule + "  tags: []\n", "p:4:9: tags is empty"},
		{"empty digests", rule + "  digests: []\n", "p:4:12: digests is empty"},
		{
			"a pattern with a tag", "version: 1\nfrontends:\n- match: [a, \"docker/dockerfile:1\"]\n",
			`p:3:14: match: "docker/dockerfile:1" has a tag, and a pattern is for names only; write docker/dockerfile, and the tag under tags`,
		},
		{
			"a tag that can't be", rule + "  tags: [\">=1\"]\n",
			`p:4:10: tags: ">=1" has the character ">"`,
		},
		{
			"an invalid digest", rule + "  digests: [sha256:12]\n",
			`p:4:13: digests: "sha256:12" is not a digest`,
		},
		{
			"requireDigest on a deny rule", rule + "  action: deny\n  requireDigest: true\n",
			"p:5:18: requireDigest has no meaning on a deny rule",
		},
		{
			"a name twice", "version: 1\nfrontends:\n- {name: a, match: [a]}\n- {name: a, match: [b]}\n",
			`p:4:10: the name "a" is already that of the rule on line 3`,
		},
		{
			"a name that is another rule's place",
			"version: 1\nfrontends:\n- {name: \"frontends[1]\", match: [a]}\n- {match: [b]}\n",
			`p:4:3: the name "frontends[1]" is already that of the rule on line 3`,
		},
		{"a reserved name", rule + "  name: default\n", `p:4:9: the name "default" is reserved`},
		{
			"a reserved name of what no policy decides", rule + "  name: invariant\n",
			`p:4:9: the name "invariant" is reserved`,
		},
		{
			"an over-long name", rule + "  name: " + strings.Repeat("x", 257) + "\n",
			"p:4:9: name is too long: 257 bytes, at most 256 are allowed",
		},
		{"an over-long id", "version: 1\nid: " + strings.Repeat("x", 257) + "\n", "id is too long"},
		{
			"an over-long contact", "version: 1\ncontact: " + strings.Repeat("x", 513) + "\n",
			"contact is too long",
		},
		{
			"an over-long message", rule + "  message: " + strings.Repeat("x", 2049) + "\n",
			"message is too long",
		},
		{
			"a control character", "version: 1\nid: \"a\\e[31m\"\n",
			"p:2:5: id has the character U+001B at byte 2, which can't be printed",
		},
		{"a directional mark", "version: 1\nid: \"a\\u202E\"\n", "id has the character U+202E"},
		{
			"a newline in a contact", "version: 1\ncontact: \"a\\nb\"\n",
			"contact has the character U+000A",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("p", []byte(tt.doc))
			var parseError *ParseError
			require.ErrorAs(t, err, &parseError)
			require.Contains(t, err.Error(), tt.want)
			require.NotContains(t, err.Error(), "\x1b")
		})
	}
}

func TestParseErrorListsProblemsInOrderAndBounded(t *testing.T) {
	t.Parallel()
	_, err := Parse("policy.yaml",
		[]byte("default: maybe\nid: \"\\a\"\nfrontends:\n- tags: [\"\\e\"]\n"))
	require.EqualError(t, err, `policy.yaml:1:1: the version is missing; write version: 1
policy.yaml:1:10: default must be allow or deny, not "maybe"
policy.yaml:2:5: id has the character U+0007 at byte 1, which can't be printed
policy.yaml:4:3: the rule has no match; write match: ["**"] if it is for every frontend
policy.yaml:4:10: tags: "\x1b" has the character "\x1b", which no tag can have; write tags or globs like 1.*, one per entry`)

	var doc strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&doc, "x%d: 1\n", i)
	}
	_, err = Parse("policy.yaml", []byte(doc.String()))
	var parseError *ParseError
	require.ErrorAs(t, err, &parseError)
	require.Len(t, parseError.Problems, 10)
	require.Equal(t, 4990, parseError.Omitted)
	require.True(t, strings.HasSuffix(err.Error(), "\nand 4990 more"))
}

func TestParseOverlay(t *testing.T) {
	t.Parallel()
	p, err := ParseOverlay("overlay", []byte("version: 1\n"))
	require.NoError(t, err)
	require.Equal(t, ActionDeny, p.doc.Default)

	_, err = ParseOverlay("overlay", []byte("version: 1\noverlay: {accept: narrow}\n"))
	require.ErrorContains(t, err, "overlay:2:10: an overlay can't say which overlays are accepted")

	_, err = ParseOverlay("overlay", []byte("version: 1\n#"+strings.Repeat("x", MaxOverlaySize)))
	require.ErrorContains(t, err, "more than 65536")
}
