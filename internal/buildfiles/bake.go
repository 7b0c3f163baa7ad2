package buildfiles

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// bakeSchema has the blocks of a bake file that describe builds (buildx's bake reference).
var bakeSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "variable", LabelNames: []string{"name"}},
	{Type: "target", LabelNames: []string{"name"}},
}}

// functions are those of bake that depend on nothing but their arguments, and that people use to
// put names together. format isn't among them: a width in it can ask for any amount of memory.
var functions = map[string]function.Function{
	"and": stdlib.AndFunc, "coalesce": stdlib.CoalesceFunc, "concat": stdlib.ConcatFunc,
	"equal": stdlib.EqualFunc, "join": ofShort(stdlib.JoinFunc),
	"length": stdlib.LengthFunc, "lower": stdlib.LowerFunc, "merge": stdlib.MergeFunc,
	"not": stdlib.NotFunc, "notequal": stdlib.NotEqualFunc, "or": stdlib.OrFunc,
	"replace": ofShort(stdlib.ReplaceFunc), "split": stdlib.SplitFunc, "title": stdlib.TitleFunc,
	"trim": stdlib.TrimFunc, "trimprefix": stdlib.TrimPrefixFunc, "trimspace": stdlib.TrimSpaceFunc,
	"trimsuffix": stdlib.TrimSuffixFunc, "upper": stdlib.UpperFunc,
}

// maxArguments is how many bytes the arguments of a function can have that multiplies them.
const maxArguments = 4 << 10

// ofShort returns the function for arguments of at most maxArguments bytes together. Its results
// can be arguments again, so a file could otherwise multiply a text without end.
func ofShort(f function.Function) function.Function {
	return function.New(&function.Spec{
		Params: f.Params(), VarParam: f.VarParam(), Type: f.ReturnTypeForValues,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			size := 0
			for _, arg := range args {
				_ = cty.Walk(arg, func(_ cty.Path, v cty.Value) (bool, error) {
					if v.IsKnown() && !v.IsNull() && v.Type() == cty.String {
						size += len(v.AsString())
					}
					return true, nil
				})
			}
			if size > maxArguments {
				return cty.UnknownVal(cty.DynamicPseudoType), errors.New("the arguments are too long")
			}
			return f.Call(args)
		},
	})
}

// bakeTarget is a target, with all that it inherits.
type bakeTarget struct {
	file     string
	line     int
	values   map[string]cty.Value
	lines    map[string]int // of values, where it matters
	inherits []string
	unknown  []string // what can't be evaluated
	matrix   string   // why a matrix of targets isn't known, or ""
}

// bakeReader reads the bake files of one directory as one, as bake does.
type bakeReader struct {
	variables map[string]*hcl.Attribute
	values    map[string]cty.Value
	blocks    []*hcl.Block
	files     []string // of the blocks
	targets   map[string]*bakeTarget
	inherited map[string]bool
	wholes    map[string]bakeTarget // of targets with what they inherit
	expanded  int                   // steps of making targets of matrices
}

// bake returns the builds of bake files.
func (t Tree) bake(names []string) Found {
	var found Found
	r := bakeReader{
		variables: map[string]*hcl.Attribute{}, values: map[string]cty.Value{},
		targets: map[string]*bakeTarget{}, inherited: map[string]bool{},
		wholes: map[string]bakeTarget{},
	}
	for _, name := range names {
		data, err := t.read(name)
		if err == nil {
			err = r.parse(name, data)
		}
		if err != nil {
			found.Problems = append(found.Problems, problemOf(name, err))
		}
	}
	r.evaluateVariables()
	for i, b := range r.blocks {
		r.block(b, r.files[i])
	}
	for _, name := range slices.Sorted(maps.Keys(r.targets)) {
		whole := r.whole(name)
		d := described{
			file: whole.file, line: whole.line, dir: path.Dir(whole.file),
			origin:   fmt.Sprintf("target %q of %s", name, path.Join(t.Dir, whole.file)),
			contexts: map[string]string{}, options: map[string]string{},
			template: r.inherited[name] || strings.HasPrefix(name, "_"),
		}
		if whole.matrix != "" {
			found.add(d.unknown(whole.matrix))
			continue
		}
		whole.describe(&d)
		build := t.build(d)
		for _, what := range whole.unknown {
			if !d.template || len(build.Builds) > 0 {
				found.add(d.unknown(what))
			}
		}
		found.add(build)
	}
	return found
}

// parse reads one file. A panic of the reader is an error: the file is hostile.
func (r *bakeReader) parse(name string, data []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it can't be read: %v", p)
		}
	}()
	if len(data) > maxBake {
		return fmt.Errorf("it has more than %d bytes", maxBake)
	}
	if nesting(data) > maxNesting {
		return fmt.Errorf("it is nested deeper than %d levels", maxNesting)
	}
	var file *hcl.File
	var diags hcl.Diagnostics
	if path.Ext(name) == ".json" {
		file, diags = json.Parse(data, name)
	} else {
		file, diags = hclsyntax.ParseConfig(data, name, hcl.InitialPos)
	}
	if diags.HasErrors() {
		return reason(diags)
	}
	content, rest, diags := file.Body.PartialContent(bakeSchema)
	if diags.HasErrors() {
		return reason(diags)
	}
	globals, _ := rest.JustAttributes() // they are variables too
	maps.Copy(r.variables, globals)
	for _, b := range content.Blocks {
		if b.Type != "variable" {
			r.blocks, r.files = append(r.blocks, b), append(r.files, name)
			continue
		}
		attributes, _ := b.Body.JustAttributes()
		r.variables[b.Labels[0]] = attributes["default"]
	}
	return nil
}

// maxBake bounds a bake file, in bytes. Its reader takes 4 KiB of stack for each "!" of
// "!!!!true", and Go ends the program at 1 GB. Bake files that people write have less than 20 KiB.
const maxBake = 64 << 10

// maxNesting bounds what a recursive reader gets. Bake files that people write have less than 10.
const maxNesting = 200

// nesting returns a bound for the depth of the brackets in a file.
func nesting(data []byte) int {
	depth, most := 0, 0
	for _, c := range data {
		switch c {
		case '{', '[', '(':
			depth++
			most = max(most, depth)
		case '}', ']', ')':
			depth = max(0, depth-1)
		}
	}
	return most
}

func reason(diags hcl.Diagnostics) error {
	d := diags[0]
	if d.Subject == nil {
		return errors.New(d.Summary)
	}
	return fmt.Errorf("line %d: %s", d.Subject.Start.Line, d.Summary)
}

// evaluateVariables gives each variable its default. Defaults can depend on other variables, so it
// goes on until nothing changes. The value of a variable without a default isn't known.
func (r *bakeReader) evaluateVariables() {
	for name := range r.variables {
		r.values[name] = cty.DynamicVal
	}
	for range len(r.variables) {
		changed := false
		for name, attribute := range r.variables {
			if attribute == nil || r.values[name].IsWhollyKnown() {
				continue
			}
			if v, ok := r.evaluate(attribute.Expr); ok {
				r.values[name], changed = v, true
			}
		}
		if !changed {
			return
		}
	}
}

// maxText bounds a value, in bytes: templates and lists can double it again and again.
const maxText = 1 << 20

// elementSize is the least size of a value, in bytes.
const elementSize = 64

// sizeWithin returns what is left of a budget in bytes after the value. It stops when nothing is
// left, because lists can share their elements.
func sizeWithin(v cty.Value, left int) int {
	left -= elementSize
	v, _ = v.Unmark()
	if left < 0 || !v.IsKnown() || v.IsNull() {
		return left
	}
	if v.Type() == cty.String {
		return left - len(v.AsString())
	}
	if !v.CanIterateElements() {
		return left
	}
	for it := v.ElementIterator(); left >= 0 && it.Next(); {
		_, e := it.Element()
		left = sizeWithin(e, left)
	}
	return left
}

// evaluate returns the value of an expression. ok is false if it isn't wholly known. The value is
// then that of the parts that are.
func (r *bakeReader) evaluate(e hcl.Expression) (v cty.Value, ok bool) {
	defer func() {
		if recover() != nil {
			v, ok = cty.DynamicVal, false
		}
	}()
	v, diags := e.Value(&hcl.EvalContext{Variables: r.values, Functions: functions})
	if diags.HasErrors() || sizeWithin(v, maxText) < 0 {
		return cty.DynamicVal, false
	}
	v, _ = v.UnmarkDeep()
	return v, v.IsWhollyKnown()
}

// bakeAttributes are the attributes of a target that matter.
var bakeAttributes = []string{
	"args", "attest", "cache-from", "call", "context", "contexts", "dockerfile",
	"dockerfile-inline", "extra-hosts", "inherits", "labels", "network", "no-cache",
	"no-cache-filter", "platforms", "pull", "shm-size", "target", "ulimits",
}

// bakeIgnored are those that give the client something, and the frontend nothing.
var bakeIgnored = []string{
	"annotations", "cache-to", "description", "entitlements", "matrix", "name", "output", "policy",
	"secret", "ssh", "tags",
}

// bakeAppended are the lists to which a target adds, instead of replacing what it inherits (Merge
// in buildx's bake.go).
var bakeAppended = []string{"attest", "cache-from", "no-cache-filter", "ulimits"}

// maxAppended bounds the elements of such a list. It can double with each target.
const maxAppended = 1000

// maxMatrix bounds the targets of all matrices. Those that people write have less than 50.
const maxMatrix = 200

// block reads a block of a target, or of a matrix of targets.
func (r *bakeReader) block(b *hcl.Block, file string) {
	attributes, _ := b.Body.JustAttributes() // target says what else there is
	axes := attributes["matrix"]
	if axes == nil {
		r.target(b, file, b.Labels[0])
		return
	}
	if why := r.matrix(b, file, axes.Expr, attributes["name"]); why != "" {
		r.target(b, file, b.Labels[0]).matrix = why
	}
}

// matrix reads a target for each combination of a matrix's values, which are variables in it. It
// returns why it can't.
func (r *bakeReader) matrix(
	b *hcl.Block, file string, axes hcl.Expression, name *hcl.Attribute,
) (why string) {
	value, ok := r.evaluate(axes)
	if !ok || !isMap(value) || name == nil {
		return "it has a matrix that can't be evaluated, or no name"
	}
	combinations := []map[string]cty.Value{{}}
	lists := value.AsValueMap()
	for _, key := range slices.Sorted(maps.Keys(lists)) {
		if !isList(lists[key]) {
			return "it has a matrix that can't be evaluated: " + key + " isn't a list"
		}
		values := lists[key].AsValueSlice()
		if r.expanded += len(combinations) * len(values); r.expanded > maxMatrix {
			return fmt.Sprintf("its matrix, or those before it, make more than %d targets", maxMatrix)
		}
		var next []map[string]cty.Value
		for _, c := range combinations {
			for _, v := range values {
				with := maps.Clone(c)
				with[key] = v
				next = append(next, with)
			}
		}
		combinations = next
	}
	global := r.values
	defer func() { r.values = global }()
	for _, c := range combinations {
		r.values = maps.Clone(global)
		maps.Copy(r.values, c)
		v, _ := r.evaluate(name.Expr)
		target := textOf(v)
		if target == "" {
			return "the names of its matrix can't be evaluated"
		}
		r.target(b, file, target)
	}
	return ""
}

// target reads a target with this name. A later one with the same name adds to the first.
func (r *bakeReader) target(b *hcl.Block, file, name string) *bakeTarget {
	t := r.targets[name]
	if t == nil {
		t = &bakeTarget{
			file: file, line: b.DefRange.Start.Line, values: map[string]cty.Value{},
			lines: map[string]int{},
		}
		r.targets[name] = t
	}
	attributes, diags := b.Body.JustAttributes()
	if diags.HasErrors() {
		t.miss("it has parts that aren't attributes")
	}
	for _, key := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[key]
		if slices.Contains(bakeIgnored, key) {
			continue
		}
		if !slices.Contains(bakeAttributes, key) {
			t.miss("check doesn't know what " + strconv.Quote(key) + " does")
			continue
		}
		v, ok := r.evaluate(a.Expr)
		if !ok {
			for _, part := range r.unknownParts(key, v) {
				t.miss(part)
			}
		}
		t.merge(key, v)
		t.lines[key] = a.Expr.Range().Start.Line + 1 // a heredoc begins below its marker
		if key == "dockerfile-inline" && a.Expr.Range().Start.Line == a.Expr.Range().End.Line {
			t.lines[key]--
		}
	}
	t.inherits = texts(t.values["inherits"])
	for _, parent := range t.inherits {
		r.inherited[parent] = true
	}
	return t
}

// unknownParts names what of an attribute can't be evaluated.
func (r *bakeReader) unknownParts(key string, v cty.Value) []string {
	const why = " can't be evaluated: it depends on a variable without a default, or on a function"
	if !v.IsKnown() || !v.CanIterateElements() || !v.Type().IsObjectType() {
		return []string{key + why}
	}
	var out []string
	for name, part := range v.AsValueMap() {
		if !part.IsWhollyKnown() {
			out = append(out, key+"."+name+why)
		}
	}
	slices.Sort(out)
	return out
}

// miss says what isn't known, once.
func (t *bakeTarget) miss(what string) {
	if len(t.unknown) < maxUnknown && !slices.Contains(t.unknown, what) {
		t.unknown = append(t.unknown, what)
	}
}

// merge sets a value. Maps are merged, some lists are put together, and null changes nothing.
func (t *bakeTarget) merge(key string, v cty.Value) {
	old, ok := t.values[key]
	switch {
	case ok && v.IsKnown() && v.IsNull():
		return
	case ok && isMap(old) && isMap(v):
		both := old.AsValueMap()
		if both == nil {
			both = map[string]cty.Value{}
		}
		for name, value := range v.AsValueMap() {
			if !value.IsKnown() || !value.IsNull() {
				both[name] = value
			}
		}
		v = cty.ObjectVal(both)
	case ok && slices.Contains(bakeAppended, key) && isList(old) && isList(v):
		both := slices.Concat(old.AsValueSlice(), v.AsValueSlice())
		if len(both) > maxAppended {
			t.miss(fmt.Sprintf("%s has more than %d entries", key, maxAppended))
			both = both[len(both)-maxAppended:]
		}
		v = cty.TupleVal(both)
	}
	t.values[key] = v
}

func isList(v cty.Value) bool {
	return v != cty.NilVal && v.IsKnown() && !v.IsNull() && v.CanIterateElements() && !isMap(v)
}

func isMap(v cty.Value) bool {
	return v != cty.NilVal && v.IsKnown() && !v.IsNull() &&
		(v.Type().IsObjectType() || v.Type().IsMapType())
}

// whole returns the target with what it inherits. Its own values come last. Each target is put
// together once: paths through inheritance can double with each target.
func (r *bakeReader) whole(name string) bakeTarget {
	if done, ok := r.wholes[name]; ok {
		return done
	}
	own := r.targets[name]
	missing := bakeTarget{unknown: []string{
		"it inherits from " + name + ", which isn't there or inherits from itself",
	}}
	if own == nil {
		return missing
	}
	r.wholes[name] = missing // for a parent that inherits from this target
	out := bakeTarget{values: map[string]cty.Value{}, lines: map[string]int{}}
	for _, parent := range own.inherits {
		out.add(r.whole(parent))
	}
	out.add(*own)
	out.file, out.line, out.matrix = own.file, own.line, own.matrix
	r.wholes[name] = out
	return out
}

func (t *bakeTarget) add(u bakeTarget) {
	for key, v := range u.values {
		t.merge(key, v)
	}
	maps.Copy(t.lines, u.lines)
	for _, what := range u.unknown {
		t.miss(what)
	}
}

// maxUnknown bounds what is said about one target. People read less.
const maxUnknown = 100

// describe fills in the description from the values that are known.
func (t *bakeTarget) describe(d *described) {
	d.context, d.dockerfile = textOf(t.values["context"]), textOf(t.values["dockerfile"])
	d.inline, d.inlineLine = textOf(t.values["dockerfile-inline"]), t.lines["dockerfile-inline"]
	d.contexts = pairsOf(t.values["contexts"])
	for name, value := range pairsOf(t.values["args"]) {
		d.options["build-arg:"+name] = value
	}
	for name, value := range pairsOf(t.values["labels"]) {
		d.options["label:"+name] = value
	}
	set := func(key, value string) {
		if value != "" {
			d.options[key] = value
		}
	}
	set("target", textOf(t.values["target"]))
	platforms := slices.DeleteFunc(texts(t.values["platforms"]), isLocal)
	set("platform", strings.Join(platforms, ","))
	if network := textOf(t.values["network"]); network != "default" {
		set("force-network-mode", network)
	}
	var hosts []string
	extra := pairsOf(t.values["extra-hosts"])
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		hosts = append(hosts, name+"="+extra[name])
	}
	set("add-hosts", strings.Join(hosts, ","))
	var limits []string
	for _, l := range texts(t.values["ulimits"]) {
		limits = append(limits, softAndHard(l))
	}
	set("ulimit", strings.Join(limits, ","))
	t.describeClient(d)
}

// describeClient fills in what the client turns into options of another form.
func (t *bakeTarget) describeClient(d *described) {
	known := func(key string, ok bool) {
		if !ok {
			t.miss(key + " can't be read")
		}
	}
	attests, ok := entriesOf(t.values["attest"])
	known("attest", ok)
	for _, text := range attests {
		known("attest", d.addAttest(text))
	}
	caches, ok := entriesOf(t.values["cache-from"])
	known("cache-from", ok && d.addCaches(caches))
	known("no-cache", d.addNoCache(textOf(t.values["no-cache"]), texts(t.values["no-cache-filter"])))
	known("pull", d.addPull(textOf(t.values["pull"])))
	d.addCall(textOf(t.values["call"]))
	if size := textOf(t.values["shm-size"]); size != "" {
		known("shm-size", d.addSharedMemory(size))
	}
}

// entriesOf returns the entries of a list as texts such as type=sbom,generator=IMAGE. An entry can
// be an object too. ok is false if one is neither.
func entriesOf(v cty.Value) (out []string, ok bool) {
	if v == cty.NilVal || !v.IsKnown() || v.IsNull() {
		return nil, true // what isn't known has been said
	}
	if !isList(v) {
		return nil, false
	}
	ok = true
	for _, e := range v.AsValueSlice() {
		text := textOf(e)
		if isMap(e) {
			text = textFrom(pairsOf(e))
		}
		if text != "" {
			out = append(out, text)
		}
		ok = ok && (text != "" || !e.IsKnown() || e.IsNull())
	}
	return out, ok
}

// isLocal reports whether a platform is that of the builder, which is the default.
func isLocal(platform string) bool { return platform == "local" }

// softAndHard writes a limit such as nofile=1024 as BuildKit reads it: nofile=1024:1024.
func softAndHard(limit string) string {
	name, value, ok := strings.Cut(limit, "=")
	if ok && !strings.Contains(value, ":") {
		return name + "=" + value + ":" + value
	}
	return limit
}

// textOf returns a value as text; "" if it isn't known or is none.
func textOf(v cty.Value) string {
	if v == cty.NilVal || !v.IsKnown() || v.IsNull() {
		return ""
	}
	s, err := convert.Convert(v, cty.String)
	if err != nil || s.IsNull() {
		return ""
	}
	return s.AsString()
}

// texts returns the known elements of a list.
func texts(v cty.Value) []string {
	if v == cty.NilVal || !v.IsKnown() || v.IsNull() || !v.CanIterateElements() || isMap(v) {
		return nil
	}
	var out []string
	for _, e := range v.AsValueSlice() {
		if s := textOf(e); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// pairsOf returns the known entries of a map. Those that are null are left out, as bake does.
func pairsOf(v cty.Value) map[string]string {
	out := map[string]string{}
	if !isMap(v) {
		return out
	}
	for name, value := range v.AsValueMap() {
		if value.IsKnown() && !value.IsNull() {
			out[name] = textOf(value)
		}
	}
	return out
}
