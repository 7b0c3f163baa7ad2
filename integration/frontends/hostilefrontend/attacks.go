package main

// attacks returns all attacks. Each is a build or a seize. They use these build-args in addition to
// ATTACK:
//
//	ALLOWED, DENIED  images with a file /marker
//	SELF             a reference of this frontend
//	DOCKERFILE       a reference of docker/dockerfile
//	SYNTAX           what docker/dockerfile follows instead of the file's syntax line
//	OTHER            another reference of this frontend, that isn't allowed
//	ADDRESS          host:port of something that listens
//	FILES            paths, with colons between them, that it tries to read
//	USE              what an attack on a reference does with it, see uses
//	REF              a reference that isn't its own
//	DEPTH            how often a frontend runs itself in itself
//	METHOD           the path of the call that an attack on the connection makes
//	SECONDS          how long a process sleeps that is left running
func attacks() map[string]any {
	return map[string]any{
		// definitions.go
		"base":                      build(base),
		"base evaluated":            build(evaluateBase),
		"base in the old way":       build(deprecatedBase),
		"base for one platform":     build(baseForOnePlatform),
		"base as an attestation":    build(baseAsAttestation),
		"own source policy":         build(ownSourcePolicy),
		"own policy when resolving": build(ownPolicyResolving),
		"image config":              build(imageConfig),
		"image config the old way":  build(imageConfigDeprecated),
		"cache import":              build(cacheImport),
		"host network":              build(hostNetwork),
		"insecure":                  build(insecureExec),
		"secret":                    build(secret),
		"secret in a variable":      build(secretEnv),
		"ssh":                       build(ssh),
		// operations.go
		"build op":      build(buildOp),
		"unknown op":    build(unknownOp),
		"unknown field": build(unknownField),
		"final":         build(final),
		"huge message":  build(hugeMessage),
		// nested.go
		"prove":                  build(prove),
		"same frontend":          build(sameFrontend),
		"other frontend":         build(otherFrontend),
		"frontend by context":    build(frontendByContext),
		"frontend dockerfile.v0": build(dockerfileV0),
		"nested base":            build(nestedBase),
		"chain":                  build(chain),
		"input":                  build(inputBase),
		"endless nesting":        build(endlessNesting),
		"leak a reference":       build(leakReference),
		"leaked reference":       build(leakedReference),
		"lend a reference":       build(lendReference),
		"lent reference":         build(lentReference),
		"own reference":          build(ownReference),
		"guessed reference":      build(guessedReference),
		"forged definition":      build(forgedDefinition),
		"forged decision":        build(forgedDecision),
		// containers.go
		"container":              build(container),
		"container host network": build(hostNetworkContainer),
		"container insecure":     build(insecureContainer),
		"container secret":       build(secretContainer),
		"many processes":         build(manyProcesses),
		"leave a container":      build(leaveContainer),
		"left container":         build(leftContainer),
		// sandbox.go
		"network":        build(network),
		"root":           build(root),
		"write":          build(write),
		"read":           build(readFiles),
		"unknown method": build(unknownMethod),
		// wire.go
		"garbage":             seize(garbage),
		"preface and garbage": seize(prefaceAndGarbage),
		"endless stdout":      seize(endlessStdout),
		"endless stderr":      seize(endlessStderr),
		"deaf":                seize(deaf),
		"deaf to pings":       seize(deafToPings),
		"streams":             seize(streams),
		"endless solving":     seize(endlessSolving),
		"endless solving all": seize(endlessSolvingAtOnce),
		// memory.go
		"header bombs":         seize(headerBombs),
		"requests without end": seize(requestsWithoutEnd),
		"growing request":      build(growingRequest),
		"keeping":              build(keeping),
		"keep":                 build(keep),
		"crowd":                build(crowd),
		"warnings":             build(warnings),
		"leave containers":     build(leaveContainers),
		// life.go
		"crash before":     seize(crashBefore),
		"crash after":      seize(crashAfter),
		"no return":        seize(noReturn),
		"return twice":     seize(returnTwice),
		"never":            seize(never),
		"child that stays": seize(childThatStays),
	}
}
