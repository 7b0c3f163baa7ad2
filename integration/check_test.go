package integration

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/policy"
)

// checkedFile is what `policy-frontend check` says of the default target of a file.
type checkedFile struct {
	verdict policy.Verdict // the worst: deny, then undecidable, then allow
	reasons []string
}

// checkFiles runs `policy-frontend check` and returns its answers by file.
func checkFiles(t *testing.T, bin string, args ...string) map[string]checkedFile {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "policy-frontend"),
		append([]string{"check", "--format", "json"}, args...)...)
	out, err := cmd.Output()
	if exit := new(exec.ExitError); err != nil {
		require.ErrorAs(t, err, &exit)
		require.Equal(t, 1, exit.ExitCode(), "%s%s", out, exit.Stderr)
	}
	var report struct {
		Builds   []struct{ File string }
		Findings []struct {
			Verdict                     policy.Verdict
			File, Target, Reason, Asked string
			Line                        int
		}
	}
	require.NoError(t, json.Unmarshal(out, &report), "%s", out)
	answers := map[string]checkedFile{}
	for _, b := range report.Builds {
		answers[b.File] = checkedFile{verdict: policy.Allow}
	}
	for _, f := range report.Findings {
		if f.Target != "" || f.Verdict == policy.Warn {
			continue
		}
		a := answers[f.File]
		if a.verdict != policy.Deny {
			a.verdict = f.Verdict
		}
		a.reasons = append(a.reasons, fmt.Sprintf("%d: %s: %s", f.Line, f.Asked, f.Reason))
		answers[f.File] = a
	}
	return answers
}

// requireAgreement fails unless a build was refused if and only if check said so.
func requireAgreement(t *testing.T, said checkedFile, o harness.Output, file string) {
	t.Helper()
	refused := o.ExitCode != 0 && strings.Contains(o.Text(), " is refused: ")
	switch said.verdict {
	case policy.Deny:
		require.True(t, refused, "check refuses it: %v\n%s\n%s", said.reasons, file, o)
	case policy.Allow:
		require.False(t, refused, "check allows it\n%s\n%s", file, o)
	}
}

// generatedFiles is how many Dockerfiles the test makes. Every fifth runs with each dispatcher.
const generatedFiles = 50

func TestCheckAndBuildAgreeOnGeneratedDockerfiles(t *testing.T) {
	t.Parallel()
	env.NeedsCurrent(t, "check has the Dockerfile frontend of the current BuildKit")
	sites := newBuildSites(t)
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("x"), 0o600))
	bin := commands(t)
	corpus := t.TempDir()
	random := rand.New(rand.NewPCG(12, 4))
	var files []string
	for i := range generatedFiles {
		g := generator{random: random, sites: sites}
		dir := filepath.Join(corpus, fmt.Sprintf("r%03d", i))
		require.NoError(t, os.Mkdir(dir, 0o755))
		file := filepath.Join(dir, "Dockerfile")
		require.NoError(t, os.WriteFile(file, []byte(syntaxLine+g.dockerfile()), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "hello"), []byte("x"), 0o600))
		files = append(files, file)
	}
	sites.eachJudge(t, "", func(t *testing.T, us side, by policy.Dispatch) {
		file := filepath.Join(t.TempDir(), "policy.yaml")
		doc := sites.policy("dispatch: " + string(by))
		require.NoError(t, os.WriteFile(file, []byte(doc), 0o600))
		answers := checkFiles(t, bin, "--policy", file, corpus)
		require.Len(t, answers, generatedFiles)
		requireMixed(t, answers)
		for i, name := range files {
			if by != policy.DispatchBuiltin && i%5 != 0 {
				continue
			}
			t.Run(filepath.Base(filepath.Dir(name)), func(t *testing.T) {
				t.Parallel()
				o := us.buildx(t, filepath.Dir(name), "--secret=id=aws,src="+secret,
					"--secret=id=npm-token,src="+secret)
				requireAgreement(t, answers[name], o, read(t, name))
				if answers[name].verdict == policy.Allow {
					o.RequireSuccess(t)
				}
			})
		}
	})
}

// requireMixed fails unless the corpus has many files of each verdict: otherwise agreement says
// little.
func requireMixed(t *testing.T, answers map[string]checkedFile) {
	t.Helper()
	counts := map[policy.Verdict]int{}
	for _, a := range answers {
		counts[a.verdict]++
	}
	require.Greater(t, counts[policy.Allow], generatedFiles/8, "%v", counts)
	require.Greater(t, counts[policy.Deny], generatedFiles/8, "%v", counts)
	require.Less(t, counts[policy.Undecidable], generatedFiles/3, "%v", counts)
}

// generator makes Dockerfiles of the kinds that people write. Some are refused.
type generator struct {
	random *rand.Rand
	sites  buildSites
	text   strings.Builder
	stages []string
}

// oneOf returns one of the alternatives. The first ones are more frequent.
func (g *generator) oneOf(alternatives ...string) string {
	n := len(alternatives)
	return alternatives[min(g.random.IntN(n), g.random.IntN(n))]
}

func (g *generator) add(format string, args ...any) { fmt.Fprintf(&g.text, format+"\n", args...) }

func (g *generator) dockerfile() string {
	g.add("ARG BASE=%s", g.oneOf("busybox", goodBase, oldBase, evilBase))
	g.add("ARG VERSION=1")
	for i := range 1 + g.random.IntN(3) {
		g.stage(fmt.Sprintf("stage%d", i))
	}
	if g.random.IntN(4) == 0 {
		g.add("FROM %s AS unused\nRUN false", g.oneOf("busybox", evilBase))
	}
	from := g.oneOf(append([]string{"busybox", goodBase, "scratch", "$BASE"}, g.stages...)...)
	g.add("FROM %s", from)
	g.add("COPY --from=%s /bin /copied/",
		g.oneOf(append(slices.Clone(g.stages), goodBase, evilBase)...))
	g.add("COPY hello /hello")
	g.add("%s", g.oneOf(`LABEL org.opencontainers.image.source="https://git.example/a"`, "ENV A=b C=d",
		"EXPOSE 8080/tcp", "VOLUME /data", "HEALTHCHECK CMD true", "STOPSIGNAL SIGTERM", "WORKDIR /app"))
	if user := g.oneOf("app", "1000:1000", "app", "0", ""); user != "" {
		g.add("USER %s", user)
	}
	g.add(`ENTRYPOINT ["/bin/true"]`)
	return g.text.String()
}

// stage adds a stage that the last one can use.
func (g *generator) stage(name string) {
	bases := append([]string{"busybox", "${BASE}", goodBase, "good/base:${VERSION}"}, g.stages...)
	g.add("FROM %s AS %s", g.oneOf(append(bases, "plat/${TARGETARCH}:1", evilBase)...), name)
	g.stages = append(g.stages, name)
	for range 1 + g.random.IntN(4) {
		g.step()
	}
}

func (g *generator) step() {
	g.add("%s", g.oneOf(
		"RUN echo built >/built",
		"COPY hello /src/",
		"ENV GOFLAGS=-mod=readonly",
		"ARG TARGETARCH\nRUN echo $TARGETARCH >/arch",
		"WORKDIR /src",
		"RUN <<EOT\nset -e\necho one\nEOT",
		"RUN --mount=type=cache,target=/cache true",
		"RUN --mount=type=bind,target=/work ls /work",
		"RUN --mount=type=secret,id=npm-token true",
		"RUN --mount=from="+goodBase+",target=/tools ls /tools",
		"RUN --network=none true",
		"ADD "+g.sites.files+"/file /added",
		"ADD "+g.sites.git+"#"+g.sites.commit+" /added-git",
		"ARG SITE="+g.sites.files+"\nADD ${SITE}/file /from-arg",
		"ADD "+g.sites.evilFiles+"/file /evil",
		"ADD "+g.sites.evilGit+" /evil-git",
		"RUN --mount=type=secret,id=aws true",
		"RUN --mount=from="+evilBase+",target=/tools ls /tools",
	))
}

func TestCheckAndBuildAgreeOnTheExamples(t *testing.T) {
	t.Parallel()
	env.Frontend(t, harness.EchoFrontend)
	for from, to := range map[string]string{
		string(harness.EchoFrontend): blubberTag, "docker/dockerfile:1": "docker/dockerfile:1.7",
	} {
		require.NoError(t, env.Registry.Tag(env.Registry.Ref(from), env.Registry.Ref(to)))
	}
	require.NoError(t, env.Registry.Tag(env.Image(t), env.Repository()+":dev"))
	bin := commands(t)
	policies, err := filepath.Glob(filepath.Join(env.Tools.Root, "examples", "*", "policy.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, policies)
	for _, file := range policies {
		folder := filepath.Dir(file)
		if filepath.Base(folder) == "guard" { // how to run policy-guard; it has no build files
			continue
		}
		t.Run(filepath.Base(folder), func(t *testing.T) {
			t.Parallel()
			work := t.TempDir()
			copyExample(t, folder, work)
			args := []string{"--policy", filepath.Join(work, "policy.yaml")}
			var overlay []string
			if _, err := os.Stat(filepath.Join(work, "overlay.yaml")); err == nil {
				args = append(args, "--overlay", filepath.Join(work, "overlay.yaml"))
				overlay = []string{
					"--build-arg",
					"POLICY_FRONTEND_POLICY=" + read(t, filepath.Join(work, "overlay.yaml")),
				}
			}
			us := side{
				Daemon: env.StartDaemon(t, harness.DaemonConfig{
					DockerfileOff: true, AllowedRepositories: []string{env.Repository()},
					Mirrors: map[string][]string{
						"docker.io":                     {env.Registry.Host()},
						"docker-registry.wikimedia.org": {env.Registry.Host()},
					},
				}),
				name: "through us", syntax: env.WithPolicy(t, read(t, filepath.Join(work, "policy.yaml"))),
			}
			answers := checkFiles(t, bin, append(args, work)...)
			require.NotEmpty(t, answers)
			for name, said := range answers {
				o := us.buildx(t, work, append(overlay, "-f", name)...)
				requireAgreement(t, said, o, read(t, name))
			}
		})
	}
}
