package integration

import "strings"

// attacks are the attacks of the hostile frontend, with their outcomes.
func attacks() map[string]attack {
	const (
		deniedImage = "bases/denied"
		theProof    = "denied"
		notFound    = "no such ref"

		unknownFields = "an operation with fields that this version does not know"
	)
	var (
		works   = func(proof string) outcome { return outcome{proof: proof} }
		stopped = func(text string) outcome { return outcome{stopped: text} }
		refused = func(texts ...string) outcome { return outcome{refused: texts} }
		hang    = outcome{hangs: true}
		ruin    = outcome{ruins: true}

		notItsOwn = refused("it asks for the reference ", ", which isn't its own")

		noContainer = "not found"

		outOfTime = outcome{
			endless: true,
			refused: []string{"did not end within 5s, which is as long as the limits allow"},
		}
	)
	if env.Older("v0.27.0") {
		noContainer = "unknown method ReadFileContainer"
	}
	return map[string]attack{
		"base": {
			plain:   works(theProof),
			mediate: refused(deniedImage),
			forward: refused(deniedImage),
		},
		"base evaluated": {
			plain:   works(theProof),
			mediate: refused(deniedImage),
			forward: works(theProof),
			guard:   stopped(deniedImage),
		},
		"base in the old way": {
			plain:   works(theProof),
			mediate: refused(deniedImage),
			forward: refused(deniedImage),
		},
		"base for one platform": {
			plain:   works(theProof),
			mediate: refused(deniedImage),
			forward: refused(deniedImage),
		},
		"base as an attestation": {
			plain:   refused("cannot decode in-toto statement"),
			mediate: refused(deniedImage),
			forward: refused(deniedImage),
		},
		"own source policy": {
			plain:   works(theProof),
			mediate: works("allowed"),
			forward: works("allowed"),
		},
		"own policy when resolving": {
			plain:   works("the digest of another"),
			mediate: works("the digest of the allowed"),
			guard:   stopped(deniedImage),
		},
		"image config": {
			plain:   works("sha256:"),
			mediate: refused(deniedImage),
			guard:   stopped(deniedImage),
		},
		"image config the old way": {plain: works("sha256:"), mediate: refused(deniedImage)},
		"cache import": {
			plain:   works("of its own choice"),
			mediate: refused("cache"),
			guard:   works("of its own choice"),
		},
		"host network": {
			grant:   []string{"network.host"},
			plain:   works("network of the host"),
			mediate: refused("host"),
			forward: refused("host"),
		},
		"insecure": {
			grant:   []string{"security.insecure"},
			plain:   works("CapEff"),
			mediate: refused("insecure"),
			forward: refused("insecure"),
		},
		"secret": {
			plain:   works("hunter2"),
			mediate: refused("other"),
			forward: refused("other"),
		},
		"secret in a variable": {
			plain:   works("hunter2"),
			mediate: refused("other"),
			forward: refused("other"),
		},
		"ssh": {plain: works("has the agent"), mediate: refused("ssh"), forward: refused("ssh")},

		"build op":   {plain: works(theProof), mediate: refused("build"), forward: refused("build")},
		"unknown op": {plain: stopped("no support for <nil>"), mediate: refused(unknownFields)},
		"unknown field": {
			plain:   works("altered"),
			mediate: refused(unknownFields),
			forward: refused(unknownFields),
		},
		"final":        {plain: refused("accessing released result"), mediate: refused("(Final)")},
		"huge message": {plain: stopped("larger than max"), mediate: stopped("larger than max")},

		"same frontend": {
			plain:      works("it ran"),
			mediate:    works("it ran"),
			guard:      stopped("frontends/hostilefrontend"),
			guardAlone: works("it ran"),
		},
		"other frontend": {
			plain:      works("it ran"),
			mediate:    refused(otherHostile),
			guard:      stopped("frontends/otherhostile"),
			guardAlone: stopped("frontends/otherhostile"),
		},
		"frontend by context": {
			plain:   works("it ran"),
			mediate: refused("through a named context that overrides it"),
			guard:   stopped("frontends/otherhostile"),
			// It counts as a base image.
			guardAlone: works("it ran"),
		},
		"frontend dockerfile.v0": {
			plain:   works(theProof),
			mediate: refused(deniedImage),
			guard:   stopped(deniedImage),
		},
		"nested base": {
			plain:   works(theProof),
			mediate: refused(deniedImage),
			guard:   stopped("docker/dockerfile"),
		},
		"chain": {plain: works("it ran"), mediate: works("it ran")},
		"chain to another": {
			name:    "chain",
			args:    args("SYNTAX=" + otherHostile),
			plain:   works("it ran"),
			mediate: refused(otherHostile),
		},
		"input": {
			plain:   works(theProof),
			mediate: refused(deniedImage),
			guard:   stopped("docker/dockerfile"),
		},
		"endless nesting": {
			args:    args("DEPTH=6"),
			plain:   works("at the bottom"),
			mediate: refused("limits.nesting"),
		},

		"own reference": {
			plain:   works("of its own"),
			mediate: works("of its own"),
		},
		"guessed reference": {
			args:    args("USE=read", "REF=aaaaaaaaaaaaaaaaaaaaaaaaa"),
			plain:   stopped(notFound),
			mediate: notItsOwn,
		},
		"leaked reference read": {
			name:    "leaked reference",
			args:    args("USE=read"),
			plain:   stopped(notFound),
			mediate: notItsOwn,
		},
		"leaked reference listed": {
			name:    "leaked reference",
			args:    args("USE=list"),
			plain:   stopped(notFound),
			mediate: notItsOwn,
		},
		"leaked reference looked at": {
			name:    "leaked reference",
			args:    args("USE=stat"),
			plain:   stopped(notFound),
			mediate: notItsOwn,
		},
		"leaked reference evaluated": {
			name:    "leaked reference",
			args:    args("USE=evaluate"),
			plain:   stopped(notFound),
			mediate: notItsOwn,
		},
		"leaked reference returned": {
			name:    "leaked reference",
			args:    args("USE=return"),
			plain:   stopped("not found"),
			mediate: notItsOwn,
		},
		"leaked reference returned in the old way": {
			name:    "leaked reference",
			args:    args("USE=return the old way"),
			plain:   stopped("not found"),
			mediate: notItsOwn,
		},
		"leaked reference as an attestation": {
			name:    "leaked reference",
			args:    args("USE=attest"),
			plain:   stopped("not found"),
			mediate: notItsOwn,
		},
		"leaked reference mounted": {
			containers: true,
			name:       "leaked reference",
			args:       args("USE=mount"),
			plain:      stopped("not found"),
			mediate:    notItsOwn,
		},
		"lent reference read": {
			name:    "lend a reference",
			args:    args("USE=read"),
			plain:   stopped(notFound),
			mediate: notItsOwn,
		},
		"lent reference returned": {
			name:    "lend a reference",
			args:    args("USE=return"),
			plain:   stopped("not found"),
			mediate: notItsOwn,
		},
		"forged definition": {
			plain:   works("the reference's own"),
			mediate: works("the reference's own"),
			forward: works("the reference's own"),
		},
		"forged decision": {
			plain:   works("a decision of its own"),
			mediate: works("a decision of its own"),
		},

		"container": {
			plain:   works("allowed"),
			mediate: refused("container"),
			forward: works("allowed"),
			guard:   works("allowed"),
		},
		"container allowed": {
			name:       "container",
			containers: true,
			plain:      works("allowed"),
			mediate:    works("allowed"),
		},
		"container host network": {
			containers: true,
			grant:      []string{"network.host"},
			plain:      works("network of the host"),
			mediate:    refused("host"),
		},
		"container insecure": {
			containers: true,
			grant:      []string{"security.insecure"},
			plain:      works("CapEff"),
			mediate:    refused("insecure"),
		},
		"container secret": {containers: true, plain: works("hunter2"), mediate: refused("other")},
		"many processes": {
			containers: true,
			plain:      works("they all ran at once"),
			mediate:    works("they all ran at once"),
		},
		"left container": {
			containers: true,
			plain:      stopped(noContainer),
			mediate:    refused("it asks for the container ", ", which isn't its own"),
		},

		"network": {plain: works("it "), mediate: stopped("connection refused")},
		"root":    {plain: works("it is user 0"), mediate: stopped("no rights of root")},
		"write":   {plain: works("/written"), mediate: stopped("it could write nothing")},
		"read what is its own": {
			name:    "read",
			args:    args("FILES=/hostilefrontend"),
			plain:   works("/hostilefrontend: "),
			mediate: works("/hostilefrontend: "),
		},
		"read what is ours": {
			name: "read",
			args: args("FILES=/policy-frontend:/etc/policy-frontend/policy.yaml:" +
				"/run/buildkit/buildkitd.sock"),
			plain:   stopped("it could read nothing"),
			mediate: stopped("it could read nothing"),
		},
		"unknown method": {plain: stopped("Unimplemented"), mediate: stopped("Unimplemented")},

		"garbage": {
			plain:   refused("closed unexpectedly"),
			mediate: refused("kept running for 10s after its connection was closed"),
		},
		"preface and garbage": {plain: hang, mediate: outOfTime},
		"endless stdout":      {plain: ruin, mediate: outOfTime},
		"endless stderr":      {plain: hang, mediate: refused("more than 64 MiB to its stderr")},
		"deaf":                {plain: hang, mediate: outOfTime},
		"deaf to pings":       {plain: ruin, mediate: outOfTime},
		"streams":             {plain: hang, mediate: outOfTime},
		"endless solving":     {plain: hang, mediate: outOfTime},
		"endless solving all": {plain: hang, mediate: outOfTime},

		"crash before": {plain: refused("exit code: 42"), mediate: refused("exit code 42")},
		"crash after":  {plain: refused("exit code: 42"), mediate: refused("exit code 42")},
		"no return": {
			plain:   refused("no result for incomplete build"),
			mediate: refused("ended without a result"),
		},
		"return twice":     {plain: works("the first"), mediate: works("the first")},
		"never":            {plain: hang, mediate: outOfTime},
		"child that stays": {plain: works("a child that stays"), mediate: works("a child that stays")},
	}
}

// args returns build-args.
func args(keyValues ...string) map[string]string {
	m := map[string]string{}
	for _, kv := range keyValues {
		k, v, _ := strings.Cut(kv, "=")
		m[k] = v
	}
	return m
}
