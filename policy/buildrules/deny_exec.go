package buildrules

import (
	"path"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
)

// What a command asks for by one name, the builder can give it by another. What is denied is
// denied by each of these names.

// firstDevice returns the first of the denied names that the device can be, in any letter case,
// or "".
func firstDevice(denied []string, device string) string {
	device = strings.ToLower(device)
	i := slices.IndexFunc(denied, func(g string) bool {
		return deniesDevice(strings.ToLower(g), device)
	})
	if i < 0 {
		return ""
	}
	return denied[i]
}

// deniesDevice reports whether a command gets a device of a denied name when it asks for another,
// as BuildKit reads names (solver/llbsolver/cdidevices/manager.go, parseDevice):
//
//   - A kind alone, such as nvidia.com/gpu, is the first device of the kind. With =* it is all of
//     them, and vendors use =all for the same.
//   - A name without a vendor is a class. Only the builder knows which devices are in it.
func deniesDevice(denied, name string) bool {
	kind, device, _ := strings.Cut(name, "=")
	vendor, _, hasVendor := strings.Cut(kind, "/")
	switch {
	case vendor == "" || !hasVendor:
		return true
	case globs.Match(denied, name), globs.Match(denied, kind):
		return true
	}
	isSome := device == "" || device == "*" || device == "all"
	return isSome && globs.Overlaps(denied, kind+"=*")
}

// groupsAbove returns the names of a control group and of all groups above it. The group is in the
// form of normalizeCgroup.
//
// In the form slice:prefix:, which systemd's driver reads, the group is in the slice. The
// name of a slice has the slices above it: a-b.slice is in a.slice (systemd.slice(5)). Without a
// slice, runc takes system.slice, or user.slice if it isn't root (opencontainers/cgroups,
// systemd/v2.go, Apply).
func groupsAbove(group string) []string {
	names := []string{group}
	if slice, _, ok := strings.Cut(group, ":"); ok {
		if slice == "/" {
			names = append(names, "/system.slice", "/user.slice")
		}
		names = append(names, slicesAbove(slice)...)
	}
	for above := group; above != "/"; above = path.Dir(above) {
		names = append(names, above)
		if strings.HasSuffix(above, ".slice") {
			names = append(names, slicesAbove(above)...)
		}
	}
	return append(names, "/")
}

// slicesAbove returns the paths of a slice and of each slice above it, in full and by their own
// names alone.
func slicesAbove(group string) []string {
	name, isSlice := strings.CutSuffix(path.Base(group), ".slice")
	if !isSlice {
		return []string{group}
	}
	var names []string
	above := "/"
	for i := range len(name) + 1 {
		if i == len(name) || name[i] == '-' && i > 0 {
			slice := name[:i] + ".slice"
			above = path.Join(above, slice)
			names = append(names, "/"+slice, above)
		}
	}
	return names
}
