package policy

import (
	"errors"
	"fmt"
	"strings"
)

// claim is a fact in the form in which rules judge it.
type claim struct {
	kind   Kind
	what   string    // of a reference or URL, what it is
	ref    Reference // of images, ociLayout, blob and frontends
	url    location  // of git and http
	fixed  bool      // the commit or the checksum of what is read is given
	text   string    // of local
	exec   process   // of exec and containers
	config config
}

// kind returns the kind of the fact. It fails for what is no fact, and for what
// nobody can judge.
func (f Fact) kind() (Kind, error) {
	var kind Kind
	set := 0
	for _, k := range []struct {
		kind Kind
		set  bool
	}{
		{KindImages, f.Image != ""},
		{KindGit, f.Git != nil},
		{KindHTTP, f.HTTP != nil},
		{KindLocal, f.Local != ""},
		{KindOCILayout, f.OCILayout != ""},
		{KindBlob, f.Blob != ""},
		{KindExec, f.Exec != nil},
		{KindContainers, f.Container != nil},
		{KindFrontends, f.Frontend != ""},
		{KindConfig, f.Config != nil},
		{"", f.Unknown != ""},
	} {
		if k.set {
			kind = k.kind
			set++
		}
	}
	switch {
	case set == 0:
		return "", errors.New("it asks for something without a name, which no rule can allow")
	case set > 1:
		return "", errors.New("it asks for several things as if they were one, which no rule can allow")
	case f.Unknown != "":
		return "", fmt.Errorf("it asks for %s, which no rule can allow", printable(f.Unknown))
	}
	return kind, nil
}

// read normalises the fact. An error completes "it asks for".
func (f Fact) read(k Kind) (claim, error) {
	c := claim{kind: k}
	var err error
	switch k {
	case KindImages:
		return f.reference(c, "an", "image", f.Image)
	case KindOCILayout:
		return f.reference(c, "an", "image in an OCI layout", f.OCILayout)
	case KindFrontends:
		return f.reference(c, "a", "frontend", f.Frontend)
	case KindBlob:
		if c, err = f.reference(c, "a", "blob", f.Blob); err == nil && c.ref.Digest() == "" {
			err = fmt.Errorf("the blob %s without its digest", c.ref)
		}
	case KindLocal:
		c.text, err = f.Local, checkFact("the name of a folder", f.Local)
	case KindGit:
		c.what, c.fixed = "the git repository", isCommit(f.Git.Ref) || isCommit(f.Git.Checksum)
		c.url, err = f.location(k, "a git repository", f.Git.URL)
	case KindHTTP:
		_, bad := parseDigest(f.HTTP.Checksum)
		c.what, c.fixed = "the download", bad == nil
		c.url, err = f.location(k, "a download", f.HTTP.URL)
	case KindExec:
		c.exec, err = f.Exec.read("a command")
	case KindContainers:
		c.exec, err = f.Container.read("a container")
	case KindConfig:
		c.config, err = f.Config.read()
	}
	return c, err
}

func (f Fact) reference(c claim, article, what, s string) (claim, error) {
	ref, err := ParseReference(s)
	if err != nil {
		return c, fmt.Errorf("%s %s that can't be judged: %w", article, what, err)
	}
	c.what, c.ref = "the "+what, ref
	return c, nil
}

func (f Fact) location(k Kind, what, s string) (location, error) {
	l, err := parseLocation(s, k)
	if err != nil {
		return l, fmt.Errorf("%s that can't be judged: %w", what, err)
	}
	return l, nil
}

// checkFact bounds a text of a fact.
func checkFact(what, s string) error {
	switch {
	case len(s) > MaxReferenceSize:
		return fmt.Errorf("%s of %d bytes, more than %d", what, len(s), MaxReferenceSize)
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
