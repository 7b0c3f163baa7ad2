package policy

// DebugRule is the rule of rulings on containers that clients run. No rule of a policy can have
// this name.
const DebugRule = "debug"

// DecideDebug says whether a client can run containers of its own in a build, as buildx debug does.
// Every layer has to allow it (debug: allow), and an overlay that doesn't say anything about it
// leaves it to the embedded policy. No mode weakens a denial. The verdict is Allow or Deny.
//
// It says nothing about a single container: what its commands may use is a matter of the build's
// own decision, as for a step of the build; see [Decision.Check].
func (l Layers) DecideDebug() Ruling {
	return l.rule(DebugRule, func(p *Policy, overlay bool) *objection {
		if p.doc.Debug == ActionAllow || overlay && p.doc.Debug == "" {
			return nil
		}
		why := "debug: deny, which is the default"
		if overlay {
			why = "debug: deny"
		}
		return &objection{
			what: "containers that a client runs by itself (" + why + ")",
			hint: "run the command in a step of the build, or have them allowed by debug: allow",
		}
	})
}
