package llbops

import (
	"bytes"
	"slices"
	"strings"

	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
)

// MaxSource is the largest size of a build file that messages show, in bytes.
const MaxSource = 1 << 20

// Place is the place in a build file that asks for an operation. The inner frontend reports it, so
// it may be wrong.
type Place struct {
	Info   *pb.SourceInfo
	Ranges []*pb.Range // at least one; lines count from 1 and lie within the file
}

// Place returns the first place that the definition names for the operation. If it names none,
// Place tries the first operation that uses the result. That helps because docker/dockerfile names
// no place for the image of a COPY --from. Place returns nil if there is no place, if the named one
// is wrong, or if the file is larger than 1 MiB.
func (f Found) Place() *Place {
	if len(f.def.GetSource().GetLocations()) == 0 {
		return nil
	}
	made := map[string]bool{}
	for _, dt := range f.def.GetDef()[f.index:] {
		uses := len(made) == 0 // the operation itself
		if !uses {
			op, err := readOp(dt, anyKind)
			if err != nil {
				return nil
			}
			uses = slices.ContainsFunc(op.GetInputs(),
				func(in *pb.Input) bool { return made[in.GetDigest()] })
		}
		if uses {
			d := digest.FromBytes(dt).String()
			if p := placeOf(f.def.GetSource(), d); p != nil {
				return p
			}
			made[d] = true
		}
	}
	return nil
}

// placeOf returns the first valid place of an operation, or nil.
func placeOf(src *pb.Source, dgst string) *Place {
	for _, l := range src.GetLocations()[dgst].GetLocations() {
		if i := int(l.GetSourceIndex()); i >= 0 && i < len(src.GetInfos()) {
			if p := NewPlace(src.GetInfos()[i], l.GetRanges()); p != nil {
				return p
			}
		}
	}
	return nil
}

const (
	// maxFileName bounds the names of a build file and of its language, in bytes.
	maxFileName = 1 << 10
	// maxRanges bounds the ranges of a place.
	maxRanges = 100
)

// NewPlace returns the place for the first 100 ranges that lie within the file. It returns nil if
// there are none, or if the file is larger than 1 MiB. It cuts names after 1 KiB.
func NewPlace(info *pb.SourceInfo, ranges []*pb.Range) *Place {
	if info == nil || len(info.GetData()) > MaxSource {
		return nil
	}
	// Messages need no other field of info.
	p := Place{
		Info: &pb.SourceInfo{
			Filename: cut(info.GetFilename()), Data: info.GetData(),
			Language: cut(info.GetLanguage()),
		},
	}
	last := int32(bytes.Count(info.GetData(), []byte("\n"))) + 1
	for _, r := range ranges {
		from, to := r.GetStart().GetLine(), r.GetEnd().GetLine()
		if from >= 1 && from <= to && to <= last && len(p.Ranges) < maxRanges {
			p.Ranges = append(p.Ranges, r)
		}
	}
	if len(p.Ranges) == 0 {
		return nil
	}
	return &p
}

// cut returns at most [maxFileName] bytes of a name, in whole characters.
func cut(name string) string {
	if len(name) <= maxFileName {
		return name
	}
	return strings.ToValidUTF8(name[:maxFileName], "")
}
