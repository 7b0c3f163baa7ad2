package policy

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhichBuildsHaveSummaries(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                        {},
		"attest: true":            {AttestImage},
		"attest: false":           {},
		"attest: []":              {},
		"attest: [warned]":        {AttestWarned},
		"attest: [image, warned]": {AttestImage, AttestWarned},
	} {
		l := stackOf(t, text, "id: x")
		got := []string{}
		for _, entry := range []string{AttestImage, AttestWarned} {
			if l.Attests(entry) {
				got = append(got, entry)
			}
		}
		require.Equal(t, want, got, text)
	}
	require.False(t, Layers{}.Attests(AttestImage))
}

func TestAttestIsChecked(t *testing.T) {
	t.Parallel()
	for text, why := range map[string]string{
		"attest: [results]":      `"results" is neither image nor warned`,
		"attest: image":          "attest must be a list",
		"attest: {warned: true}": "attest must be a list",
	} {
		_, err := Parse("p", []byte("version: 1\n"+text))
		require.ErrorContains(t, err, why)
	}
	_, err := ParseOverlay("o", []byte("version: 1\nattest: [warned]"))
	require.EqualError(t, err, "o:2:9: an overlay can't say which builds have summaries; remove attest")
}

func TestExplainSaysWhichBuildsHaveSummaries(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"attest: true": "each image gets an unsigned summary of the decision (attest: image)",
		"attest: [warned]": "builds that the policy warns about have summaries too (attest: " +
			"warned)",
		"attest: [image, warned]": "each image gets an unsigned summary of the decision (attest: image); " +
			"builds that the policy warns about have summaries too (attest: warned)",
	} {
		var found []string
		l := stackOf(t, "frontends: [{match: [docker/dockerfile]}]\n"+text, "")
		for _, s := range Explain(l, Request{Reference: refs(t, "docker/dockerfile")[0]}).Steps {
			if s.Kind == StepAttest {
				found = append(found, s.Reason)
			}
		}
		require.Equal(t, []string{want}, found)
	}
}
