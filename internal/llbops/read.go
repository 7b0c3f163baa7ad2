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
