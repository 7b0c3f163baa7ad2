package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/internal/urlmatch"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// object returns what the rules have against a claim, and the reference that is read by them.
func (h *held) object(k *kindRow, c claim) (imageref.Reference, []objection, error) {
	switch {
	case !h.build.restricts(k.kind):
		return c.ref, nil, nil
	case k.rewrite != nil:
		return k.rewrite(&h.build, c.ref)
	}
	return c.ref, k.check(&h.build, c), nil
}

// container returns what the rules have against a container of the frontend's.
func (b *Build) container(c claim) []objection {
	if b.Containers != ActionAllow {
		return []objection{objectf("containers", "containers that a frontend starts by itself")}
	}
	return b.Exec.object(c)
}

// judge rewrites an image and returns what the rules have against what comes out.
// It fails if that is no reference.
func (r *ImageRules) judge(asked imageref.Reference) (imageref.Reference, []objection, error) {
	ref, err := r.convert(asked)
	if err != nil {
		return asked, nil, fmt.Errorf("an image that can't be converted: %w", err)
	}
	what := func() string {
		if ref.SameRepository(asked) {
			return "the image " + ref.Familiar()
		}
		return fmt.Sprintf("the image %s (asked for as %s)", ref.Familiar(), asked.Familiar())
	}
	var found []objection
	if pin, ok := r.pins[pinKey(ref, len(r.pins))]; ok {
		if pinned, err := ref.WithDigest(pin); err != nil {
			found = append(found, objectf("images.pins", "%s: it pins %s to %s", what(), ref.Tagged().Familiar(), pin))
		} else {
			ref = pinned
		}
	}
	found = append(found, matchPatterns(KindImages, what, ref.Pattern(), r.allow, r.deny, r.Allow)...)
	if r.RequireDigest && ref.Digest() == "" {
		found = append(found, objectf("images.requireDigest", "%s without a digest: write %s@sha256:…", what(), ref.Familiar()))
	}
	return ref, found, nil
}

// pinKey is the key of pins that is for the reference; "" for none.
func pinKey(ref imageref.Reference, pins int) string {
	if pins == 0 || ref.Tag() == "" {
		return ""
	}
	return ref.Tagged().String()
}

// convert applies the first conversion that is for the image, once.
func (r *ImageRules) convert(ref imageref.Reference) (imageref.Reference, error) {
	for i := range r.Convert {
		c := &r.Convert[i]
		name, ok := replaceName(c.from, c.to, ref.Name())
		if rest, below := strings.CutPrefix(ref.Name(), c.fromFolder); !ok && below && c.fromFolder != "" {
			name, ok = c.toFolder+rest, true
		}
		if ok {
			return ref.WithName(name)
		}
	}
	return ref, nil
}

// matchPatterns judges a name by patterns of names.
func matchPatterns(k Kind, what func() string, name imageref.Pattern, allow, deny []imageref.Pattern, written []string) []objection {
	matches := func(p imageref.Pattern) bool { return p.Covers(name) }
	if i := slices.IndexFunc(deny, matches); i >= 0 {
		return []objection{objectf(string(k)+".deny: "+deny[i].Familiar(), "%s", what())}
	}
	if len(allow) > 0 && !slices.ContainsFunc(allow, matches) {
		return []objection{objectf(string(k)+".allow", "%s: %s", what(), allows(written))}
	}
	return nil
}

func (r *PatternRules) object(c claim) []objection {
	if r == nil {
		return nil
	}
	what := func() string { return c.what + " " + c.ref.Familiar() }
	return matchPatterns(c.kind, what, c.ref.Pattern(), r.allow, r.deny, r.Allow)
}

func (r *GitRules) object(c claim) []objection {
	found := r.urls.object(c, r.Allow)
	if r.RequireCommit && !c.fixed {
		found = append(found, objectf("git.requireCommit", "%s without a commit: ask for one by all of its digits", c.urlName()))
	}
	return found
}

func (r *HTTPRules) object(c claim) []objection {
	found := r.urls.object(c, r.Allow)
	if r.RequireChecksum && !c.fixed {
		found = append(found, objectf("http.requireChecksum", "%s without a checksum: give its sha256:…", c.urlName()))
	}
	return found
}

func (r urlRules) object(c claim, written []string) []objection {
	if p := urlmatch.FirstDenied(r.deny, c.url); p != nil {
		return []objection{objectf(fmt.Sprintf("%s.deny: %s", c.kind, safetext.Printable(p.Written())), "%s", c.urlName())}
	}
	if len(r.allow) > 0 && urlmatch.First(r.allow, c.url) == nil {
		return []objection{objectf(string(c.kind)+".allow", "%s: %s", c.urlName(), allows(written))}
	}
	return nil
}

// urlName names what is read for a person. What follows a question mark may be a
// secret.
func (c claim) urlName() string {
	name := c.what + " " + safetext.Printable(c.url.String())
	if c.url.HasQuery() {
		name += "?…"
	}
	return name
}

func (r *NameRules) object(c claim) []objection {
	name := c.text
	if g := matchAny(r.Deny, name); g != "" {
		return []objection{objectf("local.deny: "+safetext.Printable(g), "the client's folder %s", safetext.Quote(name))}
	}
	if len(r.Allow) > 0 && matchAny(r.Allow, name) == "" {
		return []objection{objectf("local.allow", "the client's folder %s: %s", safetext.Quote(name), allows(r.Allow))}
	}
	return nil
}
