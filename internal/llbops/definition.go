// Package llbops translates what an inner frontend asks BuildKit for into operations that package
// policy checks. It reads LLB definitions, single sources, containers and image configurations.
//
// It reads as the daemon does, and names the daemon's file where that matters. So an operation says
// exactly what the daemon fetches. Some things can be read in two ways, or only the daemon knows
// them. They are operations too, with buildrules.Operation.Unknown set, which no rule allows. So
// nothing is skipped because it isn't understood.
package llbops

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// maxOps is the largest number of operations in a definition. gRPC limits the message to 16 MiB;
// this limits the cost of empty operations.
const maxOps = 200_000

// Found is an operation for build rules, with its place in the LLB definition.
type Found struct {
	buildrules.Operation
	// Source is the LLB operation if it reads a source, or nil.
	Source *pb.SourceOp
	// Platform is the platform of the LLB operation; nil for the daemon's own.
	Platform *pb.Platform
	// Scan says that the operation looks like BuildKit's command that makes an SBOM.
	Scan bool

	index int // of the LLB operation in def
	def   *pb.Definition
}

// FromDefinition yields the operations that build rules check, in the order of the definition. It
// yields none for LLB operations that change files, or that merge, compare or pass on results. It
// yields none for a nil definition.
//
// If an operation can't be read, or if there are more than 200,000, an error comes last.
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
			for _, operation := range ofOp(op) {
				if !yield(Found{
					Operation: operation, Source: op.GetSource(), Platform: op.GetPlatform(),
					Scan: isScan(op.GetExec()), index: i, def: def,
				}, nil) {
					return
				}
			}
		}
	}
}

// readOp reads an LLB operation of the kinds that kind accepts. For other kinds, it returns an
// empty one. It returns nil unless the bytes can be read in only one way. That is checked first,
// because BuildKit's own reader takes stack for each level and has no limit.
func readOp(dt []byte, kind func(protowire.Number) bool) (*pb.Op, error) {
	var op pb.Op
	if !plain(dt, opShape(), maxDepth) {
		return nil, nil
	}
	for b := dt; len(b) > 0; {
		num, typ, n := protowire.ConsumeTag(b)
		if !kind(num) {
			return &op, nil
		}
		b = b[n:]
		b = b[protowire.ConsumeFieldValue(num, typ, b):] // plain has checked its length
	}
	return &op, op.Unmarshal(dt)
}

// readInputs reads the inputs of an LLB operation. isResult says that it is of no kind: it only
// names the result of a definition. ok is false unless the bytes can be read in only one way.
//
// It reads nothing else: an operation on files can have thousands of actions (solver/pb/ops.proto,
// Op).
func readInputs(dt []byte) (inputs []*pb.Input, isResult, ok bool) {
	of := opShape()
	if !plain(dt, of, maxDepth) {
		return nil, false, false
	}
	isResult = true
	for b := dt; len(b) > 0; {
		num, typ, n := protowire.ConsumeTag(b) // plain has checked all lengths
		b = b[n:]
		value := b[:protowire.ConsumeFieldValue(num, typ, b)]
		b = b[len(value):]
		const input = 1
		if num == input {
			in := &pb.Input{}
			within, _ := protowire.ConsumeBytes(value)
			if in.UnmarshalVT(within) != nil {
				return nil, false, false
			}
			inputs = append(inputs, in)
		}
		isResult = isResult && !of[num].isOneof
	}
	return inputs, isResult, true
}

// withOperations accepts the fields that have to be read. It skips file operations, which make up
// most of a large definition (solver/pb/ops.proto, Op).
func withOperations(field protowire.Number) bool {
	const file = 4
	return field != file
}

// anyKind accepts every kind of operation.
func anyKind(protowire.Number) bool { return true }

// ofOp returns the operations that an LLB operation yields.
func ofOp(op *pb.Op) []buildrules.Operation {
	if op == nil {
		return []buildrules.Operation{
			unknown(
				"an operation with fields that this version does not know, that can be read in two ways, " +
					"or that no frontend writes"),
		}
	}
	switch o := op.GetOp().(type) {
	case *pb.Op_Source:
		return FromSource(o.Source)
	case *pb.Op_Exec:
		return []buildrules.Operation{ofExec(o.Exec)}
	case *pb.Op_Merge, *pb.Op_Diff, *pb.Op_Passthrough:
		if !isComplete(op) {
			return []buildrules.Operation{unknown("an operation without some of its inputs")}
		}
		return nil
	case *pb.Op_File:
		return nil
	case nil: // the last operation only names the result
		return nil
	case *pb.Op_Build:
		return []buildrules.Operation{unknown("a build of LLB that is made during the build (BuildOp)")}
	default:
		return []buildrules.Operation{unknown("an operation of an unknown type")}
	}
}

// isComplete reports whether an operation on results has all of its inputs. Newer daemons check the
// same (solver/llbsolver/ops/opsutils/validate.go); daemons before v0.31.2 crash.
func isComplete(op *pb.Op) bool {
	exists := func(input int64) bool { return input >= 0 && input < int64(len(op.GetInputs())) }
	switch o := op.GetOp().(type) {
	case *pb.Op_Merge:
		return len(o.Merge.GetInputs()) == len(op.GetInputs()) &&
			!slices.ContainsFunc(o.Merge.GetInputs(), func(in *pb.MergeInput) bool {
				return !exists(in.GetInput())
			})
	case *pb.Op_Diff:
		side := func(input int64) bool { return input == int64(pb.Empty) || exists(input) }
		return o.Diff.GetLower() != nil && o.Diff.GetUpper() != nil &&
			side(o.Diff.GetLower().GetInput()) && side(o.Diff.GetUpper().GetInput())
	case *pb.Op_Passthrough:
		return o.Passthrough.GetId() != "" && len(o.Passthrough.GetOutputs()) > 0 &&
			!slices.ContainsFunc(o.Passthrough.GetOutputs(), func(out int64) bool {
				return out < 0 || len(op.GetInputs()) > 0 && !exists(out)
			})
	}
	return true
}

// strangeDefinition describes what is unknown in a definition outside of its operations, or returns
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

// unknown returns an operation that can't be checked. The phrase completes "it asks for …".
func unknown(phrase string) buildrules.Operation { return buildrules.Operation{Unknown: phrase} }

// quote returns text from a frontend as part of a phrase.
func quote(s string) string {
	const most = 120
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strconv.Quote(s)
}
