package buildrules

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// denied is an entry of exec.deny, with names that it denies and some that it doesn't.
type denied struct {
	name, entry string
	yes, not    []string
}

func testDenied(t *testing.T, field string, of func(string) Exec, tests []denied) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, problems := parse(t, "exec: {deny: {"+field+": ['"+tt.entry+"']}}")
			require.Empty(t, problems)
			for want, names := range map[bool][]string{true: tt.yes, false: tt.not} {
				for _, name := range names {
					e := of(name)
					n, err := Operation{Exec: &e}.Normalize(KindExec)
					require.NoError(t, err)
					_, found, err := r.Check(n)
					require.NoError(t, err)
					require.Equal(t, want, len(found) > 0, name)
					if want {
						require.True(t, strings.HasPrefix(found[0].Rule, "exec.deny."+field+": "), found[0].Rule)
					}
				}
			}
		})
	}
}

func TestADeniedDeviceIsDeniedByItsOtherNames(t *testing.T) {
	t.Parallel()
	testDenied(t, "devices", func(s string) Exec { return Exec{Devices: []string{s}} }, []denied{
		{
			"a kind is all of its devices", "nvidia.com/gpu",
			[]string{
				"nvidia.com/gpu", "nvidia.com/gpu=", "nvidia.com/gpu=all", "nvidia.com/gpu=*",
				"NVIDIA.com/GPU=0",
			},
			[]string{"nvidia.com/nic=0", "nvidia.com/gpus=0", "x.example/gpu"},
		},
		{
			"a device is in its kind", "nvidia.com/gpu=0",
			[]string{
				"nvidia.com/gpu=0", "nvidia.com/gpu", "nvidia.com/gpu=", "nvidia.com/gpu=*",
				"nvidia.com/gpu=all", "Nvidia.com/gpu=ALL",
			},
			[]string{"nvidia.com/gpu=1", "nvidia.com/nic", "nvidia.com/nic=all"},
		},
		{
			"a star crosses the equals sign", "nvidia.com/*0",
			[]string{"nvidia.com/gpu=0", "nvidia.com/gpu", "nvidia.com/gpu=all"},
			[]string{"nvidia.com/gpu=1", "x.example/gpu"},
		},
		{
			"a class can be any device", "nvidia.com/gpu=0",
			[]string{"gpu", "/gpu", "gpu=1", "=x"},
			nil,
		},
	})
}

func TestADeniedControlGroupIsDeniedWithWhatIsBelow(t *testing.T) {
	t.Parallel()
	testDenied(t, "cgroupParents", func(s string) Exec { return Exec{CgroupParent: s} }, []denied{
		{
			"what is below a group", "prod",
			[]string{"prod", "/PROD/", "prod/sub", "./prod/x", "/prod//a/b", "prod/sub/"},
			[]string{"production", "a/prod", "/"},
		},
		{"the root is every group", "/", []string{"/", "a", "system.slice:x:"}, nil},
		{
			"a glob is for groups above too", "/ci-*/jobs",
			[]string{"ci-1/jobs", "ci-1/jobs/x"},
			[]string{"ci-1", "ci-1/job"},
		},
		{
			"a slice in the form of systemd", "system.slice",
			[]string{
				"system.slice:x:", "system.slice", "/system.slice/a.service", "system-a.slice:x:",
				"system-a-b.slice::", ":a.slice:", "a/system-b.slice", "SYSTEM.slice:x:",
			},
			[]string{"systems.slice:x:", "user.slice:x:", "a-system.slice:x:"},
		},
		{
			"a slice by its own name", "system-a.slice",
			[]string{
				"system-a.slice:x:", "system.slice/system-a.slice", "/system.slice/system-a.slice/b",
				"system-a-b.slice:x:",
			},
			[]string{"system.slice:x:", "system-ab.slice:x:"},
		},
		{
			"a slice by its path", "/system.slice/system-a.slice",
			[]string{"system-a.slice:x:", "system.slice/system-a.slice"},
			[]string{"system.slice:x:"},
		},
	})
}

func TestADeniedDeviceHasAVendor(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"gpu", "gpu=all"} {
		_, problems := parse(t, "exec: {deny: {devices: ['"+s+"']}}")
		require.Equal(t, []string{`1: devices: "` + s + `" has no vendor, and its devices have other ` +
			`names too; write one such as nvidia.com/gpu, or true for all`}, problems)
	}
	_, problems := parse(t, "exec: {deny: {devices: ['*gpu*']}}")
	require.Empty(t, problems)
}
