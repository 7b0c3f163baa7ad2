package imagerules

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/internal/strictyaml"
	"github.com/policy-frontend/policy-frontend/internal/versions"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Limits in bytes of the texts that are shown to people.
const (
	maxName    = 256
	maxContact = 512
	maxMessage = 2048
)

// Names are rules by their names, which must be unique.
type Names map[string]*Rule

// Add records where the document has the rule, and checks its name. A rule without a name gets the
// one that name returns. It reports mistakes at their nodes.
func (names Names) Add(
	r *Rule, file string, n *yaml.Node, name func() string, report strictyaml.Report,
) {
	r.file, r.line, r.column = file, n.Line, n.Column
	at := n
	if r.Name == "" {
		r.Name, r.unnamed = name(), true
	} else {
		at = strictyaml.Child(n, "name")
		compiler{r, n, report}.text("name", r.Name, maxName, false)
	}
	if other, twice := names[r.Name]; twice {
		where := ""
		if other.file != r.file {
			where = " of " + other.file
		}
		report(at, "the name %s is already that of the rule on line %d%s; names must be unique",
			safetext.Quote(r.Name), other.line, where)
	}
	names[r.Name] = r
	if IsReserved(r.Name) {
		report(at, "the name %s is reserved for decisions without a rule; choose another",
			safetext.Quote(r.Name))
	}
}

// IsReserved reports whether decisions without a rule have this name. No rule can have it. A test
// of package policy compares the names with that package's constants.
func IsReserved(name string) bool {
	return slices.Contains([]string{
		"default", "invariant", "limits", "build", "llb", "debug", "exports", "caches", "sbom",
		"administration",
	}, name)
}

// Compile checks and compiles the rule, which the document has at the node, and fills in its
// action. It reports mistakes at their nodes. what is what the rule is for, such as "frontend".
// ranges compiles a versions condition.
func (r *Rule) Compile(
	n *yaml.Node, what string, ranges func(string) (*versions.Range, error), report strictyaml.Report,
) {
	c := compiler{r, n, report}
	c.text("message", r.Message, maxMessage, true)
	c.text("contact", r.Contact, maxContact, false)
	c.words()
	if r.Match == nil {
		report(n, "the rule has no match; write match: [\"**\"] if it is for every %s", what)
	} else {
		c.patterns()
	}
	c.tags(ranges)
	if r.Digests != nil {
		c.list("digests", r.Digests, func(s string) error {
			_, err := imageref.ParseDigest(s)
			return err
		})
	}
	if r.Clients != nil {
		c.list("clients", r.Clients, func(s string) error {
			p, err := clients.ParsePattern(s)
			r.clients = append(r.clients, p)
			return err
		})
	}
	c.time("warnAfter", r.WarnAfter, &r.warnAfter)
	c.time("expires", r.Expires, &r.expires)
	if r.Action == ActionDeny {
		for _, key := range []string{"requireDigest", "warnAfter"} {
			if at := strictyaml.Child(n, key); at != nil {
				report(at, "%s has no meaning on a deny rule; remove it", key)
			}
		}
	}
}

// compiler checks one rule.
type compiler struct {
	rule   *Rule
	node   *yaml.Node
	report strictyaml.Report
}

func (c compiler) words() {
	switch r := c.rule; r.Action {
	case "":
		r.Action = ActionAllow
	case ActionAllow, ActionDeny:
	default:
		c.report(strictyaml.Child(c.node, "action"), "action must be allow or deny, not %s",
			safetext.Quote(string(r.Action)))
	}
	switch m := c.rule.Mode; m {
	case "", ModeEnforce, ModeWarn:
	default:
		c.report(strictyaml.Child(c.node, "mode"), "mode must be enforce or warn, not %s",
			safetext.Quote(string(m)))
	}
}

// patterns checks and compiles the names of the rule. Those of a deny rule mean the most that their
// words can mean.
func (c compiler) patterns() {
	r := c.rule
	r.patterns = make([]imageref.Pattern, 0, len(r.Match))
	c.list("match", r.Match, func(s string) error {
		var found []imageref.Pattern
		var err error
		if r.Action == ActionDeny {
			found, err = imageref.ParseDenyPattern(s)
		} else {
			found = make([]imageref.Pattern, 1)
			found[0], err = imageref.ParsePattern(s)
		}
		r.patterns = append(r.patterns, found...)
		if err == nil {
			return nil
		}
		if field := imageref.FieldFor(err); field != "" {
			return fmt.Errorf("%w, and the %s under %s", err, strings.TrimSuffix(field, "s"), field)
		}
		return err
	})
}

func (c compiler) tags(ranges func(string) (*versions.Range, error)) {
	r := c.rule
	if r.Tags != nil {
		c.list("tags", r.Tags, imageref.CheckTagGlob)
	}
	if r.ExceptTags != nil {
		c.list("exceptTags", r.ExceptTags, imageref.CheckTagGlob)
	}
	if r.Versions != "" {
		var err error
		if r.versions, err = ranges(r.Versions); err != nil {
			c.report(strictyaml.Child(c.node, "versions"), "versions: %v", err)
		}
	}
	if r.Variants != nil {
		c.list("variants", r.Variants, imageref.CheckTag)
	}
}

func (c compiler) list(key string, items []string, check func(string) error) {
	c.report.List(strictyaml.Child(c.node, key), key, items, check)
}

func (c compiler) text(key, s string, limit int, newline bool) {
	if s == "" {
		return
	}
	if err := safetext.Check(s, limit, newline); err != nil {
		c.report(strictyaml.Child(c.node, key), "%s %v", key, err)
	}
}

func (c compiler) time(key, s string, out *time.Time) {
	if s == "" {
		return
	}
	t, err := ParseTime(s)
	if err != nil {
		c.report(strictyaml.Child(c.node, key), "%v", fmt.Errorf("%s: %w", key, err))
		return
	}
	*out = t
}
