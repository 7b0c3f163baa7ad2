package frontend

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Option keys of BuildKit's gateway and Dockerfile frontends that the policy
// frontend reads or sets (frontend/gateway/gateway.go, frontend/dockerui/config.go,
// frontend/dockerfile/builder/build.go).
const (
	keySource        = "source"
	keyCmdline       = "cmdline"
	keySyntax        = buildArgPrefix + "BUILDKIT_SYNTAX"
	buildArgPrefix   = "build-arg:"
	contextPrefix    = "context:"
	platformSep      = "::"
	gatewayFrontend  = "gateway.v0"
	dockerImageProto = "docker-image://"
)

// Build-args that begin with ownPrefix are the policy frontend's and never reach
// the inner frontend.
const (
	ownPrefix = buildArgPrefix + "POLICY_FRONTEND_"
	keyPolicy = ownPrefix + "POLICY"
)

// options are the frontend options of one build, as the client sent them.
type options struct {
	all      map[string]string
	source   string   // the reference under which the daemon runs us
	warnings []string // said to the person once there is a step to attach them to
}

func parseOptions(opts map[string]string) options {
	o := options{all: opts, source: opts[keySource]}
	for _, k := range slices.Sorted(maps.Keys(opts)) {
		if strings.HasPrefix(k, ownPrefix) && k != keyPolicy {
			o.warnings = append(o.warnings, fmt.Sprintf("build-arg %s is not one that the policy frontend knows: it has no effect (known: %s)",
				printable(strings.TrimPrefix(k, buildArgPrefix)), strings.TrimPrefix(keyPolicy, buildArgPrefix)))
		}
	}
	return o
}

// namedContexts returns the names over which the client puts a context of its
// own, without their platform suffix (dockerui.Client.NamedContext looks names up
// with "::os/arch" first, then without).
func (o options) namedContexts() []string {
	var names []string
	for k := range o.all {
		if name, ok := strings.CutPrefix(k, contextPrefix); ok {
			name, _, _ = strings.Cut(name, platformSep)
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// forInner returns the options for the inner frontend: all of the client's but
// ours. BUILDKIT_SYNTAX is left out too, what it asks for has been answered.
func (o options) forInner() map[string]string {
	inner := make(map[string]string, len(o.all)+2)
	for k, v := range o.all {
		if k != keySyntax && !strings.HasPrefix(k, ownPrefix) {
			inner[k] = v
		}
	}
	return inner
}

// printable quotes what a client sent where it holds anything but plain text, so
// that it can't write to the terminal of whoever reads the message.
func printable(s string) string {
	const most = 300
	if len(s) > most {
		s = s[:most] + "…"
	}
	if q := fmt.Sprintf("%q", s); q != `"`+s+`"` || s == "" {
		return q
	}
	return s
}
