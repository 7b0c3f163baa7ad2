package guard

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/vsa"
)

// newSigner returns a signer with a new key, and the PEM of the public one.
func newSigner(t *testing.T) (s vsa.Signer, public []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	der, err = x509.MarshalPKIXPublicKey(key.Public())
	require.NoError(t, err)
	public = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	s, err = vsa.ParsePrivateKey(private)
	require.NoError(t, err)
	return s, public
}

const exportedImage = "sha256:2222222222222222222222222222222222222222222222222222222222222222"

// proving is a fake daemon, and a guard before it that signs.
type proving struct {
	*fakeDaemon
	guard  *Guard
	public vsa.PublicKey
	folder string
	pushed []string
	push   error
}

func newProving(t *testing.T, policy string) *proving {
	t.Helper()
	d, g := newDaemonFor(t, policy, "")
	d.ends = true
	d.exporterResponse = map[string]string{"containerimage.digest": exportedImage}
	signer, _ := newSigner(t)
	p := &proving{fakeDaemon: d, guard: g, public: signer.Public(), folder: t.TempDir()}
	g.summaries = &Summaries{
		Signer: signer, Version: "v1", Folder: p.folder,
		Push: func(_ context.Context, to []string, image vsa.Digest, _ []byte) error {
			require.Equal(t, exportedImage, image.String())
			p.pushed = append(p.pushed, to...)
			return p.push
		},
	}
	return p
}

// request begins a build that pushes an image.
func request(change func(*controlapi.SolveRequest)) *controlapi.SolveRequest {
	req := &controlapi.SolveRequest{
		Ref: "b", Session: "s1", Frontend: "gateway.v0",
		FrontendAttrs: map[string]string{"source": "docker/dockerfile:1"},
		Exporters: []*controlapi.Exporter{{Type: "image", Attrs: map[string]string{
			"name": "corp.example/app:1,corp.example/app:2", "push": "true",
		}}},
	}
	if change != nil {
		change(req)
	}
	return req
}

const exporting = forwarding + "exports: {push: {allow: [\"corp.example/**\"]}}\n" +
	"caches: {imports: {registry: {allow: [\"corp.example/**\"]}}}\n"

// build builds and returns what the metadata says: a summary, or why there is none.
func (p *proving) build(
	t *testing.T, change func(*controlapi.SolveRequest),
) (*vsa.Statement, string) {
	t.Helper()
	return p.buildAs(t, "alice", change)
}

// buildAs is build for a client.
func (p *proving) buildAs(
	t *testing.T, who Identity, change func(*controlapi.SolveRequest),
) (*vsa.Statement, string) {
	t.Helper()
	by := known(caller{id: who, client: clients.Peer(1000, 1000)})
	conn := dial(t, listen(t, p.guard.Server(by)))
	resp, err := controlapi.NewControlClient(conn).Solve(of(t), request(change))
	require.NoError(t, err)
	value, ok := resp.ExporterResponse[SummaryKey]
	if !ok {
		return nil, "nothing"
	}
	data, err := base64.StdEncoding.DecodeString(value)
	require.NoError(t, err)
	var said summaryMetadata
	require.NoError(t, json.Unmarshal(data, &said))
	if said.Envelope == nil {
		return nil, said.Missing
	}
	s, err := p.public.Open(said.Envelope)
	require.NoError(t, err)
	return s, said.Missing
}

func TestAnImageGetsASummary(t *testing.T) {
	t.Parallel()
	p := newProving(t, exporting)
	p.exporterResponse[SummaryKey] = "what the frontend says"
	s, missing := p.build(t, nil)
	require.Empty(t, missing)
	require.Equal(t, exportedImage, s.Image().String())
	require.Equal(t, []string{"corp.example/app:1", "corp.example/app:2"},
		[]string{s.Subject[0].Name, s.Subject[1].Name})
	require.Equal(t, "oci:corp.example/app:1", s.Predicate.ResourceURI)
	require.Equal(t, VerifierID, s.Predicate.Verifier.ID)
	require.Equal(t, string(p.guard.policy.current().Digest()), s.Predicate.Policy.Digest.String())
	require.Equal(t, "forward", s.Predicate.Details.Dispatch)
	d, err := s.Decision()
	require.NoError(t, err)
	require.Equal(t, "dockerfile", d.Rule)
	require.Equal(t, []string{"corp.example/app"}, p.pushed)

	file := filepath.Join(p.folder, SummaryFile(s.Image()))
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	e, err := vsa.ParseEnvelope(data)
	require.NoError(t, err)
	written, err := p.public.Open(e)
	require.NoError(t, err)
	require.Equal(t, s, written)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o644), info.Mode())
	entries, err := os.ReadDir(p.folder)
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

func TestWhatGetsNoSummary(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		policy  string
		daemon  func(*proving)
		request func(*controlapi.SolveRequest)
		why     string
	}{
		"a build that only sends files": {
			request: func(r *controlapi.SolveRequest) {
				r.Exporters = []*controlapi.Exporter{{Type: "local"}}
			},
			why: "nothing",
		},
		"an image of which the daemon tells no digest": {
			daemon: func(p *proving) { p.exporterResponse = nil },
			why:    "the daemon told no digest of the image",
		},
		"an image of which the daemon tells two digests": {
			daemon: func(p *proving) {
				p.exporterResponse["containerimage.descriptor"] = base64.StdEncoding.EncodeToString(
					[]byte(`{"digest":"` + fakeDigest + `"}`))
			},
			why: "the daemon told two digests of the image",
		},
		"several images": {
			request: func(r *controlapi.SolveRequest) {
				r.Exporters = append(r.Exporters, &controlapi.Exporter{Type: "oci"})
			},
			why: "it exports several images",
		},
		"a build that the policy only warns about": {
			policy: "mode: warn\n" + strings.Replace(exporting, "docker/dockerfile", "other/frontend", 1),
			why:    "the policy only warned about it",
		},
		"LLB of a client that the policy warns about": {
			policy: exporting + "llb: allow\nbuild: {images: {allow: [\"corp.example/**\"], mode: warn}}\n",
			request: func(r *controlapi.SolveRequest) {
				r.Frontend, r.FrontendAttrs = "", nil
				r.Definition = definition(t, llb.Image("evil.example/base:1"))
			},
			why: "the policy only warned about it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.policy == "" {
				c.policy = exporting
			}
			p := newProving(t, c.policy)
			if c.daemon != nil {
				c.daemon(p)
			}
			s, missing := p.build(t, c.request)
			require.Nil(t, s)
			require.Contains(t, missing, c.why)
			require.Empty(t, p.pushed)
			entries, err := os.ReadDir(p.folder)
			require.NoError(t, err)
			require.Empty(t, entries)
		})
	}
}

func TestSourcesTakeMemoryUntilTheBuildEnds(t *testing.T) {
	t.Parallel()
	long := &pb.SourceOp{Identifier: "local://" + strings.Repeat("a", 1000)}
	m := newMemory(1 << 20)
	a, p := m.open("alice"), &proof{}
	p.reads(long, a)
	require.Greater(t, a.held, int64(1000))
	require.Empty(t, p.why())
	a.close()
	require.Zero(t, m.used)

	a, p = newMemory(1<<10).open("alice"), &proof{}
	p.reads(long, a)
	require.Equal(t, "there was no memory for the names of its sources", p.why())
}

func TestASummaryThatCannotBeHandedOut(t *testing.T) {
	t.Parallel()
	p := newProving(t, exporting)
	p.push = errors.New("the registry is full")
	p.guard.summaries.Folder = filepath.Join(p.folder, "missing")
	log := &bytes.Buffer{}
	p.guard.log = slog.New(slog.NewTextHandler(log, nil))
	s, missing := p.build(t, nil)
	require.NotNil(t, s, "the client has it all the same")
	require.Equal(t, "it couldn't be written\nit couldn't be pushed", missing)
	require.Contains(t, log.String(), "it couldn't be written: ")
	require.Contains(t, log.String(), p.guard.summaries.Folder)
	require.Contains(t, log.String(), "it couldn't be pushed: the registry is full")
}

func TestTheClientIsNotToldWhySigningFailed(t *testing.T) {
	t.Parallel()
	p := newProving(t, exporting)
	var err error
	p.guard.summaries.Signer, err = SignCommand(
		shell(t, "echo token=hunter22 is refused >&2\nexit 1"), p.public)
	require.NoError(t, err)
	log := &bytes.Buffer{}
	p.guard.log = slog.New(slog.NewTextHandler(log, nil))
	s, missing := p.build(t, nil)
	require.Nil(t, s)
	require.Equal(t, "it couldn't be signed", missing)
	require.Contains(t, log.String(), "/bin/sh failed: exit status 1: token=hunter22 is refused")
}

func TestAnImageThatIsPushedByItsDigestHasNoTagInItsSummary(t *testing.T) {
	t.Parallel()
	p := newProving(t, exporting)
	s, missing := p.build(t, func(r *controlapi.SolveRequest) {
		r.Exporters[0].Attrs = map[string]string{
			"name": "corp.example/app,corp.example/b", "push": "true", "push-by-digest": "",
		}
	})
	require.Empty(t, missing)
	require.Equal(t, "oci:corp.example/app@"+exportedImage, s.Predicate.ResourceURI)
	require.Equal(t, "corp.example/b@"+exportedImage, s.Subject[1].Name)
	require.Equal(t, []string{"corp.example/app", "corp.example/b"}, p.pushed)
}

// It can fill the daemon's cache with anything, as if builds had made it that the policy allows.
func TestAFrontendThatRanUnwatchedAndWasOnlyWarnedAboutSpeaksAgainstLaterSummaries(t *testing.T) {
	t.Parallel()
	const attested = "attest: [warned]\n"
	other := func(r *controlapi.SolveRequest) { r.FrontendAttrs["source"] = "other/frontend:1" }
	decision := func(s *vsa.Statement, missing string) vsa.Decision {
		require.Empty(t, missing)
		d, err := s.Decision()
		require.NoError(t, err)
		return d
	}
	p := newProving(t, "mode: warn\n"+attested+exporting)
	require.False(t, decision(p.build(t, nil)).Warned())
	require.True(t, decision(p.build(t, other)).Warned())
	require.Contains(t, decision(p.build(t, nil)).Warnings, warnUnwatched)
	p.edit(t, []byte(attested+exporting))
	require.Contains(t, decision(p.build(t, nil)).Warnings, warnUnwatched,
		"a later policy gets what is in the cache too")
	p.edit(t, []byte(exporting))
	_, missing := p.build(t, nil)
	require.Equal(t, "the policy only warned about it: "+warnUnwatched, missing)
}

func TestWhichFrontendsSpeakAgainstLaterSummaries(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		verdict  policy.Verdict
		dispatch policy.Dispatch
		mediated bool
		unsigned bool
		want     bool
	}{
		"a warned one by forward": {
			verdict: policy.Warn, dispatch: policy.DispatchForward, want: true,
		},
		"an allowed one by forward": {verdict: policy.Allow, dispatch: policy.DispatchForward},
		"a warned one that an image watches": {
			verdict: policy.Warn, dispatch: policy.DispatchForward, mediated: true,
		},
		"the daemon's own one": {verdict: policy.Warn, dispatch: policy.DispatchBuiltin},
		"one where nothing is signed": {
			verdict: policy.Warn, dispatch: policy.DispatchForward, unsigned: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &build{guard: &Guard{}, proof: &proof{}}
			if c.unsigned {
				b.proof = nil
			}
			b.noteUnwatched(&frontend.Choice{Mediated: c.mediated, Decision: policy.Decision{
				Verdict: c.verdict, Dispatch: c.dispatch,
			}})
			require.Equal(t, c.want, b.guard.unwatched.Load())
		})
	}
}

func TestWithoutAKeyNobodySaysThatThereIsASummary(t *testing.T) {
	t.Parallel()
	p := newProving(t, exporting)
	p.exporterResponse[SummaryKey] = "what the frontend says"
	p.guard.summaries = nil
	s, missing := p.build(t, nil)
	require.Nil(t, s)
	require.Equal(t, "nothing", missing)
}

func TestABuildWhosePolicyChangesGetsNoSummary(t *testing.T) {
	t.Parallel()
	p := newProving(t, exporting)
	text, err := os.ReadFile(p.guard.policy.path)
	require.NoError(t, err)
	var once sync.Once
	p.asks = func(*pb.SourceOp) {
		once.Do(func() { p.edit(t, append([]byte("# another\n"), text...)) })
	}
	_, missing := p.build(t, nil)
	require.Equal(t, "the policy has changed since the build began", missing)
	_, missing = p.build(t, nil)
	require.Empty(t, missing)
}

func TestASummarySaysThatThePolicyWarned(t *testing.T) {
	t.Parallel()
	p := newProving(t, "mode: warn\nattest: [warned]\n"+
		strings.Replace(exporting, "docker/dockerfile", "other/frontend", 1))
	s, missing := p.build(t, nil)
	require.Empty(t, missing)
	d, err := s.Decision()
	require.NoError(t, err)
	require.True(t, d.Warned())
	require.Contains(t, d.Warnings[0], "docker/dockerfile:1")
}

// The daemon keeps what a build has imported, and gives it to other builds.
func TestNoBuildImportsACacheWhereSummariesAreSigned(t *testing.T) {
	t.Parallel()
	const ref = "corp.example/cache:1"
	entry := &controlapi.CacheOptionsEntry{
		Type: "registry", Attrs: map[string]string{"ref": ref},
	}
	const why = "it imports a build cache, which later builds would get too"
	for name, change := range map[string]func(*controlapi.SolveRequest){
		"by the request for the build": func(r *controlapi.SolveRequest) {
			r.Cache = &controlapi.CacheOptions{Imports: []*controlapi.CacheOptionsEntry{entry}}
		},
		"by an old field of it": func(r *controlapi.SolveRequest) {
			r.Cache = &controlapi.CacheOptions{ImportRefsDeprecated: []string{ref}}
		},
		"by the option cache-from": func(r *controlapi.SolveRequest) {
			r.FrontendAttrs["cache-from"] = ref
		},
		"by the option cache-imports": func(r *controlapi.SolveRequest) {
			r.FrontendAttrs["cache-imports"] = `[{"Type":"registry","Attrs":{"ref":"` + ref + `"}}]`
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProving(t, exporting)
			conn := as(t, p.guard, "alice")
			_, err := controlapi.NewControlClient(conn).Solve(of(t), request(change))
			require.ErrorContains(t, err, why)
			p = newProving(t, exporting)
			p.guard.summaries = nil
			_, missing := p.build(t, change)
			require.Equal(t, "nothing", missing)
		})
	}
	t.Run("by a request for a frontend", func(t *testing.T) {
		t.Parallel()
		p := newProving(t, exporting)
		p.ends = false
		c, ctx := begunAs(t, p.fakeDaemon, p.guard, &controlapi.SolveRequest{Ref: "b"})
		req := asking("docker/dockerfile:1")
		req.CacheImports = []*gwpb.CacheOptionsEntry{{Type: "registry", Attrs: entry.Attrs}}
		_, err := c.Solve(ctx, req)
		require.ErrorContains(t, err, why)
	})
	t.Run("by an option that the policy forces", func(t *testing.T) {
		t.Parallel()
		p := newProving(t, strings.Replace(exporting, "dockerfile,", "dockerfile, options: {force: "+
			"{cache-from: "+ref+"}},", 1))
		conn := as(t, p.guard, "alice")
		_, err := controlapi.NewControlClient(conn).Solve(of(t), request(nil))
		require.ErrorContains(t, err, why)
	})
}

func TestWhereSummariesAreSignedAllBuildsAreKeptApart(t *testing.T) {
	t.Parallel()
	run := func(policy string, sign bool) map[string]string {
		p := newProving(t, policy)
		if !sign {
			p.guard.summaries = nil
		}
		p.guard.names.key = make([]byte, minKey)
		p.build(t, nil)
		for _, call := range p.all() {
			if r, ok := call.request.(*gwpb.SolveRequest); ok && r.Frontend != "" {
				return r.FrontendOpt
			}
		}
		t.Fatal("no frontend ran")
		return nil
	}
	const hosts, mounts = optionkeys.Hosts, optionkeys.CacheMounts
	first, again := run(exporting, true), run("# the same rules\n"+exporting, true)
	other := run(exporting+"limits: {nesting: 2}\n", true)
	unsigned := run(exporting, false)
	require.Contains(t, first[hosts], ".policy-guard.invalid=127.0.0.1")
	require.Equal(t, first[hosts], again[hosts])
	require.Equal(t, first[mounts], again[mounts])
	require.NotEqual(t, first[hosts], other[hosts])
	require.NotEqual(t, first[mounts], other[mounts])
	require.Empty(t, unsigned[hosts])
	require.NotEqual(t, first[mounts], unsigned[mounts])
	const forSome = exporting + "llb: {clients: [\"uid:0\"]}\n"
	signed, imports := run(forSome, true), run(forSome, false)
	require.NotEmpty(t, imports[hosts])
	require.NotEqual(t, signed[hosts], imports[hosts], "a guard that signs nothing imports caches")
	require.NotEmpty(t, unsigned[mounts])
}

func TestCommandsThatAreNotKeptApartAreRefusedWhereSummariesAreSigned(t *testing.T) {
	t.Parallel()
	p := newProving(t, exporting)
	p.result = definition(t, llb.Image("corp.example/a").Run(llb.Shlex("true")).Root())
	conn := as(t, p.guard, "alice")
	_, err := controlapi.NewControlClient(conn).Solve(of(t), request(nil))
	require.ErrorContains(t, err, "a command that isn't kept apart from those of other builds")

	p = newProving(t, exporting+"llb: allow\n")
	own := func(def *pb.Definition) func(*controlapi.SolveRequest) {
		return func(r *controlapi.SolveRequest) {
			r.Frontend, r.FrontendAttrs, r.Definition = "", nil, def
		}
	}
	conn = as(t, p.guard, "alice")
	_, err = controlapi.NewControlClient(conn).Solve(of(t), request(own(p.result)))
	require.NoError(t, err)
	def := definition(t, llb.Image("corp.example/a").Run(llb.Shlex("true")).Root())
	_, err = controlapi.NewControlClient(conn).Solve(of(t), request(own(def)))
	require.ErrorContains(t, err, "commands in LLB that no frontend made")
	s, missing := p.build(t, own(definition(t, llb.Image("corp.example/a"))))
	require.Empty(t, missing)
	require.Equal(t, "llb", s.Predicate.Details.Dispatch)
}

func TestAnInputThatThePolicyWarnedAbout(t *testing.T) {
	t.Parallel()
	p := newProving(t, "mode: warn\nattest: [warned]\n"+
		strings.Replace(exporting, "docker/dockerfile", "other/frontend", 1))
	p.ends, p.result = false, definition(t, llb.Image("corp.example/a"))
	c, ctx := begunAs(t, p.fakeDaemon, p.guard, &controlapi.SolveRequest{Ref: "b"})
	_, err := c.Solve(ctx, asking("docker/dockerfile:1"))
	require.NoError(t, err)
	b, _ := asker(ctx, t, p.guard)
	require.Empty(t, b.proof.why())
	linked := asking("docker/dockerfile:1", "context:base", "input:base")
	linked.FrontendInputs = map[string]*pb.Definition{"base": p.result}
	_, err = c.Solve(ctx, linked)
	require.NoError(t, err)
	require.Contains(t, b.proof.why(), "it builds on the result of another build")
}

// The steps of a linked target are those of the frontend that made it, which a summary doesn't
// name. They stay in what builds on what builds on it.
func TestWhatBuildsOnOtherBuilds(t *testing.T) {
	t.Parallel()
	const dockerfile, other = "docker/dockerfile:1", "other/frontend:1"
	const allowed = "{name: other, match: [other/frontend]}, "
	first, second := llb.Image("corp.example/a"), llb.Image("corp.example/b")
	for name, c := range map[string]struct {
		policy string
		first  string
		why    string // "" for a summary
	}{
		"a result of the same frontend": {exporting, dockerfile, ""},
		"a result of another frontend": {
			strings.Replace(exporting, "[", "["+allowed, 1), other,
			"it builds on the result of another build, by docker.io/other/frontend (dispatch forward, " +
				"rule other of the policy), which the summary wouldn't name",
		},
		"a result about which the policy warned": {
			"mode: warn\nattest: [warned]\n" + exporting, other,
			"it builds on the result of another build, and the policy warned about that",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProving(t, c.policy)
			p.result = definition(t, first)
			s, missing := p.build(t, func(r *controlapi.SolveRequest) {
				r.FrontendAttrs["source"] = c.first
			})
			require.NotNil(t, s, missing)
			for _, next := range []llb.State{second, first} { // the third one builds on the second
				s, missing = p.build(t, func(r *controlapi.SolveRequest) {
					r.FrontendAttrs["context:base"] = "input:base"
					r.FrontendInputs = map[string]*pb.Definition{"base": p.result}
					p.result = definition(t, next)
				})
				require.Equal(t, c.why, missing)
				require.Equal(t, c.why == "", s != nil)
			}
		})
	}
}

func TestNoSummariesAreSignedForAnOldDaemon(t *testing.T) {
	t.Parallel()
	p := newProving(t, exporting)
	o := Options{PolicyPath: p.guard.policy.path, Summaries: p.guard.summaries}
	_, err := New(p.guard.daemon, o)
	require.NoError(t, err)
	o.AcceptOldDaemon = true
	_, err = New(p.guard.daemon, o)
	require.ErrorContains(t, err, "no summaries can be signed for a daemon that may be too old")
}

func TestABuildOnTheResultOfAWarnedBuild(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ reported, why string }{
		"nothing warned": {`{"verdict":"allow"}`, ""},
		"the image of --image reports a warning": {
			`{"verdict":"warn"}`, "it builds on the result of another build, and the policy warned about that",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProving(t, exporting)
			p.result = definition(t, llb.Image("corp.example/a"))
			b := &build{
				guard: p.guard, who: "alice", policy: p.guard.policy.current(), proof: &proof{},
				by: clients.Peer(1000, 1000),
			}
			res := &gwpb.Result{
				Result:   &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: "r", Def: p.result}},
				Metadata: map[string][]byte{frontend.MetadataKey: []byte(c.reported)},
			}
			choice := &frontend.Choice{Decision: policy.Decision{Verdict: policy.Allow}}
			b.made(b.asResults(nil, identities(res)), b.makerOf(choice, res))
			require.True(t, b.hasInput(nil, identities(res)[0]))
			require.Equal(t, c.why, b.proof.why())
		})
	}
}

// Commands whose results were in the cache have made no requests in this build.
func TestASummaryHasTheWarningsAboutDownloads(t *testing.T) {
	t.Parallel()
	const reported = `{"verdict":"allow","warnings":["a"],"policy":{"digest":"%s"},"more":1}`
	for name, c := range map[string]struct {
		attest   string
		mediated bool
		want     []string
	}{
		"which a policy doesn't attest": {"", false, nil},
		"of a frontend":                 {"attest: [warned]\n", false, []string{"b"}},
		"of a mediated frontend":        {"attest: [warned]\n", true, []string{"a", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProving(t, c.attest+exporting)
			b := &build{guard: p.guard, policy: p.guard.policy.current(), proof: &proof{}}
			l := &lineage{warned: []string{"b"}}
			b.downloads.lineage = l
			b.leave(true)
			choice := &frontend.Choice{Mediated: c.mediated, Decision: policy.Decision{
				Verdict: policy.Allow, Policy: b.policy.Identity(),
			}}
			data, err := b.decisionOf(choice, fmt.Sprintf(reported, b.policy.Digest()))
			if c.want == nil {
				require.EqualError(t, err, "the policy only warned about it: b")
				return
			}
			require.NoError(t, err)
			var d vsa.Decision
			require.NoError(t, json.Unmarshal(data, &d))
			require.True(t, d.Warned())
			require.Equal(t, c.want, d.Warnings)
			require.Equal(t, c.mediated, strings.Contains(string(data), `"more":1`))
		})
	}
}

// edit changes the policy, and waits until it is in force.
func (p *proving) edit(t *testing.T, text []byte) {
	t.Helper()
	before := p.guard.policy.current().Digest()
	require.NoError(t, os.WriteFile(p.guard.policy.path, text, 0o600))
	require.Eventually(t, func() bool { return p.guard.policy.current().Digest() != before },
		soon, 20*time.Millisecond)
}

// shell returns a command that runs a shell script. Another test that starts a process while the
// script is written would have it open, and the script itself couldn't be run.
func shell(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	require.NoError(t, os.WriteFile(path, []byte(script), 0o600))
	return "/bin/sh " + path
}

func TestACommandThatSigns(t *testing.T) {
	t.Parallel()
	signer, public := newSigner(t)
	key, err := vsa.ParsePublicKey(public)
	require.NoError(t, err)
	dir := t.TempDir()
	file := filepath.Join(dir, "signature")
	signature, err := signer.Sign(t.Context(), []byte("message"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, signature, 0o600))
	for name, c := range map[string]struct{ line, why string }{
		"it prints bytes":  {"cat " + file, ""},
		"it prints base64": {shell(t, "base64 <"+file) + " unused", ""},
		"it prints something else": {
			shell(t, "echo nothing"), "is no signature by the key of --sign-key",
		},
		"it fails": {
			shell(t, "echo the token is locked >&2; exit 3"), "exit status 3: the token is locked",
		},
		"it prints too much": {shell(t, "head -c 100000 /dev/zero"), "failed: "},
		"no shell reads it":  {"cat $(echo " + file + ")", "cat failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := SignCommand(c.line, key)
			require.NoError(t, err)
			sig, err := s.Sign(t.Context(), []byte("message"))
			if c.why != "" {
				require.ErrorContains(t, err, c.why)
				return
			}
			require.NoError(t, err)
			require.True(t, key.Verifies([]byte("message"), sig))
		})
	}
	_, err = SignCommand(" ", key)
	require.EqualError(t, err, "it is empty")
	_, err = SignCommand("no-such-program", key)
	require.Error(t, err)
	s, err := SignCommand("sleep 60", key)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = s.Sign(ctx, nil)
	require.ErrorContains(t, err, "sleep didn't end within 10s")
}

func TestFourCommandsSignAtOnce(t *testing.T) {
	t.Parallel()
	_, public := newSigner(t)
	key, err := vsa.ParsePublicKey(public)
	require.NoError(t, err)
	dir := t.TempDir()
	s, err := SignCommand(shell(t, ": > "+dir+"/began.$$\nexec sleep 60"), key)
	require.NoError(t, err)
	ctx, cancel := context.WithCancelCause(t.Context())
	var signing sync.WaitGroup
	began := func() int {
		files, err := filepath.Glob(dir + "/began.*")
		require.NoError(t, err)
		return len(files)
	}
	for range maxSigning {
		signing.Go(func() { _, _ = s.Sign(ctx, nil) })
	}
	require.Eventually(t, func() bool { return began() == maxSigning }, 9*time.Second,
		10*time.Millisecond)
	waiting, leave := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer leave()
	_, err = s.Sign(waiting, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, maxSigning, began())
	cancel(nil)
	signing.Wait()
	_, err = s.Sign(ctx, nil)
	require.Error(t, err)
	require.Empty(t, s.(signCommand).running)
}
