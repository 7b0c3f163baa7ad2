package diff

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatChangesForSomeClients(t *testing.T) {
	t.Parallel()
	const head = "version: 1\n"
	for name, tt := range map[string]struct {
		before, after string
		widened       bool
		want          []string // lines of the report: changes with their clients, and statements
	}{
		"the same rules": {
			`frontends: [{name: r, match: [a], clients: ["uid:1"]}]`,
			`frontends: [{name: r, match: [a], clients: ["uid:1"]}]`, false, nil,
		},
		"one more client": {
			`frontends: [{name: r, match: [a], clients: ["uid:1"]}]`,
			`frontends: [{name: r, match: [a], clients: ["uid:1", "uid:2"]}]`, true,
			[]string{"allowed a by uid:2", "changed: rule r"},
		},
		"one client less": {
			`frontends: [{name: r, match: [a], clients: ["uid:1", "uid:2"]}]`,
			`frontends: [{name: r, match: [a], clients: ["uid:1"]}]`, false,
			[]string{"refused a by uid:2", "changed: rule r"},
		},
		"no condition any more": {
			`frontends: [{name: r, match: [a], clients: ["cn:a*"]}]`, `frontends: [{name: r, match: [a]}]`, true,
			[]string{
				"allowed a by a client without a name that a policy can know", "changed: rule r",
			},
		},
		"a rule that denies fewer": {
			`{default: allow, frontends: [{name: r, match: [a], action: deny, clients: ["spiffe://a/*"]}]}`,
			`{default: allow, frontends: [{name: r, match: [a], action: deny, clients: ["spiffe://a/b"]}]}`,
			true,
			[]string{"allowed a by spiffe://a/z0z", "changed: rule r"},
		},
		"a denial that only members of two groups notice": {
			`frontends: [{name: r, match: [a], clients: ["gid:1"]}, {name: n, match: [a], action: deny, ` +
				`clients: ["gid:2"]}]`,
			`frontends: [{name: r, match: [a], clients: ["gid:1"]}]`, true,
			[]string{"allowed a by gid:1 and gid:2", "removed: rule n"},
		},
		"a denial that only a name beside a URI meets": {
			`frontends: [{name: r, match: [a], clients: ["spiffe://a/b"]}, {name: n, match: [a], ` +
				`action: deny, clients: ["cn:x"]}]`,
			`frontends: [{name: r, match: [a], clients: ["spiffe://a/b"]}]`, true,
			[]string{"allowed a by spiffe://a/b", "removed: rule n"},
		},
		"an image": {
			`{dispatch: mediate, default: allow, build: {images: [{name: i, match: [b], clients: ["uid:1"]}]}}`,
			`{dispatch: mediate, default: allow, build: {images: [{name: i, match: [b], clients: ["uid:2"]}]}}`,
			true,
			[]string{
				"loosened other.other/other by uid:2", "tightened other.other/other by uid:1",
				"changed: the build rules of the whole policy",
			},
		},
		"LLB": {
			`llb: {clients: ["uid:1"]}`, `llb: allow`, true,
			[]string{"llb: allow, before deny: builds of LLB that no frontend made, for a client without a " +
				"name that a policy can know"},
		},
		"a push": {
			`exports: {push: [{clients: ["cn:r*"], allow: ["x/**"]}]}`,
			`exports: {push: [{clients: ["cn:r*"], allow: ["x/**"]}, {allow: [y]}]}`, true,
			[]string{
				"exports.push: docker.io/library/y, before none, for a client without a name that a policy " +
					"can know",
				"exports.push: docker.io/x/**, docker.io/library/y, before docker.io/x/**, for cn:rz0z",
			},
		},
		"an image in the store without a name": {
			`exports: {store: {clients: ["uid:1"], allow: [x]}}`, `exports: {store: {allow: [x]}}`, true,
			[]string{"exports.store: docker.io/library/x, before none, for a client without a name that a " +
				"policy can know"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			doc := func(s string) string {
				if s[0] == '{' {
					return "{version: 1, " + s[1:]
				}
				return head + s
			}
			r := Compare(parse(t, doc(tt.before)), parse(t, doc(tt.after)), now())
			require.Equal(t, tt.widened, r.Widened, "%+v", r)
			require.True(t, r.Complete)
			require.Empty(t, r.Uncompared)
			var got []string
			for _, d := range r.Differences {
				ref, _, _ := strings.Cut(d.Request.Reference, ":")
				got = append(got, fmt.Sprintf("%s %s by %s", d.Change, ref, d.Request.Client))
			}
			for _, s := range r.Statements {
				got = append(got, s.Text)
			}
			require.Equal(t, tt.want, got, "%+v", r)
		})
	}
}

func TestTooManyClientsArentCompared(t *testing.T) {
	t.Parallel()
	doc := func(uids int) string {
		var b strings.Builder
		b.WriteString("version: 1\nfrontends:\n")
		for i := range uids {
			fmt.Fprintf(&b, "- {name: r%d, match: [\"a%d\"], clients: [\"uid:%d\"]}\n", i, i, i)
		}
		return b.String()
	}
	r := Compare(parse(t, doc(maxClients+1)), parse(t, doc(maxClients+2)), now())
	require.True(t, r.Widened)
	require.Equal(t, []string{"rules for clients, because there are too many kinds of clients"},
		r.Uncompared)
}
