package facts

import (
	"bytes"

	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
)

// maxSource bounds a build file that is shown to a person, in bytes.
const maxSource = 1 << 20

// Place is where in a build file an operation is asked for. All of it is what the
// inner frontend says.
type Place struct {
	Info   *pb.SourceInfo
	Ranges []*pb.Range // at least one; lines count from 1 and lie within the file
}

// Place returns the first place that the definition names for the operation; nil if
// it names none or a wrong one, or if the file is larger than 1 MiB.
func (f Found) Place() *Place {
	src := f.def.GetSource()
	if len(src.GetLocations()) == 0 {
		return nil
	}
	for _, l := range src.GetLocations()[digest.FromBytes(f.op).String()].GetLocations() {
		if i := int(l.GetSourceIndex()); i >= 0 && i < len(src.GetInfos()) {
			if p := NewPlace(src.GetInfos()[i], l.GetRanges()); p != nil {
				return p
			}
		}
	}
	return nil
}

// NewPlace returns the place of the ranges that lie within the file; nil if there
// are none, or if the file is larger than 1 MiB.
func NewPlace(info *pb.SourceInfo, ranges []*pb.Range) *Place {
	if info == nil || len(info.GetData()) > maxSource {
		return nil
	}
	// What else the inner frontend says of its file is no matter of messages.
	p := Place{Info: &pb.SourceInfo{Filename: info.GetFilename(), Data: info.GetData(), Language: info.GetLanguage()}}
	last := int32(bytes.Count(info.GetData(), []byte("\n"))) + 1
	for _, r := range ranges {
		from, to := r.GetStart().GetLine(), r.GetEnd().GetLine()
		if from >= 1 && from <= to && to <= last {
			p.Ranges = append(p.Ranges, r)
		}
	}
	if len(p.Ranges) == 0 {
		return nil
	}
	return &p
}
