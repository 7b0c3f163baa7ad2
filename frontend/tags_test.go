package frontend

import (
	"errors"
	"strings"
	"testing"

	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/sourcepolicy"
	digest "github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

const golangRules = `version: 1
frontends:
  - name: dockerfile
    match: ["docker/dockerfile"]
    build:
      images: [{name: go, match: ["m.corp/golang"], versions: ">=1.22"}, {match: ["m.corp/any"]}]
`

const golang122 = "docker-image://m.corp/golang:1.22"

func TestTagsOfImagesAreLookedUp(t *testing.T) {
	t.Parallel()
	const one = digestOne
	two := digest.Digest("sha256:" + strings.Repeat("2", 64))
	for name, tt := range map[string]struct {
		id      string
		points  digest.Digest
		broken  error
		looksUp bool
		refused string
	}{
		"a tag that points to the digest": {
			id: golang122 + "@" + one.String(), points: one, looksUp: true,
		},
		"a tag that points elsewhere": {
			id: golang122 + "@" + one.String(), points: two, looksUp: true,
			refused: "that tag points to " + two.String(),
		},
		"a tag that can't be looked up": {
			id: golang122 + "@" + one.String(), broken: errors.New("no network"), looksUp: true,
			refused: "whose tag can't be looked up: no network",
		},
		"a tag alone":                {id: golang122},
		"a digest that needs no tag": {id: "docker-image://m.corp/any:1@" + one.String()},
		"an image that is refused anyway": {
			id: "docker-image://evil.corp/a:1@" + one.String(), refused: "it allows only",
		},
		"a version that is refused anyway": {
			id: "docker-image://m.corp/golang:1.2.0@" + one.String(), refused: "not 1.2.0",
		},
		"a digest without a tag is refused": {
			id: "docker-image://m.corp/golang@" + one.String(), refused: "the reference has none",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newFake(t, "", nil)
			c.tags, c.broken = map[string]digest.Digest{"m.corp/golang:1.22": tt.points}, tt.broken
			m := monitorOf(t, c, golangRules)
			for range 2 {
				_, err := m.source(t.Context(), &pb.SourceOp{Identifier: tt.id})
				if tt.refused == "" {
					require.NoError(t, err)
				} else {
					require.ErrorContains(t, err, tt.refused)
				}
			}
			want := []string(nil)
			if tt.looksUp {
				want = []string{golang122}
			}
			if tt.broken == nil {
				require.Equal(t, want, c.resolved, "once in a build")
			}
		})
	}
}

func TestAnOldDaemonCantLookUpTags(t *testing.T) {
	t.Parallel()
	c := newFake(t, "", nil)
	c.oldDaemon = true
	_, err := monitorOf(t, c, golangRules).source(t.Context(),
		&pb.SourceOp{Identifier: golang122 + "@" + digestOne.String()})
	require.ErrorContains(t, err, "whose tag can't be looked up")
	require.Empty(t, c.resolved)
}

// A client's source policy may pin a digest where only the name counts, and not where a rule
// depends on the tag: the digest could be that of another tag.
func TestNoDigestIsAddedToATagThatWasChecked(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{golang122: false, "docker-image://m.corp/any:1": true} {
		guard, err := monitorOf(t, newFake(t, "", nil), golangRules).source(t.Context(),
			&pb.SourceOp{Identifier: id})
		require.NoError(t, err)
		_, err = sourcepolicy.NewEngine(guard).Evaluate(t.Context(), &pb.SourceOp{Identifier: id})
		require.NoError(t, err)
		_, err = sourcepolicy.NewEngine(guard).Evaluate(t.Context(),
			&pb.SourceOp{Identifier: id + "@" + digestOne.String()})
		require.Equal(t, want, err == nil, id)
	}
}
