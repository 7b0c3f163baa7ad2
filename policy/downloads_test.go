package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// onDownloads is a policy that allows every frontend, with these rules on what commands download.
func onDownloads(rules string) string {
	return "default: allow\ndispatch: mediate\nbuild: {exec: {downloads: " + rules + "}}"
}

// decideOn returns the decision of the layers on a frontend.
func decideOn(t *testing.T, l Layers, frontend string) Decision {
	t.Helper()
	d := Decide(l, Request{Requested: frontend, Reference: refs(t, frontend)[0]})
	require.True(t, d.Verdict.Permits(), d.Reason)
	return d
}

func TestEachRequestOfACommandIsJudged(t *testing.T) {
	t.Parallel()
	const rules = `{allow: [deb.example, "http://deb.example", "*.cdn.example/pool/**", "[2001:db8::7]"],` +
		` deny: [deb.example/private]}`
	for name, tc := range map[string]struct {
		rules string // "" for those above
		url   string
		want  string // the reason, "" if it is allowed
		warns bool
	}{
		"a host":                 {url: "https://deb.example/dists/x"},
		"a host without a path":  {url: "https://deb.example"},
		"by plain http":          {url: "http://deb.example/dists/x"},
		"by the scheme's port":   {url: "https://deb.example:443/a"},
		"a host in upper case":   {url: "HTTPS://DEB.example/a"},
		"a host with a dot":      {url: "https://deb.example./a"},
		"a user that isn't told": {url: "https://user:xxxxx@deb.example/a"},
		"a query":                {url: "https://deb.example/a?b=/../c"},
		"a label for a star":     {url: "https://a.cdn.example/pool/x"},
		"an IPv6 address":        {url: "https://[2001:DB8:0::7]/a"},
		"another host": {
			url: "https://evil.example/a",
			want: "the policy refuses a command's request for https://evil.example/a: it allows only " +
				"https://deb.example/**, http://deb.example/**, https://*.cdn.example/pool/** and others " +
				"(build.exec.downloads.allow)",
		},
		"a host behind a user": {
			url:  "https://deb.example@evil.example/a",
			want: "the policy refuses a command's request for https://evil.example/a: ",
		},
		"another port": {
			url:  "https://deb.example:8443/a",
			want: "the policy refuses a command's request for https://deb.example:8443/a: ",
		},
		"a path that is denied": {
			url: "https://deb.example/private/x?token=secret",
			want: "the policy refuses a command's request for https://deb.example/private/x?… " +
				"(build.exec.downloads.deny: deb.example/private)",
		},
		"a path that is denied, in another way": {
			url: "https://deb.example/a/..%2FPRIVATE/x",
			want: "the policy refuses a command's request for https://deb.example/a/..%2FPRIVATE/x, " +
				"which can be read as https://deb.example/PRIVATE/x (build.exec.downloads.deny: " +
				"deb.example/private)",
		},
		"a host in another script": {
			url:  "https://xn--db-mia.example/a",
			want: "the policy refuses a command's request for https://xn--db-mia.example/a: ",
		},
		"an address in two readings": {
			url:  "http://0177.0.0.1/a",
			want: "it asks for a command's request that can't be checked: ",
		},
		"another scheme": {
			url: "ftp://deb.example/a", want: "it asks for a command's request that can't be checked: ",
		},
		"no URL": {
			url: "deb.example", want: "it asks for a command's request that can't be checked: ",
		},
		"a line break": {
			url:  "https://deb.example/a\nb",
			want: "it asks for a command's request that can't be checked: ",
		},
		"a URL that is too long": {
			url:  "https://deb.example/" + strings.Repeat("a", 9<<10),
			want: "it asks for a command's request that can't be checked: ",
		},
		"anything under deny": {
			rules: "deny", url: "https://deb.example/a",
			want: "the policy refuses a command's request for https://deb.example/a: exec.downloads is " +
				"denied (build.exec.downloads)",
		},
		"anything under an empty list": {
			rules: "{allow: []}", url: "https://deb.example/a",
			want: "the policy refuses a command's request for https://deb.example/a: it allows none " +
				"(build.exec.downloads.allow)",
		},
		"what isn't denied":     {rules: "{deny: [evil.example]}", url: "https://deb.example/a"},
		"anything by two stars": {rules: `{allow: ["**"]}`, url: "http://203.0.113.7:8080/a"},
		"what only warns": {
			rules: "{mode: warn, allow: [deb.example]}", url: "https://evil.example/a", warns: true,
			want: "the policy refuses a command's request for https://evil.example/a: ",
		},
		"what can't be checked where rules only warn": {
			rules: "{mode: warn, allow: [deb.example]}", url: "http://0177.0.0.1/a",
			want: "it asks for a command's request that can't be checked: ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.rules == "" {
				tc.rules = rules
			}
			d := decideOn(t, stackOf(t, onDownloads(tc.rules), ""), "a")
			r := d.Check(buildrules.Operation{Download: tc.url})
			switch {
			case tc.want == "":
				require.Equal(t, Allow, r.Verdict, r.Reason)
			case tc.warns:
				require.Equal(t, Warn, r.Verdict)
				require.Contains(t, r.Reason, "would be refused")
			case strings.HasSuffix(tc.want, ": "):
				require.Equal(t, Deny, r.Verdict)
				require.Contains(t, r.Reason, tc.want)
			default:
				require.Equal(t, Deny, r.Verdict)
				require.Equal(t, tc.want, r.Reason)
			}
		})
	}
}

func TestARefusedRequestNamesItsRule(t *testing.T) {
	t.Parallel()
	l := stackOf(t, `contact: "#ops"
dispatch: mediate
frontends:
- name: apps
  match: [a]
  message: see the wiki
  build: {exec: {downloads: {allow: [deb.example]}}}
- {name: free, match: [b]}`, "")
	o := buildrules.Operation{Download: "https://evil.example/a"}
	require.Equal(t, Ruling{
		Verdict: Deny, Rule: "apps", Layer: LayerPolicy, Messages: []string{"see the wiki"},
		Contact: "#ops", Allowed: []string{"https://deb.example/**"},
		Reason: `rule "apps" refuses a command's request for https://evil.example/a: it allows only ` +
			"https://deb.example/** (build.exec.downloads.allow)",
	}, decideOn(t, l, "a").Check(o))
	require.True(t, l.HasDownloads())
	require.Equal(t, Allow, decideOn(t, l, "b").Check(o).Verdict, "a rule without downloads")
}

// Rules on downloads restrict nothing else, and rules on what commands use restrict no download.
func TestDownloadsAreAKindOfTheirOwn(t *testing.T) {
	t.Parallel()
	request := buildrules.Operation{Download: "https://evil.example/a"}
	secret := buildrules.Operation{Exec: &buildrules.Exec{Secrets: []string{"s"}, Network: "host"}}
	container := buildrules.Operation{Container: secret.Exec}
	for name, tc := range map[string]struct {
		policy, rule string // exec of the whole policy, and of the rule
		request      Verdict
		secret       Verdict
	}{
		"downloads alone": {policy: "{downloads: {allow: [a.example]}}", request: Deny, secret: Allow},
		"uses alone":      {policy: "{secrets: [x]}", request: Allow, secret: Deny},
		"both":            {policy: "{secrets: [x], downloads: {allow: [a.example]}}", request: Deny, secret: Deny},
		"insecure: false beside downloads, which says that commands use nothing": {
			policy: "{insecure: false, downloads: {allow: [a.example]}}", request: Deny, secret: Deny,
		},
		"denied uses beside downloads": {
			policy: "{deny: {devices: true}, downloads: {allow: [a.example]}}", request: Deny, secret: Allow,
		},
		"downloads of a rule under uses of the policy": {
			policy: "{secrets: [s], networks: [host]}", rule: "{downloads: {allow: [a.example]}}",
			request: Deny, secret: Allow,
		},
		"uses of a rule under downloads of the policy": {
			policy: "{downloads: {allow: [a.example]}}", rule: "{secrets: [x]}",
			request: Deny, secret: Deny,
		},
		"a mode of uses, which isn't that of downloads": {
			policy: "{mode: warn, secrets: [x], downloads: {allow: [a.example]}}", request: Deny,
			secret: Warn,
		},
		"a mode of uses above a rule on downloads": {
			policy: "{mode: warn, secrets: [x]}", rule: "{downloads: {allow: [a.example]}}", request: Deny,
			secret: Warn,
		},
		"a mode of downloads, which isn't that of uses": {
			policy: "{secrets: [x], downloads: {mode: warn, allow: [a.example]}}", request: Warn,
			secret: Deny,
		},
		"commands that are denied above a rule on downloads": {
			policy: "deny", rule: "{downloads: {allow: [evil.example]}}", request: Allow, secret: Deny,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			doc := "dispatch: mediate\nbuild: {containers: allow, exec: " + tc.policy + "}\n" +
				"frontends:\n- match: [a]\n"
			if tc.rule != "" {
				doc += "  build: {exec: " + tc.rule + "}\n"
			}
			d := decideOn(t, stackOf(t, doc, ""), "a")
			require.Equal(t, tc.request, d.Check(request).Verdict)
			require.Equal(t, tc.secret, d.Check(secret).Verdict)
			require.Equal(t, tc.secret, d.Check(container).Verdict, "rules on commands are for containers")
		})
	}
}

func TestDownloadsOfARuleAndOfThePolicy(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		policy, rule string
		allowed      string // hosts among a, b, c and d
		warned       string
	}{
		"an allow replaces the policy's": {
			policy: "{allow: [a.example]}", rule: "{allow: [b.example]}", allowed: "b",
		},
		"without one, the policy's stays": {
			policy: "{allow: [a.example, b.example]}", rule: "{deny: [b.example]}", allowed: "a",
		},
		"what is denied adds up": {
			policy: "{deny: [a.example]}", rule: "{deny: [b.example]}", allowed: "cd",
		},
		"a rule can't take back what the policy denies": {
			policy: "{deny: [a.example]}", rule: "{allow: [a.example, b.example]}", allowed: "b",
		},
		"nor that it denies everything": {policy: "deny", rule: "{allow: [a.example]}"},
		"only both together warn": {
			policy: "{mode: warn, allow: [a.example]}", rule: "{mode: warn, deny: [b.example]}",
			allowed: "a", warned: "bcd",
		},
		"one alone doesn't": {
			policy: "{mode: warn, allow: [a.example]}", rule: "{deny: [b.example]}", allowed: "a",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := stackOf(t, "dispatch: mediate\nbuild: {exec: {downloads: "+tc.policy+"}}\nfrontends:\n"+
				"- {match: [a], build: {exec: {downloads: "+tc.rule+"}}}\n", "")
			d := decideOn(t, l, "a")
			var allowed, warned string
			for _, host := range []string{"a", "b", "c", "d"} {
				switch d.Check(buildrules.Operation{Download: "https://" + host + ".example/x"}).Verdict {
				case Allow:
					allowed += host
				case Warn:
					warned += host
				}
			}
			require.Equal(t, tc.allowed, allowed)
			require.Equal(t, tc.warned, warned)
		})
	}
}

func TestAnOverlayOnlyTightensDownloads(t *testing.T) {
	t.Parallel()
	l := stackOf(t, onDownloads("{allow: [a.example, b.example]}"),
		onDownloads("{allow: [b.example, c.example]}"))
	d := decideOn(t, l, "x")
	for host, want := range map[string]string{
		"a": "the overlay decided: the overlay refuses", "b": "", "c": "the policy refuses",
	} {
		r := d.Check(buildrules.Operation{Download: "https://" + host + ".example/x"})
		require.Equal(t, want == "", r.Verdict == Allow)
		require.Contains(t, r.Reason, want)
	}
}

func TestDownloadsOfLLB(t *testing.T) {
	t.Parallel()
	request := buildrules.Operation{Download: "https://a.example/x"}
	for doc, want := range map[string]Verdict{
		"llb: deny\n" + onDownloads("{allow: [a.example]}"):  Deny,
		"llb: allow\n" + onDownloads("{allow: [a.example]}"): Allow,
		"llb: allow\n" + onDownloads("{allow: [b.example]}"): Deny,
		// Without a whole policy's, all rules have to allow it.
		"llb: allow\nfrontends: [{match: [a], build: {exec: {downloads: {allow: [a.example]}}}}, " +
			"{match: [b], build: {exec: {downloads: {allow: [b.example]}}}}]": Deny,
	} {
		l := stackOf(t, doc, "")
		require.Equal(t, want, l.LLB(time.Time{}).Check(request).Verdict, doc)
	}
}

// Nobody knows which frontend a command comes from, so a nested frontend runs under the rules of
// the first.
func TestDownloadsOfANestedFrontend(t *testing.T) {
	t.Parallel()
	const refused = "what its commands download is restricted otherwise than for the frontend that runs " +
		"it, and only the rules for the first frontend of a build are applied to downloads " +
		"(build.exec.downloads)"
	for name, tc := range map[string]struct {
		policy, outer, nested string // rules on downloads
		fields                string
		want                  string
	}{
		"the whole policy's are for both": {policy: "{allow: [a.example]}"},
		"none of the nested one's":        {outer: "{allow: [a.example]}"},
		"none of the first one's":         {nested: "{allow: [a.example]}", want: refused},
		"the same of both":                {outer: "{deny: [a.example]}", nested: "{deny: [a.example]}"},
		"other ones":                      {outer: "{allow: [a.example]}", nested: "{allow: [b.example]}", want: refused},
		"the first one's allow in place of the policy's": {
			policy: "{allow: [a.example]}", outer: "{allow: [b.example]}", want: refused,
		},
		"an allow of anything beside an empty one": {
			outer: "{deny: [a.example]}", nested: "{allow: [], deny: [a.example]}", want: refused,
		},
		"nothing for the first one":        {outer: "deny", nested: "{allow: [b.example]}"},
		"the nested one's only warn":       {nested: "{mode: warn, allow: [a.example]}"},
		"the nested one's rule only warns": {nested: "{allow: [a.example]}", fields: "mode: warn\n"},
		"the first one's only warn": {
			outer: "{mode: warn, allow: [a.example]}", nested: "{allow: [a.example]}", want: refused,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			build := func(rules string) string {
				if rules == "" {
					return "{containers: allow}"
				}
				return "{exec: {downloads: " + rules + "}}"
			}
			l := stackOf(t, tc.fields+"dispatch: mediate\nbuild: "+build(tc.policy)+"\nfrontends:\n"+
				"- {match: [a], build: "+build(tc.outer)+"}\n- {name: n, match: [b], build: "+
				build(tc.nested)+"}\n", "")
			d := decideOn(t, l, "b").Within(decideOn(t, l, "a"))
			if tc.want == "" {
				require.True(t, d.Verdict.Permits(), d.Reason)
				return
			}
			require.Equal(t, Deny, d.Verdict)
			require.Equal(t, tc.want, d.Reason)
			require.Equal(t, "n", d.Rule)
		})
	}
}

func TestWhereDownloadsAre(t *testing.T) {
	t.Parallel()
	const some = "{exec: {downloads: {deny: [a.example]}}}"
	for doc, want := range map[string]string{
		"build: " + some: "build.exec.downloads",
		"frontends: [{match: [a]}, {match: [b], build: " + some + "}]":        "frontends[1].build.exec.downloads",
		"frontends: [{match: [a], expires: 2000-01-01, build: " + some + "}]": "frontends[0].build.exec.downloads",
		"frontends: [{match: [a], build: {exec: {downloads: deny}}}]":         "frontends[0].build.exec.downloads",
		"build: {exec: {networks: [none]}}":                                   "",
		"build: {http: deny, others: deny, exec: deny}":                       "",
		"default: allow": "",
	} {
		l := stackOf(t, doc, "")
		require.Equal(t, want, l.embedded.DownloadRules(), doc)
		require.Equal(t, want != "", l.HasDownloads(), doc)
		over := stackOf(t, onDownloads("deny"), doc).overlay
		require.Equal(t, want, over.DownloadRules(), doc)
	}
	require.False(t, Layers{}.HasDownloads())
}

func TestWhoAppliesDownloads(t *testing.T) {
	t.Parallel()
	const overlays = "the overlay has rules on what commands download (build.exec.downloads), and the " +
		`policy "corp" has none, so nobody is asked about a download: build without them, or have some ` +
		"added to the policy"
	const images = `the policy "corp" of this image has rules on what commands download ` +
		"(build.exec.downloads), and only policy-guard's own policy can have them: write them there, or " +
		"have them removed"
	parse := func(has bool) *Policy {
		doc := "id: corp"
		if has {
			doc += "\n" + onDownloads("deny")
		}
		return stackOf(t, doc, "").embedded
	}
	for name, tc := range map[string]struct {
		below, above     bool // whether the two policies have rules on downloads
		overlaid, beside string
	}{
		"neither":       {},
		"the lower one": {below: true, beside: images},
		"the upper one": {above: true, overlaid: overlays},
		"both":          {below: true, above: true, beside: images},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for want, stack := range map[*string]func(_, _ *Policy) (Layers, error){
				&tc.overlaid: Stack, &tc.beside: StackGiven,
			} {
				_, err := stack(parse(tc.below), parse(tc.above))
				if *want == "" {
					require.NoError(t, err)
					continue
				}
				require.EqualError(t, err, *want)
			}
		})
	}
	_, err := Stack(parse(true), nil)
	require.NoError(t, err)
	_, err = StackGiven(parse(true), nil)
	require.EqualError(t, err, images)
	_, err = StackGiven(parse(false), nil)
	require.NoError(t, err)
	_, err = StackGiven(nil, parse(true))
	require.EqualError(t, err, "there is no policy")
}

func TestMistakesInDownloads(t *testing.T) {
	t.Parallel()
	for rules, want := range map[string]string{
		"{}":                      "p:2:27: exec.downloads is empty; give it a field or remove it",
		"{mode: warn}":            "p:2:27: exec.downloads restricts nothing; give it an allow or deny, or remove it",
		"{mode: off, allow: []}":  "mode must be enforce or warn, not \"off\"",
		"{deny: []}":              "deny is empty; give it an entry or remove it",
		"{allow: [10.0.0.0/8]}":   "p:2:36: allow: ",
		"{deny: [\"ssh://a\"]}":   "p:2:35: deny: ",
		"{allow: [a.example/]}":   "allow: ",
		"[a.example]":             "p:2:27: downloads must be a mapping of fields, not a list",
		"allow":                   "p:2:27: downloads must be a mapping of fields or deny",
		"{requireChecksum: true}": `unknown field "requireChecksum"`,
		"{message: no}":           `unknown field "message"`,
		"{allow: [a.example]}, mode: warn": "p:2:55: exec.mode isn't for what commands download; write it " +
			"there, as in downloads: {mode: warn, allow: […]}",
	} {
		_, err := Parse("p", []byte("version: 1\nbuild: {exec: {downloads: "+rules+"}}\n"))
		require.ErrorContains(t, err, want, rules)
	}
}
