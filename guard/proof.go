package guard

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
	"github.com/policy-frontend/policy-frontend/vsa"
)

// Summaries says how a guard proves what it has allowed.
type Summaries struct {
	// Signer signs each summary.
	Signer vsa.Signer
	// Version is that of the program.
	Version string
	// Folder is where each summary is written, in a file that is named by the image's digest; "" for
	// nowhere.
	Folder string
	// Push puts a bundle beside an image in the repositories to which it was pushed. Nil pushes
	// nothing.
	Push func(ctx context.Context, repositories []string, image vsa.Digest, bundle []byte) error
}

const (
	// SummaryKey is the key in the result's metadata under which the summary is found.
	SummaryKey = "frontend.policy.summary"
	// VerifierID names this program in summaries.
	VerifierID = "https://github.com/policy-frontend/policy-frontend/policy-guard"
)

const (
	// proveTime bounds the time in which a summary is signed and pushed. The client waits for it.
	proveTime = 30 * time.Second
	// summaryMode lets everybody read a summary: it is no secret.
	summaryMode = 0o644
)

// proof gathers what the summary of a build says, and why there is none.
//
// The build is kept apart from those under other rules; see [build.apartFor]. So what the daemon's
// cache has of its commands was made under the same rules, unless it was imported.
type proof struct {
	sources frontend.Sources

	mu      sync.Mutex
	against string // the first reason against a summary; "" for none
	inputs  string // the frontend that made the results on which the build builds; "" for none
}

// newProof begins the proof of a build; nil if the guard makes none.
func (g *Guard) newProof() *proof {
	if g.summaries == nil {
		return nil
	}
	return &proof{}
}

// speaksAgainst notes why the build gets no summary.
func (p *proof) speaksAgainst(why string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.against == "" {
		p.against = why
	}
}

// why returns why the build gets no summary; "" if nothing speaks against one.
func (p *proof) why() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.against
}

// buildsOn notes whose result the build builds on.
func (p *proof) buildsOn(by madeBy) {
	if p == nil {
		return
	}
	if by.against != "" {
		p.speaksAgainst(by.against)
	}
	p.mu.Lock()
	before := p.inputs
	p.inputs = by.frontend
	p.mu.Unlock()
	if before != "" && before != by.frontend {
		p.speaksAgainst(otherMaker(before))
	}
}

// whyOf is why for a build by a frontend. A summary names that one alone.
func (p *proof) whyOf(frontend string) string {
	why := p.why()
	p.mu.Lock()
	defer p.mu.Unlock()
	if why == "" && p.inputs != "" && p.inputs != frontend {
		why = otherMaker(p.inputs)
	}
	return why
}

// otherMaker is why a build gets no summary that builds on a result of another frontend.
func otherMaker(frontend string) string {
	return "it builds on the result of another build, by " + frontend +
		", which the summary wouldn't name"
}

// frontendOf names a frontend, and what allowed it. Its digest may change between linked builds.
func frontendOf(choice *frontend.Choice) string {
	d := choice.Decision
	return fmt.Sprintf("%s (dispatch %s, rule %s of the %s)",
		cmp.Or(d.Reference.Name(), d.Requested), d.Dispatch, d.Rule, d.Layer)
}

// reads notes a source that the build may read. The account is that of the build.
func (p *proof) reads(source *pb.SourceOp, a *account) {
	if p == nil || p.why() != "" {
		return
	}
	if _, ok := a.tryTake(p.sources.Add(source)); !ok {
		p.speaksAgainst("there was no memory for the names of its sources")
	}
}

// makerOf returns what is remembered of the build with a result. What builds on that has steps of
// it, and neither its warnings nor its frontend. So what speaks against the one speaks against the
// other.
func (b *build) makerOf(choice *frontend.Choice, res *gwpb.Result) madeBy {
	if b.proof == nil {
		return madeBy{}
	}
	by := madeBy{frontend: frontendOf(choice)}
	by.against = b.proof.whyOf(by.frontend)
	var reported struct{ Verdict policy.Verdict }
	err := json.Unmarshal(res.GetMetadata()[frontend.MetadataKey], &reported)
	if err != nil || reported.Verdict != policy.Allow || choice.Decided().Verdict != policy.Allow {
		by.against = "it builds on the result of another build, and the policy warned about that"
	}
	return by
}

// prove adds the summary of a build that has ended well to the answer, or why there is none. A
// build without an image gets neither.
//
// The image is exported already, so nothing that goes wrong here fails the build. An image without
// a summary proves nothing, and whoever demands one refuses it.
func (b *build) prove(
	ctx context.Context, req *controlapi.SolveRequest, resp *controlapi.SolveResponse,
) {
	delete(resp.ExporterResponse, SummaryKey) // no frontend makes one
	if b.proof == nil || len(imagesOf(req)) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, proveTime)
	defer cancel()
	envelope, problems := b.summarize(ctx, req, resp.ExporterResponse)
	said := summaryMetadata{Envelope: envelope}
	if len(problems) > 0 {
		b.guard.log.Warn("no summary", "client", safetext.Printable(string(b.who)),
			"build", b.client, "why", logText(errors.Join(problems...).Error()))
		said.Missing = safetext.Lines(toldOf(problems))
	}
	data, err := json.Marshal(said)
	if err != nil {
		return
	}
	if resp.ExporterResponse == nil {
		resp.ExporterResponse = map[string]string{}
	}
	// Clients decode such a value, and show the JSON itself (buildx's commands/build.go,
	// decodeExporterResponse).
	resp.ExporterResponse[SummaryKey] = base64.StdEncoding.EncodeToString(data)
}

// summaryMetadata is the value of [SummaryKey]: an envelope, or why there is none. If it couldn't
// be written or pushed, it is both.
type summaryMetadata struct {
	*vsa.Envelope
	Missing string `json:"missing,omitempty"`
}

// imagesOf returns the exporters of a request that make images.
func imagesOf(req *controlapi.SolveRequest) (images []*controlapi.Exporter) {
	for _, e := range req.Exporters {
		switch e.GetType() {
		case client.ExporterLocal, client.ExporterTar:
		default:
			images = append(images, e)
		}
	}
	return images
}

// unfinishedError is what the guard couldn't do with a summary. The cause may tell about its
// machine, its registry, or what keeps its key. So it is only for the log.
type unfinishedError struct {
	what  string
	cause error
}

// Error implements error.
func (e unfinishedError) Error() string { return e.what + ": " + e.cause.Error() }

// toldOf returns what the client is told about problems.
func toldOf(problems []error) string {
	var all []string
	for _, p := range problems {
		var e unfinishedError
		if errors.As(p, &e) {
			all = append(all, e.what)
		} else {
			all = append(all, p.Error())
		}
	}
	return strings.Join(all, "\n")
}

// summarize makes, signs and hands out the summary. With an envelope, the problems are that it
// couldn't be handed out.
func (b *build) summarize(
	ctx context.Context, req *controlapi.SolveRequest, exported map[string]string,
) (_ *vsa.Envelope, problems []error) {
	statement, err := b.statement(req, exported)
	if err != nil {
		return nil, []error{err}
	}
	to := b.guard.summaries
	envelope, err := vsa.Sign(ctx, statement, to.Signer)
	if err != nil {
		return nil, []error{unfinishedError{"it couldn't be signed", err}}
	}
	if err := to.write(statement.Image(), envelope); err != nil {
		problems = append(problems, unfinishedError{"it couldn't be written", err})
	}
	if repositories := pushed(imagesOf(req)[0]); to.Push != nil && len(repositories) > 0 {
		bundle, bundleErr := envelope.Bundle(to.Signer.Public())
		if bundleErr == nil {
			bundleErr = to.Push(ctx, repositories, statement.Image(), bundle)
		}
		if bundleErr != nil {
			problems = append(problems, unfinishedError{"it couldn't be pushed", bundleErr})
		}
	}
	return envelope, problems
}

// write writes the envelope into the folder.
func (s *Summaries) write(image vsa.Digest, envelope *vsa.Envelope) error {
	if s.Folder == "" {
		return nil
	}
	data, err := envelope.Bytes()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(s.Folder, ".summary-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // it is there no more, unless something failed
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Chmod(summaryMode), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(s.Folder, SummaryFile(image)))
}

// SummaryFile returns the name of the file with the summary of an image.
func SummaryFile(image vsa.Digest) string { return "sha256-" + image.SHA256 + ".json" }

// statement returns what a summary of the build says. Its error is why there is none.
func (b *build) statement(
	req *controlapi.SolveRequest, exported map[string]string,
) (*vsa.Statement, error) {
	images := imagesOf(req)
	if len(images) > 1 {
		return nil, errors.New("it exports several images, and the daemon tells the digest of one")
	}
	image, err := exportedDigest(exported)
	if err != nil {
		return nil, err
	}
	choice := b.chosen()
	if choice == nil {
		return nil, errors.New("nobody has decided on it")
	}
	if b.guard.policy.current().Digest() != b.policy.Digest() {
		return nil, errors.New("the policy has changed since the build began")
	}
	decision, err := b.decisionOf(choice, exported[frontend.MetadataKey])
	if err != nil {
		return nil, err
	}
	if choice.KeptApart() == "" {
		return nil, errors.New("its commands aren't kept apart from those of other builds")
	}
	if why := b.proof.whyOf(frontendOf(choice)); why != "" {
		return nil, errors.New(why)
	}
	sources, err := b.proof.sources.List()
	if err != nil {
		return nil, err
	}
	dispatch := string(choice.Decision.Dispatch)
	if choice.IsOwn() {
		dispatch = "llb"
	}
	by, err := frontend.SummaryPolicy(b.policy.Identity())
	if err != nil {
		return nil, err
	}
	return vsa.New(namesOf(images[0], image), image,
		vsa.Verifier{
			ID: VerifierID, Version: map[string]string{"policy-guard": b.guard.summaries.Version},
		}, time.Now(), by,
		vsa.Details{Decision: decision, Dispatch: dispatch, Sources: sources})
}

// exportedDigest returns the digest of the image that the daemon has exported. It says it twice.
func exportedDigest(exported map[string]string) (vsa.Digest, error) {
	image, err := vsa.ParseDigest(exported[exptypes.ExporterImageDigestKey])
	if err != nil {
		return image, fmt.Errorf("the daemon told no digest of the image: %w", err)
	}
	text, ok := exported[exptypes.ExporterImageDescriptorKey]
	if !ok {
		return image, nil
	}
	var descriptor ocispecs.Descriptor
	data, err := base64.StdEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(data, &descriptor)
	}
	if err != nil || string(descriptor.Digest) != image.String() {
		return image, errors.New("the daemon told two digests of the image")
	}
	return image, nil
}

// decisionOf returns the JSON of the decision on a build, with the warnings about its steps, or why
// it proves nothing. The policy frontend's image has reported its own, in the metadata of the
// result that was exported.
func (b *build) decisionOf(choice *frontend.Choice, reported string) (json.RawMessage, error) {
	decided := choice.Decided()
	decision, err := json.Marshal(decided)
	if err != nil {
		return nil, err
	}
	warnings := slices.Clone(b.downloads.warnings())
	if b.guard.unwatched.Load() {
		warnings = append(warnings, warnUnwatched)
	}
	if choice.Mediated {
		if err := b.proves(decision); err != nil {
			return nil, err
		}
		decision, warnings = []byte(reported), slices.Concat(decided.Warnings, warnings)
	}
	if decision, err = withWarnings(decision, warnings); err != nil {
		return nil, err
	}
	return decision, b.proves(decision)
}

// withWarnings adds warnings to the JSON of a decision, if there are any.
func withWarnings(decision []byte, warnings []string) (json.RawMessage, error) {
	if len(warnings) == 0 {
		return decision, nil
	}
	var fields map[string]json.RawMessage
	var known vsa.Decision
	if err := errors.Join(json.Unmarshal(decision, &fields),
		json.Unmarshal(decision, &known)); err != nil {
		return nil, fmt.Errorf("the decision that was reported can't be read: %w", err)
	}
	for _, w := range warnings {
		if !slices.Contains(known.Warnings, w) {
			known.Warnings = append(known.Warnings, w)
		}
	}
	if known.Verdict == string(policy.Allow) {
		known.Verdict = string(policy.Warn)
	}
	var err, err2 error
	fields["verdict"], err = json.Marshal(known.Verdict)
	fields["warnings"], err2 = json.Marshal(known.Warnings)
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}

// proves returns why a decision proves nothing.
func (b *build) proves(decision []byte) error {
	var d vsa.Decision
	if err := json.Unmarshal(decision, &d); err != nil {
		return fmt.Errorf("the decision that was reported can't be read: %w", err)
	}
	switch {
	case d.Policy.Digest != b.policy.Digest().String():
		return errors.New("the image of --image has a policy of its own")
	case d.Warned() && b.policy.Attests(policy.AttestWarned):
	case d.Warned():
		return errors.New("the policy only warned about it: " + strings.Join(d.Warnings, "; "))
	case d.Verdict != string(policy.Allow):
		return errors.New("the decision doesn't allow it")
	}
	return nil
}

// warnUnwatched is a warning of each summary since a frontend ran unwatched that nobody allowed.
const warnUnwatched = "policy-guard has run a frontend that the policy only warned about, and " +
	"didn't watch it (dispatch: forward), so nobody knows what that left in the daemon's cache"

// noteUnwatched notes that a frontend is about to run unwatched although the policy only warns
// about it. It can import a build cache, or run commands as if they were those of an allowed build.
// That stays in the daemon's cache, under any later policy too. So the guard never forgets it.
func (b *build) noteUnwatched(choice *frontend.Choice) {
	d := choice.Decision
	if b.proof != nil && !choice.Mediated && d.Dispatch == policy.DispatchForward &&
		d.Verdict != policy.Allow {
		b.guard.unwatched.Store(true)
	}
}

// namesOf returns the names under which an image is exported, in canonical form.
func namesOf(e *controlapi.Exporter, image vsa.Digest) (names []string) {
	for _, ref := range referencesOf(e) {
		name := ref.String()
		if isSet(e, exptypes.OptKeyPushByDigest) { // no tag is pushed, not even latest
			name = ref.Name() + "@" + image.String()
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// pushed returns the repositories to which an image is pushed.
func pushed(e *controlapi.Exporter) (repositories []string) {
	if !isSet(e, exptypes.OptKeyPush) {
		return nil
	}
	for _, ref := range referencesOf(e) {
		if !slices.Contains(repositories, ref.Name()) {
			repositories = append(repositories, ref.Name())
		}
	}
	return repositories
}

// referencesOf returns the names that an exporter gives an image. What a client does with an image
// that it gets is its own affair, and nobody has judged the name that it says.
func referencesOf(e *controlapi.Exporter) (all []imageref.Reference) {
	list := e.GetAttrs()[string(exptypes.OptKeyName)]
	if list == "" || e.GetType() != policy.ExportImage {
		return nil
	}
	for _, s := range strings.Split(list, ",") {
		if ref, err := imageref.Parse(s); err == nil {
			all = append(all, ref)
		}
	}
	return all
}

// isSet reports whether an exporter does something. [named] has judged the attribute.
func isSet(e *controlapi.Exporter, key exptypes.ImageExporterOptKey) bool {
	value, set := e.GetAttrs()[string(key)]
	on, err := isOn(value)
	return set && err == nil && on
}
