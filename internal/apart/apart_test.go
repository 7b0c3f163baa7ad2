package apart

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

const id = "0123456789abcdef0123456789abcdef"

func TestTheHostOfAnID(t *testing.T) {
	t.Parallel()
	require.Equal(t, id, ID(id+"0123"))
	require.True(t, Is(id))
	for _, other := range []string{"", id + "0", id[1:], "X" + id[1:], id[1:] + ".", "A" + id[1:]} {
		require.False(t, Is(other), other)
	}
	require.Equal(t, id+".policy-guard.invalid=127.0.0.1", Option(id))
	require.True(t, Keeps(id+".policy-guard.invalid", "127.0.0.1", id))
	require.False(t, Keeps(id+".policy-guard.invalid", "127.0.0.2", id))
	require.False(t, Keeps(id[1:]+".policy-guard.invalid", "127.0.0.1", id))
	require.False(t, Keeps(".policy-guard.invalid", "127.0.0.1", ""), "there is no host without an id")
}

func TestTheHostIsAddedOnce(t *testing.T) {
	t.Parallel()
	for before, want := range map[string]string{
		"":                          Option(id),
		"a=1.2.3.4":                 "a=1.2.3.4," + Option(id),
		Option(id):                  Option(id),
		"a=1.2.3.4," + Option(id):   "a=1.2.3.4," + Option(id),
		"a=1.2.3.4,b" + Option(id):  "a=1.2.3.4,b" + Option(id) + "," + Option(id),
		"\"a=1.2.3.4\",b=5.6.7.8":   "\"a=1.2.3.4\",b=5.6.7.8," + Option(id),
		Option(id) + ",a=1.2.3.4":   Option(id) + ",a=1.2.3.4," + Option(id),
		Option(id[1:]+"f") + ",a=1": Option(id[1:]+"f") + ",a=1," + Option(id),
	} {
		require.Equal(t, want, AddTo(before, id), before)
	}
	require.Empty(t, RemoveFrom(Option(id), id))
	require.Equal(t, "a=1.2.3.4", RemoveFrom("a=1.2.3.4,"+Option(id), id))
	require.Equal(t, "a=1.2.3.4", RemoveFrom("a=1.2.3.4", id))
}

func TestReservedNames(t *testing.T) {
	t.Parallel()
	for _, host := range []string{
		"x.policy-guard.invalid", "X.Policy-Guard.INVALID", "a.b.policy-guard.invalid",
		"x.policy-guard.invalid.", ".policy-guard.invalid",
	} {
		require.True(t, IsReserved(host), host)
		require.True(t, MayHave([]byte("\x00"+host+"\xff")), host)
	}
	for _, host := range []string{
		"", "policy-guard.invalid", "x.policy-guard.invalid.test", "xpolicy-guard.invalid",
	} {
		require.False(t, IsReserved(host), host)
	}
	for _, text := range []string{
		"", ".", "policy-guard.invalid", ".policy-guard.invali", "....policy.guard.invalid",
	} {
		require.False(t, MayHave([]byte(text)), text)
	}
	require.True(t, MayHave([]byte("..policy-guard..policy-guard.Invalid")))
}

// Invariant: bytes with a reserved name in them are never taken for bytes without one.
func FuzzMayHave(f *testing.F) {
	f.Add([]byte("a."), "x.policy-guard.invalid", []byte("b"))
	f.Add([]byte("x.policy-guard"), ".POLICY-guard.invalid.", []byte(".invalid"))
	f.Fuzz(func(t *testing.T, before []byte, host string, after []byte) {
		if IsReserved(host) {
			require.True(t, MayHave(slices.Concat(before, []byte(host), after)))
		}
	})
}
