package policy

import (
	"strings"
	"testing"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

func TestJudgeConfig(t *testing.T) {
	t.Parallel()
	const (
		user   = `{config: {user: {forbid: [root]}}}`
		users  = `{config: {user: {require: ["01000", "app-*"]}}}`
		rooted = `{config: {user: {require: [""]}}}`
		starry = `{config: {user: {forbid: ["r*"]}}}`
		labels = `{config: {labels: {require: [org.opencontainers.image.source, "corp.*"], forbid: ["evil.*"]}}}`
		rest   = `{config: {env: {forbid: ["LD_*"], require: [PATH]}, ports: {forbid: [22, "*/udp"], require: [80]}, volumes: {forbid: ["/etc*"], require: [/data]}}}`
	)
	config := func(c buildrules.Config) buildrules.Operation {
		return buildrules.Operation{
			Config: &c,
		}
	}
	full := func(change func(*buildrules.Config)) buildrules.Operation {
		c := buildrules.Config{
			Env: []string{"PATH"}, Ports: []string{"80/tcp"},
			Volumes: []string{"/data"},
		}
		change(&c)
		return config(c)
	}
	const is = `rule "a" refuses the image that is built: `
	const isRoot = is + `its user is "root" (build.config.user.forbid: "root")`
	const noUser = `, and it allows only 01000 or app-* (build.config.user.require)`
	testCheck(t, []judged{
		{"a user", user, config(buildrules.Config{User: "app"}), ""},
		{"root", user, config(buildrules.Config{User: "root"}), isRoot},
		{"no user is root", user, config(buildrules.Config{}), isRoot},
		{"0 is root", user, config(buildrules.Config{User: "0"}), isRoot},
		{"00 is root", user, config(buildrules.Config{User: "00"}), isRoot},
		{"+0 is root", user, config(buildrules.Config{User: "+0"}), isRoot},
		{"-0 is root", user, config(buildrules.Config{User: "-0:app"}), isRoot},
		{"root with a group", user, config(buildrules.Config{User: "root:app"}), isRoot},
		{"a group alone is root's", user, config(buildrules.Config{User: ":app"}), isRoot},
		{"another case is another user", user, config(buildrules.Config{User: "Root"}), ""},
		{
			"a number that is cut off to 0", user, config(buildrules.Config{User: "4294967296"}),
			`it asks for the image that is built with the user "4294967296", which isn't a valid user number`,
		},
		{
			"a number beyond all", user, config(buildrules.Config{User: "99999999999999999999"}),
			`it asks for the image that is built with the user "99999999999999999999", which isn't a valid user number`,
		},
		{
			"a negative number", user, config(buildrules.Config{User: "-1"}),
			`it asks for the image that is built with the user "-1", which isn't a valid user number`,
		},
		{
			"an over-long user", user, config(buildrules.Config{User: strings.Repeat("x", 1025)}),
			`it asks for the image that is built with a user of 1025 bytes, more than 1024`,
		},
		{
			"a platform", user, config(buildrules.Config{Platform: "linux/arm64"}),
			`rule "a" refuses the image that is built for linux/arm64: its user is "root" (build.config.user.forbid: "root")`,
		},
		{"a required user", users, config(buildrules.Config{User: "1000:1000"}), ""},
		{"another required one", users, config(buildrules.Config{User: "app-x"}), ""},
		{
			"none of those required", users, config(buildrules.Config{User: "1001"}),
			is + `its user is "1001"` + noUser,
		},
		{
			"root where others are required", users, config(buildrules.Config{}),
			is + `its user is "root"` + noUser,
		},
		{"root where it is required", rooted, config(buildrules.Config{User: "0"}), ""},
		{
			"root by a star", starry, config(buildrules.Config{User: "0"}),
			is + `its user is "root" (build.config.user.forbid: "r*")`,
		},
		{
			"root by a star in its number", `{config: {user: {forbid: ["0*"]}}}`,
			config(buildrules.Config{User: "root"}),
			is + `its user is "root" (build.config.user.forbid: "0*")`,
		},
		{
			"labels", labels,
			config(
				buildrules.Config{
					Labels: map[string]string{"org.opencontainers.image.source": "", "corp.team": ""},
				}), "",
		},
		{
			"a label that is missing", labels,
			config(buildrules.Config{Labels: map[string]string{"org.opencontainers.image.source": ""}}),
			is + `it has no label "corp.*" (build.config.labels.require)`,
		},
		{
			"a label in another case", labels,
			config(
				buildrules.Config{
					Labels: map[string]string{"Org.opencontainers.image.source": "", "corp.team": ""},
				}), is + `it has no label "org.opencontainers.image.source" (build.config.labels.require)`,
		},
		{
			"a forbidden label", labels,
			config(
				buildrules.Config{
					Labels: map[string]string{
						"org.opencontainers.image.source": "", "corp.team": "",
						"evil.x": "",
					},
				}), is + `it has the label "evil.x" (build.config.labels.forbid: evil.*)`,
		},
		{
			"no configuration", labels, config(buildrules.Config{}),
			is +
				`it has no label "org.opencontainers.image.source" (build.config.labels.require) (and 1 more)`,
		},
		{"all in order", rest, full(func(*buildrules.Config) {}), ""},
		{
			"a forbidden variable", rest,
			full(func(c *buildrules.Config) { c.Env = append(c.Env, "LD_PRELOAD") }),
			is + `it has the environment variable "LD_PRELOAD" (build.config.env.forbid: LD_*)`,
		},
		{
			"a variable that is missing", rest, full(func(c *buildrules.Config) { c.Env = nil }),
			is + `it has no environment variable "PATH" (build.config.env.require)`,
		},
		{
			"a port without a protocol", rest,
			full(func(c *buildrules.Config) { c.Ports = []string{"80", "022"} }),
			is + `it has the port "22/tcp" (build.config.ports.forbid: 22)`,
		},
		{
			"a port with a protocol in upper case", rest,
			full(func(c *buildrules.Config) { c.Ports = []string{"80/TCP", "53/UDP"} }),
			is + `it has the port "53/udp" (build.config.ports.forbid: */udp)`,
		},
		{
			"a required port with another protocol", rest,
			full(func(c *buildrules.Config) { c.Ports = []string{"80/sctp"} }),
			is + `it has no port "80" (build.config.ports.require)`,
		},
		{
			"a range of ports", rest, full(func(c *buildrules.Config) { c.Ports = []string{"20-30/tcp"} }),
			`it asks for the image that is built with the port "20-30/tcp", which is not one port`,
		},
		{
			"a port beyond all", rest, full(func(c *buildrules.Config) { c.Ports = []string{"65558"} }),
			`it asks for the image that is built with the port "65558", which is not one port`,
		},
		{
			"a forbidden volume", rest,
			full(func(c *buildrules.Config) { c.Volumes = []string{"/data/", "//etc/./ssl"} }),
			is + `it has the volume "/etc/ssl" (build.config.volumes.forbid: /etc*)`,
		},
		{
			"a relative volume", rest,
			full(func(c *buildrules.Config) { c.Volumes = []string{"data", "etc/x"} }),
			is + `it has the volume "/etc/x" (build.config.volumes.forbid: /etc*)`,
		},
		{
			"a volume by a star at its beginning", `{config: {volumes: {forbid: ["*/.ssh/"]}}}`,
			config(buildrules.Config{Volumes: []string{"/home/app/.ssh"}}),
			is + `it has the volume "/home/app/.ssh" (build.config.volumes.forbid: */.ssh/)`,
		},
		{
			"a way to a forbidden volume", rest,
			full(func(c *buildrules.Config) { c.Volumes = []string{"/data/../etc"} }),
			`it asks for the image that is built with the volume "/data/../etc", which isn't a plain path`,
		},
		{
			"an empty volume", rest, full(func(c *buildrules.Config) { c.Volumes = []string{""} }),
			`it asks for the image that is built with the volume "", which isn't a plain path`,
		},
		{
			"several things that can't be read", rest,
			full(func(c *buildrules.Config) { c.Volumes, c.Ports = []string{""}, []string{"x"} }),
			`it asks for the image that is built with the port "x", which is not one port`,
		},
	})
}
