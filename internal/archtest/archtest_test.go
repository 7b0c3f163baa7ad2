package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/policy-frontend/policy-frontend/"

// floors are the floors of the house. A package may import packages of lower floors only.
var floors = [][]string{
	{
		"internal/apart", "internal/buildfiles", "internal/dockerfileversions", "internal/editdistance",
		"internal/expansion", "internal/gatewayresult", "internal/globs", "internal/rawcall",
		"internal/safetext", "internal/streamconn", "vsa",
	},
	{"internal/hostname", "internal/optionkeys", "internal/strictyaml", "internal/versions"},
	{"internal/urlmatch", "policy/clients", "policy/imageref"},
	{"internal/renaming", "policy/imagerules"},
	{"policy/buildrules"},
	{"policy"},
	{
		"internal/arbitrary", "internal/diff", "internal/export", "internal/gatewayopts",
		"internal/kindtest", "internal/llbops", "internal/lock", "internal/opcheck",
		"internal/record",
	},
	{
		"internal/attached", "internal/gatewaycodec", "internal/lint", "internal/policytest",
		"internal/replay",
	},
	{"frontend"},
	{"guard", "internal/survey"},
	{"cmd/policy-frontend", "cmd/policy-guard"},
	{"internal/archtest"},
}

// impure are the packages that may use BuildKit, or a disk or a network by themselves. All
// others work on the bytes and the fs.FS that they are given. Package arbitrary, which only tests
// use, reads the environment.
var impure = []string{
	"cmd/policy-frontend", "cmd/policy-guard", "frontend", "guard", "internal/arbitrary",
	"internal/attached", "internal/expansion",
	"internal/gatewaycodec", "internal/gatewayopts", "internal/gatewayresult",
	"internal/llbops", "internal/lock", "internal/streamconn", "internal/survey",
}

// gateway are the packages that may use BuildKit.
var gateway = []string{
	"cmd/policy-frontend", "frontend", "guard", "internal/expansion", "internal/gatewaycodec",
	"internal/gatewayopts", "internal/gatewayresult",
	"internal/llbops", "internal/survey",
}

type listed struct {
	ImportPath string
	Imports    []string
}

func TestImportsPointDownwards(t *testing.T) {
	t.Parallel()
	floorOf := map[string]int{}
	for i, packages := range floors {
		for _, p := range packages {
			floorOf[p] = i
		}
	}
	seen := 0
	for _, p := range list(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		floor, known := floorOf[name]
		require.True(t, known, "give the package %s a floor", name)
		seen++
		for _, imported := range p.Imports {
			if own, ok := strings.CutPrefix(imported, module); ok {
				require.Less(t, floorOf[own], floor, "%s imports %s, which isn't below it", name, own)
			}
		}
	}
	require.Equal(t, len(floorOf), seen, "a package that has a floor doesn't exist")
}

func TestPurePackagesStayPure(t *testing.T) {
	t.Parallel()
	for _, p := range list(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, "github.com/moby/buildkit") {
				require.Contains(t, gateway, name, "%s imports %s", name, imported)
			}
			if slices.Contains([]string{"os", "os/exec", "net", "net/http"}, imported) {
				require.Contains(t, impure, name, "%s imports %s", name, imported)
			}
		}
	}
}

// The process of each build in the gateway image stays small.
func TestTheImageDoesNotHaveTheGuard(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/policy-frontend")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	require.NoError(t, err)
	require.NotContains(t, strings.Fields(string(out)), module+"guard")
}

// Metrics are for a program that runs for long. No other package needs their library.
func TestOnlyTheGuardsProgramHasMetrics(t *testing.T) {
	t.Parallel()
	for _, p := range list(t) {
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, "github.com/prometheus/") {
				require.Equal(t, "cmd/policy-guard", strings.TrimPrefix(p.ImportPath, module), imported)
			}
		}
	}
}

// list returns the packages of the module without their tests.
func list(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	require.NoError(t, err)
	var packages []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			require.NoError(t, err)
		}
		packages = append(packages, p)
	}
}
