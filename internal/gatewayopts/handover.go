package gatewayopts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	digest "github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/apart"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// HandOver is a build that policy-guard hands over to the policy frontend's image.
type HandOver struct {
	// Policy is the name of the policy among the Files.
	Policy string `json:"policy"`
	// Files are the policy and the files that it includes, by their paths.
	Files map[string]string `json:"files"`
	// Frontend is the reference, with its digest, that policy-guard allowed.
	Frontend string `json:"frontend"`
	// CacheMounts separates the cache mounts of this build's client from those of others.
	CacheMounts string `json:"cacheMounts"`
	// Apart is the id of the host that keeps the commands of this build apart from those of others;
	// see package apart. It is "" if they aren't kept apart.
	Apart string `json:"apart,omitempty"`
	// Client is who builds, if the policies name clients. Otherwise, it is unknown: what the image
	// gets is also recorded in the result's provenance.
	Client clients.Client `json:"client,omitzero"`
}

// Bounds of what is handed over, in bytes. The gateway gives each option to the process of a
// frontend as a variable of its environment (frontend/gateway/gateway.go, Solve). Linux limits a
// variable to 128 KiB, and all of them to a quarter of the limit on the stack: 2 MiB by default
// (execve(2)).
const (
	// maxPiece is the length of the longest piece.
	maxPiece = 96 << 10
	// MaxHandOver is the length of the longest document.
	MaxHandOver = 3 << 19
	// MaxOptions bounds all options of a frontend. What is left is for the rest of its environment.
	MaxOptions = 7 << 18
	// perOption is what a variable takes beside key and value: its name, a number, and a pointer.
	perOption = 48
)

// Options returns the options that hand the build over. The error says what is too large, or that
// the policy isn't text; it completes "the policy can't be handed over: ".
func (h HandOver) Options() (map[string]string, error) {
	for name, text := range h.Files {
		if !utf8.ValidString(name) || !utf8.ValidString(text) {
			return nil, errors.New("it isn't UTF-8 text")
		}
	}
	doc, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	if len(doc) > MaxHandOver {
		return nil, fmt.Errorf("it takes %d bytes, and a frontend can be started with at most %d of it",
			len(doc), MaxHandOver)
	}
	opts := map[string]string{optionkeys.HandOverDigest: digest.FromBytes(doc).String()}
	for i := 0; len(doc) > 0; i++ {
		n := min(maxPiece, len(doc))
		for n < len(doc) && !utf8.RuneStart(doc[n]) { // an option is text
			n--
		}
		opts[optionkeys.HandOverPiece+strconv.Itoa(i)] = string(doc[:n])
		doc = doc[n:]
	}
	return opts, nil
}

// IsHandedOver reports whether any option came in which policy-guard hands over a build.
func (o Options) IsHandedOver() bool { return len(o.handed) > 0 }

// HandOver returns the build that policy-guard handed over, nil if none of its options came. It
// fails unless all of them have the form of [HandOver.Options].
//
// It doesn't say who sent them. Every client of a daemon can send any option.
func (o Options) HandOver() (*HandOver, error) {
	if len(o.handed) == 0 {
		return nil, nil
	}
	var doc []byte
	pieces := len(o.handed) - 1 // all but the digest
	for i := range pieces {
		piece, ok := o.handed[optionkeys.HandOverPiece+strconv.Itoa(i)]
		if !ok {
			return nil, fmt.Errorf("the piece %d of %d is missing", i, pieces)
		}
		doc = append(doc, piece...)
	}
	if o.handed[optionkeys.HandOverDigest] != digest.FromBytes(doc).String() {
		return nil, errors.New("its digest is wrong")
	}
	var h HandOver
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	if err := d.Decode(&h); err != nil {
		return nil, fmt.Errorf("it can't be read: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows it")
	}
	if h.Apart != "" && !apart.Is(h.Apart) {
		return nil, errors.New("its id has another form")
	}
	return &h, nil
}

// Startable fails unless a process can get all of the options in its environment.
func Startable(opts map[string]string) error {
	size := 0
	for key, value := range opts {
		size += len(key) + len(value) + perOption
	}
	if size > MaxOptions {
		return fmt.Errorf("the options of the build take %d bytes, and a frontend can be started with "+
			"at most %d", size, MaxOptions)
	}
	return nil
}
