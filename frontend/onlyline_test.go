package frontend

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// Many frontends look images up before they make a definition, or name no line in it.
func TestTheOnlyLineThatNamesWhatIsRefusedIsShown(t *testing.T) {
	t.Parallel()
	image := buildrules.Operation{Image: "docker.io/library/busybox:latest"}
	nested := buildrules.Operation{Frontend: "corp/x:1"}
	tagged := buildrules.Operation{Image: "docker.io/corp/base:1@" + digestOne.String()}
	git := buildrules.Operation{Git: &buildrules.Git{URL: "https://git.example/a/b.git", Ref: "v1"}}
	ssh := buildrules.Operation{Git: &buildrules.Git{URL: "ssh://git@git.example/a/b.git"}}
	download := buildrules.Operation{HTTP: &buildrules.HTTP{URL: "https://files.example/x?a=b"}}
	for name, tc := range map[string]struct {
		asked buildrules.Operation
		file  string
		line  int32 // 0 if none is shown
	}{
		"the short name of an image":          {image, "a: b\nfrom: busybox\n", 2},
		"the name with its tag":               {image, "a: b\nfrom: 'busybox:latest'\n", 2},
		"the full name":                       {image, "[\"docker.io/library/busybox:latest\"]", 1},
		"the full name without its tag":       {image, "x\n\nfrom: docker.io/library/busybox", 3},
		"a name after an equals sign":         {image, "RUN --mount=target=/m,from=busybox ls\n", 1},
		"the same name twice in a line":       {image, "from: busybox # busybox\n", 1},
		"a tag whose digest was looked up":    {tagged, "from: corp/base:1\n", 1},
		"an image with its digest":            {tagged, "from: corp/base:1@" + digestOne.String(), 1},
		"a nested frontend":                   {nested, "use: corp/x:1", 1},
		"a repository with its ref":           {git, "src: https://git.example/a/b.git#v1\n", 1},
		"a repository without .git":           {git, "src: https://git.example/a/b\n", 1},
		"a repository as for scp":             {ssh, "src: git@git.example:a/b.git\n", 1},
		"a download":                          {download, "ADD https://files.example/x?a=b /\n", 1},
		"a name in two lines":                 {image, "from: busybox\nalso: busybox:latest\n", 0},
		"a name in a line and in a comment":   {image, "# busybox\nfrom: busybox\n", 0},
		"a name in a comment alone":           {image, "  # busybox\n", 0},
		"a part of a word":                    {image, "a-busybox busybox-b corp/busybox busybox/x\n", 0},
		"another tag":                         {image, "from: busybox:1\nalso: busybox:1.36", 0},
		"a variable of that name":             {image, "FROM ${busybox}\nFROM $busybox\n", 0},
		"another file of the same server":     {download, "https://files.example/x/y?a=b\n", 0},
		"another query":                       {download, "https://files.example/x\n", 0},
		"an operation without a name":         {buildrules.Operation{Exec: &buildrules.Exec{}}, "x\n", 0},
		"a name that is no reference":         {buildrules.Operation{Image: ":"}, ":\n", 0},
		"a file that is too large to look at": {image, "busybox\n" + strings.Repeat("\n", 1<<20), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			where, ok := onlyLine([]byte(tc.file), namesOf(tc.asked))
			require.Equal(t, tc.line != 0, ok)
			if ok {
				require.EqualValues(t, tc.line, where[0].Start.Line)
			}
		})
	}
}

func TestARefusedLookupPointsAtTheOnlyLineThatNamesTheImage(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	file := "# syntax=docker/dockerfile:1\nimages:\n- evil.corp/base:1\n"
	c := newFake(t, file, nil)
	m := monitorOf(t, c, mirrorOnly)
	_, err := m.source(ctx, &pb.SourceOp{Identifier: "docker-image://evil.corp/base:1"})
	requireRefusal(t, err, evilBase)
	require.Empty(t, c.read, "the build file is read for the client alone")

	var r *refusal
	require.ErrorAs(t, m.refusedFor(nil, false), &r)
	denied := m.build.deny(ctx, r)
	require.ErrorContains(t, denied, "requested by: line 3 of Dockerfile, the only one that names it")
	srcs := errdefs.Sources(denied)
	require.Len(t, srcs, 1)
	require.EqualValues(t, 3, srcs[0].Ranges[0].Start.Line)
	require.Equal(t, file, string(srcs[0].Info.Data))

	m = monitorOf(t, newFake(t, "", nil), mirrorOnly) // the file can't be read
	_, err = m.source(ctx, &pb.SourceOp{Identifier: "docker-image://evil.corp/base:1"})
	require.ErrorAs(t, err, &r)
	require.Contains(t, m.build.deny(ctx, r).Error(), "the frontend, which names no line")
}

func TestAHostileFileIsSearchedInTime(t *testing.T) {
	t.Parallel()
	const part = "http://a.example/="
	for _, text := range []string{"=", "#", part, part[:1] + " "} {
		file := []byte(strings.Repeat(text, llbops.MaxSource/len(text)))
		began := time.Now()
		onlyLine(file, []string{strings.Repeat(part, 400), "x"})
		require.Less(t, time.Since(began), 5*time.Second)
	}
}
