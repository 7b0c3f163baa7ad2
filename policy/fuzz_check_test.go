package policy

import (
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// strictness orders verdicts: the more, the tighter.
func strictness(v Verdict) int {
	return map[Verdict]int{Allow: 1, Warn: 2, Deny: 3}[v]
}

// FuzzBuildRulesMeet: for all policies, overlays, frontends that run others, and
// operations, what both allow each allows alone; and of an image, what is read in the end
// is as the embedded policy has it. A ruling can be shown to people, and depends on
// no spelling.
func FuzzBuildRulesMeet(f *testing.F) {
	addDecideSeeds(f)
	f.Fuzz(func(t *testing.T, embedded, overlay, req []byte) {
		e, o := generateBuildPolicy(embedded, true), generateBuildPolicy(overlay, true)
		c := choices(req)
		operation := generateOperation(&c)
		if onlyOverlayHasDownloads(t, e, o) {
			return // The two can't be put on each other.
		}
		both, alone, other := decided(t, e, o), decided(t, e, ""), decided(t, o, "")
		say := fmt.Sprintf("%s\n%s\n%+v", e, o, operation)

		met := both.Check(operation)
		checkRuling(t, both, operation, met, say)
		require.Equal(t, met, both.Check(operation), say)
		require.Equal(t, met, both.Check(respell(operation)), say)
		nested := other.Within(alone).Check(operation)
		checkRuling(t, other.Within(alone), operation, nested, say)
		if operation.Image == "" {
			strictest := max(strictness(alone.Check(operation).Verdict),
				strictness(other.Check(operation).Verdict))
			require.Equal(t, strictest, strictness(met.Verdict), say)
			if operation.Frontend == "" && other.requestsHeldBy(alone) {
				require.Equal(t, strictest, strictness(nested.Verdict), say)
			}
			return
		}
		require.GreaterOrEqual(t, strictness(met.Verdict), strictness(other.Check(operation).Verdict),
			say)
		if met.Verdict == Deny {
			return
		}
		read := operation.Image
		if met.Image.Name() != "" {
			read = met.Image.String()
		}
		// It is not converted a second time, so that the same policy without
		// conversions has to take it.
		plain := decided(t, generateBuildPolicy(embedded, false), "").Check(image(read))
		require.LessOrEqual(t, strictness(plain.Verdict), strictness(met.Verdict), say)
		require.Equal(t, imageref.Reference{}, plain.Image, say)
	})
}

// onlyOverlayHasDownloads reports whether [Stack] refuses the two.
func onlyOverlayHasDownloads(t *testing.T, embedded, overlay string) bool {
	t.Helper()
	return mustParse(t, overlay).DownloadRules() != "" && mustParse(t, embedded).DownloadRules() == ""
}

func checkRuling(t *testing.T, d Decision, f buildrules.Operation, r Ruling, say string) {
	t.Helper()
	require.NotNil(t, r.Messages, say)
	require.Equal(t, r.Verdict == Allow, r.Reason == "", say)
	require.Equal(t, -1, strings.IndexFunc(r.Reason, unicode.IsControl), "%q", r.Reason)
	require.NotContains(t, r.Reason, "hunter2")
	require.LessOrEqual(t, len(r.Allowed), maxAllowed)
	if r.Verdict == Deny {
		require.Equal(t, imageref.Reference{}, r.Image, say)
	}
	if f.Image != "" && r.Image.Name() != "" {
		require.NotEqual(t, mustRef(t, f.Image), r.Image, say)
	}
	kind, err := f.Kind()
	if err != nil {
		require.Equal(t, Deny, r.Verdict, say)
		return
	}
	if !d.Restricts(kind) {
		require.Equal(t, Allow, r.Verdict, say)
	}
	if _, err := f.Normalize(kind); err == nil && !d.Enforces(kind) && d.Nesting > 0 {
		require.NotEqual(t, Deny, r.Verdict, say)
	}
}

// respell writes the same operation in another way.
func respell(f buildrules.Operation) buildrules.Operation {
	f.Image = strings.Replace(f.Image, "x.example/", "X.Example:443/", 1)
	f.Frontend = strings.Replace(f.Frontend, "x.example/", "X.Example:0443/", 1)
	if f.Git != nil {
		f.Git = &buildrules.Git{
			URL: strings.Replace(f.Git.URL, "https://x.example/", "HTTPS://hunter2@X.example.:443/", 1),
			Ref: f.Git.Ref, Checksum: f.Git.Checksum,
		}
	}
	f.Download = strings.Replace(f.Download, "https://x.example/", "HTTPS://X.Example.:443/", 1)
	if f.Exec != nil && f.Exec.Network == buildrules.NetworkDefault {
		e := *f.Exec
		e.Network = ""
		f.Exec = &e
	}
	if f.Config != nil && f.Config.User == "root" {
		c := *f.Config
		c.User, c.Target = "00:hunter2", strings.ToUpper(c.Target)
		f.Config = &c
	}
	return f
}

// generateBuildPolicy returns a policy that lets the frontend a run. The conversions
// of images can be left out.
func generateBuildPolicy(data []byte, convert bool) string {
	c := choices(data)
	var b strings.Builder
	b.WriteString("version: 1\ndefault: allow\ndispatch: mediate\n")
	c.field(&b, "mode: %s", "", "", "warn")
	c.field(&b, "limits: {nesting: %s}", "", "1")
	generateBuild(&b, &c, "", convert)
	if c.next(2) == 1 {
		b.WriteString("frontends:\n- match: [a]\n")
		c.field(&b, "  mode: %s", "", "", "warn", "enforce")
		generateBuild(&b, &c, "  ", convert)
	}
	return b.String()
}

func generateBuild(b *strings.Builder, c *choices, indent string, convert bool) {
	var kinds strings.Builder
	kind := func(format string, values ...string) {
		c.field(&kinds, indent+"  "+format, values...)
	}
	var images []string
	if v := c.of("", "", `allow: ["x.example/**"]`, `allow: [a, c/*]`, `deny: [a]`,
		`allow: ["**"], deny: ["**/b"]`); v != "" {
		images = append(images, v)
	}
	if v := c.of("", "", "requireDigest: true", `pins: {"a:1": "`+digestA+`"}`,
		`pins: {"x.example/a:1": "`+digestB+`", "c/a": "`+digestA+`"}`); v != "" {
		images = append(images, v)
	}
	if v := c.of("", "", "convert: [{from: a, to: x.example/a}]",
		`convert: [{from: "docker.io/**", to: "x.example/**"}, {from: x.example/b, to: a}]`,
		`convert: [{from: "x.example/**", to: "docker.io/c/**"}]`); v != "" {
		if !convert { // The kind stays there.
			v = "convert: [{from: nowhere/x, to: nowhere/y}]"
		}
		images = append(images, v)
	}
	if len(images) > 0 {
		fmt.Fprintf(&kinds, "%s  images: {%s}\n", indent, strings.Join(images, ", "))
	}
	kind("git: {%s}", "", `allow: ["https://x.example/**"]`,
		`deny: ["https://x.example/a"], requireCommit: true`)
	kind("http: {%s}", "", `allow: ["http://**/a"]`, "requireChecksum: true")
	kind("local: {%s}", "", `allow: ["c*"]`, "deny: [context]")
	kind("ociLayout: %s", "", "{deny: [a]}", "deny", "{allow: []}")
	kind("blob: {%s}", "", "allow: [a]")
	kind("exec: {%s}", "", "ssh: true", "insecure: true, networks: [host]",
		`secrets: ["s*"], ulimits: {core: 1}`,
		"ulimits: {core: -1}, hosts: [h], cgroupParents: [/g], devices: true",
		"deny: {networks: [host]}", "networks: [], deny: {secrets: [s1]}", "devices: [d]",
		`downloads: {allow: ["https://x.example/**"]}`, "downloads: {mode: warn, deny: [x.example]}",
		"deny: {secrets: [s1]}, downloads: deny")
	kind("frontends: {%s}", "", "allow: [a]", `deny: ["x.example/**"]`)
	kind("containers: %s", "", "allow", "deny")
	kind("others: %s", "", "", "allow", "deny")
	kind("config: {%s}", "", "user: {forbid: [root]}", `user: {require: ["0", app]}`,
		`labels: {require: ["l*"]}, env: {forbid: ["E*"]}`,
		`labels: {values: {l1: "*x"}}, ports: {forbid: [80-90/udp]}`,
		"ports: {forbid: [80]}, volumes: {require: [/v]}",
		"targets: [t, R*], user: {forbid: [root]}", "results: runnable, env: {forbid: [E]}",
		`exceptTargets: ["*x"], user: {require: [app]}, sets: [{user: {require: ["a*"]}}]`,
		"sets: [{targets: [T], results: runnable, labels: {require: [l1]}}, {ports: {forbid: [80]}}]")
	if kinds.Len() > 0 {
		fmt.Fprintf(b, "%sbuild:\n%s", indent, kinds.String())
	}
}

func generateOperation(c *choices) buildrules.Operation {
	name := func() string {
		return c.of("docker.io/library/a", "docker.io/library/b", "docker.io/c/a", "x.example/a",
			"x.example/b") + c.of("", ":1", "@"+digestA, ":1@"+digestB)
	}
	process := func() *buildrules.Exec {
		f := &buildrules.Exec{
			Network:  c.of(buildrules.NetworkDefault, buildrules.NetworkNone, buildrules.NetworkHost),
			Insecure: c.next(3) == 1, CgroupParent: c.of("", "", "/g", "/h"),
		}
		if c.next(3) == 1 {
			f.SSH, f.Devices = []string{"default"}, []string{"d"}
		}
		if c.next(3) == 1 {
			f.Secrets, f.Hosts = []string{c.of("s1", "t")}, []string{c.of("H.", "i")}
		}
		if c.next(3) == 1 {
			f.Ulimits = map[string]int{c.of("core", "nofile"): c.next(4) - 1}
		}
		return f
	}
	switch c.next(13) {
	case 0, 1:
		return buildrules.Operation{Image: name()}
	case 2:
		return buildrules.Operation{
			Git: &buildrules.Git{
				URL: c.of("https://x.example/a", "https://me:hunter2@x.example/b.git", "ssh://x.example/a",
					"git@x.example:a", "https://x.example/b/../a", "https://x.example/b%2Fa"), Ref: c.of("", commit),
				Checksum: c.of("", commit, "0123"),
			},
		}
	case 3:
		return buildrules.Operation{
			HTTP: &buildrules.HTTP{
				URL: c.of("http://x.example/a?hunter2", "https://x.example/a",
					"http://hunter2@x.example/b"),
				Checksum: c.of("", digestA),
			},
		}
	case 4:
		return buildrules.Operation{Local: c.of("context", "c", "dockerfile\x1b")}
	case 5:
		return buildrules.Operation{OCILayout: name()}
	case 6:
		return buildrules.Operation{Blob: name()}
	case 7:
		return buildrules.Operation{Exec: process()}
	case 8:
		return buildrules.Operation{Container: process()}
	case 9:
		return buildrules.Operation{Frontend: name()}
	case 10:
		return buildrules.Operation{
			Config: &buildrules.Config{
				User:   c.of("", "root", "app:g", "1", "4294967296"),
				Labels: map[string]string{c.of("l1", "m"): c.of("", "x")},
				Env:    []string{c.of("E", "F=1")},
				Ports:  []string{c.of("80", "81/udp")}, Volumes: []string{c.of("/v/", "w")},
				Target: c.of("", "t", "rx", "0", "Tx"), Cmd: [][]string{nil, {"sh"}}[c.next(2)],
			},
		}
	}
	if c.next(2) == 1 {
		return buildrules.Operation{
			Download: c.of("https://x.example/a", "https://me:hunter2@x.example/b?hunter2",
				"http://x.example/a", "https://y.example/x.example/..", "http://0177.0.0.1/"),
		}
	}
	return buildrules.Operation{Unknown: c.of("an operation\nof an unknown type", "a BuildOp")}
}
