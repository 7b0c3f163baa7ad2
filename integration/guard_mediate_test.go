package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	godigest "github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
	"github.com/policy-frontend/policy-frontend/policy"
)

// guardRules are build rules that refuse some of what builds of these tests do.
const guardRules = `build:
  images: {allow: ["busybox", "docker.io/library/busybox"]}
  exec: {secrets: ["token"], networks: [default, none]}
`

// handedOver returns guardPolicy with a dispatch and build rules, so that a guard hands over.
func handedOver(by policy.Dispatch, rules string) string {
	return guardPolicy + "    dispatch: " + string(by) + "\n" + rules
}

// guardWays are the policies under which a guard hands builds over.
func guardWays() map[string]string {
	return map[string]string{
		"mediate":           handedOver(policy.DispatchMediate, ""),
		"mediate by rules":  guardPolicy + guardRules,
		"builtin and rules": handedOver(policy.DispatchBuiltin, guardRules),
		"forward and rules": handedOver(policy.DispatchForward, guardRules),
	}
}

// guardsByDispatch starts guards before one daemon: one for each dispatch, forward first. Their
// policies are guardPolicy with the dispatch, and more.
func guardsByDispatch(
	t *testing.T, cfg harness.DaemonConfig, more string,
) (guards []*harness.Guarded) {
	t.Helper()
	behind := env.StartDaemon(t, cfg)
	for _, by := range []policy.Dispatch{
		policy.DispatchForward, policy.DispatchBuiltin, policy.DispatchMediate,
	} {
		guards = append(guards, env.GuardBefore(t, behind, behind.Addr, handedOver(by, more), "--image",
			env.Mediator(t)))
	}
	return guards
}

// mediatingGuard starts a guard that hands builds over.
func mediatingGuard(t *testing.T, policy string) *harness.Guarded {
	t.Helper()
	return env.Guard(t, harness.DaemonConfig{}, policy, "--image", env.Mediator(t))
}

// comparableBuild runs a build without BUILDKIT_SYNTAX whose result depends only on the build.
func comparableBuild(t *testing.T, d *harness.Daemon, dir string, args ...string) string {
	t.Helper()
	file := outFile(t)
	c := d.BuildxCommand(dir, append(append([]string{
		"build", "--progress=plain", "--output", comparableOutput(file),
	}, args...), ".")...)
	c.Env = []string{"SOURCE_DATE_EPOCH=" + epoch}
	d.Run(t, c).RequireSuccess(t)
	return file
}

func TestGuardHandsOverWhatTheDaemonCannotHold(t *testing.T) {
	t.Parallel()
	plain := env.Plain(t)
	evilBase := env.Frontend(t, harness.EchoFrontend) // it has to exist
	for name, doc := range guardWays() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := mediatingGuard(t, doc)
			t.Run("an allowed build", func(t *testing.T) {
				t.Parallel()
				dir, out := harness.WriteContext(t, dockerfile(inner)), t.TempDir()
				file := filepath.Join(t.TempDir(), "metadata.json")
				o := g.Buildx(t, dir, "build", "--progress=plain", "--metadata-file", file, "-o", out, ".").
					RequireSuccess(t)
				require.Equal(t, "ran\n", read(t, filepath.Join(out, "out")))
				require.Contains(t, o.Text(),
					`[policy] rule "dockerfile" of corp-ci allows docker/dockerfile:1`)
				var text string
				require.NoError(t, json.Unmarshal(
					harness.ReadMetadata(t, file)["frontend.policy.decision"], &text))
				require.Contains(t, text, `"rule":"dockerfile"`)
				require.Contains(t, text, godigest.FromString(doc).String(), "the guard's policy")
			})
			t.Run("the same result as without a guard", func(t *testing.T) {
				t.Parallel()
				dir := withSyntax(t, "FROM busybox AS base\nRUN echo one > /one\nFROM base\n"+
					"ARG WHO\nCOPY hello /\nRUN cat /one /hello > /two\nENV A=$WHO\nLABEL a=b\n",
					map[string]string{"hello": "hello\n"})
				for _, args := range [][]string{
					{"--provenance=false", "--build-arg=WHO=me"},
					{"--provenance=false", "--target=base"},
					{"--provenance=false", "--build-context=busybox=docker-image://busybox:latest"},
				} {
					requireSameResult(t, comparableBuild(t, plain, dir, args...),
						comparableBuild(t, g.Daemon, dir, args...))
				}
				two := withSyntax(t, "FROM busybox\nCOPY hello /\n", map[string]string{"hello": "hello\n"})
				args := []string{"--provenance=false", "--platform=linux/amd64,linux/arm64"}
				requireSameResult(t, comparableBuild(t, plain, two, args...),
					comparableBuild(t, g.Daemon, two, args...))
			})
			t.Run("buildctl", func(t *testing.T) {
				t.Parallel()
				dir, out := harness.WriteContext(t, dockerfile("")), t.TempDir()
				g.Buildctl(t, byBuildctl(dir, "docker/dockerfile:1", "--output", "type=local,dest="+out)...).
					RequireSuccess(t)
				require.Equal(t, "ran\n", read(t, filepath.Join(out, "out")))
			})
			t.Run("a secret and a warning and a failing command", func(t *testing.T) {
				t.Parallel()
				out := t.TempDir()
				dir := withSyntax(t, "from busybox AS b\n"+
					"RUN --mount=type=secret,id=token rev /run/secrets/token > /file\n"+
					"FROM scratch\nCOPY --from=b /file /\n", map[string]string{"token.txt": "hunter2\n"})
				o := g.Buildx(t, dir, "build", "--progress=plain", "--secret=id=token,src=token.txt", "-o",
					out, ".").RequireSuccess(t)
				require.Equal(t, "2retnuh\n", read(t, filepath.Join(out, "file")))
				require.Contains(t, o.Text(), "FromAsCasing")
				broken := withSyntax(t, "FROM busybox\nRUN exit 7\n", nil)
				g.Buildx(t, broken, "build", ".").RequireFailure(t, "exit code: 7", ">>> RUN exit 7")
			})
			t.Run("subrequests", func(t *testing.T) {
				t.Parallel()
				dir := withSyntax(t, "ARG A=b\nFROM busybox AS x\nRUN true\n", nil)
				for _, call := range []string{"outline", "targets", "check"} {
					args := []string{"build", "--call=" + call, "."}
					require.Equal(t, plain.Buildx(t, dir, args...).RequireSuccess(t).Stdout,
						g.Buildx(t, dir, args...).RequireSuccess(t).Stdout, call)
				}
				o := g.Buildx(t, dir, "build", "--call=policy", ".").RequireSuccess(t)
				require.Contains(t, o.Stdout, "frontend docker/dockerfile:1 is allowed")
			})
			t.Run("a refused frontend", func(t *testing.T) {
				t.Parallel()
				dir := harness.WriteContext(t, dockerfile(forbidden))
				g.Buildx(t, dir, "build", ".").RequireFailure(t, "line 1 of Dockerfile",
					"no rule allows "+forbidden)
			})
			t.Run("an overlay of the client tightens", func(t *testing.T) {
				t.Parallel()
				dir := harness.WriteContext(t, dockerfile(""))
				g.Buildx(t, dir, "build", "--build-arg", "POLICY_FRONTEND_POLICY=version: 1\n"+
					"frontends: [{name: d, match: [docker/dockerfile]}]\nbuild: {images: {allow: [x/y]}}\n",
					".").RequireFailure(t, "the overlay decided: ", "the image busybox")
			})
			if !strings.Contains(doc, "build:") {
				return
			}
			t.Run("a base image that the rules refuse", func(t *testing.T) {
				t.Parallel()
				dir := withSyntax(t, "FROM busybox\nFROM "+evilBase+"\n", nil)
				refusal := "frontend docker/dockerfile:1 is refused: "
				if strings.Contains(doc, "dispatch: forward") { // its look-up is refused
					refusal = "Policy: policy-guard: the policy refuses"
				}
				g.Buildx(t, dir, "build", ".").RequireFailure(t,
					refusal, "the image "+evilBase, "Dockerfile:3")
			})
			t.Run("a command that the rules refuse", func(t *testing.T) {
				t.Parallel()
				dir := withSyntax(t, "FROM busybox\nRUN --mount=type=secret,id=aws true\n", nil)
				g.Buildx(t, dir, "build", ".").RequireFailure(t,
					"frontend docker/dockerfile:1 is refused: ", "aws", "Dockerfile:3")
				require.Contains(t, g.Log(), `a command with the secret \"aws\"`,
					"the image's refusal is logged")
			})
		})
	}
}

// The provenance names what ran. The policy that was handed over is among the arguments of the
// request, which only mode=max has.
func TestTheProvenanceOfWhatIsHandedOver(t *testing.T) {
	t.Parallel()
	g := mediatingGuard(t, guardPolicy+guardRules)
	dir := harness.WriteContext(t, dockerfile(inner))
	of := func(d *harness.Daemon, mode string) (image string, p provenance, text string) {
		file := comparableBuild(t, d, dir, "--provenance=mode="+mode)
		images := registry.ReadOCI(t, file)
		require.Len(t, images, 2)
		statement := images[1].Statements(t)[0].Predicate
		require.NoError(t, json.Unmarshal(statement, &p))
		return images[0].Digest, p, string(statement)
	}
	wantImage, want, _ := of(env.Plain(t), "max")
	gotImage, got, text := of(g.Daemon, "max")
	require.Equal(t, wantImage, gotImage)
	materials := want.materials()
	mediator := env.Mediator(t)
	pinned, err := env.Registry.Digest(mediator)
	require.NoError(t, err)
	name, tag, _ := strings.Cut(mediator, "mediator:")
	materials["pkg:docker/"+name+"mediator@"+tag] = strings.TrimPrefix(pinned, "sha256:")
	require.Equal(t, materials, got.materials())
	request := got.BuildDefinition.ExternalParameters.Request
	require.Equal(t, "gateway.v0", request.Frontend)
	require.Equal(t, mediator+"@"+pinned, request.Args["source"])
	require.Equal(t, mediator+"@"+pinned+" "+inner, request.Args["cmdline"])
	require.Contains(t, text, "POLICY_FRONTEND_GUARD_PIECE_0")
	require.Equal(t, want.BuildDefinition.InternalParameters.BuildConfig.LLB,
		got.BuildDefinition.InternalParameters.BuildConfig.LLB)

	_, _, text = of(g.Daemon, "min")
	require.NotContains(t, text, "POLICY_FRONTEND_GUARD")
}

func TestGuardWithoutAnImageRefusesWhatItCannotHold(t *testing.T) {
	t.Parallel()
	for name, doc := range guardWays() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := env.Guard(t, harness.DaemonConfig{}, doc)
			g.Buildx(t, harness.WriteContext(t, dockerfile("")), "build", ".").RequireFailure(t,
				"start it with --image REFERENCE")
		})
	}
}

// An ordinary policy image can be the one that mediates. Then both policies have to allow a build.
func TestGuardHandsOverToAnImageWithAPolicy(t *testing.T) {
	t.Parallel()
	image := env.WithPolicy(t, corpPolicy+"build: {images: {allow: [\"busybox\"]}}\n")
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy+
		"build: {exec: {secrets: []}}\n", "--image", image)
	out := t.TempDir()
	g.Buildx(t, harness.WriteContext(t, dockerfile("")), "build", "-o", out, ".").RequireSuccess(t)
	require.Equal(t, "ran\n", read(t, filepath.Join(out, "out")))
	other := env.Frontend(t, harness.EchoFrontend)
	g.Buildx(t, withSyntax(t, "FROM "+other+"\n", nil), "build", ".").RequireFailure(t,
		"the image "+other)
	secret := withSyntax(t, "FROM busybox\nRUN --mount=type=secret,id=aws true\n", nil)
	g.Buildx(t, secret, "build", ".").RequireFailure(t, "the overlay decided: ", "aws")

	// An image from before policy-guard would ignore the policy.
	g = env.Guard(t, harness.DaemonConfig{}, guardPolicy+guardRules, "--image", other)
	g.Buildx(t, harness.WriteContext(t, dockerfile("")), "build", ".").RequireFailure(t,
		"would ignore its policy")
}

// handOverArgs are the arguments of buildctl that hand over a document, as policy-guard would.
func handOverArgs(doc, sum string) []string {
	return []string{
		"--opt", "build-arg:POLICY_FRONTEND_GUARD_PIECE_0=" + doc,
		"--opt", "build-arg:POLICY_FRONTEND_GUARD_DIGEST=" + sum,
	}
}

func TestAClientHandsOverNothing(t *testing.T) {
	t.Parallel()
	evilRef := env.Frontend(t, harness.EvilFrontend)
	pinned := "docker.io/" + evilRef + "@" + digestOf(t, evilRef)
	doc, err := json.Marshal(map[string]any{
		"policy": "p.yaml", "files": map[string]string{"p.yaml": "version: 1\ndefault: allow\n"},
		"frontend": pinned, "cacheMounts": "",
	})
	require.NoError(t, err)
	good := handOverArgs(string(doc), godigest.FromBytes(doc).String())
	dir := harness.WriteContext(t, dockerfile(evilRef))

	t.Run("through a guard", func(t *testing.T) {
		t.Parallel()
		g := mediatingGuard(t, guardPolicy+guardRules)
		for name, args := range map[string][]string{
			"all of it":              good,
			"a digest":               good[2:],
			"another letter case":    {"--opt", "build-arg:policy_frontend_guard_digest=x"},
			"the key of another one": {"--opt", "build-arg:POLICY_FRONTEND_GUARD_PIECE_0={}=x"},
		} {
			g.Buildctl(t, byBuildctl(dir, evilRef, args...)...).RequireFailure(t, "is policy-guard's own")
			t.Log(name)
		}
	})
	t.Run("to a daemon that permits the image", func(t *testing.T) {
		t.Parallel()
		d := env.SolePermitted(t)
		us := env.WithPolicy(t, corpPolicy)
		by := func(source string, args ...string) harness.Output {
			return d.Buildctl(t, byBuildctl(dir, source, append([]string{
				"--opt", "cmdline=" + source + " " + evilRef,
			}, args...)...)...)
		}
		by(us, good...).RequireFailure(t, "no rule allows "+evilRef)
		by(us, handOverArgs(string(doc)+" ", good[3][len(good[3])-71:])...).
			RequireFailure(t, "didn't arrive as it was sent")
		by(us, handOverArgs(string(doc), godigest.FromString("").String())...).
			RequireFailure(t, "didn't arrive as it was sent")
		by(env.Image(t), good...).RequireFailure(t, "holds no policy")
	})
	t.Run("the guard's image without a guard", func(t *testing.T) {
		t.Parallel()
		mediator := env.Mediator(t)
		env.Plain(t).Buildctl(t, byBuildctl(dir, mediator, "--opt", "cmdline="+mediator+" "+inner)...).
			RequireFailure(t, "build through policy-guard")
	})
}

func TestTheMediatorIsTheImageWithAnotherEntrypoint(t *testing.T) {
	t.Parallel()
	image, mediator := pullImage(t, env.Image(t)), pullImage(t, env.Mediator(t))
	want, err := image.ConfigFile()
	require.NoError(t, err)
	got, err := mediator.ConfigFile()
	require.NoError(t, err)
	require.Equal(t, []string{"/policy-frontend", "--policy-from-guard"}, got.Config.Entrypoint)
	got.Config.Entrypoint = want.Config.Entrypoint
	require.Equal(t, want.Config, got.Config)
	files, others := filesOf(t, image), filesOf(t, mediator)
	require.Equal(t, slices.Sorted(maps.Keys(files)), slices.Sorted(maps.Keys(others)))
	const program = "policy-frontend"
	require.True(t, bytes.Equal(files[program], others[program]), "the programs differ")
}

// A policy of several megabytes can't be handed over, because a process can't be started with it.
func TestGuardRefusesToHandOverALargePolicy(t *testing.T) {
	t.Parallel()
	g := mediatingGuard(t, guardPolicy+guardRules)
	large := guardPolicy + guardRules + strings.Repeat("# a long comment\n", 80_000)
	require.NoError(t, os.WriteFile(g.Policy, []byte(large), 0o600))
	dir := harness.WriteContext(t, dockerfile(""))
	g.Buildx(t, dir, "build", ".").RequireSuccess(t)
	large += strings.Repeat("# a long comment\n", 20_000)
	require.NoError(t, os.WriteFile(g.Policy, []byte(large), 0o600))
	g.Buildx(t, dir, "build", ".").RequireFailure(t, "the policy can't be handed over",
		"at most 1572864")
}

// buildx sends the result of a linked target as a frontend input, with its definition.
func TestGuardServesLinkedTargets(t *testing.T) {
	t.Parallel()
	plain := env.Plain(t)
	dir := withSyntax(t, "FROM base\nRUN cat /base /base > /out\n", map[string]string{
		"docker-bake.hcl": `target "base" { context = "base" }
target "default" { contexts = { base = "target:base" } }
`,
		"base/Dockerfile": syntaxLine + "FROM busybox\nENV FROM_BASE=1\nRUN echo base > /base\n",
	})
	two := harness.WriteContext(t, map[string]string{"docker-bake.hcl": `target "_" {
  platforms = ["linux/amd64", "linux/arm64"]
}
target "base" {
  inherits          = ["_"]
  dockerfile-inline = "FROM busybox\nCOPY docker-bake.hcl /base"
}
target "default" {
  inherits          = ["_"]
  contexts          = { base = "target:base" }
  dockerfile-inline = "FROM base\nCOPY docker-bake.hcl /out"
}
`})
	build := func(t *testing.T, d *harness.Daemon, dir string) string {
		t.Helper()
		file := outFile(t)
		c := d.BuildxCommand(dir, "bake", "--progress=plain", "--allow=fs=*", "--provenance=false",
			"--set=default.output="+comparableOutput(file))
		c.Env = []string{"SOURCE_DATE_EPOCH=" + epoch}
		d.Run(t, c).RequireSuccess(t)
		return file
	}
	want, wantTwo := build(t, plain, dir), build(t, plain, two)
	require.Equal(t, "base\nbase\n", registry.ReadOCI(t, want)[0].File(t, "out"))
	ways := guardWays()
	ways["forward"], ways["builtin"] = guardPolicy, guardBuiltin
	for name, doc := range maps.Clone(ways) {
		ways[name+" and kept apart"] = doc + forAlice
	}
	for name, doc := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := mediatingGuard(t, doc)
			requireSameResult(t, want, build(t, g.Daemon, dir))
			requireSameResult(t, wantTwo, build(t, g.Daemon, two))
		})
	}
}

func TestGuardRefusesFrontendInputsThatNoFrontendMade(t *testing.T) {
	t.Parallel()
	const file = "FROM scratch\nCOPY Dockerfile /\n"
	def, err := llb.Image("busybox").Run(
		llb.Args([]string{"sh", "-c", "echo \"$FILE\" > /Dockerfile"}), llb.AddEnv("FILE", file),
	).Root().Marshal(t.Context(), llb.LinuxAmd64)
	require.NoError(t, err)
	solve := func(d *harness.Daemon) error {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		c := clientOf(t, d, 0)
		go func() {
			_, _ = controlapi.NewControlClient(c).Solve(ctx,
				&controlapi.SolveRequest{Ref: "forged", Cache: &controlapi.CacheOptions{}})
		}()
		_, err := gwpb.NewLLBBridgeClient(c).Solve(
			withHeaders(t, headerBuildID, "forged"), &gwpb.SolveRequest{
				Frontend: "gateway.v0", FrontendOpt: map[string]string{"source": inner},
				FrontendInputs: map[string]*pb.Definition{
					"dockerfile": def.ToPB(), "context": def.ToPB(),
				},
				AllowResultReturn: true, AllowResultArrayRef: true,
			})
		return err
	}
	for name, doc := range map[string]string{
		"forward": guardPolicy, "builtin": guardBuiltin,
		"mediate": handedOver(policy.DispatchMediate, ""), "build rules": guardPolicy + guardRules,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := mediatingGuard(t, doc)
			require.NoError(t, solve(g.Behind))
			require.ErrorContains(t, solve(g.Daemon), "isn't what a build of this client has returned")
		})
	}
}
