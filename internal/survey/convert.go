package survey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/policy-frontend/policy-frontend/internal/expansion"
	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// Options that dockerui reads (frontend/dockerui/config.go, frontend/dockerui/context.go).
const (
	keyFilename   = "filename"
	keyDockerfile = "dockerfilekey"
	keyContext    = "context"
)

// platformArgs are those that the frontend sets (frontend/dockerfile/dockerfile2llb/platform.go).
var platformArgs = []string{
	"BUILDPLATFORM", "BUILDOS", "BUILDOSVERSION", "BUILDARCH", "BUILDVARIANT", "TARGETPLATFORM",
	"TARGETOS", "TARGETOSVERSION", "TARGETARCH", "TARGETVARIANT", "TARGETSTAGE",
}

// asked is an operation that the frontend asks for.
type asked struct {
	buildrules.Operation
	line   int // of the build file, 0 if no line asks for it
	target string
	// early operations happen while the frontend converts the file; its result doesn't show them.
	early bool
	// base says that the operation is a configuration that an image of a registry, or another
	// build, adds to.
	base bool
	// variable says that a variable in the operation's line isn't set by the build file.
	variable bool
	// unsure are the parts of a configuration that depend on such variables.
	unsure map[string]bool
	// may are the kinds of an operation that isn't known, and text says what asks for it.
	may  []buildrules.Kind
	text string
}

// converted is what the frontend makes of a build file.
type converted struct {
	asked   []asked
	targets []string
	// images are those that the frontend looks up, each once.
	images []string
	// problem says why the rest of the operations isn't known, and at which line; nil if all are.
	problem *problem
}

// problem says why a build file, or a part of it, can't be checked.
type problem struct {
	line    int
	message string
	// unknown says that the file may be fine: something about it can't be known offline.
	unknown bool
}

// conversion converts one build file.
type conversion struct {
	client    *offline
	ui        *dockerui.Client
	source    *dockerui.Source
	stages    stages
	undefined map[int]bool // lines with a variable whose value the file doesn't tell
	out       converted
}

// convert runs the Dockerfile frontend on a build file. opts are the options that it gets.
func convert(ctx context.Context, b Build, opts map[string]string) converted {
	c := conversion{
		client: &offline{opts: opts, data: b.Data, inputs: b.Inputs},
	}
	if err := c.open(ctx, b); err != nil {
		c.out.problem = err
	}
	c.addEarly()
	if c.out.problem == nil {
		c.convertTargets(ctx, b)
	}
	slices.Sort(c.out.images) // the frontend looks up several at a time
	return c.out
}

// open reads the options and the build file.
func (c *conversion) open(ctx context.Context, b Build) *problem {
	var err error
	if c.ui, err = dockerui.NewClient(c.client); err != nil {
		return &problem{message: plain(err)}
	}
	// A comment in the file can make its warnings errors, or silence them.
	c.ui.LinterConfig = &linter.Config{}
	c.source, err = c.ui.ReadEntrypoint(ctx, "Dockerfile")
	switch {
	case err != nil && b.Data == nil:
		return &problem{message: missing(b), unknown: true}
	case err != nil:
		return &problem{message: plain(err)}
	}
	return nil
}

// addEarly adds what the frontend has read so far.
func (c *conversion) addEarly() {
	c.client.mu.Lock()
	defer c.client.mu.Unlock()
	for _, def := range c.client.read {
		c.addDefinition(def, asked{early: true})
	}
	c.client.read = nil
}

// addDefinition adds the operations of a definition, with the properties that they share.
func (c *conversion) addDefinition(def *pb.Definition, common asked) {
	for f, err := range llbops.FromDefinition(def) {
		a := common
		if err != nil {
			a.Operation = buildrules.Operation{Unknown: "a definition that can't be read: " + plain(err)}
			c.out.asked = append(c.out.asked, a)
			return
		}
		a.Operation = f.Operation
		if p := f.Place(); p != nil {
			a.line = int(p.Ranges[0].GetStart().GetLine())
			a.variable = c.undefined[a.line]
		}
		c.out.asked = append(c.out.asked, a)
	}
}

func (c *conversion) convertTargets(ctx context.Context, b Build) {
	found, err := readStages(b.Data)
	if err == nil {
		err = errors.Join(
			expansion.Check(found.args, found.list, c.ui.BuildArgs, maxExpanded), found.checkSize())
	}
	if err != nil {
		c.out.problem = problemOf(err, b.Data)
		return
	}
	c.stages = found
	c.undefined = found.unsetLines(c.ui.BuildArgs, platformArgs)
	defer c.addUnset()
	targets := []string{c.ui.Target}
	if c.ui.Target == "" && b.Origin == "" { // a description has one target, if only the default one
		targets = found.targets()
	}
	if c.ui.SBOM != nil { // the frontend looks it up for each platform
		c.addImage(c.ui.SBOM.Generator)
	}
	platforms := []*ocispecs.Platform{nil}
	if n := len(c.ui.TargetPlatforms); n > 0 {
		platforms = nil
		for i := range c.ui.TargetPlatforms {
			platforms = append(platforms, &c.ui.TargetPlatforms[i])
		}
	}
	for _, target := range targets {
		for _, p := range platforms {
			err := ctx.Err()
			if err == nil {
				err = c.convertTarget(ctx, b, target, p)
			}
			if err != nil {
				if c.out.problem == nil {
					c.out.problem = problemOf(err, b.Data)
				}
				return
			}
		}
		c.out.targets = append(c.out.targets, target)
	}
}

// convertTarget adds what one target for one platform asks for.
func (c *conversion) convertTarget(
	ctx context.Context, b Build, target string, p *ocispecs.Platform,
) error {
	opt := dockerfile2llb.ConvertOpt{
		Config: c.ui.Config, Client: c.ui, SourceMap: c.source.SourceMap,
		MetaResolver: c.client, TargetPlatform: p,
		Warn: func(rule, _, _, _ string, at []parser.Range) {
			if rule == linter.RuleUndefinedVar.Name && len(at) > 0 {
				c.undefined[at[0].Start.Line] = true
			}
		},
	}
	opt.Target, opt.BuildArgs = target, maps.Clone(c.ui.BuildArgs)
	res, err := dockerfile2llb.Dockerfile2LLB(ctx, b.Data, opt)
	c.addEarly()
	if err != nil {
		return err
	}
	def, err := res.State.Marshal(ctx)
	if err != nil {
		return err
	}
	from := len(c.out.asked)
	c.addDefinition(def.ToPB(), asked{target: target})
	c.addLookups(from, target)
	config, err := json.Marshal(res.Image)
	if err != nil {
		return err
	}
	id := ""
	if c.ui.MultiPlatformRequested && p != nil {
		id = strings.TrimSuffix(strings.Join([]string{p.OS, p.Architecture, p.Variant}, "/"), "/")
	}
	c.out.asked = append(c.out.asked, asked{
		Operation: llbops.FromConfig(target, id, config),
		target:    target,
		line:      c.stages.configLine(target),
		base:      res.BaseImage != nil || len(b.Inputs) > 0 || c.hasContexts(),
		unsure:    c.unsure(target),
	})
	return nil
}

// hasContexts reports whether a named context can stand in for a base image.
func (c *conversion) hasContexts() bool {
	for k := range c.client.opts {
		if strings.HasPrefix(k, "context:") {
			return true
		}
	}
	return false
}

// addLookups adds the images that were looked up, unless the definition has them. from is the index
// of its first operation.
func (c *conversion) addLookups(from int, target string) {
	seen := map[string]bool{}
	for _, a := range c.out.asked[from:] {
		seen[a.Image] = true
	}
	c.client.mu.Lock()
	defer c.client.mu.Unlock()
	for _, ref := range c.client.resolved {
		if !slices.Contains(c.out.images, ref) {
			c.out.images = append(c.out.images, ref)
		}
		if !seen[ref] {
			seen[ref] = true
			a := asked{Operation: buildrules.Operation{Image: ref}, target: target, early: true}
			c.out.asked = append(c.out.asked, a)
		}
	}
	c.client.resolved = nil
}

func (c *conversion) addImage(ref string) {
	c.out.asked = append(c.out.asked, asked{Operation: buildrules.Operation{Image: ref}})
}

// problemOf reads an error of the Dockerfile frontend. A base image whose name has a variable
// without a value isn't an error of the file: the build has to give the value.
func problemOf(err error, data []byte) *problem {
	p := problem{message: plain(err)}
	var located *parser.LocationError
	if !errors.As(err, &located) || len(located.Locations) == 0 || len(located.Locations[0]) == 0 {
		return &p
	}
	p.line = located.Locations[0][0].Start.Line
	lines := strings.Split(string(data), "\n")
	if p.line < 1 || p.line > len(lines) {
		return &p
	}
	line := strings.TrimSpace(lines[p.line-1])
	if len(line) > 5 && strings.EqualFold(line[:5], "FROM ") && strings.Contains(line, "$") {
		p.unknown = true
		p.message = fmt.Sprintf("the base image depends on a build-arg that has no usable default "+
			"(%s); give it with --build-arg", p.message)
	}
	return &p
}
