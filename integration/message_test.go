package integration

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// denyMessages is the first BuildKit version that passes unknown parts of a frontend's error on to
// the client, such as deny messages. Older daemons drop them, and clients show only the text
// (moby/buildkit, util/grpcerrors).
const denyMessages = "v0.22.0"

// A person sees the whole refusal in each client.
func TestTheMessageOfARefusal(t *testing.T) {
	t.Parallel()
	us := env.WithPolicy(t, corpPolicy)
	d := env.SolePermitted(t)
	const snippet = `build.Dockerfile:2
--------------------
   1 |     #!/usr/bin/env dockerfile
   2 | >>> # syntax=docker/dockerfle:1.7
   3 |     FROM scratch
   4 |     
--------------------
`
	const text = `frontend docker/dockerfle:1.7 is refused: no rule allows docker/dockerfle:1.7; did you mean docker/dockerfile?
  requested by: line 2 of build.Dockerfile
  image:        docker.io/docker/dockerfle:1.7
  rule:         default
  policy:       corp-ci sha256:a6f5fdc7a02b54a7309f286c73146fd79033abcd7cfc8bb02fbd8c5e96eb5181
  allowed:      docker/dockerfile:1.*, docker/dockerfile:1, frontends/yamlfrontend, frontends/echofrontend
  contact:      #build-help
  outcome:      denied by policy
`
	const reason = "no rule allows docker/dockerfle:1.7; did you mean docker/dockerfile?\n"
	denied, refused, begin := "policy deny: "+reason, "Policy: "+reason, "Policy: "
	if env.Older(denyMessages) {
		denied, refused, begin = "", "", "build.Dockerfile:2\n"
	}
	files := map[string]string{
		"build.Dockerfile": "#!/usr/bin/env dockerfile\n# syntax=docker/dockerfle:1.7\nFROM scratch\n",
	}

	t.Run("buildctl", func(t *testing.T) {
		t.Parallel()
		o := d.Buildctl(t, byBuildctl(harness.WriteContext(t, files), us, "--opt",
			"filename=build.Dockerfile")...)
		o.RequireFailure(t)
		require.Equal(t, snippet+denied+"error: failed to solve: "+text,
			endFrom(t, o, "build.Dockerfile:2\n"))
	})
	t.Run("buildx plain", func(t *testing.T) {
		t.Parallel()
		o := d.Buildx(t, harness.WriteContext(t, files), byBuildx(us, "-f", "build.Dockerfile")...)
		o.RequireFailure(t)
		require.Equal(t, refused+snippet+"ERROR: failed to build: failed to solve: "+text,
			endFrom(t, o, begin))
	})
	t.Run("buildx tty", func(t *testing.T) {
		t.Parallel()
		c := d.BuildxCommand(harness.WriteContext(t, files), "build", "--progress=tty", "--build-arg",
			"BUILDKIT_SYNTAX="+us, "-f", "build.Dockerfile", ".")
		c.TTY = true
		o := d.Run(t, c)
		o.RequireFailure(t)
		require.Equal(t, refused+snippet+"ERROR: failed to build: failed to solve: "+text,
			endFrom(t, o, begin))
	})
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[a-zA-Z]")

// endFrom returns the end of what a client printed, from the last line that begins with prefix. It
// removes a terminal's colours and line ends.
func endFrom(t *testing.T, o harness.Output, prefix string) string {
	t.Helper()
	text := strings.ReplaceAll(escapes.ReplaceAllString(o.Text(), ""), "\r\n", "\n")
	i := strings.LastIndex(text, prefix)
	require.GreaterOrEqual(t, i, 0, "no line begins with %q:\n%s", prefix, text)
	return asIfSolving(text[i:])
}
