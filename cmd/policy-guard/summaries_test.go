package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFlagsOfSummaries(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	file := func(name, kind string, der []byte, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		require.NoError(t, os.WriteFile(path, text, mode))
		return path
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	private := file("key.pem", "PRIVATE KEY", der, 0o600)
	open := file("open.pem", "PRIVATE KEY", der, 0o644)
	der, err = x509.MarshalPKIXPublicKey(key.Public())
	require.NoError(t, err)
	public := file("key.pub", "PUBLIC KEY", der, 0o644)
	closed := file("closed.pub", "PUBLIC KEY", der, 0o600)
	for name, c := range map[string]struct {
		args []string
		want string // why it fails; "" if it doesn't
		push bool
	}{
		"a key":                     {[]string{"--sign-key", private}, "", false},
		"a key, a folder, and push": {[]string{"--sign-key", private, "--summaries", dir, "--push-summaries"}, "", true},
		"a command": {
			[]string{"--sign-key", public, "--sign-command", "true --sign"}, "", false,
		},
		"a key that others can read": {
			[]string{"--sign-key", open},
			"--sign-key: others than its owner and its group have access to", false,
		},
		"a public key in place of the private one": {
			[]string{"--sign-key", closed}, "not an unencrypted PRIVATE KEY", false,
		},
		"a private key for a command": {
			[]string{"--sign-key", private, "--sign-command", "true"},
			"not a PUBLIC KEY (with --sign-command, it is the public key)", false,
		},
		"a command that isn't there": {
			[]string{"--sign-key", public, "--sign-command", "no-such-program"}, "--sign-command: ", false,
		},
		"no such key": {[]string{"--sign-key", filepath.Join(dir, "no")}, "no such file", false},
		"no folder": {
			[]string{"--sign-key", private, "--summaries", private}, "isn't a folder", false,
		},
		"only a folder": {[]string{"--summaries", dir}, "need --sign-key", false},
		"a registry without TLS": {
			[]string{"--sign-key", private, "--push-summaries", "--insecure-registry=a:5000"}, "", true,
		},
		"a registry without TLS, and no push": {
			[]string{"--sign-key", private, "--insecure-registry=a:5000"}, "needs --push-summaries", false,
		},
		"only to push": {[]string{"--push-summaries"}, "need --sign-key", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, _, err := parse(append([]string{
				"--policy", "p.yaml", "--listen", "unix:///l", "--upstream", "unix:///u",
			}, c.args...))
			if err == nil {
				s, signErr := f.signed()
				err = signErr
				if c.want == "" {
					require.NoError(t, err)
					require.NotNil(t, s.Signer)
					require.Equal(t, c.push, s.Push != nil)
					require.Equal(t, f.summaries, s.Folder)
					return
				}
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}
