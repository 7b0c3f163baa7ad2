package policy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestADenialHasItsMarkOnce(t *testing.T) {
	t.Parallel()
	d := Decide(mustStack(t, "version: 1\n", ""), request(t, "x"))
	require.Equal(t, d.Text("line 1")+"\n  outcome:      denied by policy", d.Denial("line 1"))
	require.NotContains(t, d.Text("line 1"), DenialMark)
	d.Reason = "the daemon says: source x denied by policy"
	require.Equal(t, 1, strings.Count(d.Denial(""), DenialMark))
}
