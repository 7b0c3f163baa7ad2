package survey

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
)

const open = "version: 1\ndefault: allow\ndefaultFrontend: " + DefaultFrontend + "\n"

// FuzzDraft holds that a draft is a valid policy, whatever a Dockerfile has.
func FuzzDraft(f *testing.F) {
	f.Add("FROM alpine\nADD https://a.example/\"b/c /\n")
	f.Add("# syntax=a/default\nFROM \"x\"\n")
	f.Add("FROM a\nRUN --mount=type=secret,id=\"#\n\" --network=host true\nADD http://0177.0.0.1/x /\n")
	s := newSurvey(f, open)
	f.Fuzz(func(t *testing.T, data string) {
		uses, _ := s.Uses(t.Context(), Build{
			File: "a\n b", Data: []byte(data), Options: map[string]string{"filename": "Dockerfile"},
		})
		_, err := policy.Parse("policy.yaml", Draft(uses))
		require.NoError(t, err)
	})
}

func TestDraftWithoutUsesIsAPolicy(t *testing.T) {
	t.Parallel()
	_, err := policy.Parse("policy.yaml", Draft(nil))
	require.NoError(t, err)
}
