package optionkeys

import (
	"slices"
	"strings"

	"github.com/containerd/platforms"

	"github.com/policy-frontend/policy-frontend/internal/globs"
)

// Options that BuildKit reads as one.
const (
	attestPrefix    = "attest:"
	attestArgPrefix = BuildArgPrefix + "BUILDKIT_ATTEST_"
	provenance      = attestPrefix + "provenance"

	dockerHub     = "docker.io/"
	dockerLibrary = "library/"
)

// groups are the keys of one option each. The first is the one that the others stand for. In
// frontend/dockerui/config.go, Client.init writes the two build-args to the options beside them,
// and puts the caches of both options in one list.
var groups = [][]string{
	{"hostname", BuildArgPrefix + "BUILDKIT_SANDBOX_HOSTNAME"},
	{"multi-platform", BuildArgPrefix + "BUILDKIT_MULTI_PLATFORM"},
	{"cache-imports", "cache-from"},
	{"context", "contextkey"}, // contextkey names the option that is read in place of context
}

// proxies are the build-args that the Dockerfile frontend reads in any letter case
// (frontend/dockerfile/dockerfile2llb/convert.go, proxyEnvFromBuildArgs).
var proxies = []string{
	"build-arg:http_proxy", "build-arg:https_proxy", "build-arg:ftp_proxy", "build-arg:no_proxy",
	"build-arg:all_proxy",
}

// IsProxy reports whether an option is one of the build-args by which commands get a proxy.
func IsProxy(key string) bool {
	return strings.HasPrefix(key, BuildArgPrefix) && slices.Contains(proxies, strings.ToLower(key))
}

// Canonical returns the key under which options are compared: two keys have the same canonical
// key if BuildKit reads them as one option. Such keys are twins. A named context for one platform
// is a twin of that for all.
func Canonical(key string) string {
	for _, group := range groups {
		if slices.Contains(group, key) {
			return group[0]
		}
	}
	if kind, ok := Attestation(key); ok {
		return attestPrefix + kind
	}
	if lower := strings.ToLower(key); slices.Contains(proxies, lower) {
		return lower
	}
	if name, ok := NamedContext(key); ok {
		return ContextPrefix + familiar(name)
	}
	return key
}

// familiar returns the form of an image name under which BuildKit looks up its named context:
// short for Docker Hub, and without the tag latest (frontend/dockerui/config.go,
// Client.NamedContext).
func familiar(name string) string {
	name = strings.TrimPrefix(strings.TrimPrefix(name, "index."), dockerHub)
	return strings.TrimSuffix(strings.TrimPrefix(name, dockerLibrary), ":latest")
}

// contextForms returns the spellings of a named context in which rules can have its name: that of
// the key, the familiar one, and those with the host written out; each also without the platform.
func contextForms(key string) []string {
	name, ok := NamedContext(key)
	if !ok {
		return nil
	}
	short := familiar(name)
	platform := strings.TrimPrefix(key, ContextPrefix+name)
	var forms []string
	for _, form := range []string{
		short, short + ":latest", dockerLibrary + short, dockerHub + short,
		dockerHub + dockerLibrary + short, dockerHub + dockerLibrary + short + ":latest",
	} {
		forms = append(forms, ContextPrefix+form, ContextPrefix+form+platform)
	}
	return forms
}

// Attestation returns the kind of attestation that the option asks for, in lower case, as
// BuildKit compares it (frontend/attestations/parse.go).
func Attestation(key string) (kind string, ok bool) {
	if kind, ok = strings.CutPrefix(key, attestPrefix); !ok {
		kind, ok = strings.CutPrefix(key, attestArgPrefix)
	}
	return strings.ToLower(kind), ok
}

// Matches reports whether a glob in a rule is for the key: it matches the key or one of its
// twins. So all twins get the same answer, whether the glob refuses or allows. There are two
// exceptions:
//
//   - A glob for a named context with a platform isn't for the context of all platforms.
//   - A glob for build-args is for attest:provenance only if it names attestations, because buildx
//     sends that option in every build.
func Matches(glob, key string) bool {
	glob, key = withPlatform(glob), withPlatform(key)
	if globs.Match(glob, key) {
		return true
	}
	canonical := Canonical(key)
	switch kind, isAttestation := Attestation(key); {
	case isAttestation:
		lower, arg := strings.ToLower(glob), strings.ToLower(attestArgPrefix)
		return globs.Match(lower, attestPrefix+kind) || globs.Match(lower, arg+kind) &&
			(key != provenance || strings.HasPrefix(lower, arg))
	case slices.Contains(proxies, canonical):
		return globs.Match(strings.ToLower(glob), canonical)
	}
	for _, group := range groups {
		if group[0] == canonical {
			return slices.ContainsFunc(group, func(twin string) bool { return globs.Match(glob, twin) })
		}
	}
	return slices.ContainsFunc(contextForms(key), func(form string) bool {
		return globs.Match(glob, form)
	})
}

// withPlatform returns the key of a named context for a platform in the spelling in which BuildKit
// looks it up (frontend/dockerui/config.go, Client.NamedContext). It returns any other key, or one
// whose platform has no such spelling, as it is.
func withPlatform(key string) string {
	name, ok := NamedContext(key)
	if !ok {
		return key
	}
	suffix, ok := strings.CutPrefix(key, ContextPrefix+name+platformSep)
	if !ok || !strings.Contains(suffix, "/") {
		return key
	}
	p, err := platforms.Parse(suffix)
	if err != nil {
		return key
	}
	return ContextPrefix + name + platformSep + platforms.FormatAll(platforms.Normalize(p))
}

// First returns the first of the globs that [Matches] the key, or "".
func First(list []string, key string) string {
	if i := slices.IndexFunc(list, func(g string) bool { return Matches(g, key) }); i >= 0 {
		return list[i]
	}
	return ""
}

// FirstDenied returns the first of the globs that is for the key, or "". It is [First] for options
// that are refused or removed: a glob for a named context of one platform is for that of all
// platforms too, since BuildKit uses it for that platform.
func FirstDenied(list []string, key string) string {
	i := slices.IndexFunc(list, func(g string) bool {
		if Matches(g, key) {
			return true
		}
		name, ok := NamedContext(g)
		return ok && Matches(ContextPrefix+name, key)
	})
	if i < 0 {
		return ""
	}
	return list[i]
}

// SentByItself reports whether clients send the option in a build for which its user asked for no
// option at all, and the option gives the frontend nothing to act on. A list of allowed options
// doesn't have to name it; it can be refused, removed and forced like any other. buildx sends these
// (build/opt.go, toSolveOpt and loadInputs, and build/git.go):
//
//   - filename, the name of the build file, which the policy frontend reads itself
//   - attest:provenance, what BuildKit records of the build
//   - image-resolve-mode, where a Docker Engine looks for an image first
//   - vcs:…, which commit of which repository is built, for the record
func SentByItself(key string) bool {
	switch key {
	case "filename", provenance, "image-resolve-mode":
		return true
	}
	return strings.HasPrefix(key, "vcs:")
}
