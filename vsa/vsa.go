// Package vsa makes and reads verification summaries: signed statements that a verifier has judged
// an image by a policy, and that it passed.
//
// A [Statement] is an in-toto Statement v1 with the predicate of SLSA's Verification Summary v1. A
// [Signer] signs it in an [Envelope] of DSSE, and a [PublicKey] opens that again. The package reads
// no files, and knows no registry.
package vsa

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// StatementType is the type of an in-toto Statement v1.
	StatementType = "https://in-toto.io/Statement/v1"
	// PredicateType is that of SLSA's Verification Summary v1.
	PredicateType = "https://slsa.dev/verification_summary/v1"
	// Passed is the only result that a [Statement] has. Nobody signs that something failed.
	Passed = "PASSED"
	// Unevaluated is the level of SLSA's build track that no verifier has looked at.
	Unevaluated = "SLSA_BUILD_LEVEL_UNEVALUATED"
	// DecisionField is the name of the predicate's field with [Details]. SLSA lets producers add
	// fields whose names are URIs, and lets consumers ignore them.
	DecisionField = "https://github.com/policy-frontend/policy-frontend/verification-summary/v1"
)

const (
	// MaxStatement bounds the JSON of a statement, in bytes.
	MaxStatement = 1 << 20
	// MaxEnvelope bounds the JSON of an envelope, in bytes.
	MaxEnvelope = 2 << 20
	// MaxSubjects bounds the names of an image.
	MaxSubjects = 200
	// MaxSources bounds the sources of a build.
	MaxSources = 10_000
	// maxDepth bounds how deep JSON is nested.
	maxDepth = 100
)

// Statement is an in-toto Statement v1 about one image, under each name that it was exported by.
type Statement struct {
	Type          string    `json:"_type"`
	Subject       []Subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     Summary   `json:"predicate"`
}

// Subject is an image: a name, and the digest of its manifest or index.
type Subject struct {
	// Name is the name and tag in canonical form; "" if the image was exported without a name.
	Name   string `json:"name,omitempty"`
	Digest Digest `json:"digest"`
}

// Digest is a digest as in-toto writes it. Other algorithms than sha256 aren't used.
type Digest struct {
	SHA256 string `json:"sha256"` // in lower case hex
}

// String returns the digest as registries write it: "sha256:" and hex.
func (d Digest) String() string { return "sha256:" + d.SHA256 }

var hex64 = regexp.MustCompile(`^[0-9a-f]{64}$`)

// ParseDigest reads a digest that begins with "sha256:".
func ParseDigest(s string) (Digest, error) {
	h, ok := strings.CutPrefix(s, "sha256:")
	if d := (Digest{h}); ok && d.valid() {
		return d, nil
	}
	return Digest{}, fmt.Errorf("%.100q isn't a digest like sha256:… with 64 hex digits", s)
}

func (d Digest) valid() bool { return hex64.MatchString(d.SHA256) }

// Summary is the predicate of a Verification Summary v1.
type Summary struct {
	Verifier     Verifier  `json:"verifier"`
	TimeVerified time.Time `json:"timeVerified"`
	// ResourceURI is "oci:" with the first name of the image, or with its digest if it has no name.
	ResourceURI        string   `json:"resourceUri"`
	Policy             Policy   `json:"policy"`
	VerificationResult string   `json:"verificationResult"`
	VerifiedLevels     []string `json:"verifiedLevels"`
	Details            Details  `json:"-"` // in the field DecisionField
}

// Verifier is the program that judged.
type Verifier struct {
	ID string `json:"id"`
	// Version has the version of each of its parts.
	Version map[string]string `json:"version,omitempty"`
}

// Policy is the policy by which it judged.
type Policy struct {
	URI    string `json:"uri,omitempty"`
	Digest Digest `json:"digest"`
}

// Details are what the summary of SLSA has no fields for.
type Details struct {
	// Decision is the decision on the frontend in full, as --metadata-file shows it.
	Decision json.RawMessage `json:"decision"`
	// Dispatch says how the frontend ran, and so how much was watched: forward, builtin or
	// mediate; or llb for LLB that no frontend made.
	Dispatch string `json:"dispatch"`
	// Sources are what the build was allowed to read, each once.
	Sources []Source `json:"sources"`
}

// Source is something that a build read.
type Source struct {
	// URI identifies it as BuildKit does, such as docker-image://docker.io/library/alpine:3. Where it
	// had a user or a query, it has *** instead.
	URI string `json:"uri"`
	// Digest is the digest of what was read: a checksum, a commit, or that of a manifest. It is ""
	// for what has none, such as a directory of the client.
	Digest string `json:"digest,omitempty"`
}

// Decision has the parts of a decision that everybody who reads a summary needs.
type Decision struct {
	Verdict   string   `json:"verdict"`
	Requested string   `json:"requested"`
	Image     string   `json:"source"`
	Rule      string   `json:"rule"`
	Reason    string   `json:"reason"`
	Warnings  []string `json:"warnings"`
	Policy    struct {
		ID     string `json:"id"`
		Digest string `json:"digest"`
	} `json:"policy"`
	Overlay *struct {
		Digest string `json:"digest"`
	} `json:"overlay"`
}

// New returns a statement that the image with this digest and these names passed.
func New(
	names []string, image Digest, by Verifier, at time.Time, policy Policy, details Details,
) (*Statement, error) {
	s := &Statement{
		Type: StatementType, PredicateType: PredicateType,
		Predicate: newSummary("", by, at, policy, details),
	}
	for _, name := range names {
		s.Subject = append(s.Subject, Subject{name, image})
	}
	if len(names) == 0 {
		s.Subject = []Subject{{Digest: image}}
	}
	s.Predicate.ResourceURI = s.resource()
	return s, s.check()
}

// NewSummary returns the summary of a resource, for a statement that somebody else makes of it.
func NewSummary(
	resource string, by Verifier, at time.Time, policy Policy, details Details,
) (*Summary, error) {
	s := newSummary(resource, by, at, policy, details)
	return &s, s.check()
}

func newSummary(
	resource string, by Verifier, at time.Time, policy Policy, details Details,
) Summary {
	if details.Sources == nil {
		details.Sources = []Source{}
	}
	return Summary{
		Verifier: by, TimeVerified: at.UTC().Truncate(time.Second), ResourceURI: resource,
		Policy: policy, VerificationResult: Passed, VerifiedLevels: []string{Unevaluated},
		Details: details,
	}
}

// resource returns the resource that the subjects are.
func (s *Statement) resource() string {
	if name := s.Subject[0].Name; name != "" {
		return "oci:" + name
	}
	return "oci:" + s.Subject[0].Digest.String()
}

// Image returns the digest of the image.
func (s *Statement) Image() Digest { return s.Subject[0].Digest }

// Decision returns the parts of the decision that everybody needs.
func (s *Statement) Decision() (Decision, error) { return s.Predicate.decision() }

func (s *Summary) decision() (d Decision, err error) {
	err = json.Unmarshal(s.Details.Decision, &d)
	return d, err
}

// Warned reports whether the policy warned about the build. It let that pass, and its authors want
// a summary all the same.
func (d Decision) Warned() bool { return d.Verdict == verdictWarn }

// The verdicts of decisions that a summary can have.
const (
	verdictAllow = "allow"
	verdictWarn  = "warn"
)

// check returns what is wrong with the statement.
func (s *Statement) check() error {
	switch {
	case s.Type != StatementType:
		return fmt.Errorf("its type is %.100q, not %s", s.Type, StatementType)
	case s.PredicateType != PredicateType:
		return fmt.Errorf("its predicate's type is %.100q, not %s", s.PredicateType, PredicateType)
	case len(s.Subject) == 0 || len(s.Subject) > MaxSubjects:
		return fmt.Errorf("it has %d subjects, not 1 to %d", len(s.Subject), MaxSubjects)
	}
	for _, subject := range s.Subject {
		if !subject.Digest.valid() {
			return errors.New("a subject has no sha256 digest")
		}
		if subject.Digest != s.Subject[0].Digest {
			return errors.New("its subjects have different digests")
		}
	}
	if p := &s.Predicate; p.ResourceURI != s.resource() {
		return fmt.Errorf("its resource %.200q isn't its first subject", p.ResourceURI)
	}
	return s.Predicate.check()
}

// check returns what is wrong with the summary.
func (s *Summary) check() error {
	switch {
	case s.Verifier.ID == "":
		return errors.New("it names no verifier")
	case s.ResourceURI == "":
		return errors.New("it names no resource")
	case s.TimeVerified.IsZero():
		return errors.New("it has no time")
	case s.VerificationResult != Passed:
		return fmt.Errorf("its result is %.100q, not %s", s.VerificationResult, Passed)
	case len(s.VerifiedLevels) == 0:
		return errors.New("it has no levels")
	case !s.Policy.Digest.valid():
		return errors.New("its policy has no sha256 digest")
	case len(s.Details.Sources) > MaxSources:
		return fmt.Errorf("it has more than %d sources", MaxSources)
	}
	d, err := s.decision()
	switch {
	case err != nil:
		return fmt.Errorf("its decision: %w", err)
	case d.Verdict != verdictAllow && d.Verdict != verdictWarn:
		return fmt.Errorf("its decision is %.100q, neither allow nor warn", d.Verdict)
	case d.Warned() == (len(d.Warnings) == 0):
		return fmt.Errorf("its decision is %.100q and has %d warnings", d.Verdict, len(d.Warnings))
	case d.Policy.Digest != s.Policy.Digest.String():
		return errors.New("its decision is by another policy")
	}
	return nil
}

// MarshalJSON implements [json.Marshaler].
func (s Summary) MarshalJSON() ([]byte, error) {
	type plain Summary
	return json.Marshal(struct {
		plain
		Details Details `json:"https://github.com/policy-frontend/policy-frontend/verification-summary/v1"`
	}{plain(s), s.Details})
}

// UnmarshalJSON implements [json.Unmarshaler]. It ignores fields that it doesn't know, as SLSA
// says, and refuses them in [Details].
func (s *Summary) UnmarshalJSON(data []byte) error {
	type plain Summary
	if err := json.Unmarshal(data, (*plain)(s)); err != nil {
		return err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	details, ok := fields[DecisionField]
	if !ok {
		return fmt.Errorf("the field %s is missing", DecisionField)
	}
	d := json.NewDecoder(strings.NewReader(string(details)))
	d.DisallowUnknownFields()
	return d.Decode(&s.Details)
}

// Parse reads a statement. It refuses what [New] wouldn't make: other types, another result than
// [Passed], subjects of several images, a decision that neither allows nor warns, or one by another
// policy.
func Parse(data []byte) (*Statement, error) {
	if len(data) > MaxStatement {
		return nil, fmt.Errorf("the statement has more than %d bytes", MaxStatement)
	}
	s := &Statement{}
	if err := unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("the statement: %w", err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("the statement: %w", err)
	}
	return s, nil
}

// Bytes returns the JSON of the statement. It fails if that is too large.
func (s *Statement) Bytes() ([]byte, error) {
	data, err := json.Marshal(s)
	if err == nil && len(data) > MaxStatement {
		err = fmt.Errorf("the statement has %d bytes, more than %d", len(data), MaxStatement)
	}
	return data, err
}

// unmarshal reads one JSON value, whose objects have no name twice.
func unmarshal(data []byte, into any) error {
	return unmarshalAs(data, into, func(name string) string { return name })
}

// Unmarshal reads one JSON value as json.Unmarshal does. It fails for what programs read in
// different ways: bytes that aren't UTF-8, and objects that have a name twice, be it once in upper
// and once in lower case. It also fails for deep nesting.
func Unmarshal(data []byte, into any) error {
	return unmarshalAs(data, into, func(name string) string {
		return strings.ToLower(strings.ToUpper(name)) // which json.Unmarshal takes for the same
	})
}

func unmarshalAs(data []byte, into any, same func(name string) string) error {
	if !utf8.Valid(data) {
		return errors.New("it isn't UTF-8")
	}
	if err := unambiguous(data, same); err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// unambiguous refuses JSON that programs read in different ways: with a name twice in one object.
// Two names are the same if same returns the same for them.
func unambiguous(data []byte, same func(name string) string) error {
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	type object struct {
		names map[string]bool // nil for a list
		value bool            // the next token is a value
	}
	var open []object
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil // whether it is complete, and alone, is for json.Unmarshal to say
		}
		if err != nil {
			return err
		}
		top := len(open) - 1
		delim, isDelim := t.(json.Delim)
		if isDelim && (delim == '}' || delim == ']') {
			open = open[:top]
			continue
		}
		if top >= 0 && open[top].names != nil {
			if name, ok := t.(string); ok && !open[top].value {
				if open[top].names[same(name)] {
					return fmt.Errorf("it has the name %.100q twice in one object", name)
				}
				open[top].names[same(name)], open[top].value = true, true
				continue
			}
			open[top].value = false
		}
		if !isDelim {
			continue
		}
		if len(open) == maxDepth {
			return fmt.Errorf("it is nested deeper than %d", maxDepth)
		}
		o := object{}
		if delim == '{' {
			o.names = map[string]bool{}
		}
		open = append(open, o)
	}
}
