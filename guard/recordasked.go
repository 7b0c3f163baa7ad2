package guard

import (
	"maps"
	"slices"
	"strings"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"

	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/record"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// began notes what the request asks for that begins the build. It is called before it is judged.
func (b *buildRecord) began(req *controlapi.SolveRequest) {
	asked := &b.entry.Asked
	asked.Frontend, asked.Hidden = logText(req.Frontend), req.Internal
	asked.LLB = len(req.Definition.GetDef()) > 0
	b.options(req.FrontendAttrs)
	b.inputs(req.FrontendInputs)
	for _, e := range exportersOf(req) {
		x := exportOf(e)
		if b.room("exports", slices.Concat(x.Names, x.Annotations)...) {
			asked.Exports = append(asked.Exports, x)
		}
	}
	exports, imports := cachesOf(req.Cache)
	for _, e := range exports {
		b.cache(true, e.GetType(), e.GetAttrs())
	}
	for _, e := range imports {
		b.cache(false, e.GetType(), e.GetAttrs())
	}
	for _, e := range req.Entitlements {
		if e := logText(e); b.room("entitlements", e) {
			asked.Entitlements = append(asked.Entitlements, e)
		}
	}
}

// asks notes what a request of a build asks for, for a frontend or with LLB. It is called before it
// is judged.
func (b *buildRecord) asks(req *gwpb.SolveRequest) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	asked := &b.entry.Asked
	if req.Frontend != "" {
		asked.Frontend = logText(req.Frontend)
	}
	asked.LLB = asked.LLB || len(req.Definition.GetDef()) > 0
	b.options(req.FrontendOpt)
	b.inputs(req.FrontendInputs)
	for _, e := range req.CacheImports {
		b.cache(false, e.GetType(), e.GetAttrs())
	}
	// Options that can't be read are refused.
	named, _ := gatewayopts.NamedCaches(func(key string) string { return req.FrontendOpt[key] })
	for _, e := range named {
		b.cache(false, e.GetType(), e.GetAttrs())
	}
}

// generator notes the image that makes the SBOM, of the option for it in the form that was judged.
func (b *buildRecord) generator(option string) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	_, b.entry.Asked.SBOM, _ = strings.Cut(option, "=")
}

// keptHidden notes whether the history leaves the build out. A client asks for that in vain if the
// build does more than to look something up, and readers of the record leave out what only does so.
func (b *buildRecord) keptHidden(hidden bool) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entry.Asked.Hidden = hidden
}

// options notes the names of options, and the values of those that are never secret.
func (b *buildRecord) options(opts map[string]string) {
	asked := &b.entry.Asked
	before := asked.Options
	for _, key := range slices.Sorted(maps.Keys(opts)) {
		value := opts[key]
		switch {
		case key == "platform":
			asked.Platform = logText(value)
		case key == optionkeys.Target:
			asked.Target = logText(value)
		case strings.HasPrefix(key, optionkeys.BuildArgPrefix) && key != optionkeys.Syntax &&
			len(value) >= shortestHidden:
			b.hideValue(value)
		}
		name := logText(key)
		if _, known := slices.BinarySearch(before, name); !known && b.room("options", name) {
			asked.Options = append(asked.Options, name)
		}
	}
	slices.Sort(asked.Options)
}

// hideValue keeps a value out of reasons. If there is no memory for it, there are no reasons.
func (b *buildRecord) hideValue(value string) {
	if b.values[value] || b.blind {
		return
	}
	size := len(value) + heldByItem
	if b.account != nil {
		if _, ok := b.account.tryTake(size); !ok {
			b.blind = true
			return
		}
	}
	b.held += size
	b.values[value], b.hide = true, nil
}

func (b *buildRecord) inputs(inputs map[string]*pb.Definition) {
	all := &b.entry.Asked.Inputs
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		in := record.Input{Name: logText(name), Kind: string(llbops.SoleSource(inputs[name]))}
		if !slices.Contains(*all, in) && b.room("inputs", in.Name) {
			*all = append(*all, in)
		}
	}
}

func (b *buildRecord) cache(export bool, kind string, attrs map[string]string) {
	c := record.Cache{Type: logText(kind), Export: export}
	if kind == policy.CacheRegistry {
		c.Name = canonicalName(attrs[cacheRef])
	}
	if all := &b.entry.Asked.Caches; !slices.Contains(*all, c) && b.room("caches", c.Name) {
		*all = append(*all, c)
	}
}

// exportOf returns what an exporter does. Its attributes needn't have been judged.
func exportOf(e *controlapi.Exporter) record.Export {
	x := record.Export{Type: logText(e.GetType())}
	attrs := e.GetAttrs()
	for _, key := range slices.Sorted(maps.Keys(attrs)) {
		if a, ok, err := exptypes.ParseAnnotationKey(key); ok && err == nil {
			x.Annotations = append(x.Annotations, logText(a.Key))
		}
	}
	if x.Type != policy.ExportImage {
		return x
	}
	push, set := attrs[string(exptypes.OptKeyPush)]
	on, err := isOn(push)
	x.Push = set && (on || err != nil)
	names := strings.Split(attrs[string(exptypes.OptKeyName)], ",")
	for _, name := range append(names, attrs[string(exptypes.OptKeyDanglingPrefix)]) {
		if name != "" && len(x.Names) < maxNames {
			x.Names = append(x.Names, canonicalName(name))
		}
	}
	return x
}

// canonicalName returns the name of an image in the form in which it is judged, if it has one.
func canonicalName(s string) string {
	if ref, err := imageref.Parse(s); err == nil {
		return ref.String()
	}
	return logText(s)
}
