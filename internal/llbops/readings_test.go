package llbops

import (
	"context"
	"math/rand/v2"
	"net/url"
	"path"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/urlmatch"
)

// Whatever address of a git repository a daemon fetches, it is a reading of the one that rules
// check. Old daemons fetch the address as it is written. Others fetch it with the path of the
// identifier, cleaned and decoded (normalizeGitRemote of source/git/identifier.go).
func TestADaemonFetchesAReadingOfWhatIsChecked(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	one := func(items ...string) string { return items[r.IntN(len(items))] }
	checked := 0
	for range 5000 {
		address := one("https://", "ssh://git@", "git@") + "git.corp"
		if address[:4] == "git@" {
			address += ":a"
		}
		for range 1 + r.IntN(4) {
			address += one("/", "/", "//", "%2F", "%5C", "%252F") +
				one("a", "b.git", "..", ".", "%2e%2e", "b;v", "%61", "..;", "%252e", "")
		}
		op := gitSource(t, address)
		for _, found := range FromSource(op) {
			if found.Git == nil {
				continue // It is refused.
			}
			u, err := urlmatch.Parse(found.Git.URL, urlmatch.Git)
			if err != nil {
				continue // It is refused.
			}
			checked++
			requireReading(t, u, found.Git.URL, address)
			requireReading(t, u, normalized(t, op), address)
		}
	}
	require.Greater(t, checked, 1000, "else the property says nothing")
}

func gitSource(t *testing.T, address string) *pb.SourceOp {
	t.Helper()
	state := llb.Git(address, "", llb.KnownSSHHosts("git.corp ssh-ed25519 x"))
	def, err := state.Marshal(context.Background())
	require.NoError(t, err)
	var op pb.Op
	require.NoError(t, op.UnmarshalVT(def.ToPB().GetDef()[0]))
	return op.GetSource()
}

// normalized returns the address that a daemon makes of a source.
func normalized(t *testing.T, op *pb.SourceOp) string {
	t.Helper()
	id, err := parseRemote(op.GetIdentifier()[len("git://"):])
	require.NoError(t, err)
	remote := id
	if full := op.GetAttrs()[pb.AttrFullRemoteURL]; full != "" {
		remote, err = parseRemote(full)
		require.NoError(t, err)
	}
	return (&url.URL{
		Scheme: remote.Scheme, User: remote.User, Host: remote.Host, Path: path.Join("/", id.Path),
	}).String()
}

// requireReading requires that an address is one reading of a URL, as it is written.
func requireReading(t *testing.T, u urlmatch.URL, address, from string) {
	t.Helper()
	got, err := urlmatch.Parse(address, urlmatch.Git)
	require.NoError(t, err, "%s of %s", address, from)
	var readings []string
	for _, l := range u.Readings() {
		readings = append(readings, l.String())
	}
	require.Contains(t, readings, got.String(), "%s of %s", address, from)
}
