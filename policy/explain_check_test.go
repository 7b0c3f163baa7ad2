package policy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

func TestExplainCheckNamesWhatMisses(t *testing.T) {
	t.Parallel()
	const pin = `"sha256:1111111111111111111111111111111111111111111111111111111111111111"`
	http := func(u string) buildrules.Operation {
		return buildrules.Operation{HTTP: &buildrules.HTTP{URL: u}}
	}
	exec := func(e buildrules.Exec) buildrules.Operation { return buildrules.Operation{Exec: &e} }
	for _, tt := range []struct {
		name, rules string
		operation   buildrules.Operation
		want        []string
	}{
		{
			"another scheme", `http: {deny: ["https://a.example/**"]}`, http("http://a.example/x"),
			[]string{"missed build.http.deny: https://a.example/**: the scheme is http, and not https"},
		},
		{
			"sets of conditions",
			`config: [{targets: [x, "y*"], user: {forbid: [root]}}, {exceptTargets: [z], env: {forbid: [A]}}, ` +
				`{results: runnable, env: {forbid: [A]}}, {env: {forbid: [A]}}]`,
			buildrules.Operation{Config: &buildrules.Config{Target: "Z"}},
			[]string{
				"missed build.config: targets: x, y*: it is for other targets than z",
				"missed build.config: exceptTargets: z: it is not for the target z",
				"missed build.config: results: runnable: it is for results that have an entrypoint or a command",
			},
		},
		{
			"a set of conditions that is for the result",
			`config: [{targets: [x], exceptTargets: [y], user: {forbid: [root]}}]`,
			buildrules.Operation{Config: &buildrules.Config{}},
			[]string{"matched build.config: targets: x; exceptTargets: y: it is for this result"},
		},
		{
			"another host", `http: {deny: ["https://b.example/**"]}`, http("https://a.example/x"),
			[]string{"missed build.http.deny: https://b.example/**: the host is a.example, and not b.example"},
		},
		{
			"another port", `http: {allow: ["https://a.example:8443/**"]}`, http("https://a.example/x"),
			[]string{"missed build.http.allow: https://a.example:8443/**: the port is the default, and not 8443"},
		},
		{
			"another path", `http: {allow: ["https://a.example/y/**"]}`, http("https://a.example/x"),
			[]string{"missed build.http.allow: https://a.example/y/**: the path is /x, and not /y/**"},
		},
		{
			"a match", `http: {allow: ["https://a.example/**"]}`, http("https://a.example/x"),
			[]string{"matched build.http.allow: https://a.example/**: it matches https://a.example/x"},
		},
		{
			"another repository", `images: {deny: ["quay.io/org/**"]}`, image("quay.io/x"),
			[]string{"missed build.images.deny: quay.io/org/**: the path is x, and not org/**"},
		},
		{
			"a name in short form", `images: {deny: ["busybox"]}`, image("quay.io/library/busybox"),
			[]string{"missed build.images.deny: busybox: the host is quay.io, and not docker.io (it means " +
				"docker.io/library/busybox)"},
		},
		{
			"a pin of another tag", `images: {pins: {"a.example/x:1": ` + pin + `}}`, image("a.example/x:2"),
			[]string{"missed build.images.pins: a.example/x:1: the tag is another one: 2"},
		},
		{
			"a conversion", `images: {convert: [{from: a.example/x, to: b.example/x}], allow: [b.example/x]}`,
			image("a.example/x"),
			[]string{
				"matched build.images.convert: a.example/x becomes b.example/x",
				"matched build.images.allow: b.example/x: it matches b.example/x",
			},
		},
		{
			"a directory", `local: {deny: [home]}`,
			buildrules.Operation{Local: "context"},
			[]string{`missed build.local.deny: home: the name is "context"`},
		},
		{
			"all of a kind", `http: deny`, http("https://a.example/x"),
			[]string{"matched build.http: it denies all http"},
		},
		{
			"a kind without rules, if all others are denied", `others: deny`, http("https://a.example/x"),
			[]string{"matched build.others: there are no rules on http"},
		},
		{
			"a command", `exec: {networks: [none], secrets: ["npm-*", x], ulimits: {nofile: 10}}`,
			exec(buildrules.Exec{
				Insecure: true, Secrets: []string{"npm-a"}, SSH: []string{"default"},
				Ulimits: map[string]int{"core": 1, "nofile": -1},
			}),
			[]string{
				"missed build.exec.networks: none: the network is default",
				"missed build.exec.insecure: false: the command runs without the sandbox",
				`missed build.exec.ssh: it lists nothing; it uses the client's ssh agent "default"`,
				`matched build.exec.secrets: npm-*: it uses the secret "npm-a"`,
				`missed build.exec.secrets: x: it uses the secret "npm-a"`,
				"missed build.exec.ulimits: it lists no core",
				"missed build.exec.ulimits: nofile: 10: the limit is no limit",
			},
		},
		{
			"a command without rules on networks", `exec: {hosts: ["*.corp.example"]}`,
			exec(buildrules.Exec{Hosts: []string{"db.corp.example"}}),
			[]string{
				"matched build.exec.networks: none, default: the network is default",
				`matched build.exec.hosts: *.corp.example: it uses an address for the host "db.corp.example"`,
			},
		},
		{
			"what commands can't use",
			`exec: {deny: {networks: [host], secrets: [A, b], devices: [v.example/gpu], ulimits: [core], ` +
				`insecure: true, cgroupParents: [a]}}`,
			exec(buildrules.Exec{
				Network: "host", Secrets: []string{"a"}, Devices: []string{"v.example/gpu=0"}, Insecure: true,
				Ulimits: map[string]int{"core": 1}, CgroupParent: "a/b", Hosts: []string{"h"},
			}),
			[]string{
				"matched build.exec.deny.networks: host: the network is host",
				"matched build.exec.deny.insecure: the command runs without the sandbox",
				`matched build.exec.deny.secrets: A: it uses the secret "a"`,
				`missed build.exec.deny.secrets: b: it uses the secret "a"`,
				`matched build.exec.deny.devices: v.example/gpu: it uses the device "v.example/gpu=0"`,
				`matched build.exec.deny.cgroupParents: /a: it uses the control group "/a/b"`,
				"matched build.exec.deny.ulimits: core: it sets the ulimit core",
			},
		},
		{
			"a container without an allow", `exec: {networks: [none]}`,
			buildrules.Operation{Container: &buildrules.Exec{}},
			[]string{
				"missed build.containers: without allow, no container is allowed",
				"missed build.exec.networks: none: the network is default",
			},
		},
		{
			"a container", `containers: allow`, buildrules.Operation{Container: &buildrules.Exec{}}, nil,
		},
		{
			"the user of an image", `config: {user: {forbid: [root, app], require: ["1*"]}}`,
			buildrules.Operation{Config: &buildrules.Config{User: "0"}},
			[]string{
				`matched build.config.user.forbid: root: the user is "root"`,
				`missed build.config.user.forbid: app: the user is "root"`,
				`missed build.config.user.require: 1*: the user is "root"`,
			},
		},
		{
			"what else an image has",
			`config: {labels: {require: [a], values: {b: "x*", c: y}}, env: {forbid: ["*PASSWORD*"]}, ` +
				`ports: {forbid: ["1-1023"]}, volumes: {require: [/data]}}`,
			buildrules.Operation{Config: &buildrules.Config{
				Labels: map[string]string{"b": "z"}, Env: []string{"DB_PASSWORD=1"}, Ports: []string{"80"},
			}},
			[]string{
				"missed build.config.labels.require: a: there is no such label",
				`missed build.config.labels.values: b=x*: its value is "z"`,
				"missed build.config.labels.values: c=y: there is no such label",
				`matched build.config.env.forbid: *PASSWORD*: there is the environment variable "DB_PASSWORD"`,
				`matched build.config.ports.forbid: 1-1023: there is the port "80/tcp"`,
				"missed build.config.volumes.require: /data: there is no such volume",
			},
		},
		{"a kind without rules", `local: {deny: [home]}`, image("x"), nil},
		{
			"a long list", `local: {deny: [home` + strings.Repeat(", x", 20) + `]}`,
			buildrules.Operation{Local: "home"},
			[]string{
				`matched build.local.deny: home: the name is "home"`,
				"missed build.local.deny: 20 other entries don't match",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := decided(t, "{version: 1, default: allow, dispatch: mediate, build: {"+tt.rules+"}}", "")
			var got []string
			for _, s := range d.ExplainCheck(tt.operation) {
				require.Equal(t, BuildRule, s.Rule)
				require.Equal(t, LayerPolicy, s.Layer)
				got = append(got, string(s.Result)+" "+s.Entry+": "+s.Reason)
			}
			require.Equal(t, tt.want, got)
		})
	}
}

// What ExplainCheck says of patterns is what Check did with them.
func TestExplainCheckAgreesWithCheck(t *testing.T) {
	t.Parallel()
	hosts := []string{"a.example", "b.example:5000", "*.example", "docker.io"}
	paths := []string{"x", "x/y", "*", "**"}
	for _, host := range hosts {
		for _, path := range paths {
			if host == "docker.io" && path == "*" {
				continue // It can mean two things, so it is an error.
			}
			for _, list := range []string{"allow", "deny"} {
				for _, asked := range []string{"a.example/x", "b.example:5000/x/y", "b.example/x", "x/y", "x"} {
					d := decided(t, "{version: 1, default: allow, dispatch: mediate, build: {images: {"+list+
						`: ["`+host+"/"+path+`"]}}}`, "")
					steps := d.ExplainCheck(image(asked))
					require.Len(t, steps, 1)
					require.Equal(t, d.Check(image(asked)).Verdict == Allow,
						(steps[0].Result == Matched) == (list == "allow"), "%s/%s %s", host, path, asked)
				}
			}
		}
	}
}
