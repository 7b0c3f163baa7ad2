package survey

import (
	"context"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Use is something that a build asks for.
type Use struct {
	// File and Line are where the build file asks for it. Line is 0 if no line does.
	File string
	Line int
	// Frontend is the frontend, or the zero value if an operation is asked for.
	Frontend imageref.Reference
	// Default says that the build names no frontend, and Frontend is the policy's default.
	Default bool
	// Operation is what the frontend asks for. That of a command is without what isn't known.
	Operation buildrules.Operation
}

// Uses returns what a build asks for, whatever the policies say about it. What can't be known
// offline is left out. The result says why the build can't be read, and has no other findings. It
// takes at most [MaxTime].
func (s *Survey) Uses(ctx context.Context, b Build) ([]Use, Result) {
	r := s.within(ctx, b, (*check).collect)
	return r.uses, r
}

func (c *check) collect(ctx context.Context) {
	w, ok := c.wish()
	if !ok {
		return
	}
	isDefault := w.line == 0 && c.build.Options[optionkeys.Syntax] == ""
	c.use(Use{Line: w.line, Frontend: w.ref, Default: isDefault})
	if !readsDockerfiles(w.ref) {
		return
	}
	opts := c.options().Inner(policy.Obligations{})
	found := convert(ctx, c.build, opts)
	for _, a := range found.asked {
		uncertain := a.variable && (a.HTTP != nil || a.Git != nil)
		if a.Config != nil || uncertain || len(a.may) > 0 {
			continue
		}
		c.use(Use{Line: a.line, Operation: a.Operation})
	}
	if p := found.problem; p != nil {
		c.addProblem(p)
	}
}

func (c *check) use(u Use) {
	u.File, u.Line = c.build.File, c.line(u.Line)
	c.result.uses = append(c.result.uses, u)
}
