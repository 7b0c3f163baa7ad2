package llbops_test

import (
	"context"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

const commit = "0123456789abcdef0123456789abcdef01234567"

// marshal returns the bytes of an operation, followed by the bytes of more.
func marshal(tb testing.TB, op *pb.Op, more ...*pb.Op) []byte {
	tb.Helper()
	var all []byte
	for _, o := range append([]*pb.Op{op}, more...) {
		dt, err := o.Marshal()
		require.NoError(tb, err)
		all = append(all, dt...)
	}
	return all
}

func definition(tb testing.TB, ops ...*pb.Op) *pb.Definition {
	tb.Helper()
	def := &pb.Definition{}
	for _, op := range ops {
		def.Def = append(def.Def, marshal(tb, op))
	}
	return def
}

func sourceOp(id string, attrs map[string]string) *pb.Op {
	return &pb.Op{Op: &pb.Op_Source{Source: &pb.SourceOp{Identifier: id, Attrs: attrs}}}
}

func execOp(e *pb.ExecOp) *pb.Op { return &pb.Op{Op: &pb.Op_Exec{Exec: e}} }

// read returns all that FromDefinition yields.
func read(def *pb.Definition) ([]llbops.Found, error) {
	var all []llbops.Found
	for op, err := range llbops.FromDefinition(def) {
		if err != nil {
			return all, err
		}
		all = append(all, op)
	}
	return all, nil
}

func ofDefinition(tb testing.TB, def *pb.Definition) []buildrules.Operation {
	tb.Helper()
	found, err := read(def)
	require.NoError(tb, err)
	var operations []buildrules.Operation
	for _, op := range found {
		operations = append(operations, op.Operation)
	}
	return operations
}

func git(url, ref, checksum string) buildrules.Operation {
	return buildrules.Operation{Git: &buildrules.Git{URL: url, Ref: ref, Checksum: checksum}}
}

func TestSourcesAreReadAsTheDaemonReadsThem(t *testing.T) {
	t.Parallel()
	const busybox = "docker.io/library/busybox:1"
	const dgst = "@sha256:1111111111111111111111111111111111111111111111111111111111111111"
	for name, tc := range map[string]struct {
		id    string
		attrs map[string]string
		want  []buildrules.Operation
	}{
		"an image": {
			id:    "docker-image://" + busybox,
			attrs: map[string]string{"image.resolvemode": "pull"},
			want:  []buildrules.Operation{{Image: busybox}},
		},
		"an image with a digest": {
			id:   "docker-image://" + busybox + dgst,
			want: []buildrules.Operation{{Image: busybox + dgst}},
		},
		"an image on a host in caps": {
			id:   "docker-image://MIRROR.corp/x:1",
			want: []buildrules.Operation{{Image: "MIRROR.corp/x:1"}},
		},
		"a blob": {
			id:   "docker-image+blob://corp.example/x" + dgst,
			want: []buildrules.Operation{{Blob: "corp.example/x" + dgst}},
		},
		"an OCI layout": {
			id:    "oci-layout://corp.example/x" + dgst,
			attrs: map[string]string{"oci.store": "s"},
			want:  []buildrules.Operation{{OCILayout: "corp.example/x" + dgst}},
		},
		"a blob of an OCI layout": {
			id:    "oci-layout+blob://corp.example/x" + dgst,
			attrs: map[string]string{"oci.store": "s"},
			want:  []buildrules.Operation{{OCILayout: "corp.example/x" + dgst}},
		},
		"a folder": {
			id:    "local://context",
			attrs: map[string]string{"local.session": "abc"},
			want:  []buildrules.Operation{{Local: "context"}},
		},
		"a folder whose session renames it": {
			id:    "local://context",
			attrs: map[string]string{"local.session": "other:abc"},
			want:  []buildrules.Operation{{Local: "other-context"}, {Local: "other-other-context"}},
		},
		"a download": {
			id:    "https://files.corp/a?b=c",
			attrs: map[string]string{"http.checksum": "sha256:12", "http.header.accept": "*/*"},
			want: []buildrules.Operation{
				{HTTP: &buildrules.HTTP{URL: "https://files.corp/a?b=c", Checksum: "sha256:12"}},
			},
		},
		"a download with a secret": {
			id:    "http://files.corp/a",
			attrs: map[string]string{"http.authheadersecret": "npm"}, want: []buildrules.Operation{
				{HTTP: &buildrules.HTTP{URL: "http://files.corp/a"}},
				{Exec: &buildrules.Exec{Secrets: []string{"npm"}}},
			},
		},
		"a git repository without scheme": {
			id:   "git://github.com/foo/bar.git#v1:sub",
			want: []buildrules.Operation{git("https://github.com/foo/bar.git", "v1", "")},
		},
		"a git repository by its full address": {
			id: "git://github.com/foo/bar.git#" + commit,
			attrs: map[string]string{
				"git.fullurl":  "http://user:pw@github.com/foo/bar.git",
				"git.checksum": commit[:8],
			},
			want: []buildrules.Operation{git("http://user:pw@github.com/foo/bar.git", commit, commit[:8])},
		},
		"a git repository as Git writes it": {
			id: "git://github.com/foo/bar.git",
			attrs: map[string]string{
				"git.fullurl":         "git@github.com:foo/bar.git",
				"git.authtokensecret": "GIT_AUTH_TOKEN", "git.authheadersecret": "GIT_AUTH_HEADER",
				"git.mountsshsock": "default", "git.knownsshhosts": "x",
			},
			want: []buildrules.Operation{git("ssh://git@github.com/foo/bar.git", "", "")},
		},
		"a git repository with a space in its path": {
			id:   "git://github.com/foo/bar%20x#v1:sub",
			want: []buildrules.Operation{git("https://github.com/foo/bar%20x", "v1", "")},
		},
		"a git repository by a path that leads out of it, in the form of scp": {
			id:    "git://github.com/x",
			attrs: map[string]string{"git.fullurl": "git@github.com:../../x"},
			// No rule allows such a URL.
			want: []buildrules.Operation{git("ssh://git@github.com/../../x", "", "")},
		},
		"a git repository with secrets of the frontend's choice": {
			id: "git://github.com/foo/bar.git",
			attrs: map[string]string{
				"git.authtokensecret": "npm", "git.authheadersecret": "aws",
				"git.mountsshsock": "deploy",
			},
			want: []buildrules.Operation{
				git("https://github.com/foo/bar.git", "", ""),
				{Exec: &buildrules.Exec{Secrets: []string{"npm", "aws"}, SSH: []string{"deploy"}}},
			},
		},
		"a git repository out of a bundle": {
			id: "git://github.com/foo/bar.git",
			attrs: map[string]string{
				"git.bundle":   "docker-image+blob://corp.example/x" + dgst,
				"git.checksum": commit,
			},
			want: []buildrules.Operation{
				git("https://github.com/foo/bar.git", "", commit),
				{Blob: "corp.example/x" + dgst},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, ofDefinition(t, definition(t, sourceOp(tc.id, tc.attrs))))
		})
	}
}

func TestWhatCanBeReadInTwoWaysIsUnknown(t *testing.T) {
	t.Parallel()
	meta := &pb.Meta{Args: []string{"true"}}
	for name, tc := range map[string]struct {
		op   *pb.Op
		want string
	}{
		"an image whose host is left out": {
			sourceOp("docker-image://corp/base:1", nil),
			`the image "corp/base:1"`,
		},
		"an image without tag and digest": {
			sourceOp("docker-image://docker.io/library/base", nil), "host and tag or digest",
		},
		"an image of the hub without library": {
			sourceOp("docker-image://docker.io/busybox:1", nil),
			"in full",
		},
		"an image by the hub's other name": {
			sourceOp("docker-image://index.docker.io/library/busybox:1", nil), "in full",
		},
		"an image with an escape": {
			sourceOp("docker-image://docker.io/library/%62usybox:1", nil), "in full",
		},
		"a blob whose host is left out": {
			sourceOp("docker-image+blob://corp/base@sha256:12", nil), "the blob",
		},
		"an OCI layout whose host is left out": {
			sourceOp("oci-layout://corp/base:1", nil),
			"OCI layout",
		},
		"a source without scheme": {sourceOp("busybox", nil), "no scheme"},
		"a scheme that isn't known": {
			sourceOp("s3://bucket/x", nil),
			`unknown kind "s3"`,
		},
		"a scheme in capitals": {
			sourceOp("HTTPS://files.corp/a", nil),
			`unknown kind "HTTPS"`,
		},
		"an attribute that isn't known": {
			sourceOp("docker-image://docker.io/library/busybox:1",
				map[string]string{"image.mirror": "evil"}), `attribute "image.mirror"`,
		},
		"an attribute of another scheme": {
			sourceOp("https://files.corp/a", map[string]string{"git.fullurl": "x"}),
			`attribute "git.fullurl"`,
		},
		"a directory without name": {sourceOp("local://", nil), "without a name"},
		"a git repository with a second host": {
			sourceOp("git://github.com/foo/bar",
				map[string]string{"git.fullurl": "https://evil.corp/foo/bar"}), "another address",
		},
		"a git repository with a second path": {
			sourceOp("git://github.com/foo/bar",
				map[string]string{"git.fullurl": "https://github.com/evil/bar"}), "another address",
		},
		"a git repository with an empty second URL": {
			sourceOp("git://github.com/foo/bar", map[string]string{"git.fullurl": ""}), "another address",
		},
		"a git repository with a fragment in each": {
			sourceOp("git://github.com/foo/bar",
				map[string]string{"git.fullurl": "https://github.com/foo/bar#evil"}), "another address",
		},
		"a git repository with a query": {
			sourceOp("git://github.com/foo/bar",
				map[string]string{"git.fullurl": "https://github.com/foo/bar?x=y"}), "another address",
		},
		"a git repository by a helper of git": {
			sourceOp("git://ext::sh -c evil", nil),
			"can't be read",
		},
		"a git repository with a scheme": {
			sourceOp("git://http://git.corp/x", nil),
			"normalised",
		},
		"a git repository with a user": {
			sourceOp("git://git@git.corp:x/y", nil),
			"normalised",
		},
		"a git repository with a hidden query": {
			sourceOp("git://git.corp/private%3Fx", nil),
			"normalised",
		},
		"a git repository with a hidden ref": {
			sourceOp("git://git.corp/app%23main:x#"+commit, nil),
			"normalised",
		},
		"a git repository with a query of its own": {
			sourceOp("git://git.corp/app?ref=main", nil),
			"normalised",
		},
		"a git repository without host": {sourceOp("git://https:///foo", nil), "no host"},
		"a BuildOp": {
			&pb.Op{Op: &pb.Op_Build{Build: &pb.BuildOp{}}},
			"BuildOp",
		},
		"a network mode that isn't known": {
			execOp(&pb.ExecOp{Meta: meta, Network: 7}),
			"network mode 7",
		},
		"a security mode that isn't known": {
			execOp(&pb.ExecOp{Meta: meta, Security: 7}),
			"security mode 7",
		},
		"a mount of a type that isn't known": {
			execOp(&pb.ExecOp{Meta: meta, Mounts: []*pb.Mount{{MountType: 9}}}), "unknown type 9",
		},
		"a mount shared in a way that isn't known": {
			execOp(
				&pb.ExecOp{
					Meta:   meta,
					Mounts: []*pb.Mount{{MountType: pb.MountType_CACHE, CacheOpt: &pb.CacheOpt{Sharing: 9}}},
				}),
			"way to share",
		},
		"a content cache that isn't known": {
			execOp(&pb.ExecOp{Meta: meta, Mounts: []*pb.Mount{{ContentCache: -1}}}), "way to share",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ofDefinition(t, definition(t, tc.op))
			require.Len(t, got, 1)
			require.Contains(t, got[0].Unknown, tc.want)
		})
	}
}

func TestWhatACommandUsesIsFound(t *testing.T) {
	t.Parallel()
	got := ofDefinition(t, definition(t, execOp(&pb.ExecOp{
		Meta: &pb.Meta{
			Args:       []string{"true"},
			ExtraHosts: []*pb.HostIP{{Host: "db", IP: "10.0.0.1"}},
			Ulimit: []*pb.Ulimit{
				{Name: "NOFILE", Soft: 5, Hard: 7},
				{Name: "nofile", Soft: 6, Hard: 6},
				{Name: "core", Soft: -2, Hard: 9},
				{Name: "core", Soft: 1, Hard: 1},
			},
			CgroupParent: "/build",
			Hostname:     "a\n10.0.0.1\tevil.corp",
		},
		Mounts: []*pb.Mount{
			{Dest: "/"},
			{MountType: pb.MountType_CACHE, CacheOpt: &pb.CacheOpt{ID: "c"}},
			{MountType: pb.MountType_TMPFS},
			{MountType: pb.MountType_SECRET, SecretOpt: &pb.SecretOpt{ID: "npm"}},
			{MountType: pb.MountType_SSH, SSHOpt: &pb.SSHOpt{}},
			{MountType: pb.MountType_SSH, SSHOpt: &pb.SSHOpt{ID: "deploy"}},
		},
		Network: pb.NetMode_HOST, Security: pb.SecurityMode_INSECURE,
		Secretenv:  []*pb.SecretEnv{{ID: "aws", Name: "AWS"}},
		CdiDevices: []*pb.CDIDevice{{Name: "gpu"}},
	})))
	require.Equal(t, []buildrules.Operation{{Exec: &buildrules.Exec{
		Network: buildrules.NetworkHost, Insecure: true, SSH: []string{"default", "deploy"},
		Secrets: []string{"npm", "aws"}, Devices: []string{"gpu"},
		Hosts: []string{"db", "a\n10.0.0.1\tevil.corp"}, Ulimits: map[string]int{"nofile": 7, "core": -1},
		CgroupParent: "/build",
	}}}, got)

	got = ofDefinition(t,
		definition(t, execOp(&pb.ExecOp{Network: pb.NetMode_NONE}),
			execOp(&pb.ExecOp{Meta: &pb.Meta{Hostname: "buildkitsandbox"}})))
	require.Equal(t,
		[]buildrules.Operation{
			{Exec: &buildrules.Exec{Network: buildrules.NetworkNone}},
			{Exec: &buildrules.Exec{Network: buildrules.NetworkDefault}},
		}, got)
}

func TestWhatAContainerUsesIsFound(t *testing.T) {
	t.Parallel()
	req := &gwpb.NewContainerRequest{
		Network: pb.NetMode_HOST, ExtraHosts: []*pb.HostIP{{Host: "db"}},
		Mounts: []*pb.Mount{{MountType: pb.MountType_SECRET, SecretOpt: &pb.SecretOpt{ID: "npm"}}},
	}
	require.Equal(t,
		buildrules.Operation{
			Container: &buildrules.Exec{
				Network: buildrules.NetworkHost, Hosts: []string{"db"},
				Secrets: []string{"npm"},
			},
		}, llbops.FromProcess(req, nil))
	init := &gwpb.InitMessage{
		Security:  pb.SecurityMode_INSECURE,
		Secretenv: []*pb.SecretEnv{{ID: "aws"}}, Meta: &pb.Meta{CgroupParent: "x"},
	}
	require.Equal(t, buildrules.Operation{Container: &buildrules.Exec{
		Network: buildrules.NetworkHost, Hosts: []string{"db"}, Secrets: []string{"npm", "aws"},
		Insecure: true, CgroupParent: "x",
	}}, llbops.FromProcess(req, init))

	init.Meta.ProtoReflect().SetUnknown(
		protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1))
	require.Contains(t, llbops.FromProcess(req, init).Unknown, "does not know")
	require.Contains(t, llbops.FromProcess(&gwpb.NewContainerRequest{Network: 9}, nil).Unknown,
		"network mode 9")
}

func TestOperationsOnFilesYieldNoOperations(t *testing.T) {
	t.Parallel()
	st := llb.Merge([]llb.State{
		llb.Scratch().File(llb.Mkdir("/a", 0o755)),
		llb.Diff(llb.Scratch(), llb.Scratch().File(llb.Mkfile("/b", 0o644, []byte("x")))),
	})
	def, err := st.Marshal(context.Background())
	require.NoError(t, err)
	require.Empty(t, ofDefinition(t, def.ToPB()))
	require.Empty(t, ofDefinition(t, nil))
}

// The operations that BuildKit's own client writes are known.
func TestWhatBuildKitsClientWritesIsUnderstood(t *testing.T) {
	t.Parallel()
	base := llb.Image("busybox", llb.WithLayerLimit(3))
	st := base.Run(llb.Shlex("true"),
		llb.AddMount("/src",
			llb.Git("https://github.com/foo/bar.git", "v1", llb.KeepGitDir(), llb.GitChecksum(commit))),
		llb.AddMount("/file",
			llb.HTTP("https://files.corp/a", llb.Filename("a"), llb.Chmod(0o600),
				llb.Checksum(digest.FromString("a")), llb.Header(llb.HTTPHeader{Accept: "x"}))),
		llb.AddMount("/ctx",
			llb.Local("context", llb.SessionID("s"), llb.IncludePatterns([]string{"a"}),
				llb.SharedKeyHint("x"), llb.WithCustomName("load"), llb.LocalUniqueID("u"),
				llb.FollowPaths([]string{"p"}))),
		llb.AddMount("/cache", llb.Scratch(), llb.AsPersistentCacheDir("c", llb.CacheMountLocked)),
		llb.AddMount("/tmp", llb.Scratch(), llb.Tmpfs()), llb.AddSecret("/s", llb.SecretID("npm")),
		llb.AddSSHSocket(),
		llb.AddExtraHost("db", []byte{10, 0, 0, 1}), llb.AddUlimit("nofile", 1, 2),
		llb.WithProxy(llb.ProxyEnv{HTTPProxy: "x"}), llb.ValidExitCodes(0, 3), llb.IgnoreCache).Root()
	def, err := st.Marshal(context.Background(), llb.LinuxAmd64)
	require.NoError(t, err)
	var kinds []string
	for _, op := range ofDefinition(t, def.ToPB()) {
		require.Empty(t, op.Unknown)
		switch {
		case op.Image != "":
			kinds = append(kinds, op.Image)
		case op.Git != nil:
			kinds = append(kinds, op.Git.URL+" "+op.Git.Ref)
		case op.HTTP != nil:
			kinds = append(kinds, op.HTTP.URL)
		case op.Local != "":
			kinds = append(kinds, op.Local)
		case op.Exec != nil:
			kinds = append(kinds,
				"exec "+strings.Join(op.Exec.Secrets, ",")+" "+strings.Join(op.Exec.SSH, ","))
		}
	}
	require.ElementsMatch(t,
		[]string{
			"docker.io/library/busybox:latest", "https://github.com/foo/bar.git v1",
			"https://files.corp/a", "context", "exec npm default",
		}, kinds)
}

func TestADefinitionIsBounded(t *testing.T) {
	t.Parallel()
	_, err := read(&pb.Definition{Def: make([][]byte, 200_001)})
	require.ErrorContains(t, err, "more than 200000")
	for name, dt := range map[string][]byte{
		"what can't be read":          {0xff},
		"what is too deep to be read": nested(700_000),
	} {
		found, err := read(&pb.Definition{Def: [][]byte{dt}})
		require.NoError(t, err, name)
		require.Len(t, found, 1, name)
		require.Contains(t, found[0].Unknown, "an operation with fields", name)
	}
}

// nested is a BuildOp whose definition names the source of a file. The source names its own
// definition, and so on.
func nested(depth int) []byte {
	dt := make([]byte, depth*16)
	at := len(dt)
	within := func(num protowire.Number, size int) int {
		head := protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.BytesType), uint64(size))
		at -= len(head)
		copy(dt[at:], head)
		return size + len(head)
	}
	size := 0
	for range depth / 3 {
		// Definition.Source, Source.infos, SourceInfo.definition
		size = within(3, within(2, within(3, size)))
	}
	within(5, within(3, size)) // Op.build, BuildOp.def
	return dt[at:]
}
