package llbops_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

func TestTheConfigurationOfAnImageIsRead(t *testing.T) {
	t.Parallel()
	got := llbops.FromConfig("t", "linux/amd64",
		[]byte(`{"architecture":"amd64","config":{"User":"app:app","Env":["PATH=/bin","EMPTY","A=b=c"],
		"Entrypoint":["/app"],"Cmd":["a","b"],"Labels":{"k":"v"},"ExposedPorts":{"80/tcp":{},"53/udp":{}},"Volumes":{"/data":{}},"OnBuild":["RUN x"]},"rootfs":{"type":"layers"}}`))
	require.Equal(t, buildrules.Operation{Config: &buildrules.Config{
		Platform: "linux/amd64", User: "app:app", Labels: map[string]string{"k": "v"},
		Env:   []string{"PATH", "EMPTY", "A"},
		Ports: []string{"53/udp", "80/tcp"}, Volumes: []string{"/data"},
		Target: "t", Entrypoint: []string{"/app"}, Cmd: []string{"a", "b"},
	}}, got)
	for _, empty := range []string{"", "{}", `{"config":null}`, `{"config":{}}`, "null"} {
		require.Equal(t, buildrules.Operation{Config: &buildrules.Config{Target: "t"}},
			llbops.FromConfig("t", "", []byte(empty)), empty)
	}
}

func TestAConfigurationThatProgramsReadDifferentlyIsUnknown(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ config, want string }{
		"a user that is there twice": {
			`{"config":{"User":"app","User":"root"}}`,
			"User is there twice",
		},
		"a user that is there in two spellings": {`{"config":{"User":"app","user":"root"}}`, "twice"},
		"a user in another spelling":            {`{"config":{"USER":"root"}}`, "User is spelled USER"},
		"a command in another spelling":         {`{"config":{"cmd":["sh"]}}`, "Cmd is spelled cmd"},
		"an entrypoint in another spelling":     {`{"config":{"entryPoint":["sh"]}}`, "is spelled entryPoint"},
		"a command that is there twice":         {`{"config":{"Cmd":[],"Cmd":["sh"]}}`, "Cmd is there twice"},
		"a command that is no list":             {`{"config":{"Cmd":"sh"}}`, "can't be read"},
		"a user in letters that fold": {
			`{"config":{"U` + "\u017f" + `er":"root"}}`,
			"is spelled",
		},
		"two configs": {
			`{"config":{},"config":{"User":"root"}}`,
			"config is there twice",
		},
		"a config in another spelling": {`{"Config":{"User":"root"}}`, "config is spelled Config"},
		"a second document":            {`{} {"config":{}}`, "something follows it"},
		"no object":                    {`[]`, "not a JSON object"},
		"a user that is no text":       {`{"config":{"User":0}}`, "can't be read"},
		"no JSON":                      {`{"config":`, "can't be read"},
		"half an object":               {`{"config":{}`, "can't be read"},
		"a very large one": {
			`{"x":"` + strings.Repeat("x", 4<<20) + `"}`,
			"more than 4194304",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, llbops.FromConfig("", "", []byte(tc.config)).Unknown, tc.want)
		})
	}
}
