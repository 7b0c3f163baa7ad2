package buildrules

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDescribe(t *testing.T) {
	t.Parallel()
	tests := []struct {
		want      string
		operation Operation
	}{
		{
			"the git repository https://git.example/a#main, which must be abc",
			Operation{Git: &Git{URL: "https://me:secret@git.example/a", Ref: "main", Checksum: "abc"}},
		},
		{"the git repository git@git.example:a", Operation{Git: &Git{URL: "git@git.example:a"}}},
		{
			"the download https://files.example/a?…",
			Operation{HTTP: &HTTP{URL: "https://files.example/a?token=secret"}},
		},
		{"the download https://files.example", Operation{HTTP: &HTTP{URL: "https://a@b@files.example"}}},
		{"the client's directory context", Operation{Local: "context"}},
		{"the image in an OCI layout a:1", Operation{OCILayout: "a:1"}},
		{
			"the blob a@sha256:" + strings.Repeat("1", 64),
			Operation{Blob: "a@sha256:" + strings.Repeat("1", 64)},
		},
		{"a command", Operation{Exec: &Exec{Network: NetworkDefault}}},
		{"a command with the network host, no sandbox, the ssh agent default, the secret npm, the device gpu, an address for a.example, the ulimit nofile=5, the control group /x", Operation{Exec: &Exec{
			Network: NetworkHost, Insecure: true, SSH: []string{"default"}, Secrets: []string{"npm"},
			Devices: []string{"gpu"},
			Hosts:   []string{"a.example"}, Ulimits: map[string]int{"nofile": 5}, CgroupParent: "/x",
		}}},
		{"an image for linux/arm64 with the user app, the labels a b, the variables PATH, the ports 80/tcp, the volumes /data", Operation{Config: &Config{
			Platform: "linux/arm64", User: "app", Labels: map[string]string{"b": "", "a": ""},
			Env: []string{"PATH=hunter2"}, Ports: []string{"80/tcp"}, Volumes: []string{"/data"},
		}}},
		{"an image of the target base\\n with a command", Operation{Config: &Config{
			Target: "base\n", Entrypoint: []string{"/a", "b"},
		}}},
		{`an operation\x1b[2J`, Operation{Unknown: "an operation\x1b[2J"}},
		{"the image " + strings.Repeat("x", 200) + "…", Operation{Image: strings.Repeat("x", 300)}},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, tt.operation.Describe())
	}
}
