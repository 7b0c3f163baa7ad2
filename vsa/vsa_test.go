package vsa_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/vsa"
)

var (
	image  = vsa.Digest{SHA256: strings.Repeat("1", 64)}
	rules  = vsa.Digest{SHA256: strings.Repeat("2", 64)}
	byUs   = vsa.Verifier{ID: "https://example.com/guard", Version: map[string]string{"guard": "v1"}}
	passed = `{"verdict":"allow","requested":"docker/dockerfile:1","source":"docker.io/docker/dockerfile:1",` +
		`"rule":"dockerfile","reason":"because","policy":{"id":"corp","digest":"sha256:` +
		strings.Repeat("2", 64) + `"}}`
)

// statement returns a statement about the image.
func statement(tb testing.TB) *vsa.Statement {
	tb.Helper()
	s, err := vsa.New([]string{"docker.io/org/app:1"}, image, byUs,
		time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), vsa.Policy{URI: "urn:corp", Digest: rules},
		vsa.Details{
			Decision: json.RawMessage(passed), Dispatch: "builtin",
			Sources: []vsa.Source{{URI: "docker-image://docker.io/library/alpine:3", Digest: "sha256:3"}},
		})
	require.NoError(tb, err)
	return s
}

func pemOf(tb testing.TB, kind string, der []byte, err error) []byte {
	tb.Helper()
	require.NoError(tb, err)
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func privatePEM(tb testing.TB, key any) []byte {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pemOf(tb, "PRIVATE KEY", der, err)
}

func publicPEM(tb testing.TB, key any) []byte {
	tb.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	return pemOf(tb, "PUBLIC KEY", der, err)
}

func ecdsaKey(tb testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	require.NoError(tb, err)
	return key
}

// signer returns a signer with a new key.
func signer(tb testing.TB) vsa.Signer {
	tb.Helper()
	s, err := vsa.ParsePrivateKey(privatePEM(tb, ecdsaKey(tb, elliptic.P256())))
	require.NoError(tb, err)
	return s
}

func TestTheStatementIsWhatSLSAAndInTotoDescribe(t *testing.T) {
	t.Parallel()
	data, err := statement(t).Bytes()
	require.NoError(t, err)
	require.JSONEq(t, `{
		"_type": "https://in-toto.io/Statement/v1",
		"subject": [{"name": "docker.io/org/app:1", "digest": {"sha256": "`+image.SHA256+`"}}],
		"predicateType": "https://slsa.dev/verification_summary/v1",
		"predicate": {
			"verifier": {"id": "https://example.com/guard", "version": {"guard": "v1"}},
			"timeVerified": "2026-01-02T03:04:05Z",
			"resourceUri": "oci:docker.io/org/app:1",
			"policy": {"uri": "urn:corp", "digest": {"sha256": "`+rules.SHA256+`"}},
			"verificationResult": "PASSED",
			"verifiedLevels": ["SLSA_BUILD_LEVEL_UNEVALUATED"],
			"`+vsa.DecisionField+`": {
				"decision": `+passed+`, "dispatch": "builtin",
				"sources": [{"uri": "docker-image://docker.io/library/alpine:3", "digest": "sha256:3"}]
			}
		}
	}`, string(data))
	back, err := vsa.Parse(data)
	require.NoError(t, err)
	require.Equal(t, statement(t), back)
}

func TestKeys(t *testing.T) {
	t.Parallel()
	p256 := ecdsaKey(t, elliptic.P256())
	p384 := ecdsaKey(t, elliptic.P384())
	_, ed, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	sec1, err := x509.MarshalECPrivateKey(p256)
	sec1PEM := pemOf(t, "EC PRIVATE KEY", sec1, err)
	for name, c := range map[string]struct {
		private []byte
		public  crypto.PublicKey
		fails   string
	}{
		"ECDSA on P-256 in PKCS #8 signs": {privatePEM(t, p256), p256.Public(), ""},
		"ECDSA on P-256 in SEC 1 signs":   {sec1PEM, p256.Public(), ""},
		"Ed25519 signs":                   {privatePEM(t, ed), ed.Public(), ""},
		"another curve is refused": {
			privatePEM(t, p384), p384.Public(),
			"it is neither a key of ECDSA on the curve P-256 nor one of Ed25519",
		},
		"an encrypted key is refused": {
			pemOf(t, "ENCRYPTED SIGSTORE PRIVATE KEY", []byte("x"), nil), nil,
			"it is a \"ENCRYPTED SIGSTORE PRIVATE KEY\", not an unencrypted PRIVATE KEY",
		},
		"a public key is no private key": {
			publicPEM(t, p256.Public()), nil, "it is a \"PUBLIC KEY\", not an unencrypted PRIVATE KEY",
		},
		"two keys are refused": {
			append(privatePEM(t, ed), privatePEM(t, p256)...), nil,
			"it has more than one block of PEM",
		},
		"text is no key":             {[]byte("secret"), nil, "it has no PEM"},
		"a file too large is no key": {make([]byte, vsa.MaxKey+1), nil, "it has more than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := vsa.ParsePrivateKey(c.private)
			if c.fails != "" {
				require.EqualError(t, err, c.fails)
				if c.public != nil {
					_, err = vsa.ParsePublicKey(publicPEM(t, c.public))
					require.EqualError(t, err, c.fails)
				}
				return
			}
			require.NoError(t, err)
			public, err := vsa.ParsePublicKey(publicPEM(t, c.public))
			require.NoError(t, err)
			require.Equal(t, public.ID(), s.Public().ID())
			e, err := vsa.Sign(t.Context(), statement(t), s)
			require.NoError(t, err)
			opened, err := public.Open(e)
			require.NoError(t, err)
			require.Equal(t, statement(t), opened)
		})
	}
}

// edited returns the statement's JSON with one text replaced.
func edited(t *testing.T, old, replacement string) []byte {
	t.Helper()
	data, err := statement(t).Bytes()
	require.NoError(t, err)
	require.Contains(t, string(data), old)
	return []byte(strings.Replace(string(data), old, replacement, 1))
}

func TestAStatementThatNobodyMakesIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ old, replacement, why string }{
		"that it failed": {
			`"PASSED"`, `"FAILED"`, `its result is "FAILED", not PASSED`,
		},
		"another predicate": {
			vsa.PredicateType + `"`, `https://slsa.dev/provenance/v1"`, "its predicate's type is",
		},
		"another statement": {vsa.StatementType, "https://in-toto.io/Statement/v0.1", "its type is"},
		"a decision by another policy": {
			`"digest":"sha256:2`, `"digest":"sha256:4`, "its decision is by another policy",
		},
		"a decision that warns about nothing": {
			`"verdict":"allow"`, `"verdict":"warn"`, `its decision is "warn" and has 0 warnings`,
		},
		"a decision that allows with a warning": {
			`"verdict":"allow"`, `"verdict":"allow","warnings":["w"]`,
			`its decision is "allow" and has 1 warnings`,
		},
		"a decision that denies": {`"verdict":"allow"`, `"verdict":"deny"`, `its decision is "deny"`},
		"images with two digests": {
			`"subject":[`, `"subject":[{"name":"a","digest":{"sha256":"` + rules.SHA256 + `"}},`,
			"its subjects have different digests",
		},
		"no sha256 of the image": {
			`"sha256":"1`, `"sha512":"1`, "a subject has no sha256 digest",
		},
		"a digest in capital letters": {
			`"sha256":"2`, `"sha256":"A`, "its policy has no sha256 digest",
		},
		"another resource":  {`"oci:docker`, `"oci:rocker`, "isn't its first subject"},
		"a name twice":      {`"_type"`, `"_type":"x","_type"`, `the name "_type" twice`},
		"no details":        {vsa.DecisionField, "https://example.com/v1", "verification-summary/v1 is missing"},
		"unknown details":   {`"dispatch"`, `"more":1,"dispatch"`, `unknown field "more"`},
		"no verifier":       {`"id":"https`, `"name":"https`, "it names no verifier"},
		"no resource":       {`"resourceUri"`, `"resource"`, `its resource "" isn't its first subject`},
		"no time":           {`"timeVerified"`, `"timeCreated"`, "it has no time"},
		"no levels":         {`["SLSA_BUILD_LEVEL_UNEVALUATED"]`, `[]`, "it has no levels"},
		"a second document": {`{"_type"`, `{}{"_type"`, "after top-level value"},
		"no UTF-8":          {`because`, "\xff", "it isn't UTF-8"},
		"a deep nesting": {
			`"because"`, strings.Repeat("[", 200) + strings.Repeat("]", 200), "nested deeper than 100",
		},
		"too much": {`because`, strings.Repeat("x", vsa.MaxStatement), "more than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := vsa.Parse(edited(t, c.old, c.replacement))
			require.ErrorContains(t, err, c.why)
		})
	}
}

func TestFieldsOfLaterVersionsOfSLSAAreIgnored(t *testing.T) {
	t.Parallel()
	s, err := vsa.Parse(edited(t, `"resourceUri"`, `"slsaVersion":"1.2","https://e.com/x":{},"resourceUri"`))
	require.NoError(t, err)
	require.Equal(t, statement(t), s)
}

func TestAnEnvelopeThatSaysSomethingElseIsRefused(t *testing.T) {
	t.Parallel()
	key := signer(t)
	payload := func(t *testing.T, old, replacement string) func(*vsa.Envelope) {
		t.Helper()
		return func(e *vsa.Envelope) {
			e.Payload = base64.StdEncoding.EncodeToString(edited(t, old, replacement))
		}
	}
	for name, change := range map[string]func(*vsa.Envelope){
		"another image":  payload(t, `"sha256":"1`, `"sha256":"0`),
		"another policy": payload(t, `"sha256":"2`, `"sha256":"0`),
		"another time":   payload(t, "2026", "2027"),
		"no signature":   func(e *vsa.Envelope) { e.Signatures = nil },
		"a signature by another key": func(e *vsa.Envelope) {
			other, err := vsa.Sign(t.Context(), statement(t), signer(t))
			require.NoError(t, err)
			e.Signatures = other.Signatures
		},
		"another type":     func(e *vsa.Envelope) { e.PayloadType = "application/json" },
		"another alphabet": func(e *vsa.Envelope) { e.Payload = strings.TrimRight(e.Payload, "=") + "==\n" },
		"many signatures": func(e *vsa.Envelope) {
			for range 20 {
				e.Signatures = append(e.Signatures, e.Signatures[0])
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := vsa.Sign(t.Context(), statement(t), key)
			require.NoError(t, err)
			change(e)
			_, err = key.Public().Open(e)
			require.Error(t, err)
			_, err = vsa.PublicKey{}.Open(e)
			require.Error(t, err)
		})
	}
}

// signs is a Signer that signs something else.
type signs struct {
	vsa.Signer
	sig []byte
	err error
}

func (s signs) Sign(context.Context, []byte) ([]byte, error) { return s.sig, s.err }

func TestASignerThatFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	_, err := vsa.Sign(t.Context(), statement(t), signs{signer(t), nil, broken})
	require.ErrorIs(t, err, broken)
	_, err = vsa.Sign(t.Context(), statement(t), signs{signer(t), []byte("sig"), nil})
	require.EqualError(t, err, "the signature isn't one by the public key")
}

func TestNames(t *testing.T) {
	t.Parallel()
	s := statement(t)
	p := s.Predicate
	made, err := vsa.New(nil, image, byUs, p.TimeVerified, p.Policy, p.Details)
	require.NoError(t, err)
	require.Equal(t, []vsa.Subject{{Digest: image}}, made.Subject)
	require.Equal(t, "oci:"+image.String(), made.Predicate.ResourceURI)
	made, err = vsa.New([]string{"a", "b"}, image, byUs, p.TimeVerified, p.Policy, p.Details)
	require.NoError(t, err)
	require.Equal(t, []vsa.Subject{{"a", image}, {"b", image}}, made.Subject)
	_, err = vsa.New(make([]string, 201), image, byUs, p.TimeVerified, p.Policy, p.Details)
	require.EqualError(t, err, "it has 201 subjects, not 1 to 200")
	_, err = vsa.ParseDigest("sha256:1")
	require.EqualError(t, err, `"sha256:1" isn't a digest like sha256:… with 64 hex digits`)
}

func TestASummaryOfAWarnedBuild(t *testing.T) {
	t.Parallel()
	s, err := vsa.Parse(edited(t, `"verdict":"allow"`, `"verdict":"warn","warnings":["no network"]`))
	require.NoError(t, err)
	d, err := s.Decision()
	require.NoError(t, err)
	require.True(t, d.Warned())
	d, err = statement(t).Decision()
	require.NoError(t, err)
	require.False(t, d.Warned())
}

func TestASummaryForAStatementOfSomebodyElse(t *testing.T) {
	t.Parallel()
	p := statement(t).Predicate
	s, err := vsa.NewSummary("urn:a", byUs, p.TimeVerified, p.Policy, p.Details)
	require.NoError(t, err)
	p.ResourceURI = "urn:a"
	require.Equal(t, &p, s)
	_, err = vsa.NewSummary("", byUs, p.TimeVerified, p.Policy, p.Details)
	require.EqualError(t, err, "it names no resource")
}

func TestABundleHasTheEnvelope(t *testing.T) {
	t.Parallel()
	key := signer(t)
	e, err := vsa.Sign(t.Context(), statement(t), key)
	require.NoError(t, err)
	data, err := e.Bundle(key.Public())
	require.NoError(t, err)
	back, err := vsa.ParseBundle(data)
	require.NoError(t, err)
	require.Equal(t, e, back)
	_, err = vsa.ParseBundle([]byte("{}"))
	require.EqualError(t, err, "the bundle has no envelope")
	data, err = e.Bytes()
	require.NoError(t, err)
	back, err = vsa.ParseEnvelope(data)
	require.NoError(t, err)
	require.Equal(t, e, back)
}

// FuzzEnvelope changes one byte of what was signed, of the signature, or of the envelope's JSON. A
// changed envelope isn't accepted, or says the same.
func FuzzEnvelope(f *testing.F) {
	f.Add(uint(0), byte(1))
	f.Add(uint(700), byte(0x20))
	key := signer(f)
	want := statement(f)
	e, err := vsa.Sign(f.Context(), want, key)
	require.NoError(f, err)
	whole, err := e.Bytes()
	require.NoError(f, err)
	flip := func(data []byte, at uint, with byte) []byte {
		changed := append([]byte(nil), data...)
		changed[at%uint(len(changed))] ^= with
		return changed
	}
	change := func(t *testing.T, text string, at uint, with byte) string {
		t.Helper()
		data, err := base64.StdEncoding.DecodeString(text)
		require.NoError(t, err)
		return base64.StdEncoding.EncodeToString(flip(data, at, with))
	}
	f.Fuzz(func(t *testing.T, at uint, with byte) {
		if with == 0 {
			return
		}
		payload, sig := *e, *e
		payload.Payload = change(t, e.Payload, at, with)
		sig.Signatures = []vsa.Signature{{Sig: change(t, e.Signatures[0].Sig, at, with)}}
		for _, changed := range []*vsa.Envelope{&payload, &sig} {
			_, err := key.Public().Open(changed)
			require.ErrorIs(t, err, vsa.NotSignedError{})
		}
		changed, err := vsa.ParseEnvelope(flip(whole, at, with))
		if err != nil {
			return
		}
		if got, err := key.Public().Open(changed); err == nil {
			require.Equal(t, want, got)
		}
	})
}

// FuzzParse reads any statement, and what it accepts stays the same.
func FuzzParse(f *testing.F) {
	data, err := statement(f).Bytes()
	require.NoError(f, err)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := vsa.Parse(data)
		if err != nil {
			return
		}
		again, err := s.Bytes()
		require.NoError(t, err)
		_, err = vsa.Parse(again)
		require.NoError(t, err)
	})
}

func BenchmarkSign(b *testing.B) {
	key, s := signer(b), statement(b)
	for b.Loop() {
		_, err := vsa.Sign(b.Context(), s, key)
		require.NoError(b, err)
	}
}
