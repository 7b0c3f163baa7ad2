package frontend

import "github.com/policy-frontend/policy-frontend/policy/imageref"

// BuiltinServes returns why the built-in Dockerfile frontend can't stand in for the reference, or
// nil if it can. A build under [policy.DispatchBuiltin] fails for the same reason.
func BuiltinServes(ref imageref.Reference) error { return builtinServes(ref) }
