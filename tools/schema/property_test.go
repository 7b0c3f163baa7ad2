package main

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/arbitrary"
	"github.com/policy-frontend/policy-frontend/policy"
)

// An editor marks no policy that is one.
func TestSchemaTakesWhatParseTakes(t *testing.T) {
	t.Parallel()
	s := compile(t, schemaID, policy.Schema())
	for seed := range arbitrary.Seeds(300) {
		choose := arbitrary.Source(rand.New(rand.NewPCG(seed, 25)).IntN)
		text, _ := arbitrary.Policy(choose)
		guarded := "version: 1\n" + choose.GuardedText()
		for _, doc := range []string{text, guarded} {
			_, err := policy.Parse("p", []byte(doc))
			require.NoError(t, err, doc)
			require.NoError(t, s.Validate(decode(t, []byte(doc))), "seed %d\n%s", seed, doc)
		}
	}
}
