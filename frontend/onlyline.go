package frontend

import (
	"bytes"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// namesOf returns the spellings in which a build file can name what an operation asks for: an
// image, a frontend, a git repository or a download. It returns nil for other operations.
func namesOf(o buildrules.Operation) []string {
	switch {
	case o.Image != "":
		return imageNames(o.Image)
	case o.Frontend != "":
		return imageNames(o.Frontend)
	case o.HTTP != nil:
		return []string{o.HTTP.URL}
	case o.Download != "":
		return []string{o.Download}
	case o.Git != nil:
		bare := strings.TrimSuffix(o.Git.URL, ".git")
		names := []string{bare, bare + ".git"}
		if host, path, ok := strings.Cut(strings.TrimPrefix(bare, "ssh://"), "/"); ok &&
			strings.HasPrefix(bare, "ssh://") {
			names = append(names, host+":"+path, host+":"+path+".git")
		}
		return names
	}
	return nil
}

// imageNames returns the full and the short forms of a reference. Frontends add the tag latest and
// the digest that they have looked up, so the names without them are among the forms.
func imageNames(written string) []string {
	ref, err := imageref.Parse(written)
	if err != nil {
		return nil
	}
	names := []string{written, ref.String(), ref.Familiar()}
	if tagged := ref.Tagged(); tagged.Tag() != "" {
		names = append(names, tagged.String(), tagged.Familiar())
	}
	for _, n := range names {
		if bare, ok := strings.CutSuffix(n, ":latest"); ok {
			names = append(names, bare)
		}
	}
	return names
}

// onlyLine returns the place of the only line of a file that has one of the names as a whole word.
// ok is false if there are none or several, if that line is a comment, or if the file is larger
// than 1 MiB.
func onlyLine(file []byte, names []string) (where []parser.Range, ok bool) {
	if len(names) == 0 || len(file) > llbops.MaxSource {
		return nil, false
	}
	number, found := 0, 0
	for line := range bytes.Lines(file) {
		number++
		if !hasWord(string(line), names) {
			continue
		}
		if found > 0 {
			return nil, false
		}
		found = number
		ok = !bytes.HasPrefix(bytes.TrimSpace(line), []byte("#"))
	}
	at := parser.Position{Line: found}
	return []parser.Range{{Start: at, End: at}}, ok
}

// hasWord reports whether one of the names is a word of the line. A value after "=" is a word too,
// and so is a URL without its fragment. The name of a variable, as in ${name}, isn't one.
func hasWord(line string, names []string) bool {
	for word := range strings.FieldsFuncSeq(strings.ReplaceAll(line, "${", "$"), endsWord) {
		for value, more := word, true; more; _, value, more = strings.Cut(value, "=") {
			if slices.ContainsFunc(names, func(name string) bool { return isNamed(value, name) }) {
				return true
			}
		}
	}
	return false
}

func isNamed(value, name string) bool {
	rest, ok := strings.CutPrefix(value, name)
	return ok && (rest == "" || rest[0] == '#')
}

func endsWord(r rune) bool { return r <= ' ' || strings.ContainsRune("\"'`,;()[]{}<>|", r) }
