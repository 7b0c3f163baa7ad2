package integration

import "strings"

// attacks is what the hostile frontend tries, and what comes of it.
func attacks() map[string]attack {
	const (
		deniedImage = "bases/denied"
		theProof    = "denied"
		notFound    = "no such ref"
	)
	var (
		works   = func(proof string) outcome { return outcome{proof: proof} }
		stopped = func(text string) outcome { return outcome{stopped: text} }
		refused = func(texts ...string) outcome { return outcome{refused: texts} }
		hang    = outcome{hangs: true}
		ruin    = outcome{ruins: true}
	)
	return map[string]attack{
		"base":                      {plain: works(theProof), mediate: refused(deniedImage)},
		"base evaluated":            {plain: works(theProof), mediate: refused(deniedImage)},
		"base in the old way":       {plain: works(theProof), mediate: refused(deniedImage)},
		"base as an attestation":    {plain: refused("cannot decode in-toto statement"), mediate: refused(deniedImage)},
		"own source policy":         {plain: works(theProof), mediate: works("allowed")},
		"own policy when resolving": {plain: works("sha256:"), mediate: works("sha256:")},
		"image config":              {plain: works("sha256:"), mediate: refused(deniedImage)},
		"image config the old way":  {plain: works("sha256:"), mediate: refused(deniedImage)},
		"cache import":              {plain: works("of its own choice"), mediate: refused("cache")},
		"host network":              {grant: []string{"network.host"}, plain: works("network of the host"), mediate: refused("host")},
		"insecure":                  {grant: []string{"security.insecure"}, plain: works("CapEff"), mediate: refused("insecure")},
		"secret":                    {plain: works("hunter2"), mediate: refused("other")},
		"secret in a variable":      {plain: works("hunter2"), mediate: refused("other")},
		"ssh":                       {plain: works("has the agent"), mediate: refused("ssh")},

		"build op":      {plain: works(theProof), mediate: refused("build")},
		"unknown op":    {plain: stopped("no support for <nil>"), mediate: refused("")},
		"unknown field": {plain: works("altered"), mediate: refused("")},
		"final":         {plain: refused("accessing released result"), mediate: refused("")},
		"huge message":  {plain: stopped("larger than max"), mediate: stopped("larger than max")},

		"same frontend":          {plain: works("it ran"), mediate: works("it ran")},
		"other frontend":         {plain: works("it ran"), mediate: refused(otherHostile)},
		"frontend dockerfile.v0": {plain: works(theProof), mediate: refused("dockerfile.v0")},
		"nested base":            {plain: works(theProof), mediate: refused(deniedImage)},
		"input":                  {plain: works(theProof), mediate: refused(deniedImage)},
		"endless nesting":        {args: args("DEPTH=6"), plain: works("at the bottom"), mediate: refused("")},

		"own reference":                            {plain: works("of its own"), mediate: works("of its own")},
		"guessed reference":                        {args: args("USE=read", "REF=aaaaaaaaaaaaaaaaaaaaaaaaa"), plain: stopped(notFound), mediate: refused("")},
		"leaked reference read":                    {name: "leaked reference", args: args("USE=read"), plain: stopped(notFound), mediate: refused("")},
		"leaked reference listed":                  {name: "leaked reference", args: args("USE=list"), plain: stopped(notFound), mediate: refused("")},
		"leaked reference looked at":               {name: "leaked reference", args: args("USE=stat"), plain: stopped(notFound), mediate: refused("")},
		"leaked reference evaluated":               {name: "leaked reference", args: args("USE=evaluate"), plain: stopped(notFound), mediate: refused("")},
		"leaked reference returned":                {name: "leaked reference", args: args("USE=return"), plain: stopped("not found"), mediate: refused("")},
		"leaked reference returned in the old way": {name: "leaked reference", args: args("USE=return the old way"), plain: stopped("not found"), mediate: refused("")},
		"leaked reference as an attestation":       {name: "leaked reference", args: args("USE=attest"), plain: stopped("not found"), mediate: refused("")},
		"leaked reference mounted":                 {name: "leaked reference", args: args("USE=mount"), plain: stopped("not found"), mediate: refused("")},
		"lent reference read":                      {name: "lend a reference", args: args("USE=read"), plain: stopped(notFound), mediate: refused("")},
		"lent reference returned":                  {name: "lend a reference", args: args("USE=return"), plain: stopped("not found"), mediate: refused("")},
		"forged definition":                        {plain: works("the reference's own"), mediate: works("the reference's own")},
		"forged decision":                          {plain: works("a decision of its own"), mediate: works("a decision of its own")},

		"container":              {plain: works("allowed"), mediate: refused("container")},
		"container host network": {grant: []string{"network.host"}, plain: works("network of the host"), mediate: refused("host")},
		"container insecure":     {grant: []string{"security.insecure"}, plain: works("CapEff"), mediate: refused("insecure")},
		"container secret":       {plain: works("hunter2"), mediate: refused("other")},
		"left container":         {plain: stopped("not found"), mediate: refused("")},

		"network":              {plain: works("it "), mediate: stopped("unreachable")},
		"root":                 {plain: works("it is user 0"), mediate: stopped("no rights of root")},
		"write":                {plain: works("/written"), mediate: stopped("it could write nothing")},
		"read what is its own": {name: "read", args: args("FILES=/hostilefrontend"), plain: works("/hostilefrontend: "), mediate: works("/hostilefrontend: ")},
		"read what is ours":    {name: "read", args: args("FILES=/policy-frontend:/etc/policy-frontend/policy.yaml:/run/buildkit/buildkitd.sock"), plain: stopped("it could read nothing"), mediate: stopped("it could read nothing")},
		"unknown method":       {plain: stopped("Unimplemented"), mediate: stopped("")},

		"garbage":             {plain: refused(""), mediate: refused("")},
		"preface and garbage": {plain: hang, mediate: refused("")},
		"endless stdout":      {plain: ruin, mediate: refused("")},
		"endless stderr":      {plain: hang, mediate: refused("")},
		"deaf":                {plain: hang, mediate: refused("")},
		"deaf to pings":       {plain: ruin, mediate: refused("")},
		"streams":             {plain: hang, mediate: refused("")},
		"endless solving":     {plain: hang, mediate: refused("")},
		"endless solving all": {plain: hang, mediate: refused("")},

		"crash before":     {plain: refused("exit code: 42"), mediate: refused("exit code: 42")},
		"crash after":      {plain: refused("exit code: 42"), mediate: refused("exit code: 42")},
		"no return":        {plain: refused("no result for incomplete build"), mediate: refused("")},
		"return twice":     {plain: works("the first"), mediate: works("the first")},
		"never":            {plain: hang, mediate: refused("")},
		"child that stays": {plain: works("a child that stays"), mediate: works("a child that stays")},
	}
}

// args are build-args.
func args(keyValues ...string) map[string]string {
	m := map[string]string{}
	for _, kv := range keyValues {
		k, v, _ := strings.Cut(kv, "=")
		m[k] = v
	}
	return m
}
