package vsa

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
)

// MaxKey bounds the PEM of a key, in bytes.
const MaxKey = 64 << 10

// errKind says which keys there are. Of ECDSA it is the one curve whose signatures all verifiers
// hash alike: cosign takes SHA-256 for each curve, and others the hash of the curve's size.
var errKind = errors.New("it is neither a key of ECDSA on the curve P-256 nor one of Ed25519")

// PublicKey verifies signatures. The zero PublicKey verifies none.
type PublicKey struct {
	key crypto.PublicKey // *ecdsa.PublicKey or ed25519.PublicKey
	id  string
}

// newPublicKey returns a key of crypto/x509 as a PublicKey.
func newPublicKey(key any) (PublicKey, error) {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return PublicKey{}, errKind
		}
	case ed25519.PublicKey:
	default:
		return PublicKey{}, errKind
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return PublicKey{}, err
	}
	sum := sha256.Sum256(der)
	return PublicKey{key, hex.EncodeToString(sum[:])}, nil
}

// ParsePublicKey reads a public key from a block "PUBLIC KEY" of PEM.
func ParsePublicKey(data []byte) (PublicKey, error) {
	block, err := onlyBlock(data)
	if err != nil {
		return PublicKey{}, err
	}
	if block.Type != "PUBLIC KEY" {
		return PublicKey{}, fmt.Errorf("it is a %.100q, not a PUBLIC KEY", block.Type)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return PublicKey{}, err
	}
	return newPublicKey(key)
}

// onlyBlock returns the one block of a PEM file.
func onlyBlock(data []byte) (*pem.Block, error) {
	if len(data) > MaxKey {
		return nil, fmt.Errorf("it has more than %d bytes", MaxKey)
	}
	block, rest := pem.Decode(data)
	if block == nil {
		return nil, errors.New("it has no PEM")
	}
	if next, _ := pem.Decode(rest); next != nil {
		return nil, errors.New("it has more than one block of PEM")
	}
	return block, nil
}

// ID returns the SHA-256 digest of the key in DER, in hex. It is "" for the zero key.
func (k PublicKey) ID() string { return k.id }

// Verifies reports whether the signature of the message is by this key.
func (k PublicKey) Verifies(message, sig []byte) bool {
	switch key := k.key.(type) {
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(message)
		return ecdsa.VerifyASN1(key, sum[:], sig)
	case ed25519.PublicKey:
		return ed25519.Verify(key, message, sig)
	}
	return false
}

// privateKey is a [Signer] with a key in memory.
type privateKey struct {
	key    crypto.Signer
	public PublicKey
}

// ParsePrivateKey reads a private key from a block "PRIVATE KEY" (PKCS #8) or "EC PRIVATE KEY"
// (SEC 1) of PEM. It reads no encrypted key.
func ParsePrivateKey(data []byte) (Signer, error) {
	block, err := onlyBlock(data)
	if err != nil {
		return nil, err
	}
	var key any
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		err = fmt.Errorf("it is a %.100q, not an unencrypted PRIVATE KEY", block.Type)
	}
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errKind
	}
	public, err := newPublicKey(signer.Public())
	if err != nil {
		return nil, err
	}
	return privateKey{signer, public}, nil
}

// Public implements [Signer].
func (k privateKey) Public() PublicKey { return k.public }

// Sign implements [Signer].
func (k privateKey) Sign(_ context.Context, message []byte) ([]byte, error) {
	if _, ok := k.key.(*ecdsa.PrivateKey); ok {
		sum := sha256.Sum256(message)
		return k.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	}
	return k.key.Sign(nil, message, crypto.Hash(0))
}
