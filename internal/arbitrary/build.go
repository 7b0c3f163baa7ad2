package arbitrary

import (
	"fmt"
	"strings"
	"time"

	"github.com/policy-frontend/policy-frontend/internal/strictyaml"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// decode reads a document as a policy does, without the checks.
func decode(text string) policy.Document {
	var doc policy.Document
	format := strictyaml.Format{Name: "the policy", Limit: policy.MaxSize}
	if err := strictyaml.Decode("p", []byte(text), format, &doc).Err(); err != nil {
		panic(err)
	}
	return doc
}

// build returns build rules on at most two kinds; nil if on none.
func (choose Source) build() *buildrules.Rules {
	text := choose.BuildText()
	if text == "" {
		return nil
	}
	return decode("build: {" + text + "}").Build
}

// BuildText returns the fields of build rules in YAML, on at most two kinds. It can be "".
func (choose Source) BuildText() string {
	written, used := []string{}, map[string]bool{}
	for range choose(3) {
		makers := choose.kinds()
		k := makers[choose(len(makers))]()
		if name, _, _ := strings.Cut(k, ":"); !used[name] {
			used[name] = true
			written = append(written, k)
		}
	}
	return strings.Join(written, ", ")
}

// kinds returns functions that each make rules on one kind.
func (choose Source) kinds() []func() string {
	names := func() string {
		return choose.pick("x", "m.example/**", "m.example/a/*", "**/y*", "x/y", "*.example/**",
			"m.example:80/a/b", "m.example:*/**", "**", "10.*.*.*/x", "m*.example/*/*")
	}
	urls := func() string {
		return choose.pick("https://a.example/**", "https://*.example/x", "https://a.example/*/y",
			"http://a.example/x", "a.example", "https://10.*.0.1", "**", "*a.example:8080/z", "http://**",
			"https://a.example:*/x", "b.a.example/x/**", "https://**", "*.*.example", "a.example/**/z")
	}
	lists := func(kind string, entries func() string) func() string {
		return func() string {
			switch choose(6) {
			case 0:
				return kind + ": deny"
			case 1:
				return kind + ": {allow: []}"
			case 2:
				return kind + ": {deny: " + entries() + "}"
			case 3:
				return kind + ": {allow: " + entries() + "}"
			}
			return kind + ": {allow: " + entries() + ", deny: " + entries() + "}"
		}
	}
	always := func(text string) func() string { return func() string { return text } }
	return []func() string{
		lists("images", names), lists("git", urls), lists("http", urls), lists("blob", names),
		lists("ociLayout", names), lists("frontends", names),
		lists("local", func() string { return choose.pick("context", "docker*", "*file", "*") }),
		func() string {
			return "images: {convert: [{from: " + choose.one([]string{
				"x, to: m.example/a/y", "\"docker.io/library/**\", to: \"m.example/**\"", "x, to: x/y",
			}) + "}], " + choose.one([]string{
				"requireDigest: true", "deny: " + names(), "allow: " + names(),
			}) + "}"
		},
		func() string { return "images: {pins: {\"x:1\": \"" + choose.one(digests()) + "\"}}" },
		func() string { return "images: " + choose.imageRules(names) },
		func() string { return "images: " + choose.imageRules(names) },
		func() string {
			return "images: {rules: " + choose.imageRules(names) + ", " + choose.one([]string{
				"requireDigest: true", "deny: " + names(), "allow: " + names(), "mode: warn",
				"convert: [{from: x, to: m.example/a/y}]",
				"convert: [{from: \"m.example/**\", to: \"q.example/**\"}, {from: x, to: m.example/a}]",
				"pins: {\"x:1\": \"" + choose.one(digests()) + "\"}",
			}) + "}"
		},
		always("git: {requireCommit: true}"),
		func() string { return "http: {deny: " + urls() + ", requireChecksum: true}" },
		always("containers: allow"), always("containers: deny"), always("others: deny"),
		func() string { return "exec: {" + choose.uses() + "}" },
		func() string { return "exec: {" + choose.denies() + "}" },
		func() string { return "exec: {" + choose.uses() + ", " + choose.denies() + "}" },
		func() string { return "exec: {networks: " + choose.pick("none", "default", "host") + "}" },
		always("exec: deny"), always("exec: {networks: []}"),
		func() string { return "config: {" + choose.demand() + "}" },
		func() string {
			a, b := choose.demand(), choose.demand()
			if a[:3] == b[:3] {
				return "config: {" + a + "}"
			}
			return "config: {" + a + ", " + b + "}"
		},
		func() string { return "config: {" + choose.scope() + ", " + choose.demand() + "}" },
		func() string {
			sets := "{" + choose.scope() + ", " + choose.demand() + "}, {" + choose.demand() + "}"
			if choose(2) == 0 {
				return "config: [" + sets + ", {" + choose.scope() + ", " + choose.demand() + "}]"
			}
			return "config: {" + choose.scope() + ", " + choose.demand() + ", sets: [" + sets + "]}"
		},
	}
}

// scope says which results conditions on a configuration are for.
func (choose Source) scope() string {
	targets := func() string { return choose.pick("rel", "r*", "*-x", "Base", "b/*") }
	return choose.one([]string{
		"targets: " + targets(), "exceptTargets: " + targets(), "results: runnable",
		"targets: " + targets() + ", exceptTargets: " + targets(),
		"targets: " + targets() + ", results: runnable", "results: all",
	})
}

// imageRules returns a list of rules on images.
func (choose Source) imageRules(names func() string) string {
	var rules []string
	for range 1 + choose(3) {
		fields := []string{"match: " + names()}
		add := func(chance int, texts ...string) {
			if choose(chance) == 0 {
				fields = append(fields, choose.one(texts))
			}
		}
		add(3, "tags: "+choose.pick("1", "1.*", "1.7", "1.7.1", "latest", "v1.*", "*", "*-x"))
		add(3, `versions: ">=1 <2"`, `versions: ">=1.5"`, `versions: "1.7.x || 2.x"`,
			`versions: "~1.7", variants: [labs]`, `versions: ">=1.7.0-rc1"`, `versions: "*"`)
		add(4, "exceptTags: "+choose.pick("1.5*", "1.7.1", "1", "2.*"))
		add(4, "digests: "+choose.pick(digests()...))
		add(6, "clients: "+choose.pick(clientPatterns()...))
		add(5, fmt.Sprintf("expires: %q", Day(1+choose(3)).Format(time.DateOnly)))
		if choose(3) == 0 {
			fields = append(fields, "action: deny")
			add(5, "mode: warn")
		} else {
			add(6, "requireDigest: true")
		}
		rules = append(rules, "{"+strings.Join(fields, ", ")+"}")
	}
	return "[" + strings.Join(rules, ", ") + "]"
}

func (choose Source) uses() string {
	return choose.one([]string{
		"secrets: " + choose.pick("npm*", "*token", "aws", "*"),
		"ssh: " + choose.pick("default", "dep*"), "ssh: true",
		"devices: " + choose.pick("gpu", "f*"), "devices: true",
		"hosts: " + choose.pick("a", "b*", "*b"), "insecure: true",
		fmt.Sprintf("insecure: true, ulimits: {nofile: %d}", choose(3)),
		"cgroupParents: " + choose.pick("a", "b*"),
	})
}

func (choose Source) denies() string {
	return "deny: {" + choose.one([]string{
		"networks: " + choose.pick("host", "none", "default"), "secrets: " + choose.pick("npm*", "AWS"),
		"ssh: " + choose.pick("default", "dep*"), "devices: true", "insecure: true",
		"ulimits: " + choose.pick("no*", "core"), "hosts: " + choose.pick("a", "b*"),
	}) + "}"
}

func (choose Source) demand() string {
	return choose.one([]string{
		"user: {require: " + choose.pick("app", "w*", "root", "1000-1500") + "}",
		"user: {require: " + choose.pick("app", "w*", "root", "1000-2000") + ", forbid: " +
			choose.pick("root", "app", "1200-3000", "web", "1*") + "}",
		"user: {forbid: " + choose.pick("root", "1000-2000", "w*", "1*") + "}",
		"labels: {require: " + choose.pick("a", "b*", "*1") + "}",
		"labels: {forbid: " + choose.pick("a", "B*", "*1") + "}",
		"labels: {values: {a: " + choose.one([]string{"x", "\"y*\"", "\"*\"", "\"*1\""}) + "}}",
		"labels: {require: " + choose.pick("b*", "*1") + ", forbid: " + choose.pick("b1", "B*") + "}",
		"env: {require: [PATH], forbid: " + choose.pick("P*", "z", "*x*") + "}",
		"ports: {forbid: " + choose.pick("80", "443/tcp", "8*", "1-1023/udp", "*3", "*", "80-90") + "}",
		"ports: {require: " + choose.pick("80*", "400-500", "443") + "}",
		"ports: {require: " + choose.pick("80*", "400-500") + ", forbid: " +
			choose.pick("80", "4*3", "*/udp") + "}",
		"volumes: {forbid: " + choose.pick("/data", "/d*") + "}",
	})
}

// pick returns some of the items, at least one, as a YAML list.
func (choose Source) pick(items ...string) string {
	var out []string
	for _, s := range items {
		if choose(3) == 0 {
			out = append(out, fmt.Sprintf("%q", s))
		}
	}
	if len(out) == 0 {
		out = []string{fmt.Sprintf("%q", choose.one(items))}
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// Operation returns an operation of the words in build rules.
func Operation(choose Source) buildrules.Operation {
	one := func(items ...string) string { return choose.one(items) }
	name := one("x", "y", "x/y", "x/y/z", "m.example/a/b", "m.example/a/y", "m.example/y2",
		"q.example/z", "m.example:80/a/b", "m.example:8080/a/b", "a.m.example/x",
		"10.1.2.3/x", "m2.example/a/b")
	url := "://" + one("a.example", "b.a.example", "b.example", "10.2.0.1", "xa.example") +
		one("", "", ":8080", ":443") +
		one("/x", "/z/y", "/z", "/x/../z", "/z%2Fy", "/z//y", "/X/z", "", "/x.git")
	d := digests()[0]
	switch choose(14) {
	case 0, 12, 13:
		tag := one(":1", ":2", "", ":1.7", ":1.7.1", ":1.5.2", ":v1.7.1", ":1.7-labs", ":latest",
			":1.7.0-rc1", ":a-x", ":1.4-x")
		return buildrules.Operation{Image: name + tag + one("", "", "@"+choose.one(digests()), "@"+d)}
	case 1:
		commit := "0123456789012345678901234567890123456789"
		return buildrules.Operation{Git: &buildrules.Git{
			URL: one("https", "http", "ssh", "git") + url, Ref: one("", "main", commit),
		}}
	case 2:
		return buildrules.Operation{HTTP: &buildrules.HTTP{
			URL: one("https", "http") + url, Checksum: one("", d),
		}}
	case 3:
		return buildrules.Operation{Local: one("context", "dockerfile", "docker", "z", "CONTEXT")}
	case 4:
		return buildrules.Operation{Blob: name + "@" + d}
	case 5:
		return buildrules.Operation{Frontend: name}
	case 6:
		return buildrules.Operation{OCILayout: name + "@" + d}
	case 7:
		return buildrules.Operation{Container: choose.exec()}
	case 8, 9:
		return buildrules.Operation{Exec: choose.exec()}
	}
	return buildrules.Operation{Config: choose.config()}
}

func (choose Source) exec() *buildrules.Exec {
	e := &buildrules.Exec{Network: choose.one([]string{"", "none", "default", "host"})}
	if choose(3) == 0 {
		e.Secrets = []string{choose.one([]string{"npm", "npmtoken", "token", "aws", "z"})}
	}
	if choose(3) == 0 {
		e.SSH = []string{choose.one([]string{"default", "deploy", "z"})}
	}
	if choose(3) == 0 {
		e.Devices = []string{choose.one([]string{"gpu", "fpga", "z"})}
	}
	if choose(3) == 0 {
		e.Hosts = []string{choose.one([]string{"a", "bb", "z"})}
	}
	if choose(3) == 0 {
		e.Ulimits = map[string]int{choose.one([]string{"nofile", "core", "zz"}): choose(3)}
	}
	if choose(3) == 0 {
		e.CgroupParent = choose.one([]string{"a", "bb", "a/b"})
	}
	e.Insecure = choose(4) == 0
	return e
}

func (choose Source) config() *buildrules.Config {
	c := &buildrules.Config{
		User: choose.one([]string{"", "app", "web", "1500", "1000", "2500", "0", "17", "app:web"}),
	}
	c.Target = choose.one([]string{"", "", "rel", "REL", "r1", "r-x", "base", "b/c", "1", "z"})
	if choose(2) == 0 {
		c.Cmd = []string{"sh"}
	}
	for range choose(3) {
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		c.Labels[choose.one([]string{"a", "b1", "z", "B", "b"})] = choose.one([]string{
			"", "x", "y1",
			"x1",
		})
	}
	if choose(2) == 0 {
		c.Env = []string{choose.one([]string{"PATH", "PATH=x", "z", "AxB"})}
	}
	for range choose(3) {
		c.Ports = append(c.Ports, choose.one([]string{
			"80", "443/tcp", "1", "53/udp", "8080/sctp", "403", "8000", "85/tcp", "450/udp", "80/x",
		}))
	}
	if choose(3) == 0 {
		c.Volumes = []string{choose.one([]string{"/data", "/d", "/x"})}
	}
	return c
}
