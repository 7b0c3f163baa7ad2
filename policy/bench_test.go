package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// manyRules is a policy of n rules. Only the last one is for docker/dockerfile. Each has the
// conditions that rules commonly have.
func manyRules(n int) []byte {
	var b strings.Builder
	b.WriteString("version: 1\nid: big\nfrontends:\n")
	for i := range n - 1 {
		switch i % 4 {
		case 0:
			fmt.Fprintf(&b,
				"  - name: team-%d\n    match: [\"corp.example/team-%d/**\"]\n    tags: [\"1.*\"]\n", i, i)
		case 1:
			fmt.Fprintf(&b,
				"  - name: team-%d\n    match: [\"corp.example/team-%d\"]\n    versions: \">=1.%d.0 <2.0.0\"\n",
				i, i, i%20)
		case 2:
			fmt.Fprintf(&b,
				"  - name: team-%d\n    match: [\"corp.example/team-%d/*\"]\n    requireDigest: true\n", i, i)
		case 3:
			fmt.Fprintf(&b,
				"  - name: team-%d\n    match: [\"corp.example/team-%d/old-*\"]\n    action: deny\n", i, i)
		}
	}
	b.WriteString("  - name: last\n    match: [docker/dockerfile]\n")
	return []byte(b.String())
}

// manyImageRules is [manyRules] on images. It has one rule on frontends.
func manyImageRules(n int) []byte {
	return []byte(strings.Replace(string(manyRules(n)), "frontends:\n",
		"frontends: [{name: a, match: [a]}]\nbuild:\n  images:\n", 1))
}

func BenchmarkParse1000(b *testing.B)  { benchmarkParse(b, manyRules(1000)) }
func BenchmarkParse10000(b *testing.B) { benchmarkParse(b, manyRules(10_000)) }

// BenchmarkParseImageRules10000 parses a policy with many rules on images.
func BenchmarkParseImageRules10000(b *testing.B) { benchmarkParse(b, manyImageRules(10_000)) }

func benchmarkParse(b *testing.B, data []byte) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		_, err := Parse("policy.yaml", data)
		require.NoError(b, err)
	}
}

func BenchmarkDecide1000(b *testing.B)  { benchmarkDecide(b, 1000) }
func BenchmarkDecide10000(b *testing.B) { benchmarkDecide(b, 10_000) }

func benchmarkDecide(b *testing.B, rules int) {
	b.Helper()
	l := mustStack(b, string(manyRules(rules)), "")
	for _, bm := range []struct {
		name, ref string
		verdict   Verdict
	}{
		{"allow", "docker/dockerfile:1", Allow},
		{"deny by default", "corp.example/team-x/frontend:1", Deny},
		{"deny a typo", "docker/dockerfle:1", Deny},
		{"deny by a rule", "corp.example/team-43/old-x:1", Deny},
	} {
		r := request(b, bm.ref)
		r.Options = map[string]string{"filename": "Dockerfile", "build-arg:A": "1"}
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				require.Equal(b, bm.verdict, Decide(l, r).Verdict)
			}
		})
	}
}

// BenchmarkParseAndDecide100 is what a build waits for under a policy of common size.
func BenchmarkParseAndDecide100(b *testing.B) {
	data := manyRules(100)
	r := request(b, "docker/dockerfile:1")
	for b.Loop() {
		p, err := Parse("policy.yaml", data)
		require.NoError(b, err)
		l, err := Stack(p, nil)
		require.NoError(b, err)
		require.Equal(b, Allow, Decide(l, r).Verdict)
	}
}

// BenchmarkCheckImageRules10000 checks an image under a policy with many rules on images.
func BenchmarkCheckImageRules10000(b *testing.B) {
	d := Decide(mustStack(b, string(manyImageRules(10_000)), ""), request(b, "a"))
	for _, bm := range []struct {
		name, image string
		verdict     Verdict
	}{
		{"allow", "docker/dockerfile:1", Allow},
		{"deny what no rule is for", "corp.example/team-x/frontend:1", Deny},
		{"deny by a rule", "corp.example/team-43/old-x:1", Deny},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				require.Equal(b, bm.verdict, d.Check(buildrules.Operation{Image: bm.image}).Verdict)
			}
		})
	}
}

// BenchmarkCheck10000 checks what a large build asks for: images that differ, and
// commands with secrets.
func BenchmarkCheck10000(b *testing.B) {
	const rules = `build: {images: {allow: ["mirror.example/**", "quay.example/**"], deny: ["**/scratchpad"], pins: {"mirror.example/base:1": "` + digestA + `"}, convert: [{from: "docker.io/library/**", to: "mirror.example/**"}]}, exec: {secrets: ["npm-*", "token"], hosts: ["*.corp.example"]}}`
	const embedded, overlay = "version: 1\nfrontends: [{match: [a], " + rules + "}]\n",
		"version: 1\ndefault: allow\nbuild: {images: {deny: [\"**/old-*\"]}}\n"
	operations := make([]buildrules.Operation, 10_000)
	for i := range operations {
		switch i % 4 {
		case 0:
			operations[i].Image = fmt.Sprintf("mirror.example/team-%d/app:1.%d@%s", i, i, digestA)
		case 1:
			operations[i].Image = fmt.Sprintf("docker.io/library/base-%d:1", i)
		case 2:
			operations[i].Exec = &buildrules.Exec{
				Network: buildrules.NetworkNone,
				Secrets: []string{"npm-read", "token"},
			}
		case 3:
			operations[i].Exec = &buildrules.Exec{Hosts: []string{"Git.corp.example"}}
		}
	}
	for _, bm := range []struct{ name, overlay string }{
		{"a policy", ""},
		{"with an overlay", overlay},
	} {
		d := Decide(mustStack(b, embedded, bm.overlay), request(b, "a"))
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for _, f := range operations {
					if r := d.Check(f); r.Verdict != Allow {
						b.Fatal(r.Reason)
					}
				}
			}
		})
	}
}

// A guard does it for each build under a policy that names clients.
func BenchmarkRulesDigest(b *testing.B) {
	p, err := Parse("p.yaml", manyRules(10_000))
	require.NoError(b, err)
	l, err := Stack(p, nil)
	require.NoError(b, err)
	for b.Loop() {
		l.RulesDigest(Decision{}, time.Time{})
	}
}
