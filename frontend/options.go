package frontend

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Names of BuildKit's gateway (frontend/gateway/gateway.go, client/llb/source.go).
const (
	gatewayFrontend  = "gateway.v0"
	dockerImageProto = "docker-image://"
)

// derived are options that the gateway sets itself from a build-arg before we
// start (dockerui.Client.init writes to the options that it reads).
var derived = map[string]string{
	"hostname":       optionkeys.BuildArgPrefix + "BUILDKIT_SANDBOX_HOSTNAME",
	"multi-platform": optionkeys.BuildArgPrefix + "BUILDKIT_MULTI_PLATFORM",
}

// options are the frontend options of one build.
type options struct {
	sent     map[string]string  // as the client sent them
	source   string             // the reference under which the daemon runs us
	self     imageref.Reference // the same, parsed; zero if it can't be
	nested   bool               // another frontend sent them
	warnings []string           // said to the person once there is a step to attach them to
}

func parseOptions(opts map[string]string) options {
	o := options{sent: maps.Clone(opts), source: opts[optionkeys.Source]}
	for key, arg := range derived {
		if v := opts[arg]; v != "" && opts[key] == v {
			delete(o.sent, key)
		}
	}
	o.self, _ = imageref.Parse(o.source) // findRequests says what is wrong with it
	for _, k := range slices.Sorted(maps.Keys(opts)) {
		if optionkeys.IsOwn(k) && k != optionkeys.Overlay {
			o.warnings = append(o.warnings, fmt.Sprintf("build-arg %s is not one that the policy frontend knows: it has no effect (known: %s)",
				printable(optionkeys.ArgName(k)), optionkeys.ArgName(optionkeys.Overlay)))
		}
	}
	return o
}

// namedContexts returns the image names that the client's named contexts override.
func (o options) namedContexts() []string {
	var names []string
	for k := range o.sent {
		if name, ok := optionkeys.NamedContext(k); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// judged returns the options that rules judge: all but our own build-args.
func (o options) judged() map[string]string {
	opts := maps.Clone(o.sent)
	maps.DeleteFunc(opts, func(k, _ string) bool { return optionkeys.IsOwn(k) })
	return opts
}

// forInner returns the options for the inner frontend: the client's without ours,
// and as the policy obliges. The client's BUILDKIT_SYNTAX is left out too, what it asks
// for has been answered; that of a frontend is for the one that it runs.
func (o options) forInner(by policy.Obligations) map[string]string {
	inner := o.judged()
	if !o.nested {
		delete(inner, optionkeys.Syntax)
	}
	for _, k := range by.Strip {
		delete(inner, k)
	}
	// The gateway client puts these two back if they are missing
	// (grpcclient.Solve); empty is as good as missing to every frontend.
	for _, k := range []string{keyCacheImports, keyCacheFrom} {
		if slices.Contains(by.Strip, k) {
			inner[k] = ""
		}
	}
	maps.Copy(inner, by.Force)
	return inner
}

// printable quotes what a client sent where it holds anything but plain text, so
// that it can't write to the terminal of whoever reads the message.
func printable(s string) string {
	const most = 300
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	if q := strconv.Quote(s); q != `"`+s+`"` || s == "" {
		return q
	}
	return s
}

// legible bounds a text that comes from elsewhere, such as a registry's error, and
// takes out of it what a terminal might act on. Line breaks stay.
func legible(s string) string {
	const most = 4000
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || (r != utf8.RuneError && unicode.IsGraphic(r)) {
			return r
		}
		return -1
	}, s)
}
