package integration

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
)

func TestAllowedOutputs(t *testing.T) {
	t.Parallel()
	each(t, waysApart(), testOutputs)
}

func testOutputs(t *testing.T, w way) {
	us := w.throughUs(t)
	image := env.Registry.Ref("allowed/outputs:" + strings.ReplaceAll(w.name, " ", "-"))
	dir := harness.WriteContext(t, dockerfile(inner))
	for name, tc := range map[string]struct {
		output func(file string) string
		result func(t *testing.T, file string) string // returns the content of /out
	}{
		"a folder": {
			func(file string) string { return "type=local,dest=" + file },
			func(t *testing.T, file string) string { return read(t, filepath.Join(file, "out")) },
		},
		"a tar": {
			func(file string) string { return "type=tar,dest=" + file },
			func(t *testing.T, file string) string { return tarEntry(t, file, "out") },
		},
		"an OCI layout": {
			func(file string) string { return "type=oci,dest=" + file },
			func(t *testing.T, file string) string { return registry.ReadOCI(t, file)[0].File(t, "out") },
		},
		"an OCI layout in a folder": {
			func(file string) string { return "type=oci,tar=false,dest=" + file },
			func(t *testing.T, file string) string { return registry.ReadOCI(t, file)[0].File(t, "out") },
		},
		"an archive for docker load": {
			func(file string) string { return "type=docker,dest=" + file },
			func(t *testing.T, file string) string {
				require.NotEmpty(t, tarEntry(t, file, "manifest.json"))
				return registry.ReadOCI(t, file)[0].File(t, "out")
			},
		},
		"an image in a registry": {
			func(string) string { return "type=image,push=true,name=" + image },
			func(t *testing.T, _ string) string {
				return env.Registry.ReadImage(t, image)[0].File(t, "out")
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "result")
			us.buildx(t, dir, "--output", tc.output(file)).RequireSuccess(t)
			require.Equal(t, "ran\n", tc.result(t, file))
		})
	}
}

func tarEntry(t *testing.T, file, name string) string {
	t.Helper()
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			t.Fatalf("%s has no %s", file, name)
		}
		require.NoError(t, err)
		if strings.TrimPrefix(h.Name, "./") == name {
			data, err := io.ReadAll(tr)
			require.NoError(t, err)
			return string(data)
		}
	}
}
