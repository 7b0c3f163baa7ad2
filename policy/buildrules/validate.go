package buildrules

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/renaming"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/internal/strictyaml"
	"github.com/policy-frontend/policy-frontend/internal/urlmatch"
	"github.com/policy-frontend/policy-frontend/internal/versions"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// validator checks and compiles rules. It reports mistakes at their nodes.
type validator struct{ report strictyaml.Report }

// Validate checks and compiles the rules, which the document has at the node. It must be called
// once before the rules are used. Mistakes are reported at their nodes, each as a sentence that
// says what to write instead. A kind without any field is a mistake: it reads both as "anything"
// and as "nothing".
func (r *Rules) Validate(at *yaml.Node, report func(n *yaml.Node, format string, args ...any)) {
	v := &validator{report}
	v.report.Filled(at, "build")
	for i := range kinds {
		if field := kinds[i].kind.node(at); field != nil {
			v.report.Filled(field, string(kinds[i].kind))
			v.mode(field, string(kinds[i].kind), kinds[i].field.mode(r))
			kinds[i].validate(v, field, r)
		}
	}
	v.action(strictyaml.Child(at, "others"), "others", r.Others)
}

// node returns the node of the kind's rules, which are below the node; nil if there are none.
func (k Kind) node(at *yaml.Node) *yaml.Node {
	for key := range strings.SplitSeq(string(k), ".") {
		if at == nil {
			return nil
		}
		at = strictyaml.Child(at, key)
	}
	return at
}

// fields returns how many fields the rules of a kind have beside their mode.
func fields(n *yaml.Node) int {
	count := len(n.Content) / 2
	if strictyaml.Child(n, "mode") != nil {
		count--
	}
	return count
}

// mode checks the mode of a kind's rules, which can't be all that they have.
func (v *validator) mode(n *yaml.Node, kind string, m imagerules.Mode) {
	at := strictyaml.Child(n, "mode")
	switch {
	case at == nil:
	case m != imagerules.ModeEnforce && m != imagerules.ModeWarn:
		v.report(at, "mode must be enforce or warn, not %s", safetext.Quote(string(m)))
	case fields(n) == 0:
		v.report(n, "%s restricts nothing; give it an allow or deny, or remove it", kind)
	}
}

// without refuses rules that only say that they require nothing.
func (v *validator) without(n *yaml.Node, kind, key string, demanded bool) {
	if fields(n) == 1 && strictyaml.Child(n, key) != nil && !demanded {
		v.report(n, "%s restricts nothing; give it an allow or deny, or remove it", kind)
	}
}

func (v *validator) action(n *yaml.Node, key string, a Action) {
	switch a {
	case "", ActionAllow, ActionDeny:
	default:
		v.report(n, "%s must be allow or deny, not %s", key, safetext.Quote(string(a)))
	}
}

func (v *validator) git(n *yaml.Node, r *GitRules) {
	r.urls = v.urls(n, KindGit, r.Allow, r.Deny)
	v.without(n, "git", "requireCommit", r.RequireCommit)
}

func (v *validator) http(n *yaml.Node, r *HTTPRules) {
	r.urls = v.urls(n, KindHTTP, r.Allow, r.Deny)
	v.without(n, "http", "requireChecksum", r.RequireChecksum)
}

func (v *validator) downloads(n *yaml.Node, r *DownloadRules) {
	r.urls = v.urls(n, KindDownloads, r.Allow, r.Deny)
}

func (v *validator) images(n *yaml.Node, r *ImageRules) {
	v.without(n, "images", "requireDigest", r.RequireDigest)
	v.imageRules(n, r)
	r.allow, r.deny = v.allowed(n, r.Allow), v.denied(n, r.Deny)
	r.pins = map[string]pin{}
	v.report.Map(strictyaml.Child(n, "pins"), "pins", r.Pins, r.pin)
	list := strictyaml.Child(n, "convert")
	if list != nil && len(r.Convert) == 0 {
		v.report(list, "convert is empty; give it an entry or remove it")
	}
	for i := range r.Convert {
		c := &r.Convert[i]
		var ok bool
		c.from, c.to, ok = renaming.Read(list.Content[i], "conversion", c.From, c.To, v.report)
		if ok && !c.from.IsDirectory() {
			c.fromDirectory, c.toDirectory = directoryOf(c.From, c.from), directoryOf(c.To, c.to)
		}
	}
}

// imageRules checks and compiles the list of rules, which can stand in place of the fields.
func (v *validator) imageRules(n *yaml.Node, r *ImageRules) {
	list, field := strictyaml.Child(n, "rules"), "images.rules"
	if n.Kind == yaml.SequenceNode {
		list, field = n, "images"
	}
	if list == nil || list.Kind != yaml.SequenceNode {
		return
	}
	if len(list.Content) == 0 {
		v.report(list, "%s is empty; write deny if no image is allowed, or remove it", field)
	}
	names, ranges := imagerules.Names{}, versions.Cache{}
	for i, rule := range r.Rules {
		at := list.Content[i]
		if rule == nil {
			continue // A rule without a value is a problem already.
		}
		names.Add(rule, "", at, func() string { return fmt.Sprintf("%s[%d]", field, i) }, v.report)
		rule.Compile(at, "image", ranges.Parse, v.report)
		if mode := strictyaml.Child(at, "mode"); mode != nil &&
			(rule.Action != imagerules.ActionDeny || rule.Mode == imagerules.ModeEnforce) {
			v.report(mode, "a rule of images can only have mode: warn, and only if it denies; write mode "+
				"beside rules for all of them, as in images: {mode: warn, rules: […]}")
		}
	}
	r.lists = newRuleLists(r.Rules)
}

// directoryOf returns the directory of a name without a star. Directly below docker.io, a
// repository is in the directory library, and a directory isn't.
func directoryOf(s string, name imageref.Pattern) string {
	if imageref.HasHost(s) {
		if p, err := imageref.ParsePattern(s + "/**"); err == nil {
			return strings.TrimSuffix(p.String(), "**")
		}
	}
	return name.String() + "/"
}

// pin adds the digest of a name:tag.
func (r *ImageRules) pin(name, value string) error {
	ref, err := imageref.Parse(name)
	switch {
	case err != nil:
		return err
	case ref.Digest() != "":
		return fmt.Errorf("%s has a digest; write name:tag, and the digest as its value",
			safetext.Quote(name))
	}
	d, err := imageref.ParseDigest(value)
	if err != nil {
		return err
	}
	if _, twice := r.pins[ref.String()]; twice {
		return fmt.Errorf("%s is %s, which has a pin already", safetext.Quote(name), ref)
	}
	r.pins[ref.String()] = pin{d, imageref.DefaultHost(ref).String()}
	return nil
}

func (v *validator) urls(n *yaml.Node, k Kind, allow, deny []string) urlRules {
	var r urlRules
	compile := func(to *[]urlmatch.Pattern, purpose urlmatch.Purpose) func(string) error {
		return func(s string) error {
			p, err := urlmatch.ParsePattern(s, k.protocol(), purpose)
			*to = append(*to, p)
			return err
		}
	}
	v.report.Entries(strictyaml.Child(n, "allow"), "allow", allow, compile(&r.allow, urlmatch.Allow))
	v.report.List(strictyaml.Child(n, "deny"), "deny", deny, compile(&r.deny, urlmatch.Deny))
	return r
}

// allowed checks and compiles the list of name patterns at allow, which can be empty.
func (v *validator) allowed(n *yaml.Node, items []string) []imageref.Pattern {
	out := make([]imageref.Pattern, 0, len(items))
	v.report.Entries(strictyaml.Child(n, "allow"), "allow", items, func(s string) error {
		p, err := imageref.ParsePattern(s)
		out = append(out, p)
		return err
	})
	return out
}

// denied checks and compiles the list of name patterns at deny. One entry can become several
// patterns.
func (v *validator) denied(n *yaml.Node, items []string) []imageref.Pattern {
	out := make([]imageref.Pattern, 0, len(items))
	v.report.List(strictyaml.Child(n, "deny"), "deny", items, func(s string) error {
		patterns, err := imageref.ParseDenyPattern(s)
		out = append(out, patterns...)
		return err
	})
	return out
}

func (v *validator) repositories(n *yaml.Node, r *PatternRules) {
	r.allow, r.deny = v.allowed(n, r.Allow), v.denied(n, r.Deny)
}

func (v *validator) names(n *yaml.Node, r *NameRules) {
	v.report.Entries(strictyaml.Child(n, "allow"), "allow", r.Allow, checkDirectory)
	v.report.List(strictyaml.Child(n, "deny"), "deny", r.Deny, checkDirectory)
}

// checkDirectory checks a glob for the names of directories. Clients choose the names, and never
// send a path.
func checkDirectory(s string) error {
	if strings.HasPrefix(s, "/") || strings.HasPrefix(s, "~") || strings.HasPrefix(s, "./") ||
		strings.HasPrefix(s, "../") || strings.Contains(s, `\`) {
		return fmt.Errorf("%s is a path, and clients send only a name for a directory; write one "+
			"such as context, dockerfile or that of a named context", safetext.Quote(s))
	}
	return checkGlob(s)
}

// checkGlob checks a glob for plain names.
func checkGlob(s string) error {
	if err := safetext.Check(s, imageref.MaxSize, false); err != nil {
		return fmt.Errorf("%s %w", safetext.Quote(s), err)
	}
	return nil
}

func (v *validator) exec(n *yaml.Node, r *ExecRules) {
	each := func(key string, items []string, check func(string) error) {
		v.report.Entries(strictyaml.Child(n, key), key, items, check)
	}
	each("networks", r.Networks, checkNetwork)
	each("ssh", r.SSH, checkID)
	each("secrets", r.Secrets, checkID)
	each("devices", r.Devices, checkDevice)
	each("hosts", r.Hosts, compileHost(&r.hosts))
	each("cgroupParents", r.CgroupParents, compileCgroup(&r.cgroupParents))
	if at := strictyaml.Child(n, "ulimits"); at != nil {
		v.ulimits(at, r)
	}
	if at := strictyaml.Child(n, "deny"); at != nil {
		v.execDenials(at, r.Deny)
	}
	uses := fields(n)
	if strictyaml.Child(n, "downloads") != nil {
		uses--
		if at := strictyaml.Child(n, "mode"); at != nil && uses == 0 {
			v.report(at, "exec.mode isn't for what commands download; write it there, as in "+
				"downloads: {mode: warn, allow: […]}")
		}
		if uses == 0 {
			return
		}
	}
	if others := uses > 1 || r.Deny == nil; others && r.allowsNothing() {
		r.Secrets = List{} // such as insecure: false alone, which is no denial
	}
}

func (v *validator) execDenials(n *yaml.Node, d *ExecDenials) {
	v.report.Filled(n, "deny")
	each := func(key string, items []string, check func(string) error) {
		if at := strictyaml.Child(n, key); at != nil && at.Kind == yaml.SequenceNode {
			v.report.List(at, key, items, check)
		}
	}
	each("networks", d.Networks, checkNetwork)
	each("ssh", d.SSH, checkID)
	each("secrets", d.Secrets, checkID)
	each("devices", d.Devices, checkDeniedDevice)
	each("hosts", d.Hosts, compileHost(&d.hosts))
	each("cgroupParents", d.CgroupParents, compileCgroup(&d.cgroupParents))
	each("ulimits", d.Ulimits, func(s string) error {
		lower := strings.ToLower(s)
		d.ulimits = append(d.ulimits, lower)
		if strings.Trim(lower, "*") != "" && !isUlimit(strings.ReplaceAll(lower, "*", "")) {
			return fmt.Errorf("%s isn't the name of a ulimit; write one such as nofile",
				safetext.Quote(s))
		}
		return nil
	})
	for _, key := range []string{"insecure", "ssh", "devices"} {
		if at := strictyaml.Child(n, key); at != nil && at.Value == "false" {
			v.report(at, "%s: false denies nothing; write true, or remove it", key)
		}
	}
}

func checkNetwork(s string) error {
	if !isNetwork(s) {
		return fmt.Errorf("%s isn't one of the networks none, default and host", safetext.Quote(s))
	}
	return nil
}

// checkID checks a glob for the ids of secrets and ssh agents. Clients and build files write
// options with an = and a comma around them.
func checkID(s string) error {
	if strings.ContainsAny(s, "=,") {
		return fmt.Errorf("%s isn't an id; write what follows id=, without other options",
			safetext.Quote(s))
	}
	return checkGlob(s)
}

func checkDevice(s string) error {
	if strings.HasPrefix(s, "/") {
		return fmt.Errorf("%s is a path, and commands ask for devices by name; write one such as "+
			"nvidia.com/gpu=all", safetext.Quote(s))
	}
	return checkGlob(s)
}

// checkDeniedDevice refuses the name of a class. Its devices have names of their own, which rules
// don't know.
func checkDeniedDevice(s string) error {
	if !strings.ContainsAny(s, "/*") {
		return fmt.Errorf("%s has no vendor, and its devices have other names too; write one such as "+
			"nvidia.com/gpu, or true for all", safetext.Quote(s))
	}
	return checkDevice(s)
}

// compileHost returns a check that also adds the compiled entry to a list.
func compileHost(to *[]string) func(string) error {
	return func(s string) error {
		*to = append(*to, normalizeHostName(s))
		if name, _, ok := strings.Cut(s, "="); ok {
			return hostError(s, name)
		}
		// An IPv6 address has more than one colon.
		if name, _, ok := strings.Cut(s, ":"); ok && strings.Count(s, ":") == 1 {
			return hostError(s, name)
		}
		if name := strings.ReplaceAll(s, "*", ""); name != "" && !isHostName(name) ||
			hasEmptyLabel(s) {
			return fmt.Errorf("%s isn't a host name; write one such as db or *.corp.example",
				safetext.Quote(s))
		}
		return checkGlob(s)
	}
}

func hostError(s, name string) error {
	return fmt.Errorf("%s has an address, and the list has names alone; write %s",
		safetext.Quote(s), safetext.Printable(name))
}

// compileCgroup returns a check that also adds the compiled entry to a list.
func compileCgroup(to *[]string) func(string) error {
	return func(s string) error {
		parent, err := normalizeCgroup(s)
		*to = append(*to, parent)
		return errors.Join(checkGlob(s), err)
	}
}

func (v *validator) ulimits(n *yaml.Node, r *ExecRules) {
	v.report.Filled(n, "ulimits")
	r.ulimits = make(map[string]int, len(r.Ulimits))
	for _, name := range slices.Sorted(maps.Keys(r.Ulimits)) {
		at := strictyaml.Child(n, name)
		lower := strings.ToLower(name)
		if _, twice := r.ulimits[lower]; twice {
			v.report(at, "ulimits: %s is set twice, in upper and lower case", safetext.Quote(name))
		}
		if !isUlimit(lower) {
			v.report(at, "ulimits: %s isn't the name of a ulimit; write one such as nofile",
				safetext.Quote(name))
		}
		if r.Ulimits[name] < -1 {
			v.report(at, "ulimits: %s must be at least 0, or -1 for any", safetext.Quote(name))
		}
		r.ulimits[lower] = r.Ulimits[name]
	}
}

func (v *validator) config(n *yaml.Node, r *ConfigRules) {
	list, field := strictyaml.Child(n, "sets"), "config.sets"
	if n.Kind == yaml.SequenceNode {
		list, field = n, "config"
	} else {
		v.configSet(n, "config", &r.ConfigSet, list != nil)
	}
	if list == nil || list.Kind != yaml.SequenceNode {
		return
	}
	if len(list.Content) == 0 {
		v.report(list, "%s is empty; give it a set of conditions or remove it", field)
	}
	for i, s := range r.Sets {
		if s != nil { // A set without a value is a problem already.
			v.configSet(list.Content[i], fmt.Sprintf("%s[%d]", field, i), s, false)
		}
	}
}

// configSet checks and compiles a set of conditions. others says that a list of sets stands beside
// it, so that it can have none.
func (v *validator) configSet(n *yaml.Node, name string, s *ConfigSet, others bool) {
	v.targets(strictyaml.Child(n, "targets"), "targets", s.Targets, &s.targets)
	v.targets(strictyaml.Child(n, "exceptTargets"), "exceptTargets", s.ExceptTargets, &s.exceptTargets)
	if s.Results != "" && s.Results != ResultsAll && s.Results != ResultsRunnable {
		v.report(strictyaml.Child(n, "results"), "results must be all or runnable, not %s",
			safetext.Quote(string(s.Results)))
	}
	scoped := len(s.Targets)+len(s.ExceptTargets) > 0 || s.Results != ""
	switch {
	case !s.isEmpty(), others && !scoped, !scoped && name == "config": // Others report the last one.
	case others:
		v.report(n, "%s has targets, exceptTargets or results without a condition beside them; write "+
			"them in each of its sets", name)
	default:
		v.report(n, "%s has no condition; give it one, such as user, or remove it", name)
	}
	var labels *Demand
	if s.Labels != nil {
		labels = &s.Labels.Demand
	}
	for _, d := range []struct {
		key     string
		demand  *Demand
		compile func(string, list) (entry, error)
	}{
		{"user", s.User, userEntry},
		{"labels", labels, labelEntry},
		{"env", s.Env, envEntry},
		{"ports", s.Ports, portEntry},
		{"volumes", s.Volumes, volumeEntry},
	} {
		at := strictyaml.Child(n, d.key)
		if at == nil {
			continue
		}
		v.report.Filled(at, d.key)
		d.demand.require = v.demanded(at, "require", d.demand.Require, required, d.compile)
		d.demand.forbid = v.demanded(at, "forbid", d.demand.Forbid, forbidden, d.compile)
	}
	if s.Labels != nil {
		v.report.Map(strictyaml.Child(strictyaml.Child(n, "labels"), "values"), "values",
			s.Labels.Values, s.Labels.value)
	}
}

func (v *validator) targets(n *yaml.Node, key string, items []string, to *[]string) {
	v.report.List(n, key, items, compileTargets(to))
}

// value adds the value that a label must have.
func (d *LabelDemand) value(key, value string) error {
	if strings.Contains(key, "*") {
		return fmt.Errorf("%s has a *; a value is for one label", safetext.Quote(key))
	}
	d.values = append(d.values, labelValue{key, value})
	return errors.Join(checkGlob(key), checkGlob(value))
}

func (v *validator) demanded(
	n *yaml.Node, key string, items []string, in list, compile func(string, list) (entry, error),
) []entry {
	var out []entry
	v.report.List(strictyaml.Child(n, key), key, items, func(s string) error {
		if err := checkGlob(s); err != nil {
			return err
		}
		e, err := compile(s, in)
		out = append(out, e)
		return err
	})
	return out
}
