package policy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

func TestAnEntryThatNothingCanMatchIsAMistake(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ build, want string }{
		"the value of a variable": {
			`{config: {env: {forbid: ["DEBUG=1"]}}}`,
			`forbid: "DEBUG=1" has a value, and rules see only names; write DEBUG`,
		},
		"the value of a required variable": {
			`{config: {env: {require: ["PATH=/usr/bin"]}}}`,
			`require: "PATH=/usr/bin" has a value, and rules see only names; write PATH`,
		},
		"the value of a required label": {
			`{config: {labels: {require: ["team=platform"]}}}`,
			`require: "team=platform" has a value, and this list has keys; write values: {team: platform}`,
		},
		"the value of a forbidden label": {
			`{config: {labels: {forbid: ["team=platform"]}}}`,
			`forbid: "team=platform" has a value, and this list has keys; write team`,
		},
		"a value for labels by a star": {
			`{config: {labels: {values: {"team*": a}}}}`, `values: "team*" has a *; a value is for one label`,
		},
		"a port that is a word": {
			`{config: {ports: {forbid: ["*tcp"]}}}`,
			`forbid: "*tcp" isn't a port; write one such as 80, 80/tcp, 1-1023 or 80*`,
		},
		"a port of an unknown protocol": {
			`{config: {ports: {forbid: ["80/tpc"]}}}`,
			`forbid: "80/tpc" has an unknown protocol; write tcp, udp, sctp or *`,
		},
		"port 0":               {`{config: {ports: {require: ["0"]}}}`, `require: "0" isn't a port`},
		"a range beyond all":   {`{config: {ports: {forbid: ["1-65536"]}}}`, `isn't a port`},
		"a glob of six digits": {`{config: {ports: {forbid: ["123456*"]}}}`, `isn't a port`},
		"a comparison of users": {
			`{config: {user: {require: [">=1000"]}}}`,
			`require: ">=1000" can't be a user; write a name, a number, or a range such as 1000-65535`,
		},
		"an empty range of users": {
			`{config: {user: {forbid: ["2000-1000"]}}}`, `forbid: "2000-1000" is no range of users`,
		},
		"a demand for any user": {
			`{config: {user: {require: ["*"]}}}`,
			`require: "*" demands nothing, because every image has a user; write forbid: [root]`,
		},
		"a host with its address": {
			`{exec: {hosts: ["db:10.0.0.1"]}}`,
			`hosts: "db:10.0.0.1" has an address, and the list has names alone; write db`,
		},
		"a host with its address in the other spelling": {
			`{exec: {deny: {hosts: ["db=10.0.0.1"]}}}`, `hosts: "db=10.0.0.1" has an address`,
		},
		"a host with a slash": {`{exec: {hosts: ["10.0.0.0/8"]}}`, `hosts: "10.0.0.0/8" isn't a host name`},
		"a secret with its options": {
			`{exec: {secrets: ["id=npm"]}}`,
			`secrets: "id=npm" isn't an id; write what follows id=, without other options`,
		},
		"a device by its path": {
			`{exec: {devices: [/dev/kvm]}}`,
			`devices: "/dev/kvm" is a path, and commands ask for devices by name; write one such as nvidia.com/gpu=all`,
		},
		"an unknown ulimit": {`{exec: {deny: {ulimits: ["no file"]}}}`, `isn't the name of a ulimit`},
		"an unknown network": {
			`{exec: {deny: {networks: [bridge]}}}`, `"bridge" isn't one of the networks`,
		},
		"a denial of nothing": {
			`{exec: {deny: {ssh: false}}}`, `ssh: false denies nothing; write true, or remove it`,
		},
		"an empty denial": {`{exec: {deny: {}}}`, `deny is empty; give it a field or remove it`},
		"a path of the client": {
			`{local: {deny: ["/home/*"]}}`,
			`deny: "/home/*" is a path, and clients send only a name for a directory; write one such as context, dockerfile or that of a named context`,
		},
		"a relative path of the client": {`{local: {allow: ["../x"]}}`, `allow: "../x" is a path`},
		"another word than deny": {
			`{http: none}`, `http must be a mapping of fields or deny, not "none"`,
		},
		"a kind that is false": {`{git: false}`, `git must be a mapping of fields or deny, not "false"`},
		"a configuration that is denied": {
			`{config: deny}`, `config must be a mapping of fields, not "deny"`,
		},
		"an unknown word for the others": {`{others: refuse}`, `others must be allow or deny, not "refuse"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("p", []byte("version: 1\nbuild: "+tt.build+"\n"))
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestEntriesOfAConfiguration(t *testing.T) {
	t.Parallel()
	config := func(c buildrules.Config) buildrules.Operation {
		return buildrules.Operation{Config: &c}
	}
	ports := func(list ...string) buildrules.Operation {
		return config(buildrules.Config{Ports: list})
	}
	const is = `rule "a" refuses the image that is built: `
	testCheck(t, []judged{
		{
			"a forbidden variable in another letter case", `{config: {env: {forbid: ["*PASSWORD*"]}}}`,
			config(buildrules.Config{Env: []string{"db_password"}}),
			is + `it has the environment variable "db_password" (build.config.env.forbid: *PASSWORD*)`,
		},
		{
			"a variable as an image has it", `{config: {env: {forbid: ["*PASSWORD*"]}}}`,
			config(buildrules.Config{Env: []string{"X=PASSWORD"}}), "",
		},
		{
			"a required variable in another letter case", `{config: {env: {require: [PATH]}}}`,
			config(buildrules.Config{Env: []string{"path=/bin"}}),
			is + `it has no environment variable "PATH" (build.config.env.require)`,
		},
		{
			"a label with the required value", `{config: {labels: {values: {team: "plat*"}}}}`,
			config(buildrules.Config{Labels: map[string]string{"team": "platform"}}), "",
		},
		{
			"a label with another value", `{config: {labels: {values: {team: platform}}}}`,
			config(buildrules.Config{Labels: map[string]string{"team": "web"}}),
			is + `its label "team" is "web", and must be "platform" (build.config.labels.values)`,
		},
		{
			"a missing label", `{config: {labels: {values: {team: platform}}}}`,
			config(buildrules.Config{}),
			is + `it has no label "team", which must be "platform" (build.config.labels.values)`,
		},
		{
			"a long value of a label that no rule is for", `{config: {labels: {require: [team]}}}`,
			config(buildrules.Config{Labels: map[string]string{"team": strings.Repeat("x", 1<<16)}}), "",
		},
		{
			"a label with a value that is too long to compare", `{config: {labels: {values: {team: "*"}}}}`,
			config(buildrules.Config{Labels: map[string]string{"team": strings.Repeat("x", 1<<16)}}),
			is + `its label "team" has 65536 bytes, and must be "*" (build.config.labels.values)`,
		},
		{
			"a label that must be empty", `{config: {labels: {values: {team: ""}}}}`,
			config(buildrules.Config{Labels: map[string]string{"team": ""}}), "",
		},
		{
			"a glob for forbidden ports", `{config: {ports: {forbid: ["*22"]}}}`, ports("2222"),
			is + `it has the port "2222/tcp" (build.config.ports.forbid: *22)`,
		},
		{
			"a forbidden port of another protocol", `{config: {ports: {forbid: ["53"]}}}`, ports("53/udp"),
			is + `it has the port "53/udp" (build.config.ports.forbid: 53)`,
		},
		{
			"a forbidden port of the named protocol alone", `{config: {ports: {forbid: ["53/udp"]}}}`,
			ports("53"), "",
		},
		{
			"a port in a forbidden range", `{config: {ports: {forbid: ["1-1023"]}}}`, ports("80"),
			is + `it has the port "80/tcp" (build.config.ports.forbid: 1-1023)`,
		},
		{"a port above a forbidden range", `{config: {ports: {forbid: ["1-1023"]}}}`, ports("1024"), ""},
		{
			"a port in a required range", `{config: {ports: {require: ["8000-8999/tcp"]}}}`,
			ports("8080"), "",
		},
		{
			"a required port of another protocol", `{config: {ports: {require: ["8000-8999"]}}}`,
			ports("8080/udp"), is + `it has no port "8000-8999" (build.config.ports.require)`,
		},
		{
			"a user in the required range", `{config: {user: {require: ["1000-65535"]}}}`,
			config(buildrules.Config{User: "1000:100"}), "",
		},
		{
			"a user below the required range", `{config: {user: {require: ["1000-65535"]}}}`,
			config(buildrules.Config{User: "999"}),
			is + `its user is "999", and it allows only 1000-65535 (build.config.user.require)`,
		},
		{
			"a user that has a name", `{config: {user: {require: ["1000-65535"]}}}`,
			config(buildrules.Config{User: "app"}),
			is + `its user is "app", and it allows only 1000-65535 (build.config.user.require)`,
		},
	})
}

func TestCommandsThatARuleDenies(t *testing.T) {
	t.Parallel()
	command := func(e buildrules.Exec) buildrules.Operation { return buildrules.Operation{Exec: &e} }
	const (
		noHost = `{exec: {deny: {networks: [host]}}}`
		denied = `{exec: {deny: {insecure: true, ssh: [deploy], secrets: ["AWS*"], devices: true, hosts: ["*.corp.example"], ulimits: ["no*"], cgroupParents: [/host*]}}}`
		by     = `{exec: {ssh: [default], devices: ["nvidia.com/*"]}}`
	)
	all := buildrules.Exec{
		Insecure: true, SSH: []string{"x"}, Secrets: []string{"s"}, Devices: []string{"d"},
		Hosts: []string{"h"}, Ulimits: map[string]int{"nofile": -1}, CgroupParent: "/x",
	}
	host := all
	host.Network = "host"
	testCheck(t, []judged{
		{"anything but the host's network", noHost, command(all), ""},
		{
			"the host's network", noHost, command(host),
			`rule "a" refuses a command with the network host (build.exec.deny.networks: host)`,
		},
		{
			"no sandbox", denied, command(buildrules.Exec{Insecure: true}),
			`rule "a" refuses a command without the sandbox (security.insecure) (build.exec.deny.insecure)`,
		},
		{"another agent", denied, command(buildrules.Exec{SSH: []string{"default"}}), ""},
		{
			"an agent", denied, command(buildrules.Exec{SSH: []string{"deploy"}}),
			`rule "a" refuses a command with the client's ssh agent "deploy" (build.exec.deny.ssh: deploy)`,
		},
		{
			"a secret in another letter case", denied, command(buildrules.Exec{Secrets: []string{"aws_key"}}),
			`rule "a" refuses a command with the secret "aws_key" (build.exec.deny.secrets: AWS*)`,
		},
		{
			"any device", denied, command(buildrules.Exec{Devices: []string{"a.example/b=c"}}),
			`rule "a" refuses a command with the device "a.example/b=c" (build.exec.deny.devices: *)`,
		},
		{
			"a host", denied, command(buildrules.Exec{Hosts: []string{"DB.corp.example."}}),
			`rule "a" refuses a command with an address for the host "db.corp.example" (build.exec.deny.hosts: *.corp.example)`,
		},
		{
			"a ulimit", denied, command(buildrules.Exec{Ulimits: map[string]int{"NOFILE": 1}}),
			`rule "a" refuses a command with the ulimit nofile (build.exec.deny.ulimits: no*)`,
		},
		{
			"a control group", denied, command(buildrules.Exec{CgroupParent: "host.slice"}),
			`rule "a" refuses a command with the control group "/host.slice" (build.exec.deny.cgroupParents: /host*)`,
		},
		{"an allowed agent", by, command(buildrules.Exec{SSH: []string{"default"}}), ""},
		{
			"another agent than that by id", by, command(buildrules.Exec{SSH: []string{"deploy"}}),
			`rule "a" refuses a command with the client's ssh agent "deploy": it allows only default (build.exec.ssh)`,
		},
		{"an allowed device", by, command(buildrules.Exec{Devices: []string{"nvidia.com/gpu=0"}}), ""},
		{
			"another device", by, command(buildrules.Exec{Devices: []string{"a.example/fpga"}}),
			`rule "a" refuses a command with the device "a.example/fpga": it allows only nvidia.com/* (build.exec.devices)`,
		},
		{
			"what isn't listed beside a denial", `{exec: {ssh: true, deny: {networks: [host]}}}`,
			command(buildrules.Exec{Secrets: []string{"s"}}),
			`rule "a" refuses a command with the secret "s": it allows none (build.exec.secrets)`,
		},
		{
			"no command at all", `{exec: deny}`, command(buildrules.Exec{}),
			`rule "a" refuses a command: exec is denied (build.exec)`,
		},
		{
			"no network at all", `{exec: {networks: []}}`, command(buildrules.Exec{}),
			`rule "a" refuses a command with the network default: it allows none (build.exec.networks)`,
		},
	})
}

func TestNothingOfAKind(t *testing.T) {
	t.Parallel()
	for kind, o := range map[string]buildrules.Operation{
		"images":    image("busybox"),
		"git":       {Git: &buildrules.Git{URL: "ssh://a.example:29418/b"}},
		"http":      {HTTP: &buildrules.HTTP{URL: "https://a.example:8443/b"}},
		"local":     {Local: "context"},
		"ociLayout": {OCILayout: "a@" + digestA},
		"blob":      {Blob: "a@" + digestA},
		"frontends": {Frontend: "a"},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, allowing(t, "{"+kind+": deny}").Check(o).Reason,
				": "+kind+" is denied (build."+kind+")")
			require.Contains(t, allowing(t, "{"+kind+": {allow: []}}").Check(o).Reason,
				": it allows none (build."+kind+".allow)")
		})
	}
}

func TestOthersClosesEachSourceThatIsNotNamed(t *testing.T) {
	t.Parallel()
	const closed = `{images: {allow: ["m.example/**"]}, others: deny}`
	download := buildrules.Operation{HTTP: &buildrules.HTTP{URL: "http://evil.example/rootfs.tar"}}
	testCheck(t, []judged{
		{"an allowed image", closed, image("m.example/a"), ""},
		{
			"a download", closed, download,
			`rule "a" refuses the download http://evil.example/rootfs.tar: no rule allows http (build.others)`,
		},
		{
			"a repository", closed,
			buildrules.Operation{Git: &buildrules.Git{URL: "https://a.example/b"}},
			`rule "a" refuses the git repository https://a.example/b: no rule allows git (build.others)`,
		},
		{
			"a layout", closed,
			buildrules.Operation{OCILayout: "m.example/a@" + digestA},
			`rule "a" refuses the image in an OCI layout m.example/a@` + digestA + `: no rule allows ociLayout (build.others)`,
		},
		{
			"a blob", closed,
			buildrules.Operation{Blob: "m.example/a@" + digestA},
			`rule "a" refuses the blob m.example/a@` + digestA + `: no rule allows blob (build.others)`,
		},
		{
			"another directory", closed,
			buildrules.Operation{Local: "base"},
			`rule "a" refuses the client's directory "base": no rule allows local (build.others)`,
		},
		{"the context", closed, buildrules.Operation{Local: "context"}, ""},
		{"the directory of the build file", closed, buildrules.Operation{Local: "dockerfile"}, ""},
		{
			"what isn't a source", closed,
			buildrules.Operation{Exec: &buildrules.Exec{Network: "host"}},
			"",
		},
	})
	whole := combined(t, closed, `{http: {allow: ["http://evil.example/**"]}}`)
	require.Equal(t, Allow, whole.Check(download).Verdict, "a rule may allow more")
	whole = combined(t, closed, `{http: {deny: ["http://other.example/**"]}}`)
	require.Contains(t, whole.Check(download).Reason, "it allows none (build.http.allow)")
	own := combined(t, `{http: {deny: ["http://other.example/**"]}}`, closed)
	require.Contains(t, own.Check(download).Reason, `rule "a" refuses`)
	require.True(t, own.Restricts(buildrules.KindBlob))
	only := decided(t, "version: 1\ndefault: allow\nbuild: {others: deny}\n", "")
	require.Len(t, only.Obligations.Build, 1, "the decision shows it")
	require.Equal(t, buildrules.ActionDeny, only.Obligations.Build[0].Build.Others)
}
