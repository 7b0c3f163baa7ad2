package gatewayopts

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
)

const self = "registry.corp/policy-frontend:v1"

func TestTheViewsOfTheOptions(t *testing.T) {
	sent := map[string]string{
		"source":                                 self,
		"target":                                 "app",
		"context:[::1]:5000/base:1::linux/amd64": "docker-image://x",
		"context:[::1]:5000/base:1":              "docker-image://y",
		"context:alpine":                         "local:alpine",
		"build-arg:POLICY_FRONTEND_POLICY":       "version: 1",
		"build-arg:POLICY_FRONTEND_TYPO":         "x",
		"build-arg:BUILDKIT_SANDBOX_HOSTNAME":    "box",
		"hostname":                               "box",
		"build-arg:BUILDKIT_MULTI_PLATFORM":      "1",
		"multi-platform":                         "true",
		"":                                       "app",
	}
	before := maps.Clone(sent)
	o := Parse(sent)
	require.Equal(t, before, sent)
	require.Equal(t, map[string]string{
		"source":                                 self,
		"target":                                 "app",
		"context:[::1]:5000/base:1::linux/amd64": "docker-image://x",
		"context:[::1]:5000/base:1":              "docker-image://y",
		"context:alpine":                         "local:alpine",
		"build-arg:BUILDKIT_SANDBOX_HOSTNAME":    "box",
		"build-arg:BUILDKIT_MULTI_PLATFORM":      "1",
		"multi-platform":                         "true",
		"":                                       "app",
	}, o.Visible())
	require.Equal(t, []string{"[::1]:5000/base:1", "alpine"}, o.NamedContexts())
	require.Equal(t, []string{"build-arg:POLICY_FRONTEND_TYPO"}, o.Unknown())
	doc, ok := o.Overlay()
	require.True(t, ok)
	require.Equal(t, "version: 1", doc)
	require.Equal(t, "app", o.Get("target"))
	require.Equal(t, self, o.SelfRef())
	ref, err := o.Self()
	require.NoError(t, err)
	require.Equal(t, self, ref.String())

	_, ok = Parse(nil).Overlay()
	require.False(t, ok)
	_, err = Parse(nil).Self()
	require.Error(t, err)
}

func TestTheInnerFrontendGetsTheOptionsThatThePolicyObliges(t *testing.T) {
	for _, tc := range []struct {
		name string
		sent map[string]string
		by   policy.Obligations
		want map[string]string
	}{
		{
			name: "as they are",
			sent: map[string]string{"target": "app"},
			want: map[string]string{"target": "app"},
		},
		{
			name: "without the policy frontend's own",
			sent: map[string]string{
				"build-arg:POLICY_FRONTEND_POLICY": "x",
				"build-arg:POLICY_FRONTEND_":       "x",
			},
			want: map[string]string{},
		},
		{
			name: "without the BUILDKIT_SYNTAX that was followed",
			sent: map[string]string{"build-arg:BUILDKIT_SYNTAX": "docker/dockerfile:1"},
			want: map[string]string{},
		},
		{
			name: "without a stripped one",
			sent: map[string]string{"target": "app", "build-arg:A": "b"},
			by:   policy.Obligations{Strip: []string{"build-arg:A"}},
			want: map[string]string{"target": "app"},
		},
		{
			name: "with a forced one",
			sent: map[string]string{"target": "app"},
			by: policy.Obligations{
				Force: map[string]string{"target": "other", "build-arg:A": "b"},
			},
			want: map[string]string{"target": "other", "build-arg:A": "b"},
		},
		{
			name: "with empty caches in place of stripped ones",
			sent: map[string]string{"cache-from": "corp/cache"},
			by:   policy.Obligations{Strip: []string{"cache-from", "cache-imports"}},
			want: map[string]string{"cache-from": "", "cache-imports": ""},
		},
		{
			name: "with a forced BUILDKIT_SYNTAX",
			sent: map[string]string{"build-arg:BUILDKIT_SYNTAX": "a"},
			by:   policy.Obligations{Force: map[string]string{"build-arg:BUILDKIT_SYNTAX": "b"}},
			want: map[string]string{"build-arg:BUILDKIT_SYNTAX": "b"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := Parse(tc.sent)
			before := maps.Clone(o.Visible())
			inner := o.Inner(tc.by)
			require.Equal(t, tc.want, inner)
			for k := range tc.sent {
				require.Equal(t, inner[k], o.InnerValue(k, tc.by), k)
			}
			for k := range tc.by.Force {
				require.Equal(t, inner[k], o.InnerValue(k, tc.by), k)
			}
			inner["other"] = "x"
			require.Equal(t, before, o.Visible(), "the map is a new one")
		})
	}
}

// A frontend may follow the BUILDKIT_SYNTAX of the frontend that runs it.
func TestANestedFrontendGetsTheSyntaxThatItsRunnerNames(t *testing.T) {
	o := Parse(map[string]string{"source": self, "build-arg:POLICY_FRONTEND_POLICY": "version: 1"})
	n := o.Nested(map[string]string{
		"source":                    "corp/other:1",
		"build-arg:BUILDKIT_SYNTAX": "corp/third:1",
	})
	require.Equal(t, "corp/third:1", n.Inner(policy.Obligations{})["build-arg:BUILDKIT_SYNTAX"])
	require.Equal(t, "corp/third:1", n.InnerValue(
		"build-arg:BUILDKIT_SYNTAX", policy.Obligations{},
	))
	require.Equal(t, self, n.SelfRef())
	require.Equal(t, "corp/other:1", n.Get("source"))
	_, ok := n.Overlay()
	require.False(t, ok)
}
