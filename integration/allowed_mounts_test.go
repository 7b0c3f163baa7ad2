package integration

import (
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAllowedSecrets(t *testing.T) {
	t.Parallel()
	eachThrough(t, testSecrets)
}

// eachThrough runs a test once for each dispatch, by the image and by policy-guard.
func eachThrough(t *testing.T, test func(t *testing.T, us through)) {
	t.Helper()
	for _, us := range append(throughEach(t, waysApart()), guardedEach(t)...) {
		t.Run(us.way.name, func(t *testing.T) {
			t.Parallel()
			test(t, us)
		})
	}
}

func testSecrets(t *testing.T, us through) {
	dir := withSyntax(t, "FROM busybox AS b\n"+
		"RUN --mount=type=secret,id=token rev /run/secrets/token > /file\n"+
		"RUN --mount=type=secret,id=name,env=NAME echo hello $NAME > /env\n"+
		"FROM scratch\nCOPY --from=b /file /env /\n", map[string]string{"token.txt": "hunter2\n"})
	out := t.TempDir()
	c := us.BuildxCommand(dir, byBuildx(us.syntax, "--secret=id=token,src=token.txt",
		"--secret=id=name,env=WHO", "--output", out)...)
	c.Env = []string{"WHO=world"}
	us.Run(t, c).RequireSuccess(t)
	require.Equal(t, "2retnuh\n", read(t, filepath.Join(out, "file")))
	require.Equal(t, "hello world\n", read(t, filepath.Join(out, "env")))
}

// The build asks the test's ssh-agent for its keys, through the socket that BuildKit mounts.
func TestAllowedSSH(t *testing.T) {
	t.Parallel()
	eachThrough(t, testSSH)
}

func testSSH(t *testing.T, us through) {
	dir := withSyntax(t, "FROM busybox AS b\nCOPY sshkeys /bin/\n"+
		"RUN --mount=type=ssh test -S $SSH_AUTH_SOCK && sshkeys > /keys\n"+
		"FROM scratch\nCOPY --from=b /keys /\n", nil)
	goBuild(t, ".", "./testdata/allowed/sshkeys", filepath.Join(dir, "sshkeys"))

	out := t.TempDir()
	us.buildx(t, dir, "--ssh=default="+startAgent(t, "key of the test"), "--output", out).
		RequireSuccess(t)
	require.Equal(t, "key of the test\n", read(t, filepath.Join(out, "keys")))
	us.buildx(t, dir, "--output", out, "--no-cache").RequireFailure(t, "test -S $SSH_AUTH_SOCK")
}

// startAgent serves an ssh-agent with one key and returns its socket. The agent answers only the
// request to list keys (draft-ietf-sshm-ssh-agent, section 3.5).
func startAgent(t *testing.T, comment string) string {
	t.Helper()
	key := append(sshString("ssh-ed25519"), sshString(strings.Repeat("k", 32))...)
	answer := append([]byte{agentIdentities, 0, 0, 0, 1}, sshString(string(key))...)
	answer = sshString(string(append(answer, sshString(comment)...)))

	dir, err := env.TempDir() // a socket's path must be short
	require.NoError(t, err)
	socket := filepath.Join(dir, "agent.sock")
	listener, err := net.Listen("unix", socket)
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				question := make([]byte, 5)
				for {
					if _, err := io.ReadFull(conn, question); err != nil || question[4] != agentRequestIdentities {
						return
					}
					if _, err := conn.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	return socket
}

// These are message numbers of the ssh-agent protocol.
const (
	agentRequestIdentities = 11
	agentIdentities        = 12
)

// sshString encodes a string for SSH protocols: its length, then its bytes.
func sshString(s string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...)
}
