package guard

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/vsa"
)

// newSigner returns a signer with a new key, and the PEM of both keys.
func newSigner(t *testing.T) (s vsa.Signer, private, public []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	private = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	der, err = x509.MarshalPKIXPublicKey(key.Public())
	require.NoError(t, err)
	public = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	s, err = vsa.ParsePrivateKey(private)
	require.NoError(t, err)
	return s, private, public
}

const exportedImage = "sha256:2222222222222222222222222222222222222222222222222222222222222222"

// vertex returns a step that began that long after the build and took a second.
func vertex(step string, after time.Duration, inputs ...string) *controlapi.Vertex {
	began := time.Now().Add(time.Minute + after)
	v := &controlapi.Vertex{
		Digest: digest.FromString(step).String(), Name: step, Started: timestamppb.New(began),
		Completed: timestamppb.New(began.Add(time.Second)),
	}
	for _, in := range inputs {
		v.Inputs = append(v.Inputs, digest.FromString(in).String())
	}
	return v
}

func cachedVertex(step string, inputs ...string) *controlapi.Vertex {
	v := vertex(step, time.Hour, inputs...)
	v.Cached = true
	return v
}

func stepsOf(all ...*controlapi.Vertex) []*controlapi.StatusResponse {
	return []*controlapi.StatusResponse{{Vertexes: all}}
}

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
	d.steps = stepsOf(vertex("image", 0), vertex("run", time.Second, "image"))
	signer, _, _ := newSigner(t)
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
		"a build with a step that the policy warns about": {
			daemon: func(p *proving) {
				p.steps = append(p.steps, &controlapi.StatusResponse{
					Warnings: []*controlapi.VertexWarning{{Short: []byte("policy: no network")}},
				})
			},
			why: "the policy warned about it: policy: no network",
		},
		"a build that imports a cache": {
			request: func(r *controlapi.SolveRequest) {
				r.FrontendAttrs["cache-from"] = "corp.example/cache:1"
			},
			why: "it may import a build cache",
		},
		"a build that imports a cache as it begins": {
			request: func(r *controlapi.SolveRequest) {
				r.Cache = &controlapi.CacheOptions{Imports: []*controlapi.CacheOptionsEntry{{
					Type: "registry", Attrs: map[string]string{"ref": "corp.example/cache:1"},
				}}}
			},
			why: "it may import a build cache",
		},
		"a build with a step from a cache that nobody watched": {
			daemon: func(p *proving) { p.steps = stepsOf(vertex("image", 0), cachedVertex("run", "image")) },
			why:    "nobody watched: run (build with --no-cache)",
		},
		"a build with a step that had begun before": {
			daemon: func(p *proving) {
				p.steps = stepsOf(vertex("image", 0), vertex("run", -time.Hour, "image"))
			},
			why: "nobody watched: run",
		},
		"a build with a step on top of one from such a cache": {
			daemon: func(p *proving) {
				p.steps = stepsOf(vertex("image", 0), cachedVertex("run", "image"),
					vertex("run 2", 0, "run"))
			},
			why: "nobody watched: run",
		},
		"a build whose last step another build runs": {
			daemon: func(p *proving) {
				merged := vertex("run", 0, "image")
				merged.Started, merged.Completed = nil, nil
				p.steps = stepsOf(vertex("image", 0), merged)
			},
			why: "nobody watched: run",
		},
		"a build of whose steps the daemon doesn't tell": {
			daemon: func(p *proving) {
				p.steps = stepsOf(&controlapi.Vertex{Name: "\xff"})
			},
			why: "the daemon doesn't tell what it did",
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
	s, missing := p.build(t, nil)
	require.NotNil(t, s, "the client has it all the same")
	require.Contains(t, missing, "it couldn't be written: ")
	require.Contains(t, missing, "it couldn't be pushed: the registry is full")
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

func TestStepsFromTheCacheOfTheSameRules(t *testing.T) {
	t.Parallel()
	p := newProving(t, exporting)
	_, missing := p.build(t, nil)
	require.Empty(t, missing)
	p.steps = stepsOf(cachedVertex("image"), cachedVertex("run", "image"))
	_, missing = p.build(t, nil)
	require.Empty(t, missing, "this guard watched it, under the same rules")

	// Another policy fills the cache again, and then the first one is back.
	first := p.guard.policy.path
	text, err := os.ReadFile(first)
	require.NoError(t, err)
	p.edit(t, append([]byte("# another\n"), text...))
	_, missing = p.build(t, nil)
	require.Contains(t, missing, "filled under other rules")
	p.steps = stepsOf(vertex("image", 0), vertex("run", time.Hour, "image"))
	_, missing = p.build(t, nil)
	require.Empty(t, missing)
	p.edit(t, text)
	p.steps = stepsOf(cachedVertex("image"), cachedVertex("run", "image"))
	_, missing = p.build(t, nil)
	require.Contains(t, missing, "filled under other rules")
}

func TestStepsFromTheCacheOfAnotherClient(t *testing.T) {
	t.Parallel()
	for policy, why := range map[string]string{
		exporting: "",
		exporting + "llb: {clients: [\"uid:1\"]}\n": "filled under other rules",
	} {
		p := newProving(t, policy)
		p.buildAs(t, "alice", nil)
		p.steps = stepsOf(cachedVertex("image"), cachedVertex("run", "image"))
		_, missing := p.buildAs(t, "bob", func(r *controlapi.SolveRequest) { r.Session = "s2" })
		if why == "" {
			require.Empty(t, missing)
		} else {
			require.Contains(t, missing, why)
		}
	}
}

// edit changes the policy, and waits until it is in force.
func (p *proving) edit(t *testing.T, text []byte) {
	t.Helper()
	before := p.guard.policy.current().Digest()
	require.NoError(t, os.WriteFile(p.guard.policy.path, text, 0o600))
	require.Eventually(t, func() bool { return p.guard.policy.current().Digest() != before },
		10*time.Second, 20*time.Millisecond)
}

func TestStepsAreKnownByTheirNewestRun(t *testing.T) {
	t.Parallel()
	at := func(n int) time.Time { return time.Unix(int64(n), 0) }
	none := func(digest.Digest) bool { return false }
	source := func(digest.Digest) bool { return true }
	end := func(s *steps, step digest.Digest, rules string, began int, before ...digest.Digest) {
		s.began(step, rules, at(began), false)
		s.ended(step, rules, at(began), before, none)
	}
	for name, c := range map[string]struct {
		do   func(*steps)
		want bool
	}{
		"a step that ran": {func(s *steps) { end(s, "a", "P", 1) }, true},
		"a step that nobody saw": {
			func(*steps) {}, false,
		},
		"a step that runs still": {func(s *steps) { s.began("a", "P", at(1), false) }, false},
		"a step that other rules ran later": {
			func(s *steps) { end(s, "a", "P", 1); end(s, "a", "Q", 2) }, false,
		},
		"a step that other rules run now": {
			func(s *steps) { end(s, "a", "P", 1); s.began("a", "Q", at(2), false) }, false,
		},
		"a step that other rules ran before": {
			func(s *steps) { end(s, "a", "Q", 1); end(s, "a", "P", 2) }, true,
		},
		"one run that two builds share under several rules": {
			func(s *steps) { s.began("a", "Q", at(1), false); end(s, "a", "P", 1) }, false,
		},
		"one run that two builds share under the same rules": {
			func(s *steps) { s.began("a", "P", at(1), true); end(s, "a", "P", 1) }, false,
		},
		"a run that began earlier than the newest": {
			func(s *steps) { end(s, "a", "P", 2); s.began("a", "Q", at(1), false) }, true,
		},
		"a step on top of one of the same rules": {
			func(s *steps) { end(s, "b", "P", 1); end(s, "a", "P", 2, "b") }, true,
		},
		"a step on top of one of other rules": {
			func(s *steps) { end(s, "b", "Q", 1); end(s, "a", "P", 2, "b") }, false,
		},
		"a step on top of a source": {
			func(s *steps) {
				s.began("a", "P", at(1), false)
				s.ended("a", "P", at(1), []digest.Digest{"image"}, source)
			}, true,
		},
		"a step that was forgotten": {
			func(s *steps) {
				end(s, "a", "P", 1)
				for _, other := range []digest.Digest{"1", "2", "3"} {
					end(s, other, "P", 1)
				}
			}, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSteps(3)
			c.do(s)
			require.Equal(t, c.want, s.clean("a", "P"))
		})
	}
}

func TestTooManySteps(t *testing.T) {
	t.Parallel()
	b := newStepsOfBuild(newSteps(1), time.Time{})
	now := time.Now()
	for range maxWaiting + 1 {
		b.add([]*client.Vertex{{Digest: "a", Inputs: []digest.Digest{"b"}, Started: &now}})
	}
	require.True(t, b.full)
}

func TestACommandThatSigns(t *testing.T) {
	t.Parallel()
	_, private, public := newSigner(t)
	key, err := vsa.ParsePublicKey(public)
	require.NoError(t, err)
	dir := t.TempDir()
	file := filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(file, private, 0o600))
	script := func(text string) string {
		path := filepath.Join(dir, digest.FromString(text).Encoded()[:8])
		require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700))
		return path
	}
	for name, c := range map[string]struct{ line, why string }{
		"it prints bytes":  {"openssl dgst -sha256 -sign " + file, ""},
		"it prints base64": {script("openssl dgst -sha256 -sign "+file+" | base64") + " unused", ""},
		"it prints something else": {
			script("echo nothing"), "is no signature by the key of --sign-key",
		},
		"it fails": {
			script("echo the token is locked >&2; exit 3"), "exit status 3: the token is locked",
		},
		"it prints too much": {script("head -c 100000 /dev/zero"), "failed: "},
		"no shell reads it":  {"openssl dgst -sha256 -sign $(echo " + file + ")", "openssl failed"},
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
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = s.Sign(ctx, nil)
	require.ErrorContains(t, err, "sleep didn't end within 10s")
}
