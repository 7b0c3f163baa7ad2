package frontend

import (
	"io"
	"strings"
	"testing"
	"time"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

const dockerfileNote = "dockerfile.v0 is the daemon's own Dockerfile frontend, and stands for "

// Honest frontends, such as dalec, ask the daemon's Dockerfile frontend for a Dockerfile without a
// syntax line.
func TestANestedDockerfileV0IsJudgedAsAnImage(t *testing.T) {
	t.Parallel()
	with := func(line string) string {
		return strings.Replace(mediated, "build:\n", line+"\nbuild:\n", 1)
	}
	for name, tc := range map[string]struct{ doc, reason, note string }{
		"a deny rule": {
			mediated + "  - {name: no, match: [docker/dockerfile], tags: [\"1\"], action: deny}\n",
			`frontend dockerfile.v0 is refused: rule "no" denies docker/dockerfile:1`,
			dockerfileNote + "docker/dockerfile:1 here: name another one by a # syntax line in that " +
				"Dockerfile, or have a rule allow this one",
		},
		"a list of nested frontends": {
			strings.Replace(mediated, "build:\n", "build:\n  frontends: {allow: [tools.corp/x]}\n", 1),
			"refuses the frontend docker/dockerfile:1: it allows only tools.corp/x (build.frontends.allow)",
			dockerfileNote + "docker/dockerfile:1",
		},
		"a default that no rule allows": {
			with("defaultFrontend: tools.corp/x:1"),
			"frontend dockerfile.v0 is refused: no rule allows tools.corp/x:1",
			dockerfileNote + "tools.corp/x:1",
		},
		"a default that is no reference of an image": {
			with("defaultFrontend: docker/dockerfile:none"), "its image can't be read",
			dockerfileNote + "docker/dockerfile:none",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveBroker(t, mediated) // which allows the frontend that asks
			s.broker.build.layers = monitorLayers(t, tc.doc)
			m := monitorOf(t, newFake(t, "", nil), mediated)
			if strings.Contains(tc.reason, "build.frontends") {
				m = monitorOf(t, newFake(t, "", nil), tc.doc)
			}
			s.broker.monitor = m
			_, err := s.Solve(t.Context(), &gwpb.SolveRequest{Frontend: "dockerfile.v0"})
			require.ErrorContains(t, err, tc.reason)
			require.ErrorContains(t, err, tc.note)
			require.Empty(t, s.daemon.passed)
		})
	}
}

func TestANestedDockerfileV0CountsAsNested(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, mediated)
	s.broker.monitor.inner.decision.Nesting = 0
	_, err := s.Solve(t.Context(), &gwpb.SolveRequest{Frontend: "dockerfile.v0"})
	s.requireRefused(t, err, "limits.nesting")
}

func TestANestedDockerfileV0RunsAsItsRuleSays(t *testing.T) {
	t.Parallel()
	ask := &gwpb.SolveRequest{Frontend: "dockerfile.v0", FrontendOpt: map[string]string{
		"source": "tools.corp/the-one-that-asks:1", "filename": "Dockerfile",
	}}
	t.Run("as an image", func(t *testing.T) {
		t.Parallel()
		s := serveBroker(t, mediated)
		s.broker.build.deadline, s.broker.build.log = time.Now().Add(time.Hour), io.Discard
		s.broker.build.client.(*fakeClient).tags = map[string]digest.Digest{
			"docker.io/docker/dockerfile:1": digestOne,
		}
		_, err := s.Solve(t.Context(), ask)
		require.ErrorContains(t, err, "the fake daemon has no streams")
		require.NoError(t, s.broker.monitor.refused())
		var loaded []string
		for _, p := range s.daemon.passed {
			for _, dt := range p.(*gwpb.SolveRequest).GetDefinition().GetDef() {
				var op pb.Op
				require.NoError(t, op.UnmarshalVT(dt))
				if src := op.GetSource(); src != nil {
					loaded = append(loaded, src.Identifier)
				}
			}
			if len(loaded) > 0 {
				break
			}
		}
		want := "docker-image://docker.io/docker/dockerfile:1@" + digestOne.String()
		require.Equal(t, []string{want}, loaded)
	})
	t.Run("built in", func(t *testing.T) {
		t.Parallel()
		s := serveBroker(t, mediated)
		s.broker.build.deadline = time.Now().Add(time.Hour)
		s.broker.build.layers = monitorLayers(t, strings.Replace(mediated, "mediate", "builtin", 1))
		_, err := s.Solve(t.Context(), ask)
		require.ErrorContains(t, err, "unknown instruction: data", "it reads what the daemon has")
	})
}

func TestDockerfileV0OfAClientStandsForTheSame(t *testing.T) {
	t.Parallel()
	const value = selfRef + " dockerfile.v0"
	for name, opts := range map[string]map[string]string{
		"by buildx":   {"cmdline": value, "build-arg:BUILDKIT_SYNTAX": value},
		"by buildctl": {"cmdline": value},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newFake(t, "FROM scratch\n", opts)
			_, err := run(t, c, corpPolicy)
			require.NoError(t, err)
			require.Len(t, c.solved, 1)
			require.Equal(t, "docker/dockerfile:1", c.solved[0].FrontendOpt["cmdline"])

			other := strings.Replace(corpPolicy, "docker/dockerfile", "x.corp/y", 1)
			_, err = run(t, newFake(t, "", opts), other)
			requireDenial(t, err, "default: no rule allows docker/dockerfile:1")
			require.ErrorContains(t, err, "frontend dockerfile.v0 is refused: ")
			require.ErrorContains(t, err, dockerfileNote+"docker/dockerfile:1 here")
		})
	}
}
