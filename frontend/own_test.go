package frontend

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/sourcepolicy"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
)

// ownUnder returns the choice for a client's own LLB under a policy.
func ownUnder(t *testing.T, doc string) *Choice {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.yaml")
	require.NoError(t, os.WriteFile(path, []byte(doc), 0o600))
	fake := newFake(t, "", nil)
	fake.opts = nil
	c, err := Frontend{Policy: PolicyFile(path)}.Own(t.Context(), fake)
	require.NoError(t, err)
	require.True(t, c.IsOwn())
	return c
}

const (
	llbAllowed = "llb: allow\n" + corpPolicy
	llbBound   = llbAllowed + `build:
  images: {allow: ["mirror.corp/**"], convert: [{from: docker.io/library, to: mirror.corp/library}]}
  git: {allow: ["https://git.corp/**"]}
  exec: {networks: [none]}
  others: deny
`
)

func TestWhatAClientBuildsByItself(t *testing.T) {
	run := func(base string, opts ...llb.RunOption) llb.State {
		return llb.Image(base).Run(append([]llb.RunOption{llb.Shlex("true")}, opts...)...).Root()
	}
	command := run("mirror.corp/base:1", llb.Network(pb.NetMode_NONE))
	cache := llb.AddMount("/c", llb.Scratch(), llb.AsPersistentCacheDir("x", llb.CacheMountShared))
	for name, tc := range map[string]struct {
		doc   string
		state llb.State
		why   string // "" if it is allowed
	}{
		"a command, by default": {
			corpPolicy, command, "LLB that no frontend made is refused: the policy lets clients build by " +
				"frontends only",
		},
		"a command where LLB is allowed":              {llbAllowed, run("evil"), ""},
		"an allowed command on an allowed image":      {llbBound, command, ""},
		"an image that is replaced by an allowed one": {llbBound, run("busybox", llb.Network(pb.NetMode_NONE)), ""},
		"another image": {
			llbBound, run("evil.corp/base:1", llb.Network(pb.NetMode_NONE)),
			"refuses the image evil.corp/base:1",
		},
		"another network": {llbBound, run("mirror.corp/base:1"), "with the network default"},
		"another kind of source": {
			llbBound, llb.Merge([]llb.State{llb.HTTP("https://files.corp/a"), command}), "no rule allows http",
		},
		"a cache mount": {llbAllowed, run("x", cache), "a cache mount, which is one for all clients"},
		"a cache mount that would be emptied": {
			llbAllowed, run("x", cache, llb.IgnoreCache), "a cache mount",
		},
		"a device": {llbAllowed, run("x", llb.AddCDIDevice(llb.CDIDeviceName("a.b/c=d"))), "devices"},
		"a control group": {
			llbAllowed, run("x", llb.WithCgroupParent("a")), "control group",
		},
		"addresses for hosts": {
			llbAllowed, run("x", llb.AddExtraHost("a", []byte{192, 0, 2, 1})), "addresses for hosts",
		},
		"a proxy": {
			llbAllowed, run("x", llb.WithProxy(llb.ProxyEnv{HTTPProxy: "http://a"})), "a proxy",
		},
		"one image, by default":       {corpPolicy, llb.Image("busybox"), ""},
		"one repository, by default":  {corpPolicy, llb.Git("https://x.example/a.git", "main"), ""},
		"one download, by default":    {corpPolicy, llb.HTTP("https://x.example/a"), ""},
		"one directory of the client": {corpPolicy, llb.Local("context"), ""},
		"an archive that is unpacked": {
			corpPolicy, llb.Scratch().File(llb.Copy(llb.HTTP("https://x.example/a"), "a", "/",
				&llb.CopyInfo{AttemptUnpack: true})), "",
		},
		"two images, by default": {
			corpPolicy, llb.Merge([]llb.State{llb.Image("a"), llb.Image("b")}), "LLB that no frontend made",
		},
		"one allowed repository": {
			llbBound, llb.Git("https://git.corp/a.git", "main"), "",
		},
		"one repository that no rule allows": {
			llbBound, llb.Git("https://x.example/a.git", "main"), "https://x.example/a",
		},
		"one repository that no frontend may read": {
			corpPolicy + "build: {git: deny}\n", llb.Git("https://x.example/a.git", "main"),
			"git is denied",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := ownUnder(t, tc.doc)
			def := marshalState(t, tc.state)
			before := def.CloneVT()
			policies, _, err := c.Definition(t.Context(), def)
			require.True(t, before.EqualVT(def), "its bytes stay")
			if tc.why != "" {
				require.ErrorContains(t, err, tc.why)
				require.ErrorAs(t, err, new(*DenialError))
				return
			}
			require.NoError(t, err)
			for _, dt := range def.Def {
				var op pb.Op
				require.NoError(t, op.UnmarshalVT(dt))
				if source := op.GetSource(); source != nil {
					_, err := sourcepolicy.NewEngine(policies).Evaluate(t.Context(), source)
					require.NoError(t, err)
					_, err = c.Judge(t.Context(), source, nil)
					require.NoError(t, err)
				}
			}
		})
	}
}

func TestAClientsOwnDefinitionIsPlain(t *testing.T) {
	c := ownUnder(t, llbAllowed)
	for name, def := range map[string]*pb.Definition{
		"an operation that can be read in two ways": {Def: [][]byte{{0x1a, 0, 0x1a, 0}}},
		"an unknown field":                          {Def: [][]byte{{0xf8, 1, 1}}},
		"a build of LLB that is made later": {Def: [][]byte{marshalOp(t, &pb.Op{
			Op: &pb.Op_Build{Build: &pb.BuildOp{}},
		})}},
	} {
		_, _, err := c.Definition(t.Context(), def)
		require.Error(t, err, name)
		require.ErrorContains(t, err, "LLB that no frontend made is refused")
	}
}

func marshalOp(t *testing.T, op *pb.Op) []byte {
	t.Helper()
	dt, err := op.MarshalVT()
	require.NoError(t, err)
	return dt
}

func TestASourceOfAClientsOwnBuildIsJudged(t *testing.T) {
	for doc, sources := range map[string]map[string]bool{
		corpPolicy: {"docker-image://docker.io/library/x:1": true},
		corpPolicy + "build: {images: {allow: [mirror.corp/**]}}\n": {
			"docker-image://docker.io/library/x:1": false, "docker-image://mirror.corp/x:1": true,
		},
		llbBound: {
			"docker-image://evil.corp/x:1": false, "https://x.example/a": false, "future://x": false,
			"docker-image://docker.io/library/x:1": true, "local://context": true,
		},
	} {
		c := ownUnder(t, doc)
		for id, allowed := range sources {
			source := &pb.SourceOp{Identifier: id}
			for range 3 {
				instead, err := c.Judge(t.Context(), source, nil)
				require.Equal(t, allowed, err == nil, "%s %v", id, err)
				if source = instead; source == nil {
					break
				}
			}
			require.Nil(t, source, "it ends")
		}
		_, err := c.Judge(t.Context(), &pb.SourceOp{
			Identifier: ownImage, Attrs: map[string]string{pb.AttrImageRecordType: "frontend"},
		}, nil)
		require.ErrorContains(t, err, "the client asked for no frontend")
	}
}

// lookupDaemon answers look-ups, and remembers the last one.
type lookupDaemon struct {
	gwpb.LLBBridgeClient
	meta   *gwpb.ResolveSourceMetaRequest
	config *gwpb.ResolveImageConfigRequest
}

func (d *lookupDaemon) ResolveSourceMeta(
	_ context.Context, req *gwpb.ResolveSourceMetaRequest, _ ...grpc.CallOption,
) (*gwpb.ResolveSourceMetaResponse, error) {
	d.meta = req
	return &gwpb.ResolveSourceMetaResponse{}, nil
}

func (d *lookupDaemon) ResolveImageConfig(
	_ context.Context, req *gwpb.ResolveImageConfigRequest, _ ...grpc.CallOption,
) (*gwpb.ResolveImageConfigResponse, error) {
	d.config = req
	return &gwpb.ResolveImageConfigResponse{}, nil
}

func TestAClientLooksUpWhatABuildMayRead(t *testing.T) {
	frontends, _ := choiceUnder(t, mirrorOnly)
	bound := corpPolicy + "build: {images: {allow: [mirror.corp/**]}}\n"
	for name, tc := range map[string]struct {
		choice  *Choice
		image   string
		allowed bool
	}{
		"without rules":                  {ownUnder(t, corpPolicy), "docker.io/library/x:1", true},
		"an image that a build may read": {ownUnder(t, bound), "mirror.corp/x:1", true},
		"another image":                  {ownUnder(t, bound), "docker.io/library/x:1", false},
		"an image that LLB may read":     {ownUnder(t, llbBound), "mirror.corp/x:1", true},
		"an image that LLB may not read": {ownUnder(t, llbBound), "evil.corp/x:1", false},
		"one that the frontend may read": {frontends, "mirror.corp/x:1", true},
		"one that the frontend may not":  {frontends, "evil.corp/x:1", false},
	} {
		t.Run(name, func(t *testing.T) {
			daemon := &lookupDaemon{}
			_, err := tc.choice.ResolveSourceMeta(t.Context(), daemon, &gwpb.ResolveSourceMetaRequest{
				Source: &pb.SourceOp{Identifier: "docker-image://" + tc.image},
			})
			_, old := tc.choice.ResolveImageConfig(t.Context(), daemon,
				&gwpb.ResolveImageConfigRequest{Ref: tc.image})
			if !tc.allowed {
				for _, err := range []error{err, old} {
					require.ErrorAs(t, err, new(*DenialError))
					require.NotContains(t, err.Error(), "names no line")
				}
				require.Nil(t, daemon.meta)
				require.Nil(t, daemon.config)
				return
			}
			require.NoError(t, errors.Join(err, old))
			require.NotNil(t, daemon.meta)
			require.NotNil(t, daemon.config)
		})
	}
	_, err := ownUnder(t, corpPolicy).ResolveSourceMeta(t.Context(), &lookupDaemon{},
		&gwpb.ResolveSourceMetaRequest{
			Source: &pb.SourceOp{Identifier: "docker-image://docker.io/library/x:1"},
			Image:  &gwpb.ResolveSourceImageRequest{AttestationChain: true},
		})
	require.ErrorContains(t, err, "the attestations of an image")
}

func TestWithoutAPolicyAClientDoesNothingByItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	_, err := Frontend{Policy: PolicyFile(path)}.Own(t.Context(), newFake(t, "", nil))
	require.ErrorAs(t, err, new(*DenialError))
}
