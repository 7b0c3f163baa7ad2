package survey

import (
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/policy-frontend/policy-frontend/internal/expansion"
)

// maxExpanded bounds what all lines of a Dockerfile expand to, in MiB.
const maxExpanded = 16

// maxInstructions bounds the instructions of all stages. A stage has those that the ONBUILD of its
// base add, and sets again each variable of its base.
const maxInstructions = 100_000

// checkSize fails if the stages have more than [maxInstructions]. A megabyte of stages that all
// build on one with a thousand ONBUILD has ten million.
func (s *stages) checkSize() error {
	type size struct{ variables, onbuild int }
	sizes := map[string]size{}
	total := 0
	for _, stage := range s.list {
		base := sizes[strings.ToLower(stage.BaseName)]
		own := size{variables: base.variables + base.onbuild}
		for _, c := range stage.Commands {
			own.variables += len(expansion.Variables(c))
			if _, ok := c.(*instructions.OnbuildCommand); ok {
				own.onbuild++
			}
		}
		total += len(stage.Commands) + own.variables
		if total > maxInstructions {
			return fmt.Errorf("its stages have more than %d instructions and variables", maxInstructions)
		}
		if stage.Name != "" {
			sizes[strings.ToLower(stage.Name)] = own
		}
	}
	return nil
}

// commands returns those of all stages, in order.
func (s *stages) commands() []instructions.Command { return expansion.Commands(s.args, s.list) }
