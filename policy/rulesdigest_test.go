package policy_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

var (
	ofEight = clients.Peer(7, 8)
	ofNine  = clients.Peer(7, 9)
	june    = time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC)
)

// rulesOf returns the digest of a policy's rules for a client, with the decision on a frontend.
func rulesOf(t *testing.T, text string, c clients.Client) string {
	t.Helper()
	return rulesAt(t, text, c, june)
}

func rulesAt(t *testing.T, text string, c clients.Client, now time.Time) string {
	t.Helper()
	p, err := policy.Parse("p.yaml", []byte("version: 1\n"+text))
	require.NoError(t, err, text)
	l, err := policy.Stack(p, nil)
	require.NoError(t, err)
	l = l.For(c)
	return l.RulesDigest(policy.Decision{}, now).String()
}

func TestTheDigestOfTheRulesForAClient(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text  string
		apart bool
	}{
		"no clients": {"frontends: [{name: a, match: [x]}]", false},
		"a rule for one of them": {
			`frontends: [{name: a, match: [x]}, {name: b, match: [y], clients: ["gid:8"]}]`, true,
		},
		"a rule for both":   {`frontends: [{name: a, match: [x], clients: ["gid:8", "gid:9"]}]`, false},
		"a rule by another": {`frontends: [{name: a, match: [x], clients: ["uid:7"]}]`, false},
		"the same rule for each of them": {
			`frontends: [{name: a, match: [x], message: m, contact: c, clients: ["gid:8"]},
			 {name: b, match: [x], clients: ["gid:9"]}]`, false,
		},
		"a rule for a third client": {`frontends: [{name: a, match: [x], clients: ["gid:10"]}]`, false},
		"an image for one of them": {
			`build: {images: [{name: i, match: [x], clients: ["gid:8"]}, {name: j, match: [y]}]}`, true,
		},
		"an image that is denied to one of them": {
			`build: {images: [{name: i, match: [x], clients: ["gid:8"], action: deny}]}`, true,
		},
		"an image in a rule": {
			`frontends: [{name: a, match: [x], build: {images: [{name: i, match: [x], clients: ["gid:8"]}]}}]`,
			true,
		},
		"LLB":          {`llb: {clients: ["gid:8"]}`, true},
		"LLB for both": {`llb: {clients: ["gid:8", "gid:9"]}`, false},
		"a push":       {`exports: {push: [{clients: ["gid:8"], allow: [r.example/**]}]}`, true},
		"a store":      {`exports: {store: {clients: ["gid:8"], allow: [r.example/**]}}`, true},
		"a denied name": {
			`exports: {push: [{allow: ["**"]}, {clients: ["gid:8"], deny: [r.example/**]}]}`, true,
		},
		"pushes of the same to each of them": {
			`exports: {push: [{clients: ["gid:8"], allow: [r.example/**]},
			 {clients: ["gid:9"], allow: [r.example/**]}]}`, false,
		},
		"an imported cache": {
			`caches: {imports: {registry: [{clients: ["gid:8"], allow: [r.example/**]}]}}`, true,
		},
		"an exported cache": {
			`caches: {exports: {registry: [{clients: ["gid:8"], allow: [r.example/**]}]}}`, true,
		},
		"an SBOM": {`sbom: {generators: [{clients: ["gid:8"], allow: [r.example/**]}]}`, true},
		"administration, which concerns no build": {`administration: {clients: ["gid:8"]}`, false},
		"a rule that has expired": {
			`frontends: [{name: a, match: [x]},
			 {name: b, match: [y], clients: ["gid:8"], expires: 2027-05-01}]`, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.apart {
				require.NotEqual(t, rulesOf(t, tc.text, ofEight), rulesOf(t, tc.text, ofNine))
				return
			}
			require.Equal(t, rulesOf(t, tc.text, ofEight), rulesOf(t, tc.text, ofNine))
		})
	}
}

func TestTheRulesOfADecisionCount(t *testing.T) {
	t.Parallel()
	p, err := policy.Parse("p.yaml", []byte(`version: 1
frontends:
  - {name: a, match: [x], build: {exec: {secrets: [token]}}}
  - {name: b, match: [y], build: {exec: {secrets: [token]}}}
  - {name: c, match: [z], build: {exec: {secrets: [other]}}}
  - {name: d, match: [w]}
`))
	require.NoError(t, err)
	l, err := policy.Stack(p, nil)
	require.NoError(t, err)
	of := func(name string) string {
		ref, err := imageref.Parse(name)
		require.NoError(t, err)
		d := policy.Decide(l, policy.Request{Requested: name, Reference: ref, Time: june})
		require.Equal(t, policy.Allow, d.Verdict, d.Reason)
		return l.RulesDigest(d, june).String()
	}
	require.Equal(t, of("x"), of("y"))
	require.NotEqual(t, of("x"), of("z"))
	require.NotEqual(t, of("x"), of("w"))
	require.NotEqual(t, of("z"), of("w"))
}

// A list of images in which a rule allows something refuses all others, for everybody.
func TestAnAllowRuleForOthersCountsAsARule(t *testing.T) {
	t.Parallel()
	const rule = "{name: a, match: [x], clients: [\"gid:8\"]"
	allowed := rulesOf(t, "build: {images: ["+rule+"}]}", ofNine)
	denied := rulesOf(t, "build: {images: ["+rule+", action: deny}]}", ofNine)
	require.NotEqual(t, allowed, denied)
}

func TestARuleCountsUntilItExpires(t *testing.T) {
	t.Parallel()
	const with = "frontends: [{name: a, match: [x]}, {name: b, match: [y], expires: 2027-06-02}]"
	const without = "frontends: [{name: a, match: [x]}]"
	day := 24 * time.Hour
	require.NotEqual(t, rulesAt(t, with, ofEight, june), rulesAt(t, without, ofEight, june))
	require.Equal(t, rulesAt(t, with, ofEight, june.Add(day)),
		rulesAt(t, without, ofEight, june.Add(day)))
}

func TestAnOverlayIsAmongTheRules(t *testing.T) {
	t.Parallel()
	p, err := policy.Parse("p.yaml", []byte("version: 1\nfrontends: [{name: a, match: [x]}]\n"))
	require.NoError(t, err)
	digests := map[string]bool{}
	for _, text := range []string{"", "default: allow\n", "default: allow\nbuild: {git: deny}\n"} {
		var overlay *policy.Policy
		if text != "" {
			overlay, err = policy.ParseOverlay("overlay", []byte("version: 1\n"+text))
			require.NoError(t, err)
		}
		l, err := policy.Stack(p, overlay)
		require.NoError(t, err)
		digests[l.RulesDigest(policy.Decision{}, june).String()] = true
	}
	require.Len(t, digests, 3)
	require.NotEmpty(t, policy.Layers{}.RulesDigest(policy.Decision{}, june))
}

// texts are the fields of a document, by their types, that decide nothing for a build. All others
// have to be in the digest.
var texts = map[string][]string{
	"policy.Document": {"ID", "Contact", "Include", "Administration"},
	"imagerules.Rule": {"Name", "Contact", "Message", "Clients"},
	// Lists of clients decide whether what is beside them counts. Without any, all are allowed.
	"policy.RepositoryRule": {"Clients"},
	"policy.LLB":            {"Clients", "Allowed"},
}

// Invariant: a change of any field changes the digest, unless the field decides nothing.
func TestEachFieldThatDecidesIsInTheDigest(t *testing.T) {
	t.Parallel()
	var doc policy.Document
	fill(reflect.ValueOf(&doc).Elem(), 0)
	before := policy.DigestOf(doc, ofEight, june)
	require.Equal(t, before, policy.DigestOf(doc, ofEight, june))
	changed := 0
	walkFields(reflect.ValueOf(&doc).Elem(), "", true, func(
		path string, decides bool, f reflect.Value,
	) {
		kept := reflect.New(f.Type()).Elem()
		kept.Set(f)
		change(f)
		after := policy.DigestOf(doc, ofEight, june)
		f.Set(kept)
		require.Equal(t, decides, before != after, path)
		changed++
	})
	require.Greater(t, changed, 150)
	require.Equal(t, before, policy.DigestOf(doc, ofEight, june), "everything was put back")
}

// fill sets each exported field to a value that isn't zero. A list has two items.
func fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), depth+1)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		value := reflect.New(v.Type().Elem()).Elem()
		fill(value, depth+1)
		v.SetMapIndex(reflect.ValueOf("k").Convert(v.Type().Key()), value)
	case reflect.String:
		v.SetString("x")
	case reflect.Int:
		v.SetInt(7)
	case reflect.Bool: // A denial in place of the fields would stand for them.
	default:
		panic(fmt.Sprintf("a field of the kind %s: account for it in the digest", v.Kind()))
	}
}

// change gives a field another value.
func change(f reflect.Value) {
	switch f.Kind() {
	case reflect.String:
		f.SetString(f.String() + "y")
	case reflect.Int:
		f.SetInt(f.Int() + 1)
	case reflect.Bool:
		f.SetBool(!f.Bool())
	default: // what may be absent
		f.SetZero()
	}
}

// walkFields calls found with each exported field at any depth, except for structs. decides says
// whether the field decides something.
func walkFields(
	v reflect.Value, path string, decides bool, found func(string, bool, reflect.Value),
) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() {
				continue
			}
			counts := decides
			for _, name := range texts[v.Type().String()] {
				counts = counts && name != f.Name
			}
			walkFields(v.Field(i), path+"."+f.Name, counts, found)
		}
		return
	case reflect.Pointer:
		walkFields(v.Elem(), path, decides, found)
	case reflect.Slice:
		for i := range v.Len() {
			item := v.Index(i)
			if item.Kind() == reflect.Pointer { // No document has an item without a value.
				item = item.Elem()
			}
			walkFields(item, fmt.Sprintf("%s[%d]", path, i), decides, found)
		}
	}
	if v.CanSet() {
		found(path, decides, v)
	}
}
