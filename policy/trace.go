package policy

import "github.com/opencontainers/go-digest"

// Trace is a decision with the way to it.
type Trace struct {
	// Decision is what Decide answers.
	Decision Decision `json:"decision"`
	// Steps are in the order in which they were taken. Never nil.
	Steps []Step `json:"steps"`
}

// StepKind names what a step is.
type StepKind string

// The kinds of steps.
const (
	// StepReference: the reference was read and brought into its normalised form, To.
	StepReference StepKind = "reference"
	// StepBuiltin: what no policy can change refuses the request.
	StepBuiltin StepKind = "builtin"
	// StepAlias: an alias of the layer rewrites From to To, with Pin as the digest of
	// the tag if it has one for it; or none does, and From and To are empty.
	StepAlias StepKind = "alias"
	// StepLimits: the layer's limits take the name, or refuse it with a Verdict.
	StepLimits StepKind = "limits"
	// StepRule: a rule of the layer matched or not, see Result.
	StepRule StepKind = "rule"
	// StepLayer: what the layer decides by itself is Verdict.
	StepLayer StepKind = "layer"
	// StepObligations: what all layers together oblige to is Obligations.
	StepObligations StepKind = "obligations"
)

// Result is what came of a step.
type Result string

// The results.
const (
	// Matched: the rule or alias is for the request.
	Matched Result = "matched"
	// Missed: it is not.
	Missed Result = "missed"
	// Unknown: it depends on the digest, which the request doesn't have.
	Unknown Result = "unknown"
)

// Step is one step on the way to a decision. Fields that have no meaning for its
// kind are empty.
type Step struct {
	Kind StepKind `json:"kind"`
	// Layer is LayerPolicy or LayerOverlay.
	Layer string `json:"layer,omitempty"`
	// Rule is the name of the rule, File and Line are where it or the alias begins.
	Rule string `json:"rule,omitempty"`
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	// Result is what came of a rule, an alias or limits.
	Result Result `json:"result,omitempty"`
	// Verdict is what a layer decides, or what limits refuse.
	Verdict Verdict `json:"verdict,omitempty"`
	// From and To are normalised references.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// Pin is the digest that an alias gives the tag.
	Pin digest.Digest `json:"pin,omitempty"`
	// Obligations are those of a layer's decision or of all of them.
	Obligations *Obligations `json:"obligations,omitempty"`
	// Reason is one sentence for a person.
	Reason string `json:"reason"`
}

// Explain answers the request as Decide does and says how it came to that: each
// alias, rule and layer with the reason for what it did.
func Explain(l Layers, r Request) Trace {
	return Trace{Decision: Decide(l, r), Steps: []Step{}}
}
