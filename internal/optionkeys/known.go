package optionkeys

import (
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/editdistance"
)

// known are the options of BuildKit's gateway, of its Dockerfile frontend and of its clients
// (frontend/dockerui/config.go and context.go, frontend/subrequests, buildx's build/opt.go).
var known = []string{
	"add-hosts", "cache-from", "cache-imports", "cgroup-parent", "cmdline", "context", "contextkey",
	"contextsubdir", "cpuperiod", "cpuquota", "cpusetcpus", "cpusetmems", "cpushares",
	"dockerfilekey", "filename", "force-network-mode", "frontend.caps", "hostname",
	"image-resolve-mode", "memory", "memswap", "multi-platform", "no-cache", "platform",
	"requestid", "shm-size", "source", "target", "ulimit",
	"attest:sbom", "attest:provenance",
	"build-arg:BUILDKIT_ATTEST_PROVENANCE", "build-arg:BUILDKIT_ATTEST_SBOM",
	"build-arg:BUILDKIT_CACHE_MOUNT_NS", "build-arg:BUILDKIT_CONTEXT_KEEP_GIT_DIR",
	"build-arg:BUILDKIT_DOCKERFILE_CHECK", "build-arg:BUILDKIT_GIT_ADVICE",
	"build-arg:BUILDKIT_INLINE_CACHE", "build-arg:BUILDKIT_MULTI_PLATFORM",
	"build-arg:BUILDKIT_SANDBOX_HOSTNAME", "build-arg:BUILDKIT_SBOM_SCAN_CONTEXT",
	"build-arg:BUILDKIT_SBOM_SCAN_STAGE", "build-arg:BUILDKIT_SYNTAX",
}

// Known returns keys of BuildKit's options, as examples; those of proxies in lower case.
func Known() []string { return slices.Concat(known, proxies) }

// flags are flags of docker build, and the options that clients send for them.
var flags = map[string]string{
	"add-host": "add-hosts", "build-arg": "build-arg:*", "build-args": "build-arg:*",
	"build-context": "context:*", "file": "filename", "label": "label:*", "labels": "label:*",
	"network": "force-network-mode", "provenance": "attest:provenance", "sbom": "attest:sbom",
	"ulimits": "ulimit", "attest": "attest:*", "named-context": "context:*",
}

// Suggest returns the option that the author of a policy probably meant by a key that no client
// sends, or "". It knows nothing of a key that is far from all of BuildKit's: a frontend can have
// options of its own.
func Suggest(key string) string {
	if strings.Contains(key, "*") || slices.Contains(known, key) {
		return ""
	}
	if option, ok := flags[strings.TrimLeft(key, "-")]; ok {
		return option
	}
	near := editdistance.Nearest(key, known)
	name, isArg := strings.CutPrefix(key, BuildArgPrefix)
	if isArg && !strings.HasPrefix(name, "BUILDKIT_") || len(key) < 5 {
		return "" // A build-arg of the author's own.
	}
	return near
}
