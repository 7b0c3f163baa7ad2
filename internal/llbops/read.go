package llbops

import (
	"errors"
	"fmt"
	"iter"

	"github.com/moby/buildkit/solver/pb"
)

// MaxSize is the largest size of a definition, in bytes. It is the size of the largest message that
// a daemon accepts.
const MaxSize = 16 << 20

// Read yields the operations of a definition as FromDefinition does. The definition has the form
// that llb.WriteTo writes and buildctl reads.
func Read(llb []byte) iter.Seq2[Found, error] {
	def, err := parse(llb)
	if err != nil {
		return func(yield func(Found, error) bool) { yield(Found{}, err) }
	}
	return FromDefinition(def)
}

// ReadOwn is [Read] for a definition that no frontend made. It also yields what [Shared] describes,
// as an unknown operation, because no policy lets a client ask for that by itself. If the commands
// of the build are kept apart from those of others, it yields [OwnCommands] too.
func ReadOwn(llb []byte, keptApart bool) iter.Seq2[Found, error] {
	def, err := parse(llb)
	if err != nil {
		return func(yield func(Found, error) bool) { yield(Found{}, err) }
	}
	return func(yield func(Found, error) bool) {
		readable := true
		for found, err := range FromDefinition(def) {
			if !yield(found, err) {
				return
			}
			readable = readable && err == nil && found.Unknown == ""
		}
		if !readable {
			return
		}
		if keptApart && HasCommands(def) && !yield(Found{Operation: unknown(OwnCommands)}, nil) {
			return
		}
		if what, err := Shared(def); what != "" || err != nil {
			yield(Found{Operation: unknown(what)}, err)
		}
	}
}

func parse(llb []byte) (*pb.Definition, error) {
	var def pb.Definition
	switch {
	case len(llb) > MaxSize:
		return nil, fmt.Errorf("the definition has more than %d bytes", MaxSize)
	case len(llb) == 0:
		return nil, errors.New("the definition is empty")
	}
	if err := def.Unmarshal(llb); err != nil {
		return nil, fmt.Errorf("not an LLB definition: %w", err)
	}
	if len(def.Def) == 0 {
		return nil, errors.New("not an LLB definition: it has no operations")
	}
	return &def, nil
}
