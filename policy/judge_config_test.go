package policy

import (
	"strings"
	"testing"
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
	config := func(c ConfigFact) Fact { return Fact{Config: &c} }
	full := func(change func(*ConfigFact)) Fact {
		c := ConfigFact{Env: []string{"PATH"}, Ports: []string{"80/tcp"}, Volumes: []string{"/data"}}
		change(&c)
		return config(c)
	}
	const is = `rule "a" refuses the image that is built: `
	const isRoot = is + `its user is "root" (build.config.user.forbid: "root")`
	const noUser = `, and it allows only 01000 or app-* (build.config.user.require)`
	testJudge(t, []judged{
		{"a user", user, config(ConfigFact{User: "app"}), ""},
		{"root", user, config(ConfigFact{User: "root"}), isRoot},
		{"no user is root", user, config(ConfigFact{}), isRoot},
		{"0 is root", user, config(ConfigFact{User: "0"}), isRoot},
		{"00 is root", user, config(ConfigFact{User: "00"}), isRoot},
		{"+0 is root", user, config(ConfigFact{User: "+0"}), isRoot},
		{"-0 is root", user, config(ConfigFact{User: "-0:app"}), isRoot},
		{"root with a group", user, config(ConfigFact{User: "root:app"}), isRoot},
		{"a group alone is root's", user, config(ConfigFact{User: ":app"}), isRoot},
		{"another case is another user", user, config(ConfigFact{User: "Root"}), ""},
		{"a number that is cut off to 0", user, config(ConfigFact{User: "4294967296"}), `it asks for the image that is built with the user "4294967296", which is no number of a user`},
		{"a number beyond all", user, config(ConfigFact{User: "99999999999999999999"}), `it asks for the image that is built with the user "99999999999999999999", which is no number of a user`},
		{"a negative number", user, config(ConfigFact{User: "-1"}), `it asks for the image that is built with the user "-1", which is no number of a user`},
		{"an over-long user", user, config(ConfigFact{User: strings.Repeat("x", 1025)}), `it asks for the image that is built with a user of 1025 bytes, more than 1024`},
		{"a platform", user, config(ConfigFact{Platform: "linux/arm64"}), `rule "a" refuses the image that is built for linux/arm64: its user is "root" (build.config.user.forbid: "root")`},
		{"a required user", users, config(ConfigFact{User: "1000:1000"}), ""},
		{"another required one", users, config(ConfigFact{User: "app-x"}), ""},
		{"none of those required", users, config(ConfigFact{User: "1001"}), is + `its user is "1001"` + noUser},
		{"root where others are required", users, config(ConfigFact{}), is + `its user is "root"` + noUser},
		{"root where it is required", rooted, config(ConfigFact{User: "0"}), ""},
		{"root by a star", starry, config(ConfigFact{User: "0"}), is + `its user is "root" (build.config.user.forbid: "r*")`},
		{"root by a star in its number", `{config: {user: {forbid: ["0*"]}}}`, config(ConfigFact{User: "root"}), is + `its user is "root" (build.config.user.forbid: "0*")`},
		{"labels", labels, config(ConfigFact{Labels: map[string]string{"org.opencontainers.image.source": "", "corp.team": ""}}), ""},
		{"a label that is missing", labels, config(ConfigFact{Labels: map[string]string{"org.opencontainers.image.source": ""}}), is + `it has no label "corp.*" (build.config.labels.require)`},
		{"a label in another case", labels, config(ConfigFact{Labels: map[string]string{"Org.opencontainers.image.source": "", "corp.team": ""}}), is + `it has no label "org.opencontainers.image.source" (build.config.labels.require)`},
		{"a forbidden label", labels, config(ConfigFact{Labels: map[string]string{"org.opencontainers.image.source": "", "corp.team": "", "evil.x": ""}}), is + `it has the label "evil.x" (build.config.labels.forbid: evil.*)`},
		{"no configuration", labels, config(ConfigFact{}), is + `it has no label "org.opencontainers.image.source" (build.config.labels.require) (and 1 more)`},
		{"all in order", rest, full(func(*ConfigFact) {}), ""},
		{"a forbidden variable", rest, full(func(c *ConfigFact) { c.Env = append(c.Env, "LD_PRELOAD") }), is + `it has the environment variable "LD_PRELOAD" (build.config.env.forbid: LD_*)`},
		{"a variable that is missing", rest, full(func(c *ConfigFact) { c.Env = nil }), is + `it has no environment variable "PATH" (build.config.env.require)`},
		{"a port without a protocol", rest, full(func(c *ConfigFact) { c.Ports = []string{"80", "022"} }), is + `it has the port "22/tcp" (build.config.ports.forbid: 22/tcp)`},
		{"a port with a protocol in upper case", rest, full(func(c *ConfigFact) { c.Ports = []string{"80/TCP", "53/UDP"} }), is + `it has the port "53/udp" (build.config.ports.forbid: */udp)`},
		{"a required port with another protocol", rest, full(func(c *ConfigFact) { c.Ports = []string{"80/sctp"} }), is + `it has no port "80" (build.config.ports.require)`},
		{"a range of ports", rest, full(func(c *ConfigFact) { c.Ports = []string{"20-30/tcp"} }), `it asks for the image that is built with the port "20-30/tcp", which is not one port`},
		{"a port beyond all", rest, full(func(c *ConfigFact) { c.Ports = []string{"65558"} }), `it asks for the image that is built with the port "65558", which is not one port`},
		{"a forbidden volume", rest, full(func(c *ConfigFact) { c.Volumes = []string{"/data/", "//etc/./ssl"} }), is + `it has the volume "/etc/ssl" (build.config.volumes.forbid: /etc*)`},
		{"a relative volume", rest, full(func(c *ConfigFact) { c.Volumes = []string{"data", "etc/x"} }), is + `it has the volume "/etc/x" (build.config.volumes.forbid: /etc*)`},
		{"a volume by a star at its beginning", `{config: {volumes: {forbid: ["*/.ssh/"]}}}`, config(ConfigFact{Volumes: []string{"/home/app/.ssh"}}), is + `it has the volume "/home/app/.ssh" (build.config.volumes.forbid: */.ssh)`},
		{"a way to a forbidden volume", rest, full(func(c *ConfigFact) { c.Volumes = []string{"/data/../etc"} }), `it asks for the image that is built with the volume "/data/../etc", which is no plain path`},
		{"an empty volume", rest, full(func(c *ConfigFact) { c.Volumes = []string{""} }), `it asks for the image that is built with the volume "", which is no plain path`},
		{"several things that can't be read", rest, full(func(c *ConfigFact) { c.Volumes, c.Ports = []string{""}, []string{"x"} }), `it asks for the image that is built with the port "x", which is not one port`},
	})
}
