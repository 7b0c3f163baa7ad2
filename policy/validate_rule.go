package policy

import (
	"cmp"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

func (v *validator) rules(k role) {
	list := child(v.root, "frontends")
	for i := range v.policy.doc.Frontends {
		r, n := &v.policy.doc.Frontends[i], list.Content[i]
		v.loader.names.Add(&r.Rule, v.File(), n, func() string {
			name := "frontends[" + strconv.Itoa(i) + "]"
			if k == included {
				name += " of " + v.File()
			}
			return name
		}, v.addf)
		v.rule(k, r, n)
	}
}

func (v *validator) rule(k role, r *Rule, n *yaml.Node) {
	r.Compile(n, "frontend", v.loader.versions.Parse, v.addf)
	if r.Action == ActionDeny {
		for _, key := range []string{"platforms", "options", "dispatch", "build"} {
			if at := child(n, key); at != nil {
				v.addf(at, "%s has no meaning on a deny rule; remove it", key)
			}
		}
		return
	}
	v.list(child(n, "platforms"), "platforms", r.Platforms, r.platform)
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
