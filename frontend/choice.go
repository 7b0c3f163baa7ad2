package frontend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"

	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Choice is a frontend that a policy allows, and how the daemon runs it.
type Choice struct {
	// Decision allows the frontend.
	Decision policy.Decision
	// Frontend is the daemon's own frontend that runs it: gateway.v0 or dockerfile.v0.
	Frontend string
	// Options are the options for Frontend.
	Options map[string]string
	// Inputs are the frontend inputs for Frontend.
	Inputs map[string]*pb.Definition
	// Deadline is when the time is up that the policy gives the frontend. It is zero for one that is
	// forwarded.
	Deadline time.Time
	// Mediated says that the daemon runs the policy frontend's image, which runs the frontend and
	// reports the decision itself.
	Mediated bool
	// Answer is the result of [PolicySubrequest]. If it isn't nil, no frontend runs.
	Answer *client.Result

	monitor *monitor           // nil if there is only an answer
	unseen  bool               // the image that runs the frontend may have a policy of its own
	runs    imageref.Reference // the image that the daemon runs as a frontend; zero for none
	// announce is what Announce does, without the form of the error. It is nil for nothing.
	announce func(context.Context) error
	// readers check what a build may read before its frontend is known, for each layer. They are nil
	// unless the client asks for things by itself.
	readers [][]*monitor
}

// noMediator stands for the policy frontend's own reference where no image of it takes part. No
// registry has it: the domain is reserved (RFC 6761).
const noMediator = "policy-guard.invalid/policy-frontend:none"

// outside is what [Frontend.Choose] knows of a build.
type outside struct {
	mediator    string // "" for none
	cacheMounts string
	sent        map[string]string // the options of the client
	text        PolicyText
}

// Choose finds out which frontend a build asks for, and decides by the policy whether the daemon
// may run it. It runs nothing. It is for a caller that stands between a client and the daemon: c is
// the daemon's end of the client's build, with the options that the client sent, and asked is the
// frontend in the client's request.
//
//   - gateway.v0 with the option source is a request for that image. The option cmdline may have
//     arguments for it.
//   - dockerfile.v0 is a request for the frontend that BUILDKIT_SYNTAX or the build file names, or
//     else for the policy's default frontend. Without a default, and with the option cmdline, it is
//     a request for dockerfile.v0 itself; see [policy.DaemonDockerfile].
//
// The error is as that of [Frontend.Build]. What the daemon alone couldn't hold a frontend to is
// handed over to the image [Frontend].Mediator: build rules, and a frontend that is mediated.
func (f Frontend) Choose(ctx context.Context, c client.Client, asked string) (*Choice, error) {
	sent := c.BuildOpts().Opts
	opts, err := asIfInside(asked, sent, cmp.Or(f.Mediator, noMediator))
	if err != nil {
		return nil, err
	}
	inputs := map[string]*pb.Definition{}
	b := f.newBuild(outsideClient{c, opts, inputs})
	b.fallback = policy.DaemonDockerfile
	b.outside = outside{
		mediator: f.Mediator, cacheMounts: f.CacheMounts, sent: sent, text: f.PolicyText,
	}
	b.opts = b.opts.WithCacheMounts(f.CacheMounts)
	choice, err := b.chooseDaemons(ctx, f.Apart, func() error { return b.takeInputs(f, inputs) })
	if err != nil {
		answer, err := b.settle(ctx, nil, err)
		if err != nil {
			return nil, err
		}
		return &Choice{Answer: answer}, nil
	}
	return choice, nil
}

// asIfInside returns the options that the policy frontend, whose reference is self, would get if a
// client had asked for it instead, and named the frontend that it wants in the option cmdline.
func asIfInside(asked string, sent map[string]string, self string) (map[string]string, error) {
	opts := maps.Clone(sent)
	if opts == nil {
		opts = map[string]string{}
	}
	cmdline := strings.TrimSpace(sent[optionkeys.Cmdline])
	switch asked {
	case gatewayFrontend:
		source := sent[optionkeys.Source]
		if first, _, _ := strings.Cut(cmdline, " "); first != source {
			cmdline = source
		}
		if cmdline == "" {
			return nil, errors.New("the build asks for the frontend gateway.v0 and names no image")
		}
		opts[optionkeys.Cmdline] = self + " " + cmdline
		if strings.TrimSpace(sent[optionkeys.Syntax]) == cmdline { // buildx made one of the other
			opts[optionkeys.Syntax] = opts[optionkeys.Cmdline]
		}
	case policy.DaemonDockerfile:
		delete(opts, optionkeys.Cmdline)
		if cmdline != "" { // it wouldn't follow a syntax line
			opts[optionkeys.Cmdline] = self + " " + policy.DaemonDockerfile
		}
	default:
		return nil, fmt.Errorf("the build asks for the frontend %s; there are only gateway.v0 and %s",
			safetext.Plain(asked), policy.DaemonDockerfile)
	}
	opts[optionkeys.Source] = self
	return opts, nil
}

// outsideClient is a client whose build has other options, and inputs that were checked.
type outsideClient struct {
	client.Client
	opts   map[string]string
	inputs map[string]*pb.Definition
}

// BuildOpts implements [client.Client].
func (c outsideClient) BuildOpts() client.BuildOpts {
	o := c.Client.BuildOpts()
	o.Opts = maps.Clone(c.opts)
	return o
}

// Inputs implements [client.Client].
func (c outsideClient) Inputs(context.Context) (map[string]llb.State, error) {
	states := make(map[string]llb.State, len(c.inputs))
	for name, def := range c.inputs {
		if len(def.Def) == 0 {
			states[name] = llb.Scratch()
			continue
		}
		op, err := llb.NewDefinitionOp(def)
		if err != nil {
			return nil, err
		}
		states[name] = llb.NewState(op)
	}
	return states, nil
}

// chooseDaemons does what [Frontend.Choose] says. It calls takeInputs before it reads anything. A
// refusal is a *refusal.
func (b *build) chooseDaemons(
	ctx context.Context, apart func(policy.Layers, policy.Decision) (string, string, error),
	takeInputs func() error,
) (*Choice, error) {
	if err := cmp.Or(b.checkOptions(), takeInputs()); err != nil {
		return nil, err
	}
	a, answer, err := b.admit(ctx)
	if err != nil || answer != nil {
		return &Choice{Answer: answer}, err
	}
	if apart != nil {
		id, cacheMounts, err := apart(b.layers, a.decision)
		if err != nil {
			return nil, b.refuse(a.request, err)
		}
		b.cacheMounts = cmp.Or(cacheMounts, b.cacheMounts)
		b.opts = b.opts.WithCacheMounts(b.cacheMounts)
		b.keepApart(id, b.cacheMounts)
	}
	choice, err := b.chooseRunner(ctx, a)
	if err != nil {
		return nil, err
	}
	choice.Inputs = b.inputs
	return choice, nil
}

// checkOptions refuses options of a client that would mean something else to a frontend, and those
// by which policy-guard hands over a build.
func (b *build) checkOptions() error {
	for _, key := range slices.Sorted(maps.Keys(b.sent)) {
		switch {
		case !gatewayopts.Writable(key, b.sent[key]):
			return b.refuse(request{}, fmt.Errorf("the option %s would reach the frontend under another "+
				"name or with another value", safetext.Plain(key)))
		case optionkeys.IsHandOver(key):
			return b.refuse(request{}, fmt.Errorf("the build-arg %s is policy-guard's own: build without "+
				"it", safetext.Plain(optionkeys.ArgName(key))))
		}
	}
	return nil
}

// takeInputs checks the frontend inputs and puts them into the map. An input is LLB that the client
// sends, so it has to be what a build of the same client has returned, as in a bake file with
// linked targets. Or it is a context that the client could name by an option as well.
func (b *build) takeInputs(f Frontend, into map[string]*pb.Definition) error {
	for _, name := range slices.Sorted(maps.Keys(f.Inputs)) {
		id, def, err := llbops.Identity(f.Inputs[name])
		if err != nil {
			return b.refuse(request{}, fmt.Errorf("the frontend input %s can't be read: it has %w",
				safetext.Plain(name), err))
		}
		answered := len(def.Def) == 0 || f.Answered != nil && f.Answered(id)
		if !answered && !isContext(def) {
			return b.refuse(request{}, fmt.Errorf("the frontend input %s isn't what a build of this "+
				"client has returned within an hour: build the target that it comes from again",
				safetext.Plain(name)))
		}
		into[name] = def
	}
	return nil
}

// isContext reports whether a definition is a context: a directory of the client, a repository or a
// download, and files from it.
func isContext(def *pb.Definition) bool {
	switch llbops.SoleSource(def) {
	case buildrules.KindLocal, buildrules.KindGit, buildrules.KindHTTP:
		return true
	}
	return false
}

// chooseRunner returns how the daemon runs an allowed frontend.
func (b *build) chooseRunner(ctx context.Context, a admitted) (*Choice, error) {
	if a.decision.Dispatch == policy.DispatchMediate || len(a.decision.Obligations.Build) > 0 {
		return b.handOver(ctx, a)
	}
	choice := &Choice{
		Decision: a.decision, Options: b.innerOptions(a), monitor: b.newMonitor(a),
	}
	if a.decision.Dispatch == policy.DispatchForward {
		choice.Frontend, choice.runs = gatewayFrontend, a.pinned()
		if err := b.checkContexts(a, choice.runs); err != nil {
			return nil, err
		}
		line, err := b.imageLine(ctx, a)
		choice.announce = func(ctx context.Context) error {
			return b.loadLine(ctx, a, line, b.evaluateOnly(a))
		}
		return choice, err
	}
	choice.Frontend, choice.Deadline = policy.DaemonDockerfile, b.deadline
	delete(choice.Options, optionkeys.Source)
	line, err := b.emptyLine(ctx, a)
	choice.announce = func(ctx context.Context) error {
		b.announceEmpty(ctx, a, line)
		return nil
	}
	return choice, err
}

// Announce shows the progress line that names rule and frontend, and the decision's warnings. It
// takes as long as the daemon needs to load the frontend's image, so it is for calling while the
// daemon runs the frontend. Before that, the caller has to answer the daemon's questions by this
// choice.
//
// The error says why the daemon didn't read the image, as that of [Frontend.Choose]. The daemon
// can't run the frontend then, and says less about it.
func (c *Choice) Announce(ctx context.Context) error {
	if c.announce == nil { // whatever the daemon runs does it
		return nil
	}
	err := c.announce(ctx)
	if err != nil {
		_, err = c.monitor.build.settle(ctx, nil, err)
	}
	return err
}

// checkContexts refuses a named context over the image that the daemon runs as a frontend. The
// gateway would run the context's image instead (frontend/gateway/gateway.go, Solve).
func (b *build) checkContexts(a admitted, runs imageref.Reference) error {
	for _, name := range b.opts.NamedContexts() {
		ref, err := imageref.Parse(name)
		if err == nil && ref.SameRepository(runs) {
			return b.refuse(a.request, fmt.Errorf("the named context %s would replace the frontend: "+
				"build without it, or give it another name", safetext.Plain(name)))
		}
	}
	return nil
}

// recordFrontend is the value of the attribute image.recordtype of an image that the daemon loads
// as a frontend (frontend/gateway/gateway.go).
const recordFrontend = "frontend"

// Refuses returns why the daemon may not read a source in a build, whoever asks it to, or "". It
// refuses each image that would run as a frontend and isn't the chosen one. A nil choice refuses
// all of those.
func (c *Choice) Refuses(source *pb.SourceOp) string {
	if source.GetAttrs()[pb.AttrImageRecordType] != recordFrontend {
		return ""
	}
	name := strings.TrimPrefix(source.GetIdentifier(), dockerImageProto)
	if c == nil {
		return "no frontend was allowed in this build, and it would run " + safetext.Plain(name)
	}
	if c.IsOwn() {
		return "the client asked for no frontend, and it would run " + safetext.Plain(name)
	}
	ref, err := imageref.Parse(name)
	if err != nil || c.runs.Name() == "" || !ref.SameRepository(c.runs) ||
		ref.Digest() != c.runs.Digest() {
		return fmt.Sprintf("the policy allows the frontend %s in this build, and it would run %s",
			c.Decision.Reference.Familiar(), safetext.Plain(name))
	}
	return ""
}

// Same reports whether two choices run the same frontend under the same rule and overlay.
func (c *Choice) Same(other *Choice) bool {
	overlay := func(d policy.Decision) policy.Identity {
		if d.Overlay == nil {
			return policy.Identity{}
		}
		return *d.Overlay
	}
	a, b := c.Decision, other.Decision
	return c.Frontend == other.Frontend && a.Rule == b.Rule && a.Layer == b.Layer &&
		a.Dispatch == b.Dispatch && a.Reference == b.Reference && c.runs == other.runs &&
		overlay(a) == overlay(b) && slices.Equal(a.Warnings, b.Warnings)
}
