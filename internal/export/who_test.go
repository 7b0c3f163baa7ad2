package export

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// No format knows who builds. So an export refuses to all what the policy refuses to some.
func TestRulesForClientsAreExportedForNobody(t *testing.T) {
	t.Parallel()
	const denied = "clients is not exported, because only policy-guard knows who builds: the export " +
		"denies for all clients"
	for name, tt := range map[string]struct {
		doc        string
		has, hasNo string // parts of a source policy
		rule, note string
	}{
		"a rule that allows is left out": {
			`frontends: [{name: ci, match: [corp/x], clients: ["uid:1"]}, {name: all, match: [corp/y]}]`,
			"corp/y", "corp/x", "ci", forClients,
		},
		"a rule that denies denies for all": {
			`frontends: [{name: no, match: [corp/x], action: deny, clients: ["uid:1"]}, ` +
				`{name: all, match: ["corp/*"]}]`,
			"corp/x", "uid", "no", denied,
		},
		"what a rule refuses its clients, the next one doesn't allow them": {
			`frontends: [{name: ci, match: [corp/x], clients: ["uid:1"], options: {deny: [k]}}, ` +
				`{name: all, match: ["corp/*"]}]`,
			"corp/x", "uid", "ci", forClients,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, strict := range []bool{false, true} {
				r, err := Export(parsed(t, tt.doc), SourcePolicy, Options{Strict: strict})
				require.NoError(t, err)
				require.Contains(t, string(r.Data), tt.has)
				require.NotContains(t, string(r.Data), tt.hasNo)
				require.Contains(t, r.Notes, Note{
					Effect: RefusesMore, Rule: tt.rule, File: "policy.yaml", Line: 2, Message: tt.note,
				})
				require.False(t, r.Looser())
			}
		})
	}
	r, err := Export(parsed(t, `frontends: [{name: ci, match: [corp/x], clients: ["uid:1"]}]`), Buildkitd,
		Options{})
	require.NoError(t, err)
	require.NotContains(t, string(r.Data), "corp/x")
	require.Contains(t, r.Notes, Note{RefusesMore, "ci", "policy.yaml", 2, forClients})
}
