package policy

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhetherClientsRunContainers(t *testing.T) {
	t.Parallel()
	const byDefault = "the policy refuses containers that a client runs by itself (debug: deny, " +
		"which is the default)"
	for name, tt := range map[string]struct {
		policy, overlay string // fields
		want            string // "" if it is allowed
	}{
		"the default":                     {"", "", byDefault},
		"deny":                            {"debug: deny", "", byDefault},
		"deny, whatever the mode":         {"mode: warn\ndefault: allow", "", byDefault},
		"LLB says nothing about it":       {"llb: allow", "", byDefault},
		"allow":                           {"debug: allow", "", ""},
		"an overlay that says nothing":    {"debug: allow", "id: x", ""},
		"an overlay that allows it too":   {"debug: allow", "debug: allow", ""},
		"an overlay can't allow it alone": {"", "debug: allow", byDefault},
		"an overlay that denies": {
			"debug: allow", "debug: deny",
			"the overlay decided: the overlay refuses containers that a client runs by itself (debug: deny)",
		},
	} {
		l := stackOf(t, tt.policy, tt.overlay)
		r := l.DecideDebug()
		require.Equal(t, DebugRule, r.Rule, name)
		require.Equal(t, tt.want, r.Reason, name)
		require.Equal(t, tt.want == "", r.Verdict == Allow, name)
		if tt.want != "" {
			require.Equal(t, Deny, r.Verdict, name)
			require.Contains(t, l.Denial(r), "have them allowed by debug: allow", name)
		}
	}
	require.Equal(t, Deny, Layers{}.DecideDebug().Verdict)
}

func TestTheFieldDebugIsChecked(t *testing.T) {
	t.Parallel()
	_, err := Parse("p", []byte("version: 1\ndebug: perhaps"))
	require.ErrorContains(t, err, `debug must be allow or deny, not "perhaps"`)
	_, err = Parse("p", []byte("version: 1\nfrontends: [{name: debug, match: [a]}]"))
	require.ErrorContains(t, err, "reserved")
}

func TestExplainShowsWhetherClientsRunContainers(t *testing.T) {
	t.Parallel()
	const frontends = "frontends: [{match: [\"**\"]}]\n"
	for name, tt := range map[string]struct {
		policy, overlay string
		want            []string
	}{
		"nothing by default": {frontends, frontends, nil},
		"the layer that allows it": {
			frontends + "debug: allow", frontends + "debug: deny",
			[]string{"policy: policy-guard lets clients run containers of their own (debug: allow)"},
		},
	} {
		var got []string
		for _, s := range Explain(stackOf(t, tt.policy, tt.overlay), Request{
			Reference: refs(t, "a")[0],
		}).Steps {
			if s.Kind == StepDebug {
				got = append(got, s.Layer+": "+s.Reason)
			}
		}
		require.Equal(t, tt.want, got, name)
	}
}
