package frontend

import (
	"context"
	"strings"
	"testing"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
)

// fileDaemon answers each ReadFile with the same bytes.
type fileDaemon struct {
	gwpb.LLBBridgeClient
	data string
}

func (d fileDaemon) ReadFile(
	context.Context, *gwpb.ReadFileRequest, ...grpc.CallOption,
) (*gwpb.ReadFileResponse, error) {
	return &gwpb.ReadFileResponse{Data: []byte(d.data)}, nil
}

// The built-in frontend expands variables in this process.
func TestABuildFileThatExpandsTooFarIsNotRead(t *testing.T) {
	t.Parallel()
	const doubled = "FROM scratch\nARG B=0123456789\n"
	for name, tc := range map[string]struct {
		file, data string
		args       map[string]string
		refused    bool
	}{
		"each line doubles a variable": {
			"Dockerfile", doubled + strings.Repeat("ARG B=${B}${B}\n", 40), nil, true,
		},
		"as often as an honest build does": {
			"Dockerfile", doubled + strings.Repeat("ARG B=${B}${B}\n", 4), nil, false,
		},
		"a build-arg is large": {
			"Dockerfile", "FROM scratch\nARG A\n" + strings.Repeat("RUN x $A\n", 100),
			map[string]string{"A": strings.Repeat("x", 100<<10)},
			true,
		},
		"a path that grows in each of 300 stages": {
			"Dockerfile", strings.Repeat("FROM scratch\nENV PATH=/opt/bin:$PATH\n", 300), nil, false,
		},
		"a file that says what to lint": {
			"Dockerfile", "\n# check=skip=all\nFROM --platform=$TARGETPLATFORM scratch\n", nil, false,
		},
		"a file that is no Dockerfile": {"Dockerfile", "$ no instruction\n", nil, false},
		"patterns": {
			"Dockerfile.dockerignore", strings.Repeat("$*\n", 99), nil, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveBroker(t, mediatedWithin)
			s.broker.daemon, s.broker.refs["r"] = fileDaemon{data: tc.data}, nil
			c := inProcess{broker: s.broker, args: tc.args}
			_, err := c.ReadFile(t.Context(), &gwpb.ReadFileRequest{Ref: "r", FilePath: tc.file})
			if !tc.refused {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "its variables expand to more than 8 MiB")
			require.ErrorContains(t, s.broker.monitor.refused(), "takes too much memory")
		})
	}
}
