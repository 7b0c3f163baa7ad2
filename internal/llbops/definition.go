// Package llbops reads what an inner frontend asks of BuildKit into operations that
// package policy judges: LLB definitions, single sources, containers and the
// configurations of images.
//
// It reads as the daemon does, and names the daemon's file where that matters, so an operation says
// exactly what the daemon fetches. Something that the daemon might read differently, or that only
// the daemon knows, is an operation too: buildrules.Operation.Unknown, which no rule allows. Nothing
// is left out because it isn't understood.
package llbops

import (
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// maxOps is how many operations a definition may have. The message that carries it
// is bounded by gRPC, at 16 MiB; this bounds what empty operations cost.
const maxOps = 200_000

// Found is an operation of a definition, and the operation that it is of.
type Found struct {
	buildrules.Operation
	// Source is the operation, if it is one that reads a source.
	Source *pb.SourceOp

	index int // of the operation in def
	def   *pb.Definition
}

// FromDefinition yields the operations of all operations of a definition, in their
// order. Operations on files, and those that merge, compare or pass on what others
// made, have none, nor has a nil definition.
//
// The last thing that it yields is an error if an operation can't be read, or if
// there are more than 200,000.
func FromDefinition(def *pb.Definition) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		if n := len(def.GetDef()); n > maxOps {
			yield(Found{}, fmt.Errorf("the definition has %d operations, more than %d", n, maxOps))
			return
		}
		if what := strangeDefinition(def); what != "" && !yield(Found{Operation: unknown(what)}, nil) {
			return
		}
		for i, dt := range def.GetDef() {
			op, err := readOp(dt, withOperations)
			if err != nil {
				yield(Found{}, fmt.Errorf("operation %d of the definition can't be read: %w", i+1, err))
				return
			}
			for _, f := range ofOp(op) {
				if !yield(Found{Operation: f, Source: op.GetSource(), index: i, def: def}, nil) {
					return
				}
			}
		}
	}
}

// readOp reads an operation of a kind; of others, it returns an empty one. It is nil if
// it can't be read in one way only. That comes first: reading takes stack for each level,
// and BuildKit's own reader has no limit.
func readOp(dt []byte, kind func(protowire.Number) bool) (*pb.Op, error) {
	var op pb.Op
	if !plain(dt, op.ProtoReflect().Descriptor(), maxDepth) {
		return nil, nil
	}
	for b := dt; len(b) > 0; {
		num, typ, n := protowire.ConsumeTag(b)
		if !kind(num) {
			return &op, nil
		}
		b = b[n:]
		b = b[protowire.ConsumeFieldValue(num, typ, b):] // which is as long as plain found it
	}
	return &op, op.Unmarshal(dt)
}

// withOperations are the fields that operations have which can have operations: most of a large
// definition is about files (solver/pb/ops.proto, Op).
func withOperations(field protowire.Number) bool {
	const file, merge, diff, passthrough = 4, 6, 7, 8
	return field != file && field != merge && field != diff && field != passthrough
}

// any kind of operation.
func anyKind(protowire.Number) bool { return true }

// ofOp returns the operations of an operation that was read.
func ofOp(op *pb.Op) []buildrules.Operation {
	if op == nil {
		return []buildrules.Operation{
			unknown(
				"an operation with fields that this version does not know, or that can be read in two ways"),
		}
	}
	switch o := op.GetOp().(type) {
	case *pb.Op_Source:
		return FromSource(o.Source)
	case *pb.Op_Exec:
		return []buildrules.Operation{ofExec(o.Exec)}
	case *pb.Op_File, *pb.Op_Merge, *pb.Op_Diff, *pb.Op_Passthrough:
		return nil
	case nil: // the last one only names the result
		return nil
	case *pb.Op_Build:
		return []buildrules.Operation{unknown("a build of LLB that is made during the build (BuildOp)")}
	default:
		return []buildrules.Operation{unknown("an operation of an unknown type")}
	}
}

// strangeDefinition says what in a definition beside its operations is unknown, or
// "". Metadata of an operation that isn't there has no effect.
func strangeDefinition(def *pb.Definition) string {
	const what = "a definition with fields that this version does not know"
	if len(def.ProtoReflect().GetUnknown()) > 0 {
		return what
	}
	for _, m := range def.GetMetadata() {
		if len(m.ProtoReflect().GetUnknown()) > 0 ||
			len(m.GetExportCache().ProtoReflect().GetUnknown()) > 0 ||
			len(m.GetProgressGroup().ProtoReflect().GetUnknown()) > 0 ||
			len(m.GetLinuxResources().ProtoReflect().GetUnknown()) > 0 {
			return what
		}
	}
	return ""
}

// unknown makes the operation that something can't be checked. The phrase completes "it
// asks for …".
func unknown(phrase string) buildrules.Operation { return buildrules.Operation{Unknown: phrase} }

// quote makes what was sent part of a phrase.
func quote(s string) string {
	const most = 120
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strconv.Quote(s)
}
