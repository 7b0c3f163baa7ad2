// Package optionkeys knows the keys of frontend options: those of BuildKit's gateway
// and of its Dockerfile frontend, and the policy frontend's own. It knows them for
// deciding, for dispatching and for the command line alike.
package optionkeys

import "strings"

// Keys that BuildKit's gateway and its Dockerfile frontend read (frontend/gateway/gateway.go,
// frontend/dockerui/config.go, frontend/dockerfile/builder/build.go).
const (
	// Source is the reference of the frontend's image.
	Source = "source"
	// Cmdline is what follows "# syntax=" in the build file.
	Cmdline = "cmdline"
	// Caps lists the capabilities that a frontend needs.
	Caps = "frontend.caps"
	// Target names the part of the build file that is built. To docker/dockerfile, it is a stage.
	Target = "target"
	// Hosts are hosts with addresses for commands: name=address,name=address.
	Hosts = "add-hosts"
	// Syntax is the build-arg that overrides the build file's syntax line.
	Syntax = BuildArgPrefix + "BUILDKIT_SYNTAX"

	// BuildArgPrefix precedes the name of a build-arg.
	BuildArgPrefix = "build-arg:"
	// ContextPrefix precedes the name of a named context; see [NamedContext].
	ContextPrefix = "context:"
	// InputMetadataPrefix precedes the name of a frontend input, whose metadata the option has.
	InputMetadataPrefix = "input-metadata:"

	sessionPrefix = "local-sessionid:"
	platformSep   = "::"
)

// The policy frontend's own options, which are build-args.
const (
	// OwnPrefix is what all of them begin with. An option that begins so never reaches
	// another frontend, and no rule is about it.
	OwnPrefix = BuildArgPrefix + "POLICY_FRONTEND_"
	// Overlay carries the client's overlay, a whole document.
	Overlay = OwnPrefix + "POLICY"
	// HandOverPrefix begins the options in which policy-guard hands a build over to the policy
	// frontend's image. No client may send them through policy-guard.
	HandOverPrefix = OwnPrefix + "GUARD_"
	// HandOverDigest is the digest of the whole document.
	HandOverDigest = HandOverPrefix + "DIGEST"
	// HandOverPiece precedes the number of a piece of the document, which counts from 0.
	HandOverPiece = HandOverPrefix + "PIECE_"

	// CacheMounts is the build-arg that separates the cache mounts of docker/dockerfile.
	CacheMounts = BuildArgPrefix + "BUILDKIT_CACHE_MOUNT_NS"
)

// IsOwn reports whether the option is the policy frontend's own.
func IsOwn(key string) bool { return strings.HasPrefix(key, OwnPrefix) }

// IsHandOver reports whether the option begins, in any letter case, as those do in which
// policy-guard hands a build over.
func IsHandOver(key string) bool {
	return len(key) >= len(HandOverPrefix) &&
		strings.EqualFold(key[:len(HandOverPrefix)], HandOverPrefix)
}

// CarriesBuild reports whether the option carries the build itself. BuildKit's gateway and
// its clients set such an option, or the policy frontend does for the inner frontend, so
// no rule applies to it (frontend/gateway/gateway.go, frontend/dockerfile/builder/build.go).
func CarriesBuild(key string) bool {
	switch key {
	case Source, Cmdline, Caps, Syntax:
		return true
	}
	return strings.HasPrefix(key, sessionPrefix)
}

// ArgName returns the name of a build-arg: the key without [BuildArgPrefix].
func ArgName(key string) string { return strings.TrimPrefix(key, BuildArgPrefix) }

// NamedContext returns the image name that a named context overrides, and whether the key is
// that of a named context.
//
// BuildKit looks a name up as "context:NAME::PLATFORM" first and as "context:NAME" after that
// (frontend/dockerui/config.go, Client.NamedContext). NAME can be a reference on an IPv6 host,
// such as [2001:db8::1]:5000/base, whose colons separate nothing. Whatever follows the
// separator is cut off, a platform or not: a caller that compares names with one that no
// context may override must not miss a spelling.
func NamedContext(key string) (name string, ok bool) {
	name, ok = strings.CutPrefix(key, ContextPrefix)
	if !ok {
		return "", false
	}
	host := 0
	if strings.HasPrefix(name, "[") {
		host = strings.IndexByte(name, ']') + 1
	}
	rest, _, _ := strings.Cut(name[host:], platformSep)
	return name[:host] + rest, true
}
