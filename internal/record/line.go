package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
)

// MaxLine is how many bytes a line can have, without the line break.
const MaxLine = 4 << 20

// Line returns the entry as a line, with its line break. It fails for an entry that isn't valid or
// too long.
func (e *Entry) Line() ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, err
	}
	if b.Len() > MaxLine {
		return nil, fmt.Errorf("the entry has %d bytes, more than %d", b.Len(), MaxLine)
	}
	return b.Bytes(), nil
}

// ErrTorn is the error of a line that breaks off in the middle, as one does when the machine loses
// power.
var ErrTorn = errors.New("it breaks off in the middle")

// Parse reads a line. It refuses an entry of another version, with fields that this version doesn't
// know, without one that each entry has, or with something after it. The error completes a sentence
// about the line. It is [ErrTorn] for one that breaks off.
func Parse(line []byte) (*Entry, error) {
	var of struct{ Version int }
	switch err := json.NewDecoder(bytes.NewReader(line)).Decode(&of); {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, ErrTorn
	case err != nil:
		return nil, fmt.Errorf("it isn't an entry: %w", err)
	case of.Version != Version:
		return nil, fmt.Errorf("it has the version %d, and this program knows only %d", of.Version,
			Version)
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	var e Entry
	if err := d.Decode(&e); err != nil {
		return nil, fmt.Errorf("it isn't an entry: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the entry")
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	return &e, nil
}

var ids = regexp.MustCompile(`^[0-9a-f]{32}$`)

// check returns what is wrong with an entry.
func (e *Entry) check() error {
	switch {
	case e.Version != Version:
		return fmt.Errorf("it has the version %d", e.Version)
	case e.Event != Begun && e.Event != Ended:
		return fmt.Errorf("it has the unknown event %q", e.Event)
	case !ids.MatchString(e.ID):
		return errors.New("it has no id of 32 hexadecimal digits")
	case e.Time.IsZero() || e.Began.IsZero():
		return errors.New("it has no time")
	case e.Client.Identity == "":
		return errors.New("it has no client")
	case e.Policy.Digest == "":
		return errors.New("it has no digest of the policy")
	case e.Event == Begun && e.Outcome != "":
		return errors.New("it has begun, and has an outcome")
	case e.Event == Ended && !slices.Contains(Outcomes(), e.Outcome):
		return fmt.Errorf("it has ended with the unknown outcome %q", e.Outcome)
	case e.Decision != nil && !slices.Contains([]string{"allow", "warn", "deny"}, e.Decision.Verdict):
		return fmt.Errorf("its decision has the unknown verdict %q", e.Decision.Verdict)
	}
	for _, s := range e.Sources {
		if s.Verdict != "allow" && s.Verdict != "deny" {
			return fmt.Errorf("a source has the unknown verdict %q", s.Verdict)
		}
	}
	return nil
}
