package guard

import (
	"slices"
	"strings"

	"github.com/moby/buildkit/solver/pb"
	srctypes "github.com/moby/buildkit/source/types"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/internal/record"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// read notes an answer to the daemon's question about a source: what is read instead, nil for
// nothing, or why it isn't read. own says that the guard itself wants it.
//
// The daemon asks about an image again when it knows its digest, and about what it reads instead.
func (b *buildRecord) read(source, instead *pb.SourceOp, own bool, why error) {
	if b == nil {
		return
	}
	sources := sourcesOf(source)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range sources {
		switch {
		case source.GetAttrs()[pb.AttrImageRecordType] == "frontend":
			s.For = record.ForFrontend
		case own:
			s.For = record.ForRequest
		}
		if s.Verdict = string(policy.Allow); why != nil {
			s.Verdict = string(policy.Deny)
		}
		if ref, err := imageref.Parse(s.Name); s.Kind == record.KindImage && err == nil && why == nil {
			b.image(s, ref, instead)
			continue
		}
		b.source(s)
	}
}

// sourcesOf returns what a source reads. There are several if daemons read it in several ways.
func sourcesOf(op *pb.SourceOp) []record.Source {
	var all []record.Source
	var secrets, ssh []string
	for _, o := range llbops.FromSource(op) {
		if o.Exec != nil {
			secrets, ssh = append(secrets, o.Exec.Secrets...), append(ssh, o.Exec.SSH...)
			continue
		}
		s := record.SourceOf(o)
		s.Name, s.Ref, s.Checksum = logText(s.Name), logText(s.Ref), logText(s.Checksum)
		all = append(all, s)
	}
	for _, id := range secrets {
		all[0].Secrets = append(all[0].Secrets, logText(id))
	}
	for _, id := range ssh {
		all[0].SSH = append(all[0].SSH, logText(id))
	}
	return all
}

// source adds a source, unless it is there.
func (b *buildRecord) source(s record.Source) (at int, ok bool) {
	texts := slices.Concat(
		[]string{s.Kind, s.Verdict, s.Name, s.Ref, s.Checksum, s.Digest}, s.Secrets, s.SSH)
	key := strings.Join(texts, "\x00")
	if at, known := b.places[key]; known {
		b.wanted(at, s.For)
		return at, true
	}
	if !b.room(sourcesList, texts...) {
		return 0, false
	}
	at = len(b.entry.Sources)
	b.entry.Sources, b.places[key] = append(b.entry.Sources, s), at
	return at, true
}

// wanted notes what a source is read for. What the guard reads is often read by the build then. An
// image that runs as a frontend is also read before it runs.
func (b *buildRecord) wanted(at int, by string) {
	if s := &b.entry.Sources[at]; by == record.ForFrontend || s.For == record.ForRequest {
		s.For = by
	}
}

// image adds an image that may be read, or what is now known about it.
func (b *buildRecord) image(s record.Source, ref imageref.Reference, instead *pb.SourceOp) {
	all := &b.entry.Sources
	key := tagged(ref)
	s.Digest = ref.Digest().String()
	at, known := b.places[key]
	switch {
	case !known:
	case s.Digest == "" || (*all)[at].Digest == "" || (*all)[at].Digest == s.Digest:
		before := &(*all)[at]
		if before.Digest == "" {
			before.Digest = s.Digest
		}
		b.wanted(at, s.For)
	default: // another platform, or the tag has moved
		s.Name, s.Read = (*all)[at].Name, (*all)[at].Read
		known = false
	}
	if !known {
		if at, known = b.source(s); !known {
			return
		}
		b.places[key] = at
	}
	name, isImage := strings.CutPrefix(instead.GetIdentifier(), srctypes.DockerImageScheme+"://")
	read, err := imageref.Parse(name)
	if !isImage || err != nil {
		return
	}
	if of := &(*all)[at]; read.Digest() != "" {
		of.Digest = read.Digest().String()
	}
	if tagged(read) != key {
		(*all)[at].Read = read.String()
		b.places[tagged(read)] = at
	}
}

// tagged returns a reference without its digest.
func tagged(ref imageref.Reference) string { return ref.Tagged().String() }
