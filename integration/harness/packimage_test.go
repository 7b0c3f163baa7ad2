package harness_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The demo runs an image that this machine's Go made, not the Dockerfile. Both must be the
// same, byte for byte.
func TestThePackedImageIsTheBakedOne(t *testing.T) {
	const policy = "examples/dockerfile-only/policy.yaml"
	env.NeedsCurrent(t, "the current buildkitd bakes the image whatever daemon runs the tests")
	t.Parallel()
	for name, tc := range map[string]struct {
		baked, packed string
		files         []string
	}{
		"with a policy": {
			env.BakeWithPolicy(t, policy), env.PackWithPolicy(t, policy),
			[]string{"policy-frontend", "etc/policy-frontend/policy.yaml"},
		},
		"for policy-guard": {env.Mediator(t), env.PackMediator(t), []string{"policy-frontend"}},
	} {
		t.Run(name, func(t *testing.T) {
			baked, packed := env.Registry.ReadImage(t, tc.baked), env.Registry.ReadImage(t, tc.packed)
			// An index of bake also has an attestation.
			require.NotEmpty(t, baked)
			require.Len(t, packed, 1)
			require.Equal(t, baked[0].Config.Config, packed[0].Config.Config)
			for _, file := range tc.files {
				same := baked[0].File(t, file) == packed[0].File(t, file)
				require.True(t, same, "%s differs", file)
			}
		})
	}
}
