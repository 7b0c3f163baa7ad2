package vsa_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/vsa"
)

func TestUnmarshalRefusesWhatProgramsReadDifferently(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ json, why string }{
		"one name":                     {`{"a":1,"b":{"a":2},"c":[{"a":3},{"a":4}]}`, ""},
		"a name twice":                 {`{"a":1,"a":1}`, `the name "a" twice`},
		"a name in upper case":         {`{"b":{"a":1,"A":1}}`, `the name "A" twice`},
		"a letter that Go takes for K": {`{"k":1,"\u212a":1}`, "twice in one object"},
		"a letter that Go takes for s": {`{"s":1,"\u017f":1}`, "twice in one object"},
		"something after the value":    {`{} {}`, "after top-level value"},
		"bytes that aren't UTF-8":      {"{\"a\":\"\xff\"}", "it isn't UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var into any
			err := vsa.Unmarshal([]byte(c.json), &into)
			if c.why == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.why)
		})
	}
}
