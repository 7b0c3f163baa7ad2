package integration

import (
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// gitBySSH serves the git repository in a directory over SSH, to whoever has the key. It returns
// the repository's URL.
func gitBySSH(t *testing.T, dir string, key ssh.PublicKey) string {
	t.Helper()
	_, host, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	signer, err := ssh.NewSignerFromKey(host)
	require.NoError(t, err)
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
			if string(k.Marshal()) != string(key.Marshal()) {
				return nil, ssh.ErrNoAuth
			}
			return &ssh.Permissions{}, nil
		},
	}
	config.AddHostKey(signer)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveSSH(conn, config, dir)
		}
	}()
	return "ssh://git@" + l.Addr().String() + "/repository.git"
}

// serveSSH runs git upload-pack, whatever the client asks for.
func serveSSH(conn net.Conn, config *ssh.ServerConfig, dir string) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		channel, asked, err := c.Accept()
		if err != nil {
			return
		}
		go func() {
			defer channel.Close()
			for r := range asked {
				_ = r.Reply(r.Type == "exec", nil)
				if r.Type != "exec" {
					continue
				}
				cmd := exec.Command("git", "-c", "safe.directory=*", "upload-pack", dir)
				cmd.Stdin, cmd.Stdout = channel, channel
				var status struct{ Status uint32 }
				if cmd.Run() != nil {
					status.Status = 1
				}
				_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(status))
				return
			}
		}()
	}
}

// The daemon reads a repository over SSH with the client's agent, through policy-guard as without
// it.
func TestGuardReadsGitOverSSH(t *testing.T) {
	t.Parallel()
	env.NeedsRoot(t, "the daemon runs ssh")
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("ssh isn't there, which the daemon's git runs")
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	key, err := ssh.NewPublicKey(public)
	require.NoError(t, err)
	keys := agent.NewKeyring()
	require.NoError(t, keys.Add(agent.AddedKey{PrivateKey: private}))
	dir, err := env.TempDir() // a socket's path must be short
	require.NoError(t, err)
	socket := filepath.Join(dir, "agent.sock")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); _ = agent.ServeAgent(keys, conn) }()
		}
	}()

	repository := harness.WriteContext(t, map[string]string{"cloned": "by ssh\n"})
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"},
		{"add", "."},
		{"-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "-q", "-m", "one"},
	} {
		cmd := exec.Command("git", args...)
		cmd.Dir = repository
		text, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", text)
	}
	context := withSyntax(t, "FROM scratch\nADD "+gitBySSH(t, repository, key)+"#main /\n", nil)
	build := func(d *harness.Daemon, args ...string) (harness.Output, string) {
		out := t.TempDir()
		args = append([]string{"build", "--progress=plain", "-o", out}, args...)
		return d.Buildx(t, context, append(args, ".")...), filepath.Join(out, "cloned")
	}
	daemons := []*harness.Daemon{env.Plain(t)}
	for _, doc := range []string{guardPolicy, guardBuiltin} {
		daemons = append(daemons, env.Guard(t, harness.DaemonConfig{}, doc).Daemon)
	}
	for _, d := range daemons {
		o, _ := build(d)
		o.RequireFailure(t)
		o, file := build(d, "--ssh=default="+socket)
		o.RequireSuccess(t)
		require.Equal(t, "by ssh\n", read(t, file))
	}
}
