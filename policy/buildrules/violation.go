package buildrules

import (
	"fmt"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// maxListed is how many names a violation lists.
const maxListed = 3

// Violation is one way in which an operation breaks the rules.
type Violation struct {
	// What is the part of the operation that is refused, and why; it completes "the policy
	// refuses …". It is safe for a terminal.
	What string
	// Rule is the rule that refuses it, such as "images.deny: evil/**" or "exec.insecure":
	// the field of [Rules], and the entry where the field has several.
	Rule string
	// Hint is a sentence without its end about what to do, or "".
	Hint string
	// By is the rule on images that refuses or misses the image, or warns about it. It is nil for all
	// other violations.
	By *imagerules.Rule
	// Warns says that the violation refuses nothing, because its rule or the rules of its kind have
	// mode: warn.
	Warns bool
	// Notice says that nothing is violated: What is a whole sentence without its end, and Warns is
	// set.
	Notice bool
}

// Kind returns the kind whose rules are broken. It can be another kind than the operation's: a
// container can break rules for exec.
func (v Violation) Kind() Kind {
	first, _, _ := strings.Cut(v.Rule, ".")
	kind := Kind(first)
	for _, k := range Kinds() {
		rest, ok := strings.CutPrefix(v.Rule, string(k))
		if ok && len(k) > len(kind) && (rest == "" || rest[0] == '.') {
			kind = k
		}
	}
	return kind
}

func violationf(rule, format string, args ...any) Violation {
	return Violation{What: fmt.Sprintf(format, args...), Rule: rule}
}

// allows says in a violation what the rules allow.
func allows(items []string) string {
	switch shown := items[:min(len(items), maxListed)]; {
	case len(items) == 0:
		return "it allows none"
	case len(shown) < len(items):
		return "it allows " + safetext.Printable("only "+strings.Join(shown, ", ")+" and others")
	default:
		return "it allows " + safetext.Printable("only "+safetext.Or(shown))
	}
}
