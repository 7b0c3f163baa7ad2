package policy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

const commit = "0123456789abcdef0123456789abcdef01234567"

// allowing returns the decision on a frontend under a policy whose rule a has the
// rules on builds.
func allowing(t *testing.T, build string) Decision {
	t.Helper()
	return decided(t,
		"version: 1\ncontact: us\nfrontends:\n- {name: a, match: [a], dispatch: mediate, message: see the wiki, build: "+build+"}\n", "")
}

// decided returns the decision on the frontend a.
func decided(t *testing.T, embedded, overlay string) Decision {
	t.Helper()
	d := Decide(mustStack(t, embedded, overlay), request(t, "a"))
	require.Contains(t, []Verdict{Allow, Warn}, d.Verdict, d.Reason)
	return d
}

// judged is an operation and what comes of it: "" if it is allowed.
type judged struct {
	name      string
	build     string
	operation buildrules.Operation
	want      string
}

func testCheck(t *testing.T, tests []judged) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := allowing(t, tt.build).Check(tt.operation)
			require.Equal(t, tt.want, r.Reason)
			if tt.want == "" {
				require.Equal(t,
					Ruling{Verdict: Allow, Layer: LayerPolicy, Messages: []string{}, Image: r.Image}, r)
				return
			}
			require.Equal(t, Deny, r.Verdict)
			require.Equal(t, imageref.Reference{}, r.Image)
			require.Equal(t, "us", r.Contact)
			require.Equal(t, LayerPolicy, r.Layer)
			rule, messages := InvariantRule, []string{}
			switch {
			case strings.HasPrefix(tt.want, `rule "a"`):
				rule, messages = "a", []string{"see the wiki"}
			case strings.HasPrefix(tt.want, "the policy"):
				rule, messages = BuildRule, []string{"see the wiki"}
			}
			if o := tt.operation.Config; o != nil && rule != InvariantRule &&
				len(o.Entrypoint)+len(o.Cmd) == 0 {
				require.Contains(t, r.Messages[len(r.Messages)-1], "if this result is no image that runs")
				r.Messages = r.Messages[:len(r.Messages)-1]
			}
			require.Equal(t, rule, r.Rule)
			require.Equal(t, messages, r.Messages)
		})
	}
}

func image(s string) buildrules.Operation { return buildrules.Operation{Image: s} }

func TestJudgeImages(t *testing.T) {
	t.Parallel()
	const (
		some  = `{images: {allow: ["mirror.example/**", alpine], deny: ["**/bad"]}}`
		fixed = `{images: {requireDigest: true}}`
		pins  = `{images: {pins: {"alpine:3": "` + digestA + `", "x.example/a": "` + digestB + `"}}}`
		moved = `{images: {convert: [{from: "docker.io/library/**", to: "mirror.example/**"}, {from: "mirror.example/**", to: "z.example/**"}], allow: ["mirror.example/**"], deny: [mirror.example/bad], pins: {"mirror.example/alpine:3": "` + digestA + `"}}}`
	)
	testCheck(t, []judged{
		{"an allowed image", some, image("mirror.example/a/b:1"), ""},
		{"an image of the library", some, image("docker.io/library/alpine:3@" + digestA), ""},
		{"an image in another spelling", some, image("Index.Docker.io:443/library/alpine"), ""},
		{
			"an image that is not listed", some, image("docker.io/library/debian:12"),
			`rule "a" refuses the image debian:12: it allows only mirror.example/** or alpine (build.images.allow)`,
		},
		{
			"a name that only begins alike", some, image("mirror.example.evil/a:1"),
			`rule "a" refuses the image mirror.example.evil/a:1: it allows only mirror.example/** or alpine (build.images.allow)`,
		},
		{
			"a denied image, although it is listed", some, image("mirror.example/bad:1"),
			`rule "a" refuses the image mirror.example/bad:1 (build.images.deny: **/bad)`,
		},
		{
			"a denied image in another spelling", some, image("MIRROR.example:443/bad:1"),
			`rule "a" refuses the image mirror.example/bad:1 (build.images.deny: **/bad)`,
		},
		{
			"what is no reference", some, image("mirror.example/BAD"),
			`it asks for an image that can't be checked: "mirror.example/BAD" is not an image reference: repository name must be lowercase`,
		},
		{
			"an ambiguous reference", some, image("DOCKER/alpine"),
			`it asks for an image that can't be checked: "DOCKER/alpine": the host "DOCKER" needs a dot or a port; without them it would mean a directory on docker.io`,
		},
		{"only a list of what is denied", `{images: {deny: [bad]}}`, image("x.example/a"), ""},
		{"an image with a digest, where one is needed", fixed, image("x.example/a@" + digestA), ""},
		{
			"an image without", fixed, image("alpine:3"),
			`rule "a" refuses the image alpine:3 without a digest: write alpine:3@sha256:…, or pin the tag in the policy: images.pins (build.images.requireDigest)`,
		},
		{"an image with its pin", pins, image("alpine:3@" + digestA), ""},
		{"an image without a pin", pins, image("alpine:2@" + digestB), ""},
		{"an image by its digest alone", pins, image("alpine@" + digestB), ""},
		{
			"an image with another digest than its pin", pins,
			image("docker.io/library/alpine:3@" + digestB),
			`rule "a" refuses the image alpine:3@` + digestB + `: it pins alpine:3 to ` + digestA +
				` (build.images.pins)`,
		},
		{
			"a pin without a tag is for latest", pins, image("x.example/a:latest@" + digestA),
			`rule "a" refuses the image x.example/a:latest@` + digestA + `: it pins x.example/a:latest to ` +
				digestB + ` (build.images.pins)`,
		},
		{"a converted image", moved, image("alpine:3"), ""},
		{
			"a folder of images is converted",
			`{images: {convert: [{from: docker.io/library, to: mirror.example/library}], allow: ["mirror.example/library/*"]}}`, image("alpine:3"), "",
		},
		{
			"a folder of images without a host is converted",
			`{images: {convert: [{from: team/tools, to: mirror.example/x}], allow: ["mirror.example/x/go"]}}`, image("team/tools/go"), "",
		},
		{
			"a folder that only begins alike is not converted",
			`{images: {convert: [{from: docker.io/team, to: mirror.example/team}], allow: ["mirror.example/**"]}}`, image("docker.io/teams/a"), `rule "a" refuses the image teams/a:latest: it allows only mirror.example/** (build.images.allow)`,
		},
		{
			"a single repository of docker.io is converted",
			`{images: {convert: [{from: docker.io/alpine, to: mirror.example/a}], allow: ["mirror.example/a"]}}`, image("alpine"), "",
		},
		{
			"an image is converted once", moved, image("mirror.example/a:1"),
			`rule "a" refuses the image z.example/a:1 (asked for as mirror.example/a:1): it allows only mirror.example/** (build.images.allow)`,
		},
		{
			"an image that is denied when it is converted", moved, image("bad"),
			`rule "a" refuses the image mirror.example/bad:latest (asked for as bad:latest) (build.images.deny: mirror.example/bad)`,
		},
		{
			"several objections", `{images: {allow: [b], requireDigest: true}}`, image("c:1"),
			`rule "a" refuses the image c:1: it allows only b (build.images.allow) (and 1 more)`,
		},
		{
			"an image too long to be converted",
			`{images: {convert: [{from: "docker.io/**", to: "mirror.example/` + strings.Repeat("x", 200) +
				`/**"}]}}`, image("docker.io/" + strings.Repeat("y", 100)),
			`it asks for an image that can't be converted: "mirror.example/` + strings.Repeat("x", 185) +
				`…" is not an image reference: repository name must not be more than 255 characters`,
		},
		{
			"an over-long reference", some, image(strings.Repeat("x", 2000)),
			`it asks for an image that can't be checked: the reference has 2000 bytes, more than 1024`,
		},
	})
}

func TestJudgeRewritesImages(t *testing.T) {
	t.Parallel()
	d := allowing(t,
		`{images: {convert: [{from: "docker.io/library/**", to: "mirror.example/**"}], pins: {"mirror.example/alpine:3": "`+digestA+`"}, requireDigest: true}}`)
	for asked, want := range map[string]string{
		"alpine:3":                   "mirror.example/alpine:3@" + digestA,
		"alpine:3@" + digestA:        "mirror.example/alpine:3@" + digestA,
		"alpine@" + digestB:          "mirror.example/alpine@" + digestB,
		"mirror.example/alpine:3":    "mirror.example/alpine:3@" + digestA,
		"x.example/a:1@" + digestB:   "",
		"X.example:443/a@" + digestB: "",
	} {
		r := d.Check(image(asked))
		require.Equal(t, Allow, r.Verdict, r.Reason)
		if want == "" {
			require.Equal(t, imageref.Reference{}, r.Image, asked)
		} else {
			require.Equal(t, want, r.Image.String())
		}
	}
}

func TestJudgeNames(t *testing.T) {
	t.Parallel()
	const lists = `{local: {allow: ["context*", dockerfile], deny: [context2]}, ociLayout: {allow: [base], deny: ["**/b"]}, blob: {deny: ["x.example/**"]}, frontends: {allow: [docker/dockerfile]}}`
	testCheck(t, []judged{
		{"an allowed folder", lists, buildrules.Operation{Local: "context"}, ""},
		{"a folder by a star", lists, buildrules.Operation{Local: "context:a"}, ""},
		{
			"a denied folder", lists,
			buildrules.Operation{Local: "context2"},
			`rule "a" refuses the client's directory "context2" (build.local.deny: context2)`,
		},
		{
			"a folder that is not listed", lists,
			buildrules.Operation{Local: "\x1bhome"},
			`rule "a" refuses the client's directory "\x1bhome": it allows only context* or dockerfile (build.local.allow)`,
		},
		{
			"a folder with a NUL", lists,
			buildrules.Operation{Local: "context\x00"},
			`it asks for the name of a directory with a NUL`,
		},
		{
			"a folder with an over-long name", lists,
			buildrules.Operation{Local: strings.Repeat("x", 1025)},
			`it asks for the name of a directory of 1025 bytes, more than 1024`,
		},
		{"only denied folders", `{local: {deny: [x]}}`, buildrules.Operation{Local: "y"}, ""},
		{
			"an allowed image of a layout", lists,
			buildrules.Operation{OCILayout: "docker.io/library/base@" + digestA},
			"",
		},
		{
			"another image of a layout", lists,
			buildrules.Operation{OCILayout: "other@" + digestA},
			`rule "a" refuses the image in an OCI layout other@` + digestA +
				`: it allows only base (build.ociLayout.allow)`,
		},
		{"an allowed blob", lists, buildrules.Operation{Blob: "docker.io/a/b@" + digestA}, ""},
		{
			"a denied blob", lists,
			buildrules.Operation{Blob: "x.example/a/b@" + digestA},
			`rule "a" refuses the blob x.example/a/b@` + digestA + ` (build.blob.deny: x.example/**)`,
		},
		{
			"a blob without a digest", lists,
			buildrules.Operation{Blob: "docker.io/a/b:1"},
			`it asks for the blob docker.io/a/b:1 without its digest`,
		},
		{"an allowed frontend", lists, buildrules.Operation{Frontend: "docker/dockerfile:1"}, ""},
		{
			"another frontend", lists,
			buildrules.Operation{Frontend: "docker/dockerfile-upstream"},
			`rule "a" refuses the frontend docker/dockerfile-upstream:latest: it allows only docker/dockerfile (build.frontends.allow)`,
		},
		{"kinds that no rule names", `{images: {deny: [x]}}`, buildrules.Operation{Local: "\x00"}, ""},
		{
			"what nobody can judge", lists,
			buildrules.Operation{Unknown: "an operation of\nan unknown type"},
			`it asks for an operation of\nan unknown type, which no rule can allow`,
		},
		{
			"nothing", lists,
			buildrules.Operation{},
			"it asks for something without a name, which no rule can allow",
		},
		{
			"two things at once", lists,
			buildrules.Operation{Image: "alpine", Local: "context"},
			"it asks for several things as if they were one, which no rule can allow",
		},
		{
			"something known beside what nobody can judge", lists,
			buildrules.Operation{Image: "alpine", Unknown: "x"},
			"it asks for several things as if they were one, which no rule can allow",
		},
	})
}

func TestJudgeURLs(t *testing.T) {
	t.Parallel()
	const (
		git  = `{git: {allow: ["https://git.example/**", "ssh://git.example/**"], deny: ["https://git.example/bad/*"]}}`
		http = `{http: {allow: ["https://files.example/**", "http://127.0.0.1:8080/x"], deny: ["https://files.example/secret"], requireChecksum: true}}`
		only = `rule "a" refuses the git repository %s: it allows only https://git.example/** or ssh://git.example/** (build.git.allow)`
	)
	repo := func(url string) buildrules.Operation {
		return buildrules.Operation{
			Git: &buildrules.Git{URL: url},
		}
	}
	file := func(url string) buildrules.Operation {
		return buildrules.Operation{HTTP: &buildrules.HTTP{URL: url, Checksum: digestA}}
	}
	testCheck(t, []judged{
		{"an allowed repository", git, repo("https://git.example/a/b.git"), ""},
		{"a repository with a password", git, repo("https://user:secret@git.example/a/b"), ""},
		{"a repository in the form of scp", git, repo("git@git.example:a/b.git"), ""},
		{
			"another host", git, repo("https://user:secret@git.example.evil/a"),
			strings.Replace(only, "%s", "https://git.example.evil/a", 1),
		},
		{
			"a host that looks like a user", git, repo("https://git.example@evil.example/a"),
			strings.Replace(only, "%s", "https://evil.example/a", 1),
		},
		{
			"another scheme", git, repo("http://git.example/a"),
			strings.Replace(only, "%s", "http://git.example/a", 1),
		},
		{
			"another port", git, repo("https://git.example:8443/a"),
			strings.Replace(only, "%s", "https://git.example:8443/a", 1),
		},
		{
			"a denied repository", git, repo("https://git.example:443/bad/%61.git/"),
			`rule "a" refuses the git repository https://git.example/bad/a (build.git.deny: https://git.example/bad/*)`,
		},
		{
			"a way out of a path", git, repo("https://git.example/x/../bad/a"),
			`rule "a" refuses the git repository https://git.example/x/../bad/a, which can be read as https://git.example/bad/a (build.git.deny: https://git.example/bad/*)`,
		},
		{"an ambiguous path that is allowed however it is read", git, repo("https://git.example/x/../a//b%2Fc"), ""},
		{
			"a path that may lead out of what is allowed", `{http: {allow: ["x.example/a/**"]}}`,
			file("https://x.example/a/..%2Fb"),
			`rule "a" refuses the download https://x.example/a/..%2Fb, which can be read as https://x.example/b: it allows only https://x.example/a/** (build.http.allow)`,
		},
		{
			"a pattern without a path and a scheme, which is shown with its meaning", `{git: {allow: [x.example]}}`,
			repo("http://x.example/a"),
			`rule "a" refuses the git repository http://x.example/a: it allows only https://x.example/** or ssh://x.example/** (build.git.allow)`,
		},
		{
			"a host denied by each scheme", `{git: {deny: [x.example]}}`, repo("git@X.example:a/b"),
			`rule "a" refuses the git repository ssh://x.example/a/b (build.git.deny: x.example)`,
		},
		{
			"everything denied", `{http: {deny: ["**"]}}`, file("http://x.example:8080/a"),
			`rule "a" refuses the download http://x.example:8080/a (build.http.deny: **)`,
		},
		{
			"a host that nobody can read in one way", `{http: {deny: [x.example]}}`,
			file("http://x.example@y.example@x.example/a"),
			"it asks for a download that can't be checked: the URL has an unexpected @ before its path",
		},
		{
			"a whole commit", `{git: {requireCommit: true}}`,
			buildrules.Operation{Git: &buildrules.Git{URL: "git://x.example/a", Ref: commit}},
			"",
		},
		{
			"a whole commit of SHA-256", `{git: {requireCommit: true}}`,
			buildrules.Operation{
				Git: &buildrules.Git{URL: "git://x.example/a", Ref: strings.Repeat("a", 64)},
			},
			"",
		},
		{
			"a branch with the commit that it must be", `{git: {requireCommit: true}}`,
			buildrules.Operation{
				Git: &buildrules.Git{URL: "git://x.example/a", Ref: "main", Checksum: commit},
			},
			"",
		},
		{
			"a branch", `{git: {requireCommit: true}}`,
			buildrules.Operation{Git: &buildrules.Git{URL: "git://x.example/a", Ref: "main"}},
			`rule "a" refuses the git repository git://x.example/a without a commit: ask for one by all of its digits (build.git.requireCommit)`,
		},
		{
			"a short commit", `{git: {requireCommit: true}}`,
			buildrules.Operation{
				Git: &buildrules.Git{URL: "git://x.example/a", Ref: "main", Checksum: commit[:12]},
			},
			`rule "a" refuses the git repository git://x.example/a without a commit: ask for one by all of its digits (build.git.requireCommit)`,
		},
		{
			"a branch that looks like a commit in upper case", `{git: {requireCommit: true}}`,
			buildrules.Operation{
				Git: &buildrules.Git{URL: "git://x.example/a", Ref: strings.ToUpper(commit)},
			},
			`rule "a" refuses the git repository git://x.example/a without a commit: ask for one by all of its digits (build.git.requireCommit)`,
		},
		{"an allowed download", http, file("https://files.example/a/b?token=secret"), ""},
		{"a plain address", http, file("http://127.0.0.1:8080/x"), ""},
		{
			"another spelling of an address", http, file("http://127.1:8080/x"),
			"it asks for a download that can't be checked: the URL's host ends in a number and isn't a plain IPv4 address",
		},
		{
			"a denied download", http, file("https://files.example/secret?x"),
			`rule "a" refuses the download https://files.example/secret?… (build.http.deny: https://files.example/secret)`,
		},
		{
			"a denied download with a slash", http, file("https://files.example/secret/"),
			`rule "a" refuses the download https://files.example/secret/ (build.http.deny: https://files.example/secret)`,
		},
		{
			"a download without a checksum", http,
			buildrules.Operation{HTTP: &buildrules.HTTP{URL: "https://files.example/a?token=secret"}},
			`rule "a" refuses the download https://files.example/a?… without a checksum: give its sha256:… (build.http.requireChecksum)`,
		},
		{
			"a weak checksum", http,
			buildrules.Operation{
				HTTP: &buildrules.HTTP{
					URL:      "https://files.example/a",
					Checksum: "md5:0123456789abcdef0123456789abcdef",
				},
			},
			`rule "a" refuses the download https://files.example/a without a checksum: give its sha256:… (build.http.requireChecksum)`,
		},
		{
			"a download that is not allowed and has no checksum", http,
			buildrules.Operation{HTTP: &buildrules.HTTP{URL: "https://other.example/a"}},
			`rule "a" refuses the download https://other.example/a: it allows only https://files.example/** or http://127.0.0.1:8080/x (build.http.allow) (and 1 more)`,
		},
	})
}

func TestJudgeExec(t *testing.T) {
	t.Parallel()
	const (
		plain = `{exec: {insecure: false}}`
		wide  = `{exec: {networks: [host, none], insecure: true, ssh: true, secrets: ["npm-*"], devices: true, hosts: ["*.corp.example", Git.example], ulimits: {NOFILE: 1024, core: -1}, cgroupParents: ["/ci/*"]}}`
	)
	exec := func(f buildrules.Exec) buildrules.Operation { return buildrules.Operation{Exec: &f} }
	testCheck(t, []judged{
		{"a plain command", plain, exec(buildrules.Exec{}), ""},
		{"a command without network", plain, exec(buildrules.Exec{Network: buildrules.NetworkNone}), ""},
		{
			"the network of the host", plain, exec(buildrules.Exec{Network: buildrules.NetworkHost}),
			`rule "a" refuses a command with the network host: it allows only none or default (build.exec.networks)`,
		},
		{
			"the default network where it is not listed", wide, exec(buildrules.Exec{}),
			`rule "a" refuses a command with the network default: it allows only host or none (build.exec.networks)`,
		},
		{
			"an unknown network", wide, exec(buildrules.Exec{Network: "Host"}),
			`it asks for a command with the network "Host", which is not known`,
		},
		{
			"no sandbox", plain, exec(buildrules.Exec{Insecure: true}),
			`rule "a" refuses a command without the sandbox (security.insecure) (build.exec.insecure)`,
		},
		{
			"an ssh agent", plain, exec(buildrules.Exec{SSH: []string{"default"}}),
			`rule "a" refuses a command with the client's ssh agent "default": it allows none (build.exec.ssh)`,
		},
		{
			"a secret where there are none", plain, exec(buildrules.Exec{Secrets: []string{"npm-a"}}),
			`rule "a" refuses a command with the secret "npm-a": it allows none (build.exec.secrets)`,
		},
		{
			"another secret", wide,
			exec(buildrules.Exec{Network: buildrules.NetworkNone, Secrets: []string{"npm-a", "aws"}}),
			`rule "a" refuses a command with the secret "aws": it allows only npm-* (build.exec.secrets)`,
		},
		{
			"an over-long secret", plain,
			exec(buildrules.Exec{Secrets: []string{strings.Repeat("x", 1025)}}),
			"it asks for the id of a secret of 1025 bytes, more than 1024",
		},
		{
			"a device", `{exec: {ssh: true}}`,
			exec(buildrules.Exec{Network: buildrules.NetworkNone, Devices: []string{"vendor.com/fpga=1"}}),
			`rule "a" refuses a command with the device "vendor.com/fpga=1": it allows none (build.exec.devices)`,
		},
		{
			"another host", wide,
			exec(buildrules.Exec{Network: buildrules.NetworkNone, Hosts: []string{"github.com"}}),
			`rule "a" refuses a command with an address for the host "github.com": it allows only *.corp.example or Git.example (build.exec.hosts)`,
		},
		{
			"two hosts in one name", wide,
			exec(
				buildrules.Exec{Network: buildrules.NetworkNone, Hosts: []string{"pypi.org x.corp.example"}}),
			`it asks for a command with an address for the host "pypi.org x.corp.example", which isn't a host name`,
		},
		{
			"a second entry in a host's name", wide,
			exec(
				buildrules.Exec{
					Network: buildrules.NetworkNone,
					Hosts:   []string{"y\n10.0.0.1\tpypi.org\tx.corp.example"},
				}),
			`it asks for a command with an address for the host "y\n10.0.0.1\tpypi.org\tx.corp.example", which isn't a host name`,
		},
		{
			"a host without a name", wide,
			exec(buildrules.Exec{Network: buildrules.NetworkNone, Hosts: []string{""}}),
			`it asks for a command with an address for the host "", which isn't a host name`,
		},
		{
			"an unknown ulimit", wide,
			exec(buildrules.Exec{Network: buildrules.NetworkNone, Ulimits: map[string]int{"nproc": 1}}),
			`rule "a" refuses a command with the ulimit nproc: it allows only core or nofile (build.exec.ulimits)`,
		},
		{
			"a ulimit above its cap", wide,
			exec(buildrules.Exec{Network: buildrules.NetworkNone, Ulimits: map[string]int{"nofile": 1025}}),
			`rule "a" refuses a command with the ulimit nofile of 1025: it allows at most 1024 (build.exec.ulimits)`,
		},
		{
			"an invalid ulimit", wide,
			exec(buildrules.Exec{Network: buildrules.NetworkNone, Ulimits: map[string]int{"nofile": -1}}),
			`rule "a" refuses a command with the ulimit nofile of no limit: it allows at most 1024 (build.exec.ulimits)`,
		},
		{
			"a ulimit below nothing", wide,
			exec(buildrules.Exec{Network: buildrules.NetworkNone, Ulimits: map[string]int{"core": -2}}),
			`it asks for a command with the ulimit "core" of -2, which isn't valid`,
		},
		{
			"a ulimit twice", wide,
			exec(
				buildrules.Exec{
					Network: buildrules.NetworkNone,
					Ulimits: map[string]int{"core": 1, "CORE": 2},
				}),
			`it asks for a command with the ulimit "core" of 1, which isn't valid`,
		},
		{
			"another control group", wide,
			exec(buildrules.Exec{Network: buildrules.NetworkNone, CgroupParent: "/system.slice"}),
			`rule "a" refuses a command with the control group "/system.slice": it allows only /ci/* (build.exec.cgroupParents)`,
		},
		{
			"a way out of a control group", wide,
			exec(buildrules.Exec{Network: buildrules.NetworkNone, CgroupParent: "/ci/../x"}),
			`it asks for a control group with .. in its path`,
		},
		{"all that is allowed", wide, exec(buildrules.Exec{
			Network: buildrules.NetworkHost, Insecure: true, SSH: []string{"a"},
			Secrets: []string{"npm-token"}, Devices: []string{"nvidia.com/gpu=all"},
			Hosts:   []string{"A.corp.example.", "GIT.example."},
			Ulimits: map[string]int{"nofile": 1024, "Core": -1}, CgroupParent: "ci//x/",
		}), ""},
		{"no rules on commands", `{images: {deny: [x]}}`, exec(buildrules.Exec{Network: "?"}), ""},
		{
			"a container where none is allowed", plain,
			buildrules.Operation{Container: &buildrules.Exec{}},
			`the policy refuses a container that the frontend starts (build.containers)`,
		},
		{
			"a container that uses too much", `{containers: allow, exec: {ssh: true}}`,
			buildrules.Operation{Container: &buildrules.Exec{Insecure: true}},
			`rule "a" refuses a container without the sandbox (security.insecure) (build.exec.insecure)`,
		},
		{
			"a container that doesn't", `{containers: allow, exec: {ssh: true}}`,
			buildrules.Operation{Container: &buildrules.Exec{SSH: []string{"default"}}},
			"",
		},
	})
}
