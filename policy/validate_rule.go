package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/internal/versions"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

func (v *validator) rules(k role) {
	list := child(v.root, "frontends")
	for i := range v.policy.doc.Frontends {
		r, n := &v.policy.doc.Frontends[i], list.Content[i]
		r.file, r.line, r.column = v.File(), n.Line, n.Column
		if r.Name == "" {
			r.Name, r.unnamed = "frontends["+strconv.Itoa(i)+"]", true
			if k == included {
				r.Name += " of " + v.File()
			}
		}
		v.name(r, n)
		v.rule(k, r, n)
	}
}

func (v *validator) name(r *Rule, n *yaml.Node) {
	at := n
	if !r.unnamed {
		at = child(n, "name")
		v.text(n, "name", r.Name, maxName, false)
	}
	if other, ok := v.loader.names[r.Name]; ok {
		where := ""
		if other.file != r.file {
			where = " of " + other.file
		}
		v.addf(at, "the name %s is already that of the rule on line %d%s; names must be unique",
			safetext.Quote(r.Name), other.line, where)
	}
	v.loader.names[r.Name] = r
	if slices.Contains([]string{DefaultRule, InvariantRule, LimitsRule, BuildRule}, r.Name) {
		v.addf(at, "the name %s is reserved for decisions without a rule; choose another",
			safetext.Quote(r.Name))
	}
}

func (v *validator) rule(k role, r *Rule, n *yaml.Node) {
	v.text(n, "message", r.Message, maxMessage, true)
	v.text(n, "contact", r.Contact, maxContact, false)
	v.action(n, "action", &r.Action, ActionAllow)
	v.mode(n, r.Mode)
	if r.Match == nil {
		v.addf(n, "the rule has no match; write match: [\"**\"] if it is for every frontend")
	} else {
		r.patterns = v.rulePatterns(child(n, "match"), r)
	}
	v.tags(r, n)
	if r.Digests != nil {
		v.list(child(n, "digests"), "digests", r.Digests, func(s string) error {
			_, err := imageref.ParseDigest(s)
			return err
		})
	}
	v.time(n, "warnAfter", r.WarnAfter, &r.warnAfter)
	v.time(n, "expires", r.Expires, &r.expires)
	if r.Action == ActionDeny {
		for _, key := range []string{"requireDigest", "options", "dispatch", "build", "warnAfter"} {
			if at := child(n, key); at != nil {
				v.addf(at, "%s has no meaning on a deny rule; remove it", key)
			}
		}
		return
	}
	v.options(r, child(n, "options"))
	v.dispatch(n, r.Dispatch)
	if at := child(n, "build"); at != nil {
		r.Build.Validate(at, v.addf)
	}
	top := v.policy
	if k == included {
		top = v.loader.policy
	}
	if r.Build != nil && top.doc.Build != nil {
		if why := r.Build.Conflict(top.doc.Build); why != "" {
			v.addf(child(n, "build"), "build.%s", why)
		}
	}
	if top.restrictsFrontends(r) && top.dispatch(r) == DispatchForward {
		v.addf(cmp.Or(child(child(n, "build"), "frontends"), child(n, "dispatch"), n),
			"frontends can't be checked with dispatch: forward; write dispatch: mediate")
	}
}

func (v *validator) tags(r *Rule, n *yaml.Node) {
	if r.Tags != nil {
		v.list(child(n, "tags"), "tags", r.Tags, imageref.CheckTagGlob)
	}
	if r.ExceptTags != nil {
		v.list(child(n, "exceptTags"), "exceptTags", r.ExceptTags, imageref.CheckTagGlob)
	}
	if r.Versions != "" {
		var err error
		if r.versions, err = v.loader.versionRange(r.Versions); err != nil {
			v.addf(child(n, "versions"), "versions: %v", err)
		}
	}
	if r.Variants != nil {
		v.list(child(n, "variants"), "variants", r.Variants, imageref.CheckTag)
	}
}

// versionRange compiles a versions condition; large policies repeat few of them.
func (l *loader) versionRange(s string) (*versions.Range, error) {
	if r, ok := l.versions[s]; ok {
		return r, nil
	}
	r, err := versions.Parse(s)
	if err == nil {
		l.versions[s] = r
	}
	return r, err
}

func (v *validator) options(r *Rule, n *yaml.Node) {
	if n == nil {
		return
	}
	o := &r.Options
	if len(n.Content) == 0 {
		v.addf(n, "options is empty; give it a field or remove it")
	}
	v.list(child(n, "deny"), "deny", o.Deny, checkOptionGlob)
	v.list(child(n, "strip"), "strip", o.Strip, checkOptionGlob)
	v.list(child(n, "only"), "only", o.Only, checkOptionGlob)
	v.texts(child(n, "force"), "force", o.Force, o.forcedOnce())
	switch o.Inputs {
	case "", ActionAllow, ActionDeny:
	default:
		v.addf(child(n, "inputs"), "inputs must be allow or deny, not %s",
			safetext.Quote(string(o.Inputs)))
	}
}

func (v *validator) time(n *yaml.Node, key, s string, out *time.Time) {
	if s == "" {
		return
	}
	t, err := ParseTime(s)
	if err != nil {
		v.addf(child(n, key), "%v", fmt.Errorf("%s: %w", key, err))
		return
	}
	*out = t
}
