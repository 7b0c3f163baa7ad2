package lint_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/lint"
	"github.com/policy-frontend/policy-frontend/policy"
)

func TestRulesForClients(t *testing.T) {
	t.Parallel()
	const guard = "is for some clients, so the gateway image alone refuses every build"
	for name, tt := range map[string]struct {
		fields string
		want   map[lint.Code]string // parts of messages, of all findings but those about the whole
	}{
		"a rule for some clients before one for all": {
			`frontends: [{name: a, match: [x/y], clients: ["uid:1"], options: {deny: [k]}}, ` +
				`{name: b, match: [x/y]}]`,
			map[lint.Code]string{lint.NeedsGuard: "frontends[0].clients " + guard},
		},
		"a rule for all before one for some": {
			`frontends: [{name: b, match: [x/y]}, ` +
				`{name: a, match: [x/y], clients: ["uid:1"], options: {deny: [k]}}]`,
			map[lint.Code]string{
				lint.NeedsGuard: "frontends[1].clients " + guard,
				lint.Shadowed:   `rule "b" on line 4`,
			},
		},
		"a rule for more clients before one for fewer": {
			`frontends: [{name: b, match: [x/y], clients: ["cn:a*"]}, ` +
				`{name: a, match: [x/y], clients: ["cn:ab"], options: {deny: [k]}}]`,
			map[lint.Code]string{
				lint.NeedsGuard: "frontends[0].clients " + guard,
				lint.Shadowed:   `rule "b" on line 4`,
			},
		},
		"a denial for some doesn't shadow a rule for all": {
			`frontends: [{name: b, match: [x/y], action: deny, clients: ["cn:a"]}, {name: a, match: [x/y]}]`,
			map[lint.Code]string{lint.NeedsGuard: "frontends[0].clients " + guard},
		},
		"a denial for those whom a rule is for": {
			`frontends: [{name: b, match: [x/y], action: deny, clients: ["cn:a*"]}, ` +
				`{name: a, match: [x/y], clients: ["cn:ab"]}, {name: c, match: [x/y], clients: ["cn:c"]}]`,
			map[lint.Code]string{
				lint.NeedsGuard: "frontends[0].clients " + guard,
				lint.Shadowed:   `rule "b" on line 4`,
			},
		},
		"an entry that another one covers, and one for everybody with a certificate": {
			`frontends: [{name: a, match: [x/y], clients: ["cn:*", "cn:a"]}]`,
			map[lint.Code]string{
				lint.NeedsGuard:    "frontends[0].clients " + guard,
				lint.EntryRepeated: "clients has cn:a, and cn:* is for that too",
				lint.ClientsAny:    "clients has cn:*, which is each client whose certificate has such a name",
			},
		},
		"a list of repositories": {
			`frontends: [{name: a, match: [x/y]}]
exports: {push: [{clients: ["uid:1", "uid:1"], allow: [a]}, {allow: [b], deny: [c]}]}`,
			map[lint.Code]string{
				lint.NeedsGuard:             "exports.push.rules[0].clients " + guard,
				lint.EntryRepeated:          "exports.push.rules[0].clients has uid:1",
				lint.BuildDenyWithoutEffect: "exports.push.rules[1].deny has c",
			},
		},
		"LLB for some without build rules": {
			`frontends: [{name: a, match: [x/y]}]
llb: {clients: ["uid:1"]}`,
			map[lint.Code]string{
				lint.NeedsGuard:  "llb.clients " + guard,
				lint.LLBUnjudged: "clients of policy-guard can build whatever they like",
			},
		},
		"a default frontend that some can run": {
			`defaultFrontend: x/y
frontends: [{name: a, match: [x/y], clients: ["uid:1"]}]`,
			map[lint.Code]string{lint.NeedsGuard: "frontends[0].clients " + guard},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := policy.Parse("p", []byte("version: 1\nid: x\ncontact: y\n"+tt.fields+"\n"))
			require.NoError(t, err)
			got := map[lint.Code]bool{}
			for _, f := range lint.Check("p", p, lint.Options{Time: time.Unix(0, 0)}) {
				want, ok := tt.want[f.Code]
				require.True(t, ok, "%+v", f)
				got[f.Code] = got[f.Code] || strings.Contains(f.Message, want)
			}
			for code := range tt.want {
				require.True(t, got[code], "%s", code)
			}
		})
	}
}
