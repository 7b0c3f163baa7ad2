package policy

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// RulesDigest returns a digest of the rules for what the client of [Layers.For] builds, and of the
// build rules of a decision on that. The time is that of the decision. It is now for the zero one.
// If two digests are the same, the same is allowed. They are the same for two clients if no rule
// tells them apart.
//
// A rule that has expired doesn't count, nor does one that is only for other clients. Names of
// rules and texts for people don't count either.
func (l Layers) RulesDigest(d Decision, now time.Time) digest.Digest {
	if d.at.IsZero() {
		d.at = now
	}
	w := encoder{fields: map[reflect.Type][]field{}}
	for _, layer := range l.each() {
		w.text(layer.name)
		w.value(reflect.ValueOf(layer.policy.rulesFor(l.client, d.at)))
	}
	build := clone(d.Obligations.Build)
	for i := range build {
		imagesFor(&build[i].Build, l.client, d.at)
	}
	w.value(reflect.ValueOf(build))
	return digest.FromBytes(w.bytes)
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
	all := b.Images.Rules
	b.Images.Rules = nil
	for _, r := range all {
		if !isForOthers(r, c, now) {
			r.Clients = nil
			b.Images.Rules = append(b.Images.Rules, r)
		}
	}
	if slices.ContainsFunc(all, func(r *imagerules.Rule) bool { return r.Action != ActionDeny }) {
		// Where some rule allows an image, whomever, all others are refused.
		b.Images.Rules = append(b.Images.Rules, &imagerules.Rule{})
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

// encoder writes values so that no two of them have the same bytes.
type encoder struct {
	bytes  []byte
	fields map[reflect.Type][]field
}

// field is a field that decides.
type field struct {
	name  string
	index int
}

func (w *encoder) number(n int64) {
	w.bytes = binary.BigEndian.AppendUint64(w.bytes, uint64(n))
}

func (w *encoder) text(s string) {
	w.number(int64(len(s)))
	w.bytes = append(w.bytes, s...)
}

// of returns the fields of a struct that decide. All are exported, because others are compiled from
// these.
func (w *encoder) of(t reflect.Type) []field {
	if list, ok := w.fields[t]; ok {
		return list
	}
	var list []field
	for i := range t.NumField() {
		f := t.Field(i)
		if f.IsExported() && !slices.Contains(undecided[t], f.Name) {
			list = append(list, field{f.Name, i})
		}
	}
	w.fields[t] = list
	return list
}

// value writes a value with its fields. A list that is absent isn't empty.
func (w *encoder) value(v reflect.Value) {
	const absent, present = -1, 0
	switch v.Kind() {
	case reflect.Struct:
		for _, f := range w.of(v.Type()) {
			w.text(f.name)
			w.value(v.Field(f.index))
		}
	case reflect.Pointer:
		if v.IsNil() {
			w.number(absent)
			return
		}
		w.number(present)
		w.value(v.Elem())
	case reflect.Slice:
		if v.IsNil() {
			w.number(absent)
			return
		}
		w.number(int64(v.Len()))
		for i := range v.Len() {
			w.value(v.Index(i))
		}
	case reflect.Map:
		w.number(int64(v.Len()))
		keys := v.MapKeys() // They are strings in all maps.
		slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
		for _, k := range keys {
			w.text(k.String())
			w.value(v.MapIndex(k))
		}
	case reflect.String:
		w.text(v.String())
	case reflect.Int:
		w.number(v.Int())
	case reflect.Bool:
		w.text(strconv.FormatBool(v.Bool()))
	default:
		panic(fmt.Sprintf("policy: a field of the kind %s isn't in the digest of the rules", v.Kind()))
	}
}
