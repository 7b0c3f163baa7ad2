package policy

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

func TestADecisionWithoutConversionsKeepsAllOtherRules(t *testing.T) {
	t.Parallel()
	l := mustStack(t, `version: 1
build:
  images:
    allow: ["new.example/**"]
    convert: [{from: "old.example/**", to: "new.example/**"}]
    pins: {"new.example/a:1": "`+digestA+`"}
frontends: [{name: d, match: [d]}]
`, "")
	d := Decide(l, request(t, "d", digestB))
	plain := d.Check(buildrules.Operation{Image: "old.example/a:1"})
	require.Equal(t, Allow, plain.Verdict, plain.Reason)
	require.Equal(t, "new.example/a:1@"+digestA, plain.Image.String())

	d = d.WithoutConversions()
	require.Contains(t, d.Check(buildrules.Operation{Image: "old.example/a:1"}).Reason,
		"refuses the image old.example/a:1")
	pinned := d.Check(buildrules.Operation{Image: "new.example/a:1"})
	require.Equal(t, "new.example/a:1@"+digestA, pinned.Image.String())
}
