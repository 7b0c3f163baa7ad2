package diff

import (
	"fmt"
	"strings"
	"testing"

	"github.com/policy-frontend/policy-frontend/policy"
)

// BenchmarkCompare compares large policies that differ in one place.
func BenchmarkCompare(b *testing.B) {
	list := func(n int, rule string) string {
		var out strings.Builder
		for i := range n {
			out.WriteString(strings.ReplaceAll(rule, "N", fmt.Sprint(i)) + "\n")
		}
		return out.String()
	}
	const names = "- {name: rN, match: [\"rN.example/team/**\", \"corp.example/aN\"], tags: [\"1.*\", latest]}"
	plain := head + list(3000, names)
	odd := head + list(500, "- {name: rN, match: [\"**/aN/**/*b*\"], tags: [\"*N*\"]}")
	bad := head + list(300, "- {name: dN, match: [\"**/badN\"], action: deny}") +
		list(300, "- {name: rN, match: [\"rN.example/**\"], versions: \">=1.N\"}")
	first := strings.Replace(plain, "- {name: r0,", "- {name: r0, action: deny,", 1)
	moved := head + strings.TrimPrefix(plain, head+strings.ReplaceAll(names, "N", "0")+"\n") +
		strings.ReplaceAll(names, "N", "0") + "\n"
	images := func(extra string) string {
		return "build: {images: [" + strings.ReplaceAll(
			list(3000, "{match: [\"rN.example/**\"], versions: \">=1.2\"},")+extra, "\n", "") + "]}\n" +
			head + "- {name: a, match: [a]}\n"
	}
	for _, bm := range []struct{ name, before, after string }{
		{"the same", plain, plain},
		{"a rule of 3000", plain, first},
		{"a rule of 3000 moved", plain, moved},
		{"the default of 3000 rules", plain, "default: allow\n" + plain},
		{"the build rules of 3000 rules", plain, "build: {http: {deny: [x.example]}}\n" + plain},
		{"an odd rule of 500", odd, strings.Replace(odd, "*7*", "*8*", 1)},
		{"a denial of every host less of 300", bad, strings.Replace(bad, "**/bad7\"", "**/bad8\"", 1)},
		{"a rule on images of 3000", images("{match: [x]}"), images("{match: [y]}")},
	} {
		b.Run(bm.name, func(b *testing.B) {
			before, err := policy.Parse("a", []byte(bm.before))
			if err != nil {
				b.Fatal(err)
			}
			after, err := policy.Parse("b", []byte(bm.after))
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				r := Compare(before, after, now())
				b.ReportMetric(float64(r.Requests), "requests")
				b.ReportMetric(map[bool]float64{true: 1}[r.Complete], "complete")
			}
		})
	}
}
