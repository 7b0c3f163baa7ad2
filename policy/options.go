package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

const (
	// maxOptionGlob is the largest length of an option key or glob in a rule, in bytes.
	maxOptionGlob = 256
	// maxOptionKey is the largest length of an option key that is compared with globs, in bytes.
	maxOptionKey = 4096
	// maxForced is the largest length of a forced value, in bytes.
	maxForced = 8 << 10
)

func (o *Options) isZero() bool {
	return len(o.Deny)+len(o.Strip)+len(o.Force)+len(o.Only) == 0 && o.Inputs != ActionDeny
}

// strips reports whether the rule removes the option.
func (o *Options) strips(key string) bool { return optionkeys.FirstDenied(o.Strip, key) != "" }

// violation is one option of a request, or its inputs, that a rule's options refuse.
type violation struct {
	key    string // the option's key, or "" for inputs
	reason string
}

// forced returns the option that the rule forces and that BuildKit reads as the key's, "" if it
// forces none.
func (o *Options) forced(key string) string {
	if _, ok := o.Force[key]; ok || len(o.Force) == 0 {
		return key
	}
	found, canonical := "", optionkeys.Canonical(key)
	for k := range o.Force {
		if optionkeys.Canonical(k) == canonical && (found == "" || k < found) {
			found = k
		}
	}
	return found
}

// violations checks the request's options and inputs. The violations are in the order of the
// options' keys.
func (r *Rule) violations(s subject) []violation {
	o := &r.Options
	if o.isZero() && len(r.Platforms) == 0 {
		return nil
	}
	var found []violation
	add := func(key, format string, args ...any) {
		found = append(found,
			violation{key, fmt.Sprintf("rule %s ", safetext.Quote(r.Name)) + fmt.Sprintf(format, args...)})
	}
	if why := r.refusesPlatforms(r.targets(s)); why != "" {
		add(platformOption, "%s (platforms)", why)
	}
	for _, key := range s.optionKeys {
		if optionkeys.CarriesBuild(key) {
			continue
		}
		if len(key) > maxOptionKey {
			add(key, "refuses the option %s: its name has %d bytes, more than %d", safetext.Quote(key),
				len(key), maxOptionKey)
			continue
		}
		if g := optionkeys.FirstDenied(o.Deny, key); g != "" {
			add(key, "refuses the option %s (options.deny: %s)", safetext.Quote(key), safetext.Printable(g))
			continue
		}
		as := o.forced(key)
		want, forced := o.Force[as]
		switch {
		// The build's value isn't told: it may be a secret, and warnings get into images and proofs.
		case forced && s.options[key] != want && as == key:
			add(key, "sets the option %s to %s, and the build sets another value; leave it out",
				safetext.Quote(key), safetext.Quote(want))
		case forced && s.options[key] != want:
			add(key, "sets the option %s to %s, and the build sets another value of %s, which is the "+
				"same option; leave it out", safetext.Quote(as), safetext.Quote(want), safetext.Quote(key))
		case !forced && len(o.Only) > 0 && optionkeys.First(o.Only, key) == "" &&
			!optionkeys.SentByItself(key):
			add(key, "refuses the option %s: it is none of %s (options.only)", safetext.Quote(key),
				safetext.Printable(safetext.List("those that it lets pass:", "those that it lets pass:",
					o.Only)))
		}
	}
	if o.Inputs == ActionDeny && len(s.inputs) > 0 {
		add("", "refuses frontend inputs (options.inputs: deny), and the build has %s",
			safetext.Quote(s.inputs[0]))
	}
	return found
}

// oblige returns the rule's obligations. A rule that only warns doesn't refuse options, and its
// forced values don't replace those that the build set.
func (r *Rule) oblige(s subject, passed []violation) Obligations {
	o := Obligations{Digests: slices.Clone(r.Digests), RequireDigest: r.RequireDigest}
	if r.Options.isZero() {
		return o
	}
	for _, key := range s.optionKeys {
		if !optionkeys.CarriesBuild(key) && optionkeys.FirstDenied(r.Options.Strip, key) != "" {
			o.Strip = append(o.Strip, key)
		}
	}
	if len(r.Options.Force) > 0 {
		o.Force = maps.Clone(r.Options.Force)
	}
	for _, v := range passed {
		delete(o.Force, r.Options.forced(v.key))
	}
	if len(o.Force) == 0 {
		o.Force = nil
	}
	if r.Mode != ModeWarn {
		o.Deny, o.Only = union(r.Options.Deny, nil), union(r.Options.Only, nil)
		if r.Options.Inputs == ActionDeny {
			o.Inputs = ActionDeny
		}
	}
	return o
}

// clash returns why this outcome doesn't allow an option that another layer forces, or "". It
// ignores two different forced values, which Obligations.meet reports.
func (o outcome) clash(key, want string) string {
	if o.holds == nil {
		return ""
	}
	as := (&Options{Force: o.obligations.Force}).forced(key)
	value, forced := o.obligations.Force[as]
	switch {
	case optionkeys.FirstDenied(o.obligations.Deny, key) != "":
		return "refuses it"
	case o.holds.Options.strips(key):
		return "removes it"
	case forced && as != key && value != want:
		return "forces another value of it, as " + safetext.Quote(as)
	case !forced && len(o.obligations.Only) > 0 && optionkeys.First(o.obligations.Only, key) == "" &&
		!optionkeys.SentByItself(key):
		return "doesn't let it pass"
	}
	return ""
}

// clashes returns the first option that one outcome forces and the other doesn't allow. It returns
// a sentence, or "".
func clashes(embedded, overlay outcome) string {
	for _, side := range []struct {
		from, to   outcome
		name, over string
	}{{embedded, overlay, "policy", "overlay"}, {overlay, embedded, "overlay", "policy"}} {
		for _, key := range slices.Sorted(maps.Keys(side.from.obligations.Force)) {
			if why := side.to.clash(key, side.from.obligations.Force[key]); why != "" {
				return fmt.Sprintf("the %s forces the option %s, and the %s %s", side.name, safetext.Quote(key),
					side.over, why)
			}
		}
		if from, to := side.from.holds, side.to.holds; from != nil && to != nil &&
			len(to.Platforms) > 0 && from.Options.strips(platformOption) {
			return fmt.Sprintf("the %s removes the option platform, and the %s allows only some platforms",
				side.name, side.over)
		}
	}
	return ""
}

// checkOptionGlob checks an entry of deny, strip or only.
func checkOptionGlob(s string) error {
	if err := safetext.Check(s, maxOptionGlob, false); err != nil {
		return fmt.Errorf("%s %w", safetext.Quote(s), err)
	}
	if name, _, ok := strings.Cut(s, "="); ok {
		return fmt.Errorf("%s has an =, which no option's name has; write %s, and a value only in force",
			safetext.Quote(s), safetext.Quote(name))
	}
	if !strings.Contains(s, "*") && optionkeys.CarriesBuild(s) {
		return fmt.Errorf("%s carries the build itself; no rule applies to it", safetext.Quote(s))
	}
	return nil
}

// forcedOnce returns a check of each option that a rule forces. It also refuses two values for
// one option that has several names.
func (o *Options) forcedOnce() func(key, value string) error {
	names := map[string]string{}
	return func(key, value string) error {
		canonical := optionkeys.Canonical(key)
		other, twice := names[canonical]
		names[canonical] = key
		if twice && o.Force[other] != value {
			return fmt.Errorf("%s is the same option as %s, which has another value", safetext.Quote(key),
				safetext.Quote(other))
		}
		return o.checkForced(key, value)
	}
}

// checkForced checks an option that a rule forces.
func (o *Options) checkForced(key, value string) error {
	switch {
	case strings.Contains(key, "*"):
		return fmt.Errorf("%s has a *; force sets one option", safetext.Quote(key))
	case optionkeys.IsOwn(key):
		return fmt.Errorf("%s is an option of the policy frontend; no other frontend gets it",
			safetext.Quote(key))
	}
	if err := checkOptionGlob(key); err != nil {
		return err
	}
	if g := optionkeys.FirstDenied(o.Deny, key); g != "" {
		return fmt.Errorf("%s is also refused, by the entry %s of deny", safetext.Quote(key),
			safetext.Quote(g))
	}
	if g := optionkeys.FirstDenied(o.Strip, key); g != "" {
		return fmt.Errorf("%s is also removed, by the entry %s of strip", safetext.Quote(key),
			safetext.Quote(g))
	}
	if strings.ContainsRune(value, 0) || len(value) > maxForced {
		return errors.New("the value of " + safetext.Quote(key) + " is longer than 8 KiB or has a NUL")
	}
	return nil
}
