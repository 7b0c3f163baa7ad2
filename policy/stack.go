package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Layers are an embedded policy and at most one overlay. [Stack] makes them. The zero Layers
// deny everything.
type Layers struct {
	embedded, overlay *Policy
	brief             bool
	client            clients.Client
}

// For returns the layers for what a client asks for. Without it, the client is unknown: what a rule
// allows to some clients isn't allowed, and what it denies to some is denied.
func (l Layers) For(c clients.Client) Layers {
	l.client = c
	return l
}

// Client returns the client of [Layers.For].
func (l Layers) Client() clients.Client { return l.client }

// Brief returns the layers for decisions without suggestions: [Decision].Allowed is empty, and no
// Reason asks what was meant. With many rules, looking for those takes most of the time.
func (l Layers) Brief() Layers {
	l.brief = true
	return l
}

// Stack puts an overlay, which may be nil, on an embedded policy.
//
// It fails if there is no embedded policy, if a policy was made in another way than by
// [Parse], [Load] or [ParseOverlay], or if the embedded policy accepts no overlay.
func Stack(embedded, overlay *Policy) (Layers, error) {
	switch {
	case embedded == nil:
		return Layers{}, errors.New("there is no policy")
	case embedded.digest == "" || (overlay != nil && overlay.digest == ""):
		return Layers{}, errors.New("a policy must come from Parse or ParseOverlay")
	case overlay != nil && embedded.doc.Overlay.Accept == AcceptNone:
		return Layers{},
			fmt.Errorf("the policy%s accepts no overlay (overlay: {accept: none}); build without one",
				embedded.label())
	}
	return Layers{embedded: embedded, overlay: overlay}, nil
}

// layer is one of the layers.
type layer struct {
	name   string // LayerPolicy or LayerOverlay
	policy *Policy
}

// each returns the layers that there are, the overlay first.
func (l Layers) each() []layer {
	var out []layer
	for _, one := range []layer{{LayerOverlay, l.overlay}, {LayerPolicy, l.embedded}} {
		if one.policy != nil {
			out = append(out, one)
		}
	}
	return out
}

// DefaultFrontend returns what to run when a build names no frontend: the
// overlay's if it has one, else the embedded policy's, else "". Being the
// default exempts it from no rule of either layer.
func (l Layers) DefaultFrontend() string {
	if l.overlay != nil && l.overlay.doc.DefaultFrontend != "" {
		return l.overlay.doc.DefaultFrontend
	}
	if l.embedded == nil {
		return ""
	}
	return l.embedded.doc.DefaultFrontend
}

// DaemonDockerfile is the name of the Dockerfile frontend that is a part of buildkitd. No image has
// this name, and no rule can allow it.
const DaemonDockerfile = "dockerfile.v0"

// DockerfileFrontend returns the frontend for which a request for [DaemonDockerfile] stands: the
// [Layers.DefaultFrontend], or docker/dockerfile:1 if there is none. No rule exempts it.
func (l Layers) DockerfileFrontend() string {
	return cmp.Or(l.DefaultFrontend(), "docker/dockerfile:1")
}

// StandIn returns the request that a build makes in the place of r. If what is requested is
// [DaemonDockerfile], the Reference is that of [Layers.DockerfileFrontend]. Others stay as they
// are.
func (l Layers) StandIn(r Request) Request {
	if r.Requested != DaemonDockerfile {
		return r
	}
	ref, err := imageref.Parse(l.DockerfileFrontend())
	if err == nil { // a policy has no invalid defaultFrontend
		r.Reference = ref
	}
	return r
}

// NoteOn returns what a person has to know about a refused request, besides the reason. It is ""
// for all but [DaemonDockerfile].
func (l Layers) NoteOn(requested string) string {
	if requested != DaemonDockerfile {
		return ""
	}
	return fmt.Sprintf("%s is the daemon's own Dockerfile frontend, and stands for %s here: name "+
		"another one by a # syntax line in that Dockerfile, or have a rule allow this one",
		DaemonDockerfile, safetext.Plain(l.DockerfileFrontend()))
}

// noted returns the decision on the request with [Layers.NoteOn].
func (l Layers) noted(r Request, d Decision) Decision {
	if note := l.NoteOn(r.Requested); note != "" && d.Verdict == Deny {
		d.Messages = append(slices.Clip(d.Messages), note)
	}
	return d
}

// Contact returns whom a person can ask: the embedded policy's contact if it has
// one, else the overlay's, else "". The embedded one comes first so that a client
// can't send people elsewhere.
func (l Layers) Contact() string {
	if l.embedded != nil && l.embedded.doc.Contact != "" {
		return l.embedded.doc.Contact
	}
	if l.overlay == nil {
		return ""
	}
	return l.overlay.doc.Contact
}

// label returns the policy's id for a message, with a leading space, or "".
func (p *Policy) label() string {
	if p == nil || p.doc.ID == "" {
		return ""
	}
	return " " + safetext.Quote(p.doc.ID)
}
