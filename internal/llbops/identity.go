package llbops

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/proto"
)

// maxOutputs is how many outputs an operation can have. Readers make a list of as many places
// (client/llb/definition.go, Inputs).
const maxOutputs = 1000

// maxPlaces bounds the places of all inputs of a definition together.
const maxPlaces = 100_000

// Identity returns a digest of what a definition builds: of its operations, each with the metadata
// that the daemon acts on. Two definitions with the same one build the same.
//
// It also returns a copy without what says nothing about that, and may be somebody's invention: the
// operations that aren't needed, and the places in build files. Every reader can walk through the
// copy. The error completes "it has ".
func Identity(def *pb.Definition) (digest.Digest, *pb.Definition, error) {
	n := len(def.GetDef())
	if n > maxOps {
		return "", nil, fmt.Errorf("%d operations, more than %d", n, maxOps)
	}
	if what := strangeDefinition(def); what != "" {
		return "", nil, errors.New(what)
	}
	if n == 0 { // an empty result
		return digest.FromBytes(nil), &pb.Definition{Metadata: map[string]*pb.OpMetadata{}}, nil
	}
	inputs := make(map[digest.Digest][]*pb.Input, n)
	order := make([]digest.Digest, n)
	places := 0
	for i, dt := range def.Def {
		of, isResult, ok := readInputs(dt)
		if !ok {
			return "", nil, fmt.Errorf("an operation that can't be read (number %d)", i+1)
		}
		for _, in := range of {
			if places += int(in.GetIndex()) + 1; places > maxPlaces {
				return "", nil, errors.New("inputs with too many outputs")
			}
			if _, before := inputs[digest.Digest(in.GetDigest())]; !before ||
				in.GetIndex() < 0 || in.GetIndex() >= maxOutputs {
				return "", nil, fmt.Errorf("an operation with an input that isn't before it (number %d)", i+1)
			}
		}
		if last := i == n-1; last != isResult || last && len(of) != 1 {
			return "", nil, errors.New("no result, or several")
		}
		order[i] = digest.FromBytes(dt)
		inputs[order[i]] = of
	}
	head := inputs[order[n-1]][0]
	needed := reachable(digest.Digest(head.GetDigest()), inputs)

	sum := digest.Canonical.Digester()
	fmt.Fprintf(sum.Hash(), "%s %d\n", head.GetDigest(), head.GetIndex())
	clean := &pb.Definition{Metadata: map[string]*pb.OpMetadata{}}
	for i, d := range order[:n-1] {
		if !needed[d] {
			continue
		}
		needed[d] = false // once
		clean.Def = append(clean.Def, def.Def[i])
		if m := def.GetMetadata()[d.String()]; m != nil {
			clean.Metadata[d.String()] = m
		}
	}
	for _, d := range slices.Sorted(maps.Keys(clean.Metadata)) {
		m := clean.Metadata[d]
		acts, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pb.OpMetadata{
			IgnoreCache: m.GetIgnoreCache(), ExportCache: m.GetExportCache(),
			LinuxResources: m.GetLinuxResources(),
		})
		if err != nil {
			return "", nil, err
		}
		if len(acts) > 0 {
			fmt.Fprintf(sum.Hash(), "%s %x\n", d, acts)
		}
	}
	clean.Def = append(clean.Def, def.Def[n-1])
	if m := def.GetMetadata()[order[n-1].String()]; m != nil {
		clean.Metadata[order[n-1].String()] = &pb.OpMetadata{Caps: m.GetCaps()}
	}
	return sum.Digest(), clean, nil
}

// reachable returns the operations that one needs, with itself.
func reachable(from digest.Digest, inputs map[digest.Digest][]*pb.Input) map[digest.Digest]bool {
	found := map[digest.Digest]bool{from: true}
	for todo := []digest.Digest{from}; len(todo) > 0; {
		d := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, in := range inputs[d] {
			if next := digest.Digest(in.GetDigest()); !found[next] {
				found[next] = true
				todo = append(todo, next)
			}
		}
	}
	return found
}
