package frontend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// LabelHandOver is the label of images that keep to a policy which policy-guard hands over, with
// the value "1". An image without it would ignore the policy.
const LabelHandOver = "policy-frontend.policy-from-guard"

// FlagPolicyFromGuard is the flag by which an image has no policy but that of policy-guard.
const FlagPolicyFromGuard = "policy-from-guard"

// handOver has the daemon run the policy frontend's image for a build that the daemon alone can't
// hold to the decision. The image gets the policy and decides again, with the same code.
func (b *build) handOver(ctx context.Context, a admitted) (*Choice, error) {
	if b.mediator == "" {
		why := "build rules"
		if a.decision.Dispatch == policy.DispatchMediate {
			why = "dispatch: mediate, which is also the default under build rules"
		}
		return nil, b.refuse(a.request, fmt.Errorf("a policy image has to run it (%s), and policy-guard "+
			"was started without one: start it with --image REFERENCE", why))
	}
	image, unseen, err := b.resolveMediator(ctx)
	if err != nil {
		return nil, err
	}
	h := gatewayopts.HandOver{
		Policy: b.text.Name, Files: b.text.Files, Frontend: a.pinned().String(),
		CacheMounts: b.cacheMounts, Apart: b.kept.ID,
	}
	if b.layers.NamesClients() {
		h.Client = b.by
	}
	handed, err := h.Options()
	if err != nil {
		return nil, b.refuse(a.request, fmt.Errorf("the policy can't be handed over to the policy "+
			"image: %w", err))
	}
	// The image has the client's own options, so it decides on the same request. No named context
	// among them is over the image: it is the policy frontend itself, which no request may replace.
	opts := map[string]string{}
	maps.Copy(opts, b.sent)
	maps.Copy(opts, handed)
	opts[optionkeys.Source] = image.String()
	opts[optionkeys.Cmdline] = image.String() + " " + a.cmdline
	if err := gatewayopts.Startable(opts); err != nil {
		return nil, b.refuse(a.request, err)
	}
	return &Choice{
		Decision: a.decision, Frontend: gatewayFrontend, Options: opts, Mediated: true, runs: image,
		monitor: b.newMonitor(a), unseen: unseen,
	}, nil
}

// resolveMediator returns the reference of the policy frontend's image with its digest, and whether
// the image may have a policy of its own. It refuses an image that wouldn't keep to a policy that
// is handed over.
func (b *build) resolveMediator(
	ctx context.Context,
) (image imageref.Reference, unseen bool, err error) {
	image, err = imageref.Parse(b.mediator)
	if err != nil {
		return image, false, b.refuse(request{}, fmt.Errorf("the image of --image: %w", err))
	}
	r := request{written: image.Familiar()}
	found, config, err := b.resolve(ctx, r, image)
	if err != nil {
		return image, false, err
	}
	var spec ocispecs.Image
	if err := json.Unmarshal(config, &spec); err != nil || spec.Config.Labels[LabelHandOver] != "1" {
		return image, false, b.refuse(r, fmt.Errorf("policy-guard was started with --image %s, which "+
			"would ignore its policy: it has no label %s", image.Familiar(), LabelHandOver))
	}
	pinned, err := image.WithDigest(found)
	if err != nil {
		return image, false, b.refuse(r, err)
	}
	return pinned, !slices.Contains(spec.Config.Entrypoint, "--"+FlagPolicyFromGuard), nil
}

// errNothingHanded refuses a build of an image whose only policy is policy-guard's.
var errNothingHanded = errors.New("this image takes its policy from policy-guard " +
	"(--policy-from-guard), and the build has none: build through policy-guard")

// given returns the policy that policy-guard handed over, nil if there is none.
func (b *build) given() (*policy.Policy, error) {
	var err error
	if b.handed, err = b.opts.HandOver(); err != nil {
		return nil, fmt.Errorf("policy-guard's policy didn't arrive as it was sent: %w", err)
	}
	if b.handed == nil {
		if b.policyFromGuard {
			return nil, errNothingHanded
		}
		return nil, nil
	}
	b.keepApart(b.handed.Apart, b.handed.CacheMounts)
	switch namespace := b.handed.CacheMounts; {
	case namespace == "":
	case b.policyFromGuard:
		b.opts = b.opts.WithCacheMounts(namespace)
	default: // any client may have sent it, so it is an option like others
		b.opts = b.opts.WithVisible(optionkeys.CacheMounts, namespace)
	}
	p, err := policy.Load(texts(b.handed.Files), b.handed.Policy)
	if err != nil {
		return nil, fmt.Errorf("policy-guard's policy can't be used:\n%w", err)
	}
	return p, nil
}

// checkHanded refuses another frontend than the one that policy-guard allowed. A tag may have moved
// meanwhile, or the policy of the image may rewrite the name. It also refuses a frontend that
// wouldn't keep the cache mounts of clients apart.
func (b *build) checkHanded(a admitted) error {
	if b.handed == nil {
		return nil
	}
	inner := b.innerOptions(a)[optionkeys.CacheMounts]
	if want := b.handed.CacheMounts; want != "" && inner != want {
		return b.refuse(a.request, fmt.Errorf("the policy of this image removes or forces the build-arg "+
			"%s, by which policy-guard keeps the cache mounts of clients apart",
			optionkeys.ArgName(optionkeys.CacheMounts)))
	}
	if a.pinned().String() == b.handed.Frontend {
		return nil
	}
	allowed, err := imageref.Parse(b.handed.Frontend)
	if err != nil {
		return b.refuse(a.request, fmt.Errorf("policy-guard names the frontend that it allowed: %w", err))
	}
	return b.refuse(a.request, fmt.Errorf("policy-guard allowed %s in this build, and here it is %s; "+
		"if the tag has just moved, build again", allowed.Familiar(), a.pinned().Familiar()))
}

// PolicyText is the text of a policy.
type PolicyText struct {
	// Name is the name of the policy among Files.
	Name string
	// Files has the texts of the policy and of the files that it includes, by their paths.
	Files map[string]string
}

// texts are files with the given texts, by their paths.
type texts map[string]string

// Open implements [fs.FS].
func (t texts) Open(name string) (fs.File, error) {
	text, ok := t[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &textFile{Reader: strings.NewReader(text), name: name}, nil
}

// textFile is an open file of texts.
type textFile struct {
	*strings.Reader
	name string
}

func (t *textFile) Stat() (fs.FileInfo, error) { return t, nil }
func (t *textFile) Close() error               { return nil }
func (t *textFile) Name() string               { return t.name }
func (t *textFile) Mode() fs.FileMode          { return 0o444 }
func (t *textFile) ModTime() time.Time         { return time.Time{} }
func (t *textFile) IsDir() bool                { return false }
func (t *textFile) Sys() any                   { return nil }
