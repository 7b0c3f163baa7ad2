package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// refusal is a build that must be refused. If syntax is set, buildx runs it. Otherwise buildctl
// does, which sends whatever it is told to.
type refusal struct {
	policy string // corpPolicy if empty
	file   string // the Dockerfile
	opts   []string
	syntax string // BUILDKIT_SYNTAX for buildx; {us} stands for the image
	env    []string
	want   []string
}

const (
	evil       = "frontends/evilfrontend:1"
	evilImage  = "docker-image://docker.io/" + evil
	evilFile   = "# syntax=" + evil + "\nFROM scratch\n"
	goodSyntax = "# syntax=docker/dockerfile:1\n"
	goodFile   = goodSyntax + "FROM scratch\nCOPY Dockerfile /\n"
	zeroDigest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

	overlayOpt = "build-arg:POLICY_FRONTEND_POLICY="
)

// allButEvil allows every name but the evil one. So a refusal can only come from its deny rule.
const allButEvil = `version: 1
id: corp-ci
contact: "#build-help"
frontends:
  - {name: all, match: ["**"]}
  - {name: no-evil, match: ["frontends/evilfrontend"], action: deny, message: "evil is not reviewed"}
`

func rule(conditions string) string {
	return "version: 1\nid: corp-ci\ncontact: \"#build-help\"\nfrontends:\n" +
		"  - {name: dockerfile, match: [docker/dockerfile], " + conditions + "}\n"
}

func refusals(t *testing.T) map[string]refusal {
	long := "version: 1\nid: long\n#" + strings.Repeat("x", 64<<10)
	return map[string]refusal{
		"a repository that no rule names": {
			file: evilFile,
			want: []string{evil, ">>> # syntax=" + evil, "rule:         default", "allowed:      "},
		},
		"an image that the registry doesn't have": {
			file: "# syntax=docker/dockerfile:1.99\n",
			want: []string{
				"frontend docker/dockerfile:1.99 is refused: its image can't be read: ",
				">>> # syntax=docker/dockerfile:1.99", "contact:      #build-help",
			},
		},
		"a tag that no rule names": {
			file: "# syntax=docker/dockerfile:2\n",
			want: []string{
				"docker/dockerfile:2", `rule "dockerfile" would allow it, but only with the tags 1 or 1.*`,
			},
		},
		"no tag where latest is none of the tags": {
			file: "# syntax=docker/dockerfile\n",
			want: []string{"not latest"},
		},
		"a digest that is not in the rule": {
			policy: rule("digests: [\"" + zeroDigest + "\"]"),
			file:   goodFile,
			want:   []string{"only with the digest " + zeroDigest},
		},
		"a tag where the rule wants a digest": {
			policy: rule("requireDigest: true"),
			file:   goodFile,
			want:   []string{"must carry a digest"},
		},
		"a digest beside a tag that is not the tag's": {
			file: "# syntax=docker/dockerfile:1@" + digest(t, evil) + "\n",
			want: []string{"that tag points to " + digest(t, "docker/dockerfile:1")},
		},
		"a name that goes on where the rule's ends": {
			file: "# syntax=docker/dockerfile-evil:1\n",
			want: lookAlike("docker/dockerfile-evil:1"),
		},
		"a name below the rule's": {
			file: "# syntax=docker/dockerfile/evil:1\n",
			want: lookAlike("docker/dockerfile/evil:1"),
		},
		"the rule's name on another host": {
			file: "# syntax=evil.example/docker/dockerfile:1\n",
			want: lookAlike("evil.example/docker/dockerfile:1"),
		},
		"a denied name with its host in upper case": {
			policy: allButEvil,
			file:   "# syntax=DOCKER.IO/" + evil + "\n",
			want:   []string{"no-evil", "message:      evil is not reviewed"},
		},
		"a denied name with the default port": {
			policy: allButEvil,
			file:   "# syntax=docker.io:443/" + evil + "\n",
			want:   []string{"no-evil"},
		},
		"a denied name with the default port and a zero": {
			policy: allButEvil,
			file:   "# syntax=docker.io:0443/" + evil + "\n",
			want:   []string{"no-evil"},
		},
		"a denied name on Docker Hub's other host": {
			policy: allButEvil,
			file:   "# syntax=index.docker.io/" + evil + "\n",
			want:   []string{"no-evil"},
		},
		"a host that would turn into a folder": {
			policy: allButEvil,
			file:   "# syntax=DOCKER/dockerfile:1\n",
			want:   []string{"needs a dot or a port"},
		},
		"a directive that is no reference": {
			file: "# syntax=docker/dockerfile:1@sha256:12\n",
			want: []string{"not an image reference"},
		},
		"ourselves as the inner frontend": {
			policy: allButEvil,
			syntax: "{us} {us}",
			file:   goodFile,
			want:   []string{"asks the policy frontend to run itself"},
		},
		"ourselves with another tag": {
			policy: allButEvil,
			syntax: "{us} {repo}:other",
			file:   goodFile,
			want:   []string{"asks the policy frontend to run itself"},
		},
		"BUILDKIT_SYNTAX that names another frontend": {
			file: goodFile,
			opts: []string{"build-arg:BUILDKIT_SYNTAX=" + evil},
			want: []string{evil, "requested by: the build-arg BUILDKIT_SYNTAX"},
		},
		"BUILDKIT_SYNTAX beside a cmdline that is allowed": {
			file: goodFile,
			opts: []string{"cmdline={us} docker/dockerfile:1", "build-arg:BUILDKIT_SYNTAX=" + evil},
			want: []string{evil},
		},
		"BUILDKIT_SYNTAX of buildx that names us and another": {
			file:   goodFile,
			syntax: "{us} " + evil,
			want:   []string{evil, "requested by: the build-arg BUILDKIT_SYNTAX"},
		},

		"a named context over us with :latest written out": {
			file: goodFile,
			opts: []string{"source={repo}:latest", "context:{repo}:latest=docker-image://" + evil},
			want: []string{"named context"},
		},
		"a named context over us for a foreign platform": {
			file: goodFile,
			opts: []string{"context:{us}::linux/s390x=docker-image://" + evil},
			want: []string{"named context"},
		},
		"a named context over us with its host in capitals": {
			file: goodFile,
			opts: []string{"context:{US}=docker-image://" + evil},
			want: []string{"named context"},
		},
		"a named context over us and a platform in capitals": {
			file: goodFile,
			opts: []string{"context:{US}::linux/amd64=docker-image://" + evil},
			want: []string{"named context"},
		},

		"an inner image that a client's source policy converts": {
			file: goodFile, env: []string{sourcePolicy(t,
				convertRule("docker-image://docker.io/docker/dockerfile*", evilImage))}, syntax: "{us}",
			want: []string{"no source policy of the client may replace its image"},
		},
		"an inner image that is converted only when pinned": {
			file: goodFile, env: []string{sourcePolicy(t,
				convertRule("docker-image://docker.io/docker/dockerfile:1@sha256:*", evilImage))},
			syntax: "{us}",
			want:   []string{"no source policy of the client may replace its image"},
		},
		"an inner image that is converted by a client who wrote rules like ours": {
			file: goodFile, env: []string{sourcePolicy(t, ruleThatIsKept("WILDCARD", "*"),
				ruleThatIsKept("REGEX", "^"),
				convertRule("docker-image://docker.io/docker/dockerfile*", evilImage))}, syntax: "{us}",
			want: []string{"no source policy of the client may replace its image"},
		},

		"an overlay that would loosen": {
			file: evilFile,
			opts: []string{overlayOpt + "version: 1\nid: team\nfrontends: [{name: all, match: ['**']}]\n"},
			want: []string{"no rule allows " + evil, "overlay:      team sha256:"},
		},
		"what only the overlay refuses": {
			file: goodFile,
			opts: []string{overlayOpt +
				"version: 1\nid: team\nfrontends: [{name: y, match: [frontends/yamlfrontend]}]\n"},
			want: []string{
				"the overlay decided", "overlay:      team sha256:", "allowed:      frontends/yamlfrontend",
			},
		},
		"an overlay where the policy accepts none": {
			policy: corpPolicy + "overlay: {accept: none}\n",
			file:   goodFile,
			opts:   []string{overlayOpt + "version: 1\n"},
			want:   []string{"accepts no overlay"},
		},
		"an overlay that is not YAML": {
			file: goodFile,
			opts: []string{overlayOpt + "version: ["},
			want: []string{"POLICY_FRONTEND_POLICY:1"},
		},
		"an overlay with a key twice": {
			file: goodFile,
			opts: []string{overlayOpt + "version: 1\ndefault: deny\ndefault: allow\n"},
			want: []string{`POLICY_FRONTEND_POLICY:3:1: duplicate field "default"`},
		},
		"an overlay with a key that is not known": {
			file: goodFile,
			opts: []string{overlayOpt + "version: 1\nfrontend: []\n"},
			want: []string{
				`POLICY_FRONTEND_POLICY:2:1: unknown field "frontend"; did you mean "frontends"?`,
			},
		},
		"an overlay that is too long": {
			file: goodFile,
			opts: []string{overlayOpt + long},
			want: []string{fmt.Sprintf("has %d bytes, more than %d", len(long), 64<<10)},
		},
		"an overlay that is empty": {
			file: goodFile,
			opts: []string{overlayOpt},
			want: []string{"the document is empty"},
		},
		"a build that names no frontend": {
			file: "FROM scratch\n",
			want: []string{"asks for no frontend"},
		},
		"an embedded policy that is broken": {
			policy: "version: 1\nid: corp-ci\nfrontends: {}\n",
			file:   goodFile,
			want: []string{
				"the policy of this image, in /etc/policy-frontend, is broken", "policy.yaml:3:12: ",
				"docker/dockerfile:1",
			},
		},
	}
}

// lookAlike returns the refusal of a frontend whose name only resembles an allowed one. No rule
// matches it with any tag.
func lookAlike(ref string) []string {
	return []string{
		"frontend " + ref + " is refused: no rule allows " + ref,
		">>> # syntax=" + ref,
		"rule:         default",
	}
}

// Every refusal ends with an error and exports nothing. Nothing of the refused frontend runs,
// because the registry's log shows no pull of its image.
func TestRefusedBuilds(t *testing.T) {
	env.Frontend(t, harness.EvilFrontend)
	for _, name := range []string{"docker/dockerfile-evil:1", "docker/dockerfile/evil:1"} {
		require.NoError(t, env.Registry.Tag(env.Registry.Ref(evil), env.Registry.Ref(name)))
	}
	d := env.SolePermitted(t)
	for name, r := range refusals(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := filepath.Join(t.TempDir(), "out")
			o := r.run(t, d, out)
			o.RequireFailure(t, r.want...)
			require.NoDirExists(t, out, "something was exported")
			if !strings.Contains(r.policy, "frontends: {}") {
				o.RequireFailure(t, "policy:       corp-ci sha256:", "contact:      #build-help")
			}
		})
	}
	t.Cleanup(func() { requireNoEvil(t) })
}

func (r refusal) run(t *testing.T, d *harness.Daemon, out string) harness.Output {
	t.Helper()
	doc := r.policy
	if doc == "" {
		doc = corpPolicy
	}
	us := env.WithPolicy(t, doc)
	if slices.Contains(r.opts, "source={repo}:latest") {
		require.NoError(t, env.Registry.Tag(us, env.Repository()+":latest"))
	}
	fill := strings.NewReplacer("{us}", us, "{US}", strings.Replace(us, "localhost", "LOCALHOST", 1),
		"{repo}", env.Repository()).Replace
	dir := harness.WriteContext(t, map[string]string{"Dockerfile": r.file})
	args := byBuildctl(dir, us, "--output", "type=local,dest="+out)
	command := d.BuildctlCommand
	if r.syntax != "" {
		args = byBuildx(fill(r.syntax), "-o", out)
		command = func(args ...string) harness.Command { return d.BuildxCommand(dir, args...) }
	}
	for _, opt := range r.opts {
		args = append(args, "--opt", fill(opt))
	}
	c := command(args...)
	c.Env = r.env
	return d.Run(t, c)
}

// requireNoEvil fails the test if the evil frontend's image was ever pulled.
func requireNoEvil(t *testing.T) {
	t.Helper()
	for _, repo := range []string{
		harness.EvilFrontend.Repository(), "docker/dockerfile-evil", "docker/dockerfile/evil",
	} {
		require.Empty(t, env.Registry.BlobsPulled(repo), "%s was pulled", repo)
	}
}

func digest(t *testing.T, name string) string {
	t.Helper()
	env.Frontend(t, harness.EvilFrontend)
	d, err := env.Registry.Digest(env.Registry.Ref(name))
	require.NoError(t, err)
	return d
}

// sourcePolicy returns the environment variable that makes buildx send a source policy with these
// rules.
func sourcePolicy(t *testing.T, rules ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "source-policy.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"rules": [`+strings.Join(rules, ", ")+`]}`), 0o600))
	return "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY=" + file
}

// convertRule returns a rule of a source policy as JSON.
func convertRule(from, to string) string {
	return fmt.Sprintf(`{
		"action": "CONVERT", "selector": {"identifier": %q, "match_type": "WILDCARD"},
		"updates": {"identifier": %q}
	}`, from, to)
}

// ruleThatIsKept returns a rule that never matches. BuildKit before v0.27 uses its selector instead
// of that of a later rule with the same text.
func ruleThatIsKept(kind, text string) string {
	return fmt.Sprintf(`{"action": "ALLOW", "selector": {
		"identifier": %q, "match_type": %q,
		"constraints": [{"key": "no", "condition": "EQUAL", "value": "such"}]
	}}`, text, kind)
}

func TestAnImageWithoutPolicyRefusesEverything(t *testing.T) {
	t.Parallel()
	d := env.SolePermitted(t)
	dir := harness.WriteContext(t, map[string]string{"Dockerfile": goodFile})
	d.Buildx(t, dir, byBuildx(env.Image(t))...).RequireFailure(t,
		"this policy frontend image holds no policy", "frontend docker/dockerfile:1 is refused",
		">>> # syntax=docker/dockerfile:1")
}

func TestTheDirectiveOfTheFileIsNotFollowedAfterCmdlineChose(t *testing.T) {
	t.Parallel()
	env.Frontend(t, harness.EvilFrontend)
	d := env.SolePermitted(t)
	dir := harness.WriteContext(t, map[string]string{
		"Dockerfile": "# syntax=" + evil + "\nFROM scratch\nCOPY Dockerfile /\n",
	})
	out := t.TempDir()
	d.Buildx(t, dir, byBuildx(env.WithPolicy(t, corpPolicy)+" docker/dockerfile:1", "-o", out)...).
		RequireSuccess(t)
	require.FileExists(t, filepath.Join(out, "Dockerfile"))
	require.NoFileExists(t, filepath.Join(out, "opts.json"))
}
