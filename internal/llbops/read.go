package llbops

import (
	"errors"
	"fmt"
	"iter"

	"github.com/moby/buildkit/solver/pb"
)

// MaxSize is the size in bytes of the largest definition that is read, which is
// that of the largest message that a daemon takes.
const MaxSize = 16 << 20

// Read yields the operations of a definition in the form that buildctl reads from its
// stdin and llb.WriteTo writes, as FromDefinition does.
func Read(llb []byte) iter.Seq2[Found, error] {
	var def pb.Definition
	err := errors.New("the definition is empty")
	switch {
	case len(llb) > MaxSize:
		err = fmt.Errorf("the definition has more than %d bytes", MaxSize)
	case len(llb) > 0:
		if err = def.Unmarshal(llb); err != nil {
			err = fmt.Errorf("not an LLB definition: %w", err)
		} else if len(def.Def) == 0 {
			err = errors.New("not an LLB definition: it has no operations")
		}
	}
	if err != nil {
		return func(yield func(Found, error) bool) { yield(Found{}, err) }
	}
	return FromDefinition(&def)
}
