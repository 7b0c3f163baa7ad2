package guard

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
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
	// watchTime is how long the daemon may take to tell about the last steps of a build.
	watchTime = 10 * time.Second
	// proveTime bounds the time in which a summary is signed and pushed. The client waits for it.
	proveTime = 30 * time.Second
	// summaryMode lets everybody read a summary: it is no secret.
	summaryMode = 0o644
)

// proof gathers what the summary of a build says, and why there is none.
type proof struct {
	steps   *stepsOfBuild
	watched chan error // gets why the steps aren't known, or nil

	sources frontend.Sources

	mu      sync.Mutex
	against string // the first reason against a summary; "" for none
}

// newProof begins the proof of a build; nil if the guard makes none.
func (g *Guard) newProof() *proof {
	if g.summaries == nil {
		return nil
	}
	return &proof{
		steps: newStepsOfBuild(g.steps, time.Now()), watched: make(chan error, 1),
	}
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

// imports notes that the build may use caches from elsewhere.
func (p *proof) imports() {
	p.speaksAgainst("it may import a build cache (--cache-from), and nobody knows which rules filled " +
		"that")
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

// watch follows the steps of the build at the daemon. ctx has the headers for the daemon.
func (b *build) watch(ctx context.Context) {
	var err error
	defer func() { b.proof.watched <- err }()
	defer b.guard.contain(b.who, "the steps of a build", &err)
	err = b.follow(ctx)
}

func (b *build) follow(ctx context.Context) error {
	stream, err := controlapi.NewControlClient(b.guard.daemon).Status(ctx,
		&controlapi.StatusRequest{Ref: b.ref})
	if err != nil {
		return err
	}
	steps := b.proof.steps
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, w := range resp.GetWarnings() {
			if strings.HasPrefix(string(w.GetShort()), "policy: ") {
				b.proof.speaksAgainst("the policy warned about it: " + string(w.GetShort()))
			}
		}
		if len(resp.GetVertexes()) == 0 {
			continue
		}
		steps.add(client.NewSolveStatus(resp).Vertexes)
		if choice := b.chosen(); choice != nil {
			steps.note(b.rules(choice.Decision))
		}
	}
}

// rules names the rules by which the build is judged: steps that ran under them may be shared. If
// the policy or an overlay may name clients, they are those for this one.
func (b *build) rules(d policy.Decision) string {
	who := ""
	if b.policy.NamesClients() != "" || d.Overlay != nil {
		who = strings.Join(append(b.by.Names(), string(b.who)), "\n")
	}
	overlay := ""
	if d.Overlay != nil {
		overlay = string(d.Overlay.Digest)
	}
	return strings.Join([]string{
		string(d.Policy.Digest), overlay, d.Layer, d.Rule, string(d.Dispatch), who,
	}, "\n")
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
	envelope, problem := b.summarize(ctx, req, resp.ExporterResponse)
	if problem != nil {
		b.guard.log.Warn("no summary", "client", safetext.Printable(string(b.who)),
			"build", b.client, "why", logText(problem.Error()))
	}
	said := summaryMetadata{Envelope: envelope}
	if problem != nil {
		said.Missing = safetext.Lines(problem.Error())
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

// summarize makes, signs and hands out the summary. With an envelope, the problem is that it
// couldn't be handed out.
func (b *build) summarize(
	ctx context.Context, req *controlapi.SolveRequest, exported map[string]string,
) (*vsa.Envelope, error) {
	statement, err := b.statement(ctx, req, exported)
	if err != nil {
		return nil, err
	}
	to := b.guard.summaries
	envelope, err := vsa.Sign(ctx, statement, to.Signer)
	if err != nil {
		return nil, fmt.Errorf("it couldn't be signed: %w", err)
	}
	err = to.write(statement.Image(), envelope)
	if repositories := pushed(imagesOf(req)[0]); to.Push != nil && len(repositories) > 0 {
		bundle, bundleErr := envelope.Bundle(to.Signer.Public())
		if bundleErr == nil {
			bundleErr = to.Push(ctx, repositories, statement.Image(), bundle)
		}
		if bundleErr != nil {
			err = errors.Join(err, fmt.Errorf("it couldn't be pushed: %w", bundleErr))
		}
	}
	return envelope, err
}

// write writes the envelope into the folder.
func (s *Summaries) write(image vsa.Digest, envelope *vsa.Envelope) (err error) {
	if s.Folder == "" {
		return nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("it couldn't be written: %w", err)
		}
	}()
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
	ctx context.Context, req *controlapi.SolveRequest, exported map[string]string,
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
	decision, err := decisionOf(choice, b.policy, exported[frontend.MetadataKey])
	if err != nil {
		return nil, err
	}
	if err := b.judgeSteps(ctx, b.rules(choice.Decision)); err != nil {
		return nil, err
	}
	if why := b.proof.why(); why != "" {
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
	digest, err := vsa.ParseDigest(string(b.policy.Digest()))
	if err != nil {
		return nil, err
	}
	id := b.policy.Identity().ID
	if id == "" {
		id = digest.String()
	}
	return vsa.New(namesOf(images[0]), image,
		vsa.Verifier{
			ID: VerifierID, Version: map[string]string{"policy-guard": b.guard.summaries.Version},
		}, time.Now(),
		vsa.Policy{URI: "urn:policy-frontend:" + url.PathEscape(id), Digest: digest},
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

// decisionOf returns the JSON of the decision on a build, with the warnings about its steps. The
// policy frontend's image has reported its own, in the metadata of the result that was exported.
func decisionOf(choice *frontend.Choice, p *Policy, reported string) (json.RawMessage, error) {
	own, err := json.Marshal(choice.Decided())
	if err != nil {
		return nil, err
	}
	if err := allows(own, p); err != nil || !choice.Mediated {
		return own, err
	}
	return json.RawMessage(reported), allows([]byte(reported), p)
}

// allows returns why a decision proves nothing.
func allows(decision []byte, p *Policy) error {
	var d vsa.Decision
	if err := json.Unmarshal(decision, &d); err != nil {
		return fmt.Errorf("the decision that was reported can't be read: %w", err)
	}
	switch {
	case d.Policy.Digest != string(p.Digest()):
		return errors.New("the image of --image has a policy of its own")
	case d.Verdict == string(policy.Warn):
		return errors.New("the policy only warned about it: " + strings.Join(d.Warnings, "; "))
	case d.Verdict != string(policy.Allow):
		return errors.New("the decision doesn't allow it")
	}
	return nil
}

// judgeSteps returns an error unless all steps of the build ran under its rules. It waits for the
// daemon to tell about the last ones.
func (b *build) judgeSteps(ctx context.Context, rules string) error {
	timeout := time.NewTimer(watchTime)
	defer timeout.Stop()
	var err error
	select {
	case err = <-b.proof.watched:
	case <-timeout.C:
		err = errors.New("it takes too long")
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("the daemon doesn't tell what it did: %w", err)
	}
	steps := b.proof.steps
	if steps.note(rules); steps.full {
		return errors.New("it has too many steps")
	}
	if name, found := steps.foreign(rules); found {
		return fmt.Errorf("a step may come from a cache that was filled under other rules, or that "+
			"nobody watched: %.200s (build with --no-cache)", safetext.Lines(name))
	}
	return nil
}

// namesOf returns the names under which an image is exported, in canonical form. What a client does
// with an image that it gets is its own affair, and nobody has judged the name that it says.
func namesOf(e *controlapi.Exporter) (names []string) {
	list := e.GetAttrs()[string(exptypes.OptKeyName)]
	if list == "" || e.GetType() != policy.ExportImage {
		return nil
	}
	for _, s := range strings.Split(list, ",") {
		if ref, err := imageref.Parse(s); err == nil && !slices.Contains(names, ref.String()) {
			names = append(names, ref.String())
		}
	}
	return names
}

// pushed returns the repositories to which an image is pushed.
func pushed(e *controlapi.Exporter) (repositories []string) {
	value, set := e.GetAttrs()[string(exptypes.OptKeyPush)] // which [named] has judged
	if push, err := strconv.ParseBool(value); !set || value != "" && (err != nil || !push) {
		return nil
	}
	for _, name := range namesOf(e) {
		ref, err := imageref.Parse(name)
		if err == nil && !slices.Contains(repositories, ref.Name()) {
			repositories = append(repositories, ref.Name())
		}
	}
	return repositories
}
