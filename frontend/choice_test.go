package frontend

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/policy"
)

func chooseAs(
	t *testing.T, doc, asked, file string, opts map[string]string,
) (*Choice, *fakeClient, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.yaml")
	if doc != "" {
		require.NoError(t, os.WriteFile(path, []byte(doc), 0o600))
	}
	fake := newFake(t, file, nil)
	fake.opts = opts
	choice, err := Frontend{Policy: PolicyFile(path)}.Choose(t.Context(), fake, asked)
	return choice, fake, err
}

const builtinPolicy = corpPolicy + "    dispatch: builtin\n"

func TestWhatAClientsRequestMeansOutside(t *testing.T) {
	const pinned = "docker.io/docker/dockerfile:1@" + string(digestOne)
	file := "# syntax=evil/dockerfile:1\nFROM scratch\n"
	for name, tc := range map[string]struct {
		asked, file, doc string
		opts             map[string]string
		frontend         string
		want             map[string]string
	}{
		"an image, whatever the build file says": {
			asked: "gateway.v0", file: file,
			opts:     map[string]string{"source": "docker/dockerfile:1", "target": "x"},
			frontend: "gateway.v0",
			want: map[string]string{
				"source": pinned, "cmdline": "docker/dockerfile:1", "target": "x",
			},
		},
		"an image with arguments": {
			asked: "gateway.v0",
			opts: map[string]string{
				"source": "docker/dockerfile:1", "cmdline": "docker/dockerfile:1 --debug",
			},
			frontend: "gateway.v0",
			want:     map[string]string{"source": pinned, "cmdline": "docker/dockerfile:1 --debug"},
		},
		"a cmdline that names another image than the one that would run": {
			asked: "gateway.v0",
			opts: map[string]string{
				"source": "docker/dockerfile:1", "cmdline": "evil/dockerfile:1",
			},
			frontend: "gateway.v0",
			want:     map[string]string{"source": pinned, "cmdline": "docker/dockerfile:1"},
		},
		"BUILDKIT_SYNTAX as buildx sends it": {
			asked: "gateway.v0", file: file,
			opts: map[string]string{
				"source": "docker/dockerfile:1", "cmdline": "docker/dockerfile:1",
				"build-arg:BUILDKIT_SYNTAX": "docker/dockerfile:1",
			},
			frontend: "gateway.v0",
			want:     map[string]string{"source": pinned, "cmdline": "docker/dockerfile:1"},
		},
		"the daemon's own frontend, where the build file names another": {
			asked: "dockerfile.v0", file: "# syntax=docker/dockerfile:1\nFROM scratch\n",
			frontend: "gateway.v0",
			want:     map[string]string{"source": pinned, "cmdline": "docker/dockerfile:1"},
		},
		"the daemon's own frontend and BUILDKIT_SYNTAX": {
			asked: "dockerfile.v0", file: file,
			opts:     map[string]string{"build-arg:BUILDKIT_SYNTAX": "docker/dockerfile:1"},
			frontend: "gateway.v0",
			want:     map[string]string{"source": pinned, "cmdline": "docker/dockerfile:1"},
		},
		"the daemon's own frontend, and a file that names none": {
			asked: "dockerfile.v0", file: "FROM scratch\n",
			frontend: "gateway.v0",
			want:     map[string]string{"source": pinned, "cmdline": "docker/dockerfile:1"},
		},
		"the daemon's own frontend, which follows no syntax line with a cmdline": {
			asked: "dockerfile.v0", file: file,
			opts:     map[string]string{"cmdline": "x"},
			frontend: "gateway.v0",
			want:     map[string]string{"source": pinned, "cmdline": "docker/dockerfile:1"},
		},
		"the policy's default, where the file names none": {
			asked: "dockerfile.v0", file: "FROM scratch\n",
			doc:      "defaultFrontend: docker/dockerfile:1\n" + corpPolicy,
			frontend: "gateway.v0",
			want:     map[string]string{"source": pinned, "cmdline": "docker/dockerfile:1"},
		},
		"what the daemon's own frontend serves": {
			asked: "dockerfile.v0", file: "# syntax=docker/dockerfile:1\n", doc: builtinPolicy,
			frontend: "dockerfile.v0",
			want:     map[string]string{"cmdline": "docker/dockerfile:1"},
		},
		"a client's policy, which the frontend doesn't get": {
			asked: "gateway.v0",
			opts: map[string]string{
				"source":                            "docker/dockerfile:1",
				"build-arg:POLICY_FRONTEND_POLICY":  corpPolicy,
				"build-arg:POLICY_FRONTEND_UNKNOWN": "x",
			},
			frontend: "gateway.v0",
			want:     map[string]string{"source": pinned, "cmdline": "docker/dockerfile:1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			doc := tc.doc
			if doc == "" {
				doc = corpPolicy
			}
			choice, fake, err := chooseAs(t, doc, tc.asked, tc.file, tc.opts)
			require.NoError(t, err)
			require.Equal(t, tc.frontend, choice.Frontend)
			require.Equal(t, tc.want, choice.Options)
			require.Equal(t, tc.frontend == "dockerfile.v0", !choice.Deadline.IsZero())
			require.Equal(t, "dockerfile", choice.Decision.Rule)
			require.Empty(t, fake.solved, "nothing runs yet")
			require.Empty(t, fake.pinned, "the daemon loads the image as it runs it")
			require.NoError(t, choice.Announce(t.Context()))
			if tc.frontend == "gateway.v0" {
				require.Contains(t, fake.pinned, "docker-image://"+pinned)
			}
		})
	}
}

// The daemon runs the frontend meanwhile, and says less about an image that it can't read.
func TestAnImageThatCannotBeReadIsAnnounced(t *testing.T) {
	for name, missing := range map[string]bool{"an image": false, "no image": true} {
		choice, fake, err := chooseAs(t, corpPolicy+"    warnAfter: 2020-01-01\n", gatewayFrontend, "",
			map[string]string{"source": "docker/dockerfile:1"})
		require.NoError(t, err, name)
		if missing {
			fake.broken = errors.New("the registry is gone")
		}
		err = choice.Announce(t.Context())
		if !missing {
			require.NoError(t, err, name)
			require.NotEmpty(t, fake.warned, name)
			continue
		}
		var denial *DenialError
		require.ErrorAs(t, err, &denial, name)
		require.ErrorContains(t, err, "its image can't be read: the registry is gone")
		require.Empty(t, fake.warned, name)
	}
}

func TestWhatIsRefusedOutside(t *testing.T) {
	image := func(pairs ...string) map[string]string {
		opts := map[string]string{"source": "docker/dockerfile:1"}
		for i := 0; i < len(pairs); i += 2 {
			opts[pairs[i]] = pairs[i+1]
		}
		return opts
	}
	for name, tc := range map[string]struct {
		asked, file, doc string
		opts             map[string]string
		why              string
	}{
		"an image that no rule allows": {
			asked: "gateway.v0", opts: map[string]string{"source": "evil/dockerfile:1"},
			why: "no rule allows evil/dockerfile:1",
		},
		"a syntax line that no rule allows": {
			asked: "dockerfile.v0", file: "# syntax=evil/dockerfile:1\n",
			why: "no rule allows evil/dockerfile:1",
		},
		"no image": {asked: "gateway.v0", why: "names no image"},
		"an unknown frontend": {
			asked: "future.v0", opts: image(), why: "the frontend future.v0",
		},
		"no policy": {asked: "gateway.v0", doc: "-", opts: image(), why: "holds no policy"},
		"an invalid policy": {
			asked: "gateway.v0", doc: "version: 7\n", opts: image(), why: "is broken",
		},
		"an option whose key has =": {
			asked: "gateway.v0", opts: image("a=source", "evil"), why: "the option a=source would reach",
		},
		"an option with NUL": {
			asked: "gateway.v0", opts: image("a", "x\x00y"), why: "the option a would reach",
		},
		"a named context over the frontend": {
			asked: "gateway.v0",
			opts:  image("context:docker/dockerfile:1@"+string(digestOne), "docker-image://evil"),
			why:   "would replace the frontend",
		},
		"a named context over the frontend for a platform": {
			asked: "gateway.v0",
			opts: image("context:docker.io/docker/dockerfile:1@"+string(digestOne)+"::linux/amd64",
				"docker-image://evil"),
			why: "would replace the frontend",
		},
		"a mediated frontend": {
			asked: "gateway.v0", doc: "dispatch: mediate\n" + corpPolicy, opts: image(),
			why: "a policy image has to run it (dispatch: mediate",
		},
		"build rules": {
			asked: "gateway.v0",
			doc:   corpPolicy + "    dispatch: forward\n    build: {images: {allow: [x]}}\n", opts: image(),
			why: "was started without one: start it with --image",
		},
		"build rules for the daemon's own frontend": {
			asked: "gateway.v0",
			doc:   builtinPolicy + "    build: {exec: {networks: [none]}}\n", opts: image(),
			why: "was started without one: start it with --image",
		},
		"the reference that stands for no image": {
			asked: "gateway.v0", opts: map[string]string{"source": noMediator},
			why: "asks the policy frontend to run itself",
		},
	} {
		t.Run(name, func(t *testing.T) {
			doc := tc.doc
			switch doc {
			case "":
				doc = corpPolicy
			case "-":
				doc = ""
			}
			choice, fake, err := chooseAs(t, doc, tc.asked, tc.file, tc.opts)
			require.Nil(t, choice)
			require.ErrorContains(t, err, tc.why)
			require.Empty(t, fake.solved)
		})
	}
}

// buildx turns BUILDKIT_SYNTAX into the options source and cmdline.
func TestARefusalOutsideNamesWhoAsked(t *testing.T) {
	_, _, err := chooseAs(t, corpPolicy, gatewayFrontend, "", map[string]string{
		"source": "evil/dockerfile:1", "cmdline": "evil/dockerfile:1",
		"build-arg:BUILDKIT_SYNTAX": "evil/dockerfile:1",
	})
	require.ErrorContains(t, err, "requested by: the build-arg BUILDKIT_SYNTAX")
	_, _, err = chooseAs(t, corpPolicy, policy.DaemonDockerfile,
		"FROM scratch\n\n# syntax=evil/dockerfile:1\n", nil)
	require.NoError(t, err, "the line is a comment")
}

func TestFrontendInputsOutside(t *testing.T) {
	marshal := func(st llb.State) *pb.Definition {
		def, err := st.Marshal(t.Context(), llb.LinuxAmd64)
		require.NoError(t, err)
		return def.ToPB()
	}
	ran := marshal(llb.Image("busybox").Run(llb.Shlex("true")).Root())
	known, _, err := llbops.Identity(ran)
	require.NoError(t, err)
	const inputsDenied = corpPolicy + "    options: {inputs: deny}\n"
	for name, tc := range map[string]struct {
		doc string
		def *pb.Definition
		why string
	}{
		"the result of another build": {def: ran},
		"one under build rules": {
			doc: corpPolicy + "    build: {images: {allow: [\"**\"]}}\n", def: ran,
		},
		"a repository": {def: marshal(llb.Git("https://git.example/x.git", "main"))},
		"files of a download": {def: marshal(llb.Scratch().File(
			llb.Copy(llb.HTTP("https://x.example/f"), "/", "/")))},
		"a directory":            {def: marshal(llb.Local("context"))},
		"nothing":                {def: &pb.Definition{}},
		"one that a rule denies": {doc: inputsDenied, def: ran, why: "refuses frontend inputs"},
		"a command": {
			def: marshal(llb.Image("busybox").Run(llb.Shlex("false")).Root()), why: "has returned within",
		},
		"a command under build rules": {
			doc: corpPolicy + "    build: {images: {allow: [\"**\"]}}\n",
			def: marshal(llb.Image("busybox").Run(llb.Shlex("false")).Root()), why: "has returned within",
		},
		"an image": {def: marshal(llb.Image("busybox")), why: "has returned within"},
		"something broken": {
			def: &pb.Definition{Def: [][]byte{{0xff}}}, why: "can't be read: it has an operation",
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "policy.yaml")
			if tc.doc == "" {
				tc.doc = corpPolicy
			}
			require.NoError(t, os.WriteFile(path, []byte(tc.doc), 0o600))
			fake := newOutside(t)
			choice, err := Frontend{
				Policy: PolicyFile(path), Mediator: selfRef, Inputs: map[string]*pb.Definition{"base": tc.def},
				Answered: func(id digest.Digest) bool { return id == known },
			}.Choose(t.Context(), fake, gatewayFrontend)
			if tc.why != "" {
				require.ErrorContains(t, err, tc.why)
				require.Nil(t, choice)
				if tc.doc != inputsDenied {
					require.Empty(t, fake.read)
				}
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.def.Def, choice.Inputs["base"].Def)
		})
	}
}

func TestABuildFileIsNotReadFromAnEmptyInput(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	require.NoError(t, os.WriteFile(path, []byte(corpPolicy), 0o600))
	fake := newOutside(t)
	choice, err := Frontend{
		Policy: PolicyFile(path), Inputs: map[string]*pb.Definition{"dockerfile": {}},
	}.Choose(t.Context(), fake, policy.DaemonDockerfile)
	require.NoError(t, err, "the frontend says what is wrong")
	require.Contains(t, choice.Inputs, "dockerfile")
	require.Empty(t, fake.read)
}

func TestTheSubrequestForTheDecisionIsAnsweredOutside(t *testing.T) {
	for source, status := range map[string]string{
		"docker/dockerfile:1": "0", "evil/dockerfile:1": "1",
	} {
		choice, fake, err := chooseAs(t, corpPolicy, gatewayFrontend, "", map[string]string{
			"source": source, keyRequestID: PolicySubrequest,
		})
		require.NoError(t, err)
		require.Equal(t, status, string(choice.Answer.Metadata[metaResultStatus]))
		require.Empty(t, fake.pinned)
	}
}

func TestAChoiceHoldsTheDaemonToItsFrontend(t *testing.T) {
	image := func(ref, kind string) *pb.SourceOp {
		op := &pb.SourceOp{Identifier: "docker-image://" + ref, Attrs: map[string]string{}}
		if kind != "" {
			op.Attrs[pb.AttrImageRecordType] = kind
		}
		return op
	}
	forwarded, _, err := chooseAs(t, corpPolicy, gatewayFrontend, "",
		map[string]string{"source": "docker/dockerfile:1"})
	require.NoError(t, err)
	served, _, err := chooseAs(t, builtinPolicy, gatewayFrontend, "",
		map[string]string{"source": "docker/dockerfile:1"})
	require.NoError(t, err)
	var none *Choice
	const pinned = "docker.io/docker/dockerfile:1@" + string(digestOne)
	for _, c := range []*Choice{forwarded, served, none} {
		require.Equal(t, c != forwarded, c.Refuses(image(pinned, "frontend")) != "")
		for _, ref := range []string{
			"docker.io/docker/dockerfile:1", "docker.io/docker/dockerfile:1@" + string(digestTwo),
			"docker.io/evil/dockerfile:1@" + string(digestOne), "not a reference",
		} {
			require.NotEmpty(t, c.Refuses(image(ref, "frontend")), ref)
		}
		require.Empty(t, c.Refuses(image("docker.io/library/busybox:latest", "")))
		require.Empty(t, c.Refuses(&pb.SourceOp{Identifier: "local://context"}))
	}
	require.True(t, forwarded.Same(forwarded))
	require.False(t, forwarded.Same(served))
	require.Equal(t, policy.Allow, forwarded.Decision.Verdict)

	// The overlay of a request is one of those that it was allowed by.
	overlaid := func(id string) *Choice {
		c, _, err := chooseAs(t, corpPolicy, gatewayFrontend, "", map[string]string{
			"source":                           "docker/dockerfile:1",
			"build-arg:POLICY_FRONTEND_POLICY": "version: 1\nid: " + id + "\ndefault: allow\n",
		})
		require.NoError(t, err)
		return c
	}
	require.True(t, overlaid("a").Same(overlaid("a")))
	require.False(t, overlaid("a").Same(overlaid("b")))
	require.False(t, overlaid("a").Same(forwarded))
}
