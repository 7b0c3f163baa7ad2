// Package expansion bounds what the variables of a Dockerfile expand to, before anybody expands
// them.
package expansion

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// Stages returns the stages of a Dockerfile, and the args before them. It fails for what isn't a
// Dockerfile.
func Stages(data []byte) ([]instructions.Stage, []instructions.ArgCommand, error) {
	file, err := parser.Parse(bytes.NewReader(data))
	if err != nil {
		return nil, nil, err
	}
	// Without a linter, BuildKit v0.34.2 crashes on a comment such as `# check=skip=all`
	// (frontend/dockerfile/linter/linter.go, WithMergedConfig).
	return instructions.Parse(file.AST, linter.New(&linter.Config{}))
}

// Check fails if the lines of a Dockerfile could expand to more than some MiB. args are those
// before the first stage, and given the build-args. With "ENV A=$A$A" on each of 40 lines, the
// Dockerfile frontend would need a terabyte.
//
// It overestimates: a variable has the largest of its values, in all stages.
func Check(
	args []instructions.ArgCommand, stages []instructions.Stage, given map[string]string, mib int,
) error {
	most := mib << 20
	sizes := map[string]int{}
	for name, value := range given {
		sizes[name] = sizeOf(value)
	}
	total := 0
	for _, c := range Commands(args, stages) {
		for _, p := range Variables(c) {
			n := expandedSize(p.Value, sizes, most)
			sizes[p.Key] = max(sizes[p.Key], n)
			total += n
		}
		for _, text := range texts(c) {
			total += expandedSize(text, sizes, most)
		}
		if total > most {
			return fmt.Errorf("its variables expand to more than %d MiB", mib)
		}
	}
	return nil
}

// Commands returns those of all stages, in order. Those of ONBUILD follow the others of their
// stage, because they run after them.
func Commands(args []instructions.ArgCommand, stages []instructions.Stage) []instructions.Command {
	out := make([]instructions.Command, 0, len(args))
	for i := range args {
		out = append(out, &args[i])
	}
	for _, stage := range stages {
		out = append(out, stage.Commands...)
		for _, c := range stage.Commands {
			if trigger, ok := c.(*instructions.OnbuildCommand); ok {
				out = append(out, triggered(trigger)...)
			}
		}
	}
	return out
}

// triggered returns the command of an ONBUILD. There is none if it is wrong, which the build finds.
func triggered(c *instructions.OnbuildCommand) []instructions.Command {
	file, err := parser.Parse(strings.NewReader(c.Expression))
	if err != nil || len(file.AST.Children) != 1 {
		return nil
	}
	command, err := instructions.ParseCommand(file.AST.Children[0])
	if err != nil {
		return nil
	}
	return []instructions.Command{command}
}

// Variables returns those that the command sets.
func Variables(c instructions.Command) instructions.KeyValuePairs {
	switch c := c.(type) {
	case *instructions.EnvCommand:
		return c.Env
	case *instructions.ArgCommand:
		var out instructions.KeyValuePairs
		for _, a := range c.Args {
			if a.Value != nil {
				out = append(out, instructions.KeyValuePair{Key: a.Key, Value: *a.Value})
			}
		}
		return out
	}
	return nil
}

// texts returns the parts of a command that can be expanded: its lines, and the files in it.
func texts(c instructions.Command) []string {
	out := []string{fmt.Sprint(c)}
	add := func(files []instructions.SourceContent) {
		for _, f := range files {
			out = append(out, f.Data)
		}
	}
	switch c := c.(type) {
	case *instructions.AddCommand:
		add(c.SourceContents)
	case *instructions.CopyCommand:
		add(c.SourceContents)
	}
	return out
}

// expandedSize returns a bound for the size of a text after its variables are expanded, or most+1.
// A replacement such as ${A//x/$B} puts a text in place of each character of another, so their
// sizes multiply.
func expandedSize(text string, sizes map[string]int, most int) int {
	size := sizeOf(text)
	var replaced []int
	for i := range len(text) {
		if text[i] != '$' {
			continue
		}
		name := strings.TrimPrefix(text[i+1:], "{")
		end := strings.IndexFunc(name, notName)
		if end < 0 {
			end = len(name)
		} else if name[end] == '/' {
			replaced = append(replaced, sizes[name[:end]])
		}
		size = min(size+sizes[name[:end]], most+1)
	}
	for _, n := range replaced {
		size = min(size+n*size, most+1)
	}
	return size
}

// sizeOf returns a bound for the size of a text that is read as UTF-8. A byte that isn't becomes a
// character of three.
func sizeOf(text string) int {
	if utf8.ValidString(text) {
		return len(text)
	}
	return 3 * len(text)
}

func notName(r rune) bool {
	return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}
