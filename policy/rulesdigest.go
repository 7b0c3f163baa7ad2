package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"reflect"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// RulesDigest returns a digest of the rules for what the client of [Layers.For] builds at a time,
// and of the build rules of a decision on that, which may be the zero one. If two digests are the
// same, the same is allowed. They are the same for two clients if no rule tells them apart.
//
// A rule that has expired doesn't count, nor does one that is only for other clients. Names of
// rules and texts for people don't count either.
func (l Layers) RulesDigest(d Decision, now time.Time) digest.Digest {
	sum := sha256.New()
	for _, layer := range l.each() {
		w := digester{sum}
		w.text(layer.name)
		w.value(reflect.ValueOf(layer.policy.rulesFor(l.client, now)))
	}
	build := clone(d.Obligations.Build)
	for i := range build {
		imagesFor(&build[i].Build, l.client, now)
	}
	digester{sum}.value(reflect.ValueOf(build))
	return digest.NewDigest(digest.SHA256, sum)
}

// rulesFor returns the document without what is for other clients, and without rules that have
// expired.
func (p *Policy) rulesFor(c clients.Client, now time.Time) Document {
	doc := p.Document()
	imagesFor(doc.Build, c, now)
	doc.Frontends = slices.DeleteFunc(doc.Frontends, func(r Rule) bool {
		return isForOthers(&r.Rule, c, now)
	})
	for i := range doc.Frontends {
		doc.Frontends[i].Clients = nil
		imagesFor(doc.Frontends[i].Build, c, now)
	}
	if a := doc.LLB; a != nil {
		allows := !a.Denied && a.clients.Has(c)
		doc.LLB = &LLB{Allowed: allows, Denied: !allows}
	}
	doc.repositories(func(_ string, r *Repositories) {
		r.keep(c)
		for _, rule := range r.Rules {
			rule.keep(c)
		}
		r.Rules = slices.DeleteFunc(r.Rules, func(rule *RepositoryRule) bool {
			return len(rule.Allow) == 0 && len(rule.Deny) == 0
		})
	})
	doc.Administration = nil // It concerns no build.
	return doc
}

// isForOthers reports whether a rule doesn't count for a client at a time.
func isForOthers(r *imagerules.Rule, c clients.Client, now time.Time) bool {
	return r.Expired(now) || !r.Admits(c)
}

// imagesFor leaves those rules on images that count for a client at a time.
func imagesFor(b *buildrules.Rules, c clients.Client, now time.Time) {
	if b == nil || b.Images == nil {
		return
	}
	b.Images.Rules = slices.DeleteFunc(b.Images.Rules, func(r *imagerules.Rule) bool {
		return isForOthers(r, c, now)
	})
	for _, r := range b.Images.Rules {
		r.Clients = nil
	}
}

// keep leaves what is for the client.
func (r *RepositoryRule) keep(c clients.Client) {
	if !r.clients.Has(c) {
		r.Allow = nil
	}
	if !r.clients.MayHave(c) {
		r.Deny = nil
	}
	r.Clients = nil
}

// undecided are the fields, by their types, that decide nothing.
var undecided = map[reflect.Type][]string{
	reflect.TypeFor[Document]():        {"ID", "Contact", "Include"},
	reflect.TypeFor[imagerules.Rule](): {"Name", "Contact", "Message"},
	reflect.TypeFor[BuildObligation](): {"Rule"},
}

// digester writes values so that no two of them have the same bytes.
type digester struct{ hash.Hash }

func (w digester) number(n int) {
	_ = binary.Write(w, binary.BigEndian, int64(n)) // A hash never fails.
}

func (w digester) text(s string) {
	w.number(len(s))
	w.Write([]byte(s))
}

// value writes a value with its exported fields. Callers compile all others from these.
func (w digester) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.IsExported() && !slices.Contains(undecided[v.Type()], f.Name) {
				w.text(f.Name)
				w.value(v.Field(i))
			}
		}
	case reflect.Pointer:
		if v.IsNil() {
			w.number(-1)
			return
		}
		w.number(0)
		w.value(v.Elem())
	case reflect.Slice:
		if v.IsNil() { // Some lists mean something else then.
			w.number(-1)
			return
		}
		w.number(v.Len())
		for i := range v.Len() {
			w.value(v.Index(i))
		}
	case reflect.Map:
		w.number(v.Len())
		keys := v.MapKeys() // They are strings in all maps.
		slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
		for _, k := range keys {
			w.text(k.String())
			w.value(v.MapIndex(k))
		}
	case reflect.String:
		w.text(v.String())
	default:
		w.text(fmt.Sprint(v.Interface()))
	}
}
