package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// thousand is a policy of 1,000 rules none of which but the last matches.
func thousand() []byte {
	var b strings.Builder
	b.WriteString("version: 1\nid: big\nfrontends:\n")
	for i := range 999 {
		fmt.Fprintf(&b, "  - name: team-%d\n    match: [\"corp.example/team-%d/**\"]\n    tags: [\"1.*\", \"2.*\"]\n    message: ask team %d\n", i, i, i)
	}
	b.WriteString("  - name: last\n    match: [docker/dockerfile]\n")
	return []byte(b.String())
}

func BenchmarkParse1000(b *testing.B) {
	data := thousand()
	b.ReportAllocs()
	for b.Loop() {
		_, err := Parse("policy.yaml", data)
		require.NoError(b, err)
	}
}

func BenchmarkDecide1000(b *testing.B) {
	l := mustStack(b, string(thousand()), "")
	for _, bm := range []struct {
		name, ref string
		verdict   Verdict
	}{
		{"allow", "docker/dockerfile:1", Allow},
		{"deny", "corp.example/team-x/frontend:1", Deny},
	} {
		r := request(b, bm.ref)
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				require.Equal(b, bm.verdict, Decide(l, r).Verdict)
			}
		})
	}
}
