package vsa

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// PayloadType is the type of a statement in an envelope.
const PayloadType = "application/vnd.in-toto+json"

// maxSignatures bounds the signatures of an envelope, and maxSignature the bytes of one.
const (
	maxSignatures = 20
	maxSignature  = 1 << 10
)

// Envelope is a signed payload in the form of DSSE v1 (secure-systems-lab/dsse, envelope.md).
//
// The library of DSSE's authors isn't used: it reads base64 in two alphabets and ignores unknown
// fields, and what is left of it is [encoded].
type Envelope struct {
	Payload     string      `json:"payload"` // in base64
	PayloadType string      `json:"payloadType"`
	Signatures  []Signature `json:"signatures"`
}

// Signature is one signature of an envelope.
type Signature struct {
	// KeyID is a hint that isn't signed. Ours is "": the library of DSSE's authors, which cosign uses,
	// skips a signature with another hint than the one that it would make.
	KeyID string `json:"keyid,omitempty"`
	Sig   string `json:"sig"` // in base64
}

// encoding is base64 in the only spelling that a text has.
var encoding = base64.StdEncoding.Strict()

// encoded is DSSE's pre-authentication encoding: the bytes that are signed.
func encoded(payloadType string, payload []byte) []byte {
	b := append([]byte("DSSEv1 "), strconv.Itoa(len(payloadType))...)
	b = append(append(b, ' '), payloadType...)
	b = strconv.AppendInt(append(b, ' '), int64(len(payload)), 10)
	return append(append(b, ' '), payload...)
}

// Signer signs with one key.
type Signer interface {
	// Sign returns the signature of a message: for a key of ECDSA over its SHA-256 digest, in ASN.1,
	// and for a key of Ed25519 over the message itself.
	Sign(ctx context.Context, message []byte) ([]byte, error)
	// Public returns the key that verifies the signatures.
	Public() PublicKey
}

// Sign returns the statement in an envelope. It fails if the statement is too large, and if the
// signer fails or returns a signature that its key doesn't verify.
func Sign(ctx context.Context, s *Statement, by Signer) (*Envelope, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("the statement: %w", err)
	}
	payload, err := s.Bytes()
	if err != nil {
		return nil, err
	}
	message := encoded(PayloadType, payload)
	sig, err := by.Sign(ctx, message)
	if err != nil {
		return nil, err
	}
	if !by.Public().Verifies(message, sig) {
		return nil, errors.New("the signature isn't one by the public key")
	}
	return &Envelope{
		Payload: encoding.EncodeToString(payload), PayloadType: PayloadType,
		Signatures: []Signature{{Sig: encoding.EncodeToString(sig)}},
	}, nil
}

// Bytes returns the JSON of the envelope.
func (e *Envelope) Bytes() ([]byte, error) { return json.Marshal(e) }

// ParseEnvelope reads an envelope. It looks at no signature.
func ParseEnvelope(data []byte) (*Envelope, error) {
	if len(data) > MaxEnvelope {
		return nil, fmt.Errorf("the envelope has more than %d bytes", MaxEnvelope)
	}
	e := &Envelope{}
	if err := unmarshal(data, e); err != nil {
		return nil, fmt.Errorf("the envelope: %w", err)
	}
	return e, nil
}

// NotSignedError says that no signature of an envelope is by the key.
type NotSignedError struct{}

// Error implements error.
func (NotSignedError) Error() string { return "it isn't signed by this key" }

// Open returns the statement of an envelope that the key has signed. Its error is a
// [NotSignedError], or says what is wrong with the envelope or the statement.
func (k PublicKey) Open(e *Envelope) (*Statement, error) {
	if e.PayloadType != PayloadType {
		return nil, fmt.Errorf("the envelope's payload is %.100q, not %s", e.PayloadType, PayloadType)
	}
	if len(e.Signatures) > maxSignatures {
		return nil, fmt.Errorf("the envelope has more than %d signatures", maxSignatures)
	}
	if len(e.Payload) > MaxEnvelope {
		return nil, fmt.Errorf("the envelope has more than %d bytes", MaxEnvelope)
	}
	payload, err := encoding.DecodeString(e.Payload)
	if err != nil {
		return nil, fmt.Errorf("the envelope's payload: %w", err)
	}
	message := encoded(e.PayloadType, payload)
	for _, s := range e.Signatures {
		if len(s.Sig) > 2*maxSignature {
			continue
		}
		if sig, err := encoding.DecodeString(s.Sig); err == nil && k.Verifies(message, sig) {
			return Parse(payload)
		}
	}
	return nil, NotSignedError{}
}

// BundleType is the media type of [Envelope.Bundle].
const BundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// bundle is the part of a Sigstore bundle that an envelope needs that was signed with a key
// (sigstore/protobuf-specs, sigstore_bundle.proto).
type bundle struct {
	MediaType            string `json:"mediaType"`
	VerificationMaterial struct {
		PublicKey struct {
			Hint string `json:"hint"`
		} `json:"publicKey"`
	} `json:"verificationMaterial"`
	Envelope *Envelope `json:"dsseEnvelope"`
}

// Bundle returns the envelope as a Sigstore bundle, the form that cosign 3 finds beside images. The
// bundle names the key that has signed.
func (e *Envelope) Bundle(by PublicKey) ([]byte, error) {
	b := bundle{MediaType: BundleType, Envelope: e}
	b.VerificationMaterial.PublicKey.Hint = by.ID()
	return json.Marshal(b)
}

// ParseBundle returns the envelope of a Sigstore bundle. It looks at no signature, and ignores all
// else in the bundle.
func ParseBundle(data []byte) (*Envelope, error) {
	if len(data) > MaxEnvelope {
		return nil, fmt.Errorf("the bundle has more than %d bytes", MaxEnvelope)
	}
	var b bundle
	if err := unmarshal(data, &b); err != nil {
		return nil, fmt.Errorf("the bundle: %w", err)
	}
	if b.Envelope == nil {
		return nil, errors.New("the bundle has no envelope")
	}
	return b.Envelope, nil
}
