package frontend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/result"
	digest "github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/vsa"
)

const (
	// verifierID names the policy frontend in the summaries that it adds to images.
	verifierID = "https://github.com/policy-frontend/policy-frontend/policy-frontend"
	// attestedResource is the resource of these summaries: the image that is the subject of the
	// statement. A frontend doesn't know its name.
	attestedResource = "urn:policy-frontend:attested-image"
	// summaryFile is the name of the file that the daemon makes the statement of.
	summaryFile = "policy-summary.json"
	// allSummaries begins the types of all versions of SLSA's Verification Summary.
	allSummaries = "https://slsa.dev/verification_summary/"
)

// attests reports whether the policy frontend adds a summary to the result of the build.
func (b *build) attests() bool {
	return b.subrequest() == "" && b.layers.Attests(policy.AttestImage)
}

// attest adds a summary of the decision to the result of a frontend, as an attestation of each of
// its images. BuildKit's exporter of images writes it beside the provenance, and other exporters
// leave it out. A build that imports a cache, or that the policy only warns about, gets none, and a
// line of the progress says so.
//
// It refuses a result that has a summary already: nobody could tell which one is the policy's.
func (b *build) attest(ctx context.Context, m *monitor) error {
	res := b.bridge.result.Load()
	if err := m.checkNoSummary(res); err != nil {
		return err
	}
	summary, err := b.summary(m)
	if err == nil {
		caps := b.client.BuildOpts().Caps
		err = caps.Supports(gwpb.CapAttestations)
	}
	if err != nil {
		b.show(ctx, fmt.Sprintf("the image gets no summary (attest: image): %v", err))
		return nil
	}
	platforms, err := exptypes.ParsePlatforms(res.GetMetadata())
	if err != nil {
		return m.refuseUnknown("an image whose platforms can't be read: %v", err)
	}
	ref, err := b.madeFile(ctx, summaryFile, summary, false)
	if err != nil {
		return err
	}
	for _, p := range platforms.Platforms {
		if res.Attestations == nil {
			res.Attestations = map[string]*gwpb.Attestations{}
		}
		of := res.Attestations[p.ID]
		if of == nil {
			of = &gwpb.Attestations{}
			res.Attestations[p.ID] = of
		}
		of.Attestation = append(of.Attestation, &gwpb.Attestation{
			Kind: gwpb.AttestationKind_InToto, Ref: &gwpb.Ref{Id: ref}, Path: "/" + summaryFile,
			InTotoPredicateType: vsa.PredicateType,
			InTotoSubjects:      []*gwpb.InTotoSubject{{Kind: gwpb.InTotoSubjectKind_Self}},
			// As the provenance that buildx asks for by itself.
			Metadata: map[string][]byte{result.AttestationInlineOnlyKey: []byte("true")},
		})
	}
	return nil
}

// show shows a line of progress. A warning wouldn't be printed: no step changes any more to which
// it could belong.
func (b *build) show(ctx context.Context, text string) {
	def, err := ProgressLine(ctx, text)
	if err == nil { // A line that can't be shown must not fail a build that is allowed.
		_, _ = b.client.Solve(ctx, client.SolveRequest{Definition: def.ToPB(), Evaluate: true})
	}
}

// ProgressLine returns a step that does nothing, and whose name is the text, as a line of progress.
// Each text has a step of its own: of steps that differ only in their names, a client shows one.
func ProgressLine(ctx context.Context, text string) (*llb.Definition, error) {
	text = safetext.OneLine(safetext.Lines(text))
	own := "/" + digest.FromString(text).Encoded()
	named := llb.WithCustomName("[policy] " + text)
	return llb.Scratch().File(llb.Mkdir(own, 0o755), named).Marshal(ctx)
}

// checkNoSummary refuses a result in which a frontend has put a summary, or may have.
func (m *monitor) checkNoSummary(res *gwpb.Result) error {
	for _, as := range res.GetAttestations() {
		for _, a := range as.GetAttestation() {
			of := a.GetInTotoPredicateType()
			// A bundle is a folder of statements. All of them have the type that it says.
			bundled := a.GetKind() == gwpb.AttestationKind_Bundle && of == ""
			if bundled || strings.HasPrefix(strings.ToLower(of), allSummaries) {
				return m.refuseUnknown("an image with a summary that the frontend itself has made, or may " +
					"have made; the policy frontend adds one (attest: image)")
			}
		}
	}
	return nil
}

// summary returns the summary of the decision. Its error says why there is none.
func (b *build) summary(m *monitor) ([]byte, error) {
	d := m.decided()
	if d.Verdict == policy.Warn && !b.layers.Attests(policy.AttestWarned) {
		return nil, fmt.Errorf("the policy only warned about the build: %s (attest: [image, warned] "+
			"would say so in the summary)", strings.Join(d.Warnings, "; "))
	}
	if imports, err := cacheImports(b.opts, m.inner.decision.Obligations); err != nil ||
		len(imports) > 0 {
		return nil, errImports
	}
	sources, err := m.memory.sources.List()
	if err != nil {
		return nil, err
	}
	decision, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	by, err := SummaryPolicy(d.Policy)
	if err != nil {
		return nil, err
	}
	verifier := vsa.Verifier{ID: verifierID}
	if b.version != "" {
		verifier.Version = map[string]string{"policy-frontend": b.version}
	}
	s, err := vsa.NewSummary(attestedResource, verifier, b.now, by, vsa.Details{
		Decision: decision, Dispatch: string(d.Dispatch), Sources: sources,
	})
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(s)
	if err == nil && len(data) > vsa.MaxStatement {
		err = fmt.Errorf("it would have more than %d bytes", vsa.MaxStatement)
	}
	return data, err
}

// errImports is why a build gets no summary that imports a build cache, or may.
var errImports = errors.New("the build may import a build cache (--cache-from), and nobody knows " +
	"which rules filled that")

// SummaryPolicy returns how summaries name a policy.
func SummaryPolicy(p policy.Identity) (vsa.Policy, error) {
	sum, err := vsa.ParseDigest(p.Digest.String())
	id := p.ID
	if id == "" {
		id = p.Digest.String()
	}
	return vsa.Policy{URI: "urn:policy-frontend:" + url.PathEscape(id), Digest: sum}, err
}

// noteRead notes a source that a frontend may read, for the summary. The ruling may have it read
// another image.
func (m *monitor) noteRead(o operation, ruling policy.Ruling) {
	if m.memory.sources == nil || o.source == nil {
		return
	}
	op := o.source
	if ruling.Image.Name() != "" {
		op = op.CloneVT()
		op.Identifier = dockerImageProto + ruling.Image.String()
	}
	m.memory.sources.Add(op)
}
