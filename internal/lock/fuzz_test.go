package lock

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
)

// Edit either fails or makes a policy with all pins, in which there is nothing left
// to pin.
func FuzzEdit(f *testing.F) {
	examples, err := filepath.Glob("../examples/*/policy.yaml")
	require.NoError(f, err)
	for _, file := range examples {
		data, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(data)
	}
	for _, doc := range []string{
		"version: 1\naliases:\n- from: docker/a\n  to: docker/b # b\n\n# rules\nfrontends: [{match: [docker/b], tags: ['1']}]\n",
		"{version: 1, frontends: [{match: [docker/b], tags: ['1', 1.10, \"x\"]}]}",
		"version: 1\naliases: [{from: a/**, to: b/**}, # one\n]\nfrontends:\n- match:\n  - b/x\n  tags: [ 1 ]\n",
		"version: 1\r\naliases:\r\n- pins: {1: " + oldDigest +
			"}\r\n  from: a\r\n  to: a\r\nfrontends: []\r\n",
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := policy.Parse("policy.yaml", data)
		if err != nil {
			return
		}
		pins, _, err := Find(p, now())
		require.NoError(t, err)
		require.NoError(t, Resolve(context.Background(), pins, moved))
		out, err := Edit("policy.yaml", data, pins, true)
		if err != nil {
			return
		}
		p, err = policy.Parse("policy.yaml", out)
		require.NoError(t, err, "%s", out)
		pins, _, err = Find(p, now())
		require.NoError(t, err)
		require.NoError(t, Resolve(context.Background(), pins, moved))
		for _, pin := range pins {
			require.False(t, pin.Moved(), "%s %s is not pinned in\n%s", pin.From, pin.Tag, out)
		}
	})
}
