package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/internal/urlmatch"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// claim is a fact in the form in which rules judge it.
type claim struct {
	kind   Kind
	what   string             // of a reference or URL, what it is
	ref    imageref.Reference // of images, ociLayout, blob and frontends
	url    urlmatch.Location  // of git and http
	fixed  bool               // the commit or the checksum of what is read is given
	text   string             // of local
	exec   process            // of exec and containers
	config config
}

// kind returns the row of the fact's kind. It fails for what is no fact, and for what
// nobody can judge.
func (f Fact) kind() (*kindRow, error) {
	var row *kindRow
	set := 0
	if f.Unknown != "" {
		set++
	}
	for i := range kinds {
		if kinds[i].asks(f) {
			row = &kinds[i]
			set++
		}
	}
	switch {
	case set == 0:
		return nil, errors.New("it asks for something without a name, which no rule can allow")
	case set > 1:
		return nil, errors.New("it asks for several things as if they were one, which no rule can allow")
	case f.Unknown != "":
		return nil, fmt.Errorf("it asks for %s, which no rule can allow", safetext.Printable(f.Unknown))
	}
	return row, nil
}

// Kind returns the kind of the fact. It fails for a fact that no rule can allow: one that
// has no field set, more than one, or Unknown.
func (f Fact) Kind() (Kind, error) {
	row, err := f.kind()
	if err != nil {
		return "", err
	}
	return row.kind, nil
}

func readReference(k Kind, article, what, s string) (claim, error) {
	ref, err := imageref.Parse(s)
	if err != nil {
		return claim{}, fmt.Errorf("%s %s that can't be judged: %w", article, what, err)
	}
	return claim{kind: k, what: "the " + what, ref: ref}, nil
}

func readBlob(f Fact) (claim, error) {
	c, err := readReference(KindBlob, "a", "blob", f.Blob)
	if err == nil && c.ref.Digest() == "" {
		err = fmt.Errorf("the blob %s without its digest", c.ref)
	}
	return c, err
}

func readLocal(f Fact) (claim, error) {
	return claim{kind: KindLocal, text: f.Local}, checkFact("the name of a folder", f.Local)
}

func (f *GitFact) read() (claim, error) {
	c := claim{kind: KindGit, what: "the git repository", fixed: isCommit(f.Ref) || isCommit(f.Checksum)}
	var err error
	c.url, err = readLocation(KindGit, "a git repository", f.URL)
	return c, err
}

func (f *HTTPFact) read() (claim, error) {
	_, bad := imageref.ParseDigest(f.Checksum)
	c := claim{kind: KindHTTP, what: "the download", fixed: bad == nil}
	var err error
	c.url, err = readLocation(KindHTTP, "a download", f.URL)
	return c, err
}

func readLocation(k Kind, what, s string) (urlmatch.Location, error) {
	l, err := urlmatch.Parse(s, k.protocol())
	if err != nil {
		return l, fmt.Errorf("%s that can't be judged: %w", what, err)
	}
	return l, nil
}

// checkFact bounds a text of a fact.
func checkFact(what, s string) error {
	switch {
	case len(s) > imageref.MaxSize:
		return fmt.Errorf("%s of %d bytes, more than %d", what, len(s), imageref.MaxSize)
	case strings.ContainsRune(s, 0):
		return fmt.Errorf("%s with a NUL", what)
	}
	return nil
}

// isCommit reports whether s is the whole name of a commit, by SHA-1 or SHA-256.
// As for BuildKit, upper-case digits are none.
func isCommit(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}
