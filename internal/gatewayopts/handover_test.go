package gatewayopts

import (
	"strings"
	"testing"
	"unicode/utf8"

	digest "github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
)

const (
	digestKey = "build-arg:POLICY_FRONTEND_GUARD_DIGEST"
	pieceKey  = "build-arg:POLICY_FRONTEND_GUARD_PIECE_"
)

func handOver(text string) HandOver {
	return HandOver{
		Policy: "policy.yaml", Files: map[string]string{"policy.yaml": text, "more/rules.yaml": "x"},
		Frontend: "docker.io/docker/dockerfile:1", CacheMounts: "ns",
	}
}

func TestABuildIsHandedOverWhole(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"a short policy":                  "version: 1\n",
		"one of several pieces":           strings.Repeat("a policy <&>\n", 50_000),
		"one of characters of many bytes": strings.Repeat("ü€𝄞", 50_000),
		"one with a NUL":                  "a\x00b",
	} {
		sent := handOver(text)
		opts, err := sent.Options()
		require.NoError(t, err, name)
		for key, value := range opts {
			require.True(t, Writable(key, value), name)
			require.LessOrEqual(t, len(value), 100<<10, name)
			require.True(t, utf8.ValidString(value), name)
		}
		got, err := Parse(opts).HandOver()
		require.NoError(t, err, name)
		require.Equal(t, &sent, got, name)
	}
	none, err := Parse(map[string]string{"target": "x"}).HandOver()
	require.NoError(t, err)
	require.Nil(t, none)
}

func TestWhatCannotBeHandedOver(t *testing.T) {
	t.Parallel()
	_, err := handOver("\xff").Options()
	require.ErrorContains(t, err, "isn't UTF-8 text")
	_, err = handOver(strings.Repeat("x", MaxHandOver)).Options()
	require.ErrorContains(t, err, "at most 1572864")
	opts, err := handOver(strings.Repeat("x", MaxHandOver-1000)).Options()
	require.NoError(t, err)
	require.NoError(t, Startable(opts))
	for _, key := range []string{"a", "b", "c"} {
		opts[key] = strings.Repeat("x", 96<<10)
	}
	require.ErrorContains(t, Startable(opts), "at most 1835008")
}

func TestAForgedHandOverIsRefused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a policy\n", 15_000)
	with := func(pairs ...string) func(map[string]string) {
		return func(opts map[string]string) {
			for i := 0; i < len(pairs); i += 2 {
				opts[pairs[i]] = pairs[i+1]
			}
		}
	}
	whole := func(doc string) func(map[string]string) {
		return func(opts map[string]string) {
			clear(opts)
			opts[digestKey], opts[pieceKey+"0"] = digest.FromString(doc).String(), doc
		}
	}
	for name, tc := range map[string]struct {
		forge func(map[string]string)
		why   string
	}{
		"a changed piece": {with(pieceKey+"1", "other"), "its digest is wrong"},
		"a missing piece": {
			func(opts map[string]string) { delete(opts, pieceKey+"1") }, "its digest is wrong",
		},
		"a missing first piece": {
			func(opts map[string]string) { delete(opts, pieceKey+"0") }, "the piece 0 of 1 is missing",
		},
		"a further piece":             {with(pieceKey+"2", "x"), "its digest is wrong"},
		"a piece with another number": {with(pieceKey+"02", ""), "the piece 2 of 3 is missing"},
		"a piece in another case": {
			with("build-arg:policy_frontend_guard_piece_2", ""), "the piece 2 of 3 is missing",
		},
		"another digest": {
			with(digestKey, digest.FromString("x").String()), "its digest is wrong",
		},
		"no digest": {
			func(opts map[string]string) { delete(opts, digestKey) }, "its digest is wrong",
		},
		"an empty document":       {whole(""), "can't be read"},
		"an unknown field":        {whole(`{"policy": "x", "more": 1}`), "unknown field"},
		"something after it":      {whole(`{} {}`), "something follows it"},
		"something that is wrong": {whole(`[]`), "can't be read"},
	} {
		opts, err := handOver(long).Options()
		require.NoError(t, err)
		tc.forge(opts)
		got, err := Parse(opts).HandOver()
		require.ErrorContains(t, err, tc.why, name)
		require.Nil(t, got, name)
	}
}

func TestWhatIsHandedOverReachesNoRuleAndNoFrontend(t *testing.T) {
	t.Parallel()
	opts, err := handOver("x").Options()
	require.NoError(t, err)
	opts["target"] = "app"
	o := Parse(opts)
	require.Equal(t, map[string]string{"target": "app"}, o.Visible())
	require.Empty(t, o.Unknown())
	require.Equal(t, map[string]string{"target": "app"}, o.Inner(policy.Obligations{}))
	nested := o.Nested(opts)
	require.Equal(t, map[string]string{"target": "app"}, nested.Inner(policy.Obligations{}))

	o = o.WithCacheMounts("theirs")
	by := policy.Obligations{
		Strip: []string{"build-arg:BUILDKIT_CACHE_MOUNT_NS"},
		Force: map[string]string{"build-arg:BUILDKIT_CACHE_MOUNT_NS": "mine"},
	}
	require.Equal(t, map[string]string{
		"target": "app", "build-arg:BUILDKIT_CACHE_MOUNT_NS": "theirs",
	}, o.Inner(by))
	require.Equal(t, map[string]string{"target": "app"}, o.Visible())
}
