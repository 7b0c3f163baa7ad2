package llbops

import (
	"github.com/moby/buildkit/solver/pb"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// SoleSource returns the kind of the source that a definition consists of: one source, and files
// that are copied from it, for instance to select a directory or to unpack an archive. It returns
// "" for any other definition, and for a source that can't be read or uses secrets of the
// frontend's choice.
func SoleSource(def *pb.Definition) buildrules.Kind {
	if len(def.GetDef()) > maxOps || strangeDefinition(def) != "" {
		return ""
	}
	var kind buildrules.Kind
	for _, dt := range def.GetDef() {
		op, err := readOp(dt, anyKind)
		if err != nil || op == nil {
			return ""
		}
		switch o := op.GetOp().(type) {
		case *pb.Op_Source:
			operations := FromSource(o.Source)
			if kind != "" || len(operations) != 1 {
				return ""
			}
			if kind, err = operations[0].Kind(); err != nil {
				return ""
			}
		case *pb.Op_File:
			for _, action := range o.File.GetActions() {
				if action.GetCopy() == nil {
					return ""
				}
			}
		case nil: // the last operation only names the result
		default:
			return ""
		}
	}
	return kind
}
