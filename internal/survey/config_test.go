package survey

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

func TestWordsOfRulesAreThingsThatTheyMatch(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, entries string
		want          []string
	}{
		{"names", "[a, b.c]", []string{"a", "b.c"}},
		{"a star", "[HTTP_*]", []string{"HTTP_x"}},
		{"ports", "[80, 53/*, 1-1023/udp, '8000-8999']", []string{"1/udp", "53/tcp", "80", "8000"}},
		{"values of labels", "{a: b, c: 'd*'}", []string{"a=b", "c=dx"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var entries any
			require.NoError(t, yaml.Unmarshal([]byte(tt.entries), &entries))
			got := literals(entries)
			slices.Sort(got)
			require.Equal(t, tt.want, got)
		})
	}
}
