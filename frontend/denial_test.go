package frontend

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
)

func TestADenialPointsAtTheLineThatAsked(t *testing.T) {
	for name, tc := range map[string]struct {
		file string
		opts map[string]string
		line int32
		by   string
	}{
		"directive of the file": {
			file: "#!/bin/x\n# syntax=evil/x\n",
			line: 2,
			by:   "line 2 of Dockerfile",
		},
		"directive that BuildKit passed as cmdline": {
			file: "# syntax=" + selfRef + " evil/x\n",
			opts: map[string]string{"cmdline": selfRef + " evil/x"},
			line: 1,
			by:   "line 1 of Dockerfile",
		},
		"JSON directive": {
			file: `{"syntax":"evil/x"}`,
			line: 1,
			by:   "line 1 of Dockerfile",
		},
		"BUILDKIT_SYNTAX": {
			file: "# syntax=docker/dockerfile:1\n",
			opts: map[string]string{"cmdline": selfRef, "build-arg:BUILDKIT_SYNTAX": "evil/x"},
			by:   "the build-arg BUILDKIT_SYNTAX",
		},
		"BUILDKIT_SYNTAX that BuildKit passed as well": {
			file: "# syntax=docker/dockerfile:1\n",
			opts: map[string]string{
				"cmdline":                   selfRef + " evil/x",
				"build-arg:BUILDKIT_SYNTAX": selfRef + " evil/x",
			},
			by: "the build-arg BUILDKIT_SYNTAX",
		},
		"a cmdline that no file has": {
			file: "# syntax=docker/dockerfile:1\n",
			opts: map[string]string{"cmdline": selfRef + " evil/x"},
			by:   "the cmdline option",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := run(t, newFake(t, tc.file, tc.opts), corpPolicy)
			var denial *DenialError
			require.ErrorAs(t, err, &denial)
			require.Equal(t, tc.by, denial.AskedBy)
			srcs := errdefs.Sources(err)
			if tc.line == 0 {
				require.Empty(t, srcs)
				return
			}
			require.Len(t, srcs, 1)
			require.Equal(t, tc.line, srcs[0].Ranges[0].Start.Line)
			require.Equal(t, tc.file, string(srcs[0].Info.Data))
		})
	}
}

// BuildKit sends the file in the headers of an answer, which have a bound.
func TestADenialAtALineOfALargeFileHasItsBeginning(t *testing.T) {
	const line = "# a comment of some length\n"
	const times = 12 << 20 / len(line)
	for name, tc := range map[string]struct {
		file  string
		shown bool
	}{
		"a line at the beginning": {"# syntax=evil/x\n" + strings.Repeat(line, times), true},
		"a single line": {
			`{"syntax":"evil/x","x":"` + strings.Repeat("x", 12<<20) + `"}`, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := run(t, newFake(t, tc.file, nil), corpPolicy)
			var denial *DenialError
			require.ErrorAs(t, err, &denial)
			require.Equal(t, "line 1 of Dockerfile", denial.AskedBy)
			srcs := errdefs.Sources(err)
			if !tc.shown {
				require.Empty(t, srcs)
				return
			}
			require.Len(t, srcs, 1)
			data := string(srcs[0].Info.Data)
			require.LessOrEqual(t, len(data), 1<<20)
			require.True(t, strings.HasPrefix(tc.file, data))
			require.True(t, strings.HasSuffix(data, line))
		})
	}
}

// Programs look for BuildKit's wording to tell a refusal from a broken build.
func TestADenialHasBuildKitsWordsOnce(t *testing.T) {
	for name, c := range map[string]*fakeClient{
		"by the rules":           newFake(t, "# syntax=evil/x\n", nil),
		"for a broken reference": newFake(t, "# syntax=:\n", nil),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := run(t, c, corpPolicy)
			var denial *DenialError
			require.ErrorAs(t, err, &denial)
			require.Equal(t, 1, strings.Count(err.Error(), "denied by policy"))
			require.True(t, strings.HasSuffix(err.Error(), "\n  outcome:      denied by policy"))
		})
	}
	require.Equal(t, "denied by policy", policy.DenialMark, "programs rely on it")
	c := newFake(t, "# syntax=docker/dockerfile:1\n", nil)
	c.broken = errors.New("no such host")
	_, err := run(t, c, corpPolicy)
	require.NotContains(t, err.Error(), policy.DenialMark, "no policy decided")
}

type codedError struct{ error }

func (codedError) Code() int { return 403 }

func TestAnErrorOfTheRegistryKeepsItsTypeAndCantWriteToATerminal(t *testing.T) {
	c := newFake(t, "# syntax=docker/dockerfile:1\n", nil)
	c.broken = codedError{errors.New("forbidden: \x1b[2J\u202e")}
	_, err := run(t, c, corpPolicy)
	var coded codedError
	require.ErrorAs(t, err, &coded)
	require.Contains(t, err.Error(), "its image can't be read: forbidden: [2J\n")
	require.Empty(t, policysession.DenyMessages(err), "it is no decision of a policy")
}

func TestThePolicySubrequestAnswersAndRunsNothing(t *testing.T) {
	for name, tc := range map[string]struct{ file, doc, status, text string }{
		"allowed":             {"# syntax=docker/dockerfile:1\n", corpPolicy, "0", "is allowed"},
		"refused":             {"# syntax=evil/dockerfile:1\n", corpPolicy, "1", "is refused"},
		"no policy":           {"# syntax=docker/dockerfile:1\n", "", "1", "holds no policy"},
		"nothing asked for":   {"FROM scratch\n", corpPolicy, "1", "every frontend is refused"},
		"no reference at all": {"# syntax=:\n", corpPolicy, "1", "not an image reference"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newFake(t, tc.file, map[string]string{"requestid": PolicySubrequest})
			res, err := run(t, c, tc.doc)
			require.NoError(t, err)
			require.Equal(t, tc.status, string(res.Metadata["result.statuscode"]))
			require.Contains(t, string(res.Metadata["result.txt"]), tc.text)
			require.True(t, json.Valid(res.Metadata["result.json"]))
			require.Empty(t, c.solved)
			require.Empty(t, c.pinned)
		})
	}
}

func TestAnOptionThatIsRemovedCantWriteToATerminal(t *testing.T) {
	c := newFake(t, "# syntax=docker/dockerfile:1\n", map[string]string{
		"requestid":         PolicySubrequest,
		"build-arg:\x1b[2J": "x",
	})
	res, err := run(
		t, c,
		"version: 1\nfrontends:\n  - match: [docker/dockerfile]\n    options: {strip: "+
			"[\"build-arg:*\"]}\n",
	)
	require.NoError(t, err)
	require.Contains(t, string(res.Metadata["result.txt"]), `removes:      "build-arg:\x1b[2J"`)
}

func TestTheDecisionBehindARefusal(t *testing.T) {
	c, _ := choiceUnder(t, mirrorOnly+"    dispatch: forward\n")
	_, err := c.Judge(t.Context(), &pb.SourceOp{Identifier: "docker-image://evil.corp/base:1"}, nil)
	d, ok := DecisionOf(err)
	require.True(t, ok)
	require.Equal(t, "dockerfile", d.Rule, "its build rules")
	_, _, err = chooseAs(t, corpPolicy, gatewayFrontend, "", map[string]string{"source": "evil/x:1"})
	d, ok = DecisionOf(err)
	require.True(t, ok)
	require.Equal(t, policy.DefaultRule, d.Rule)
	_, ok = DecisionOf(errors.New("x"))
	require.False(t, ok)
}
