package urlmatch

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxReadings is how many readings a URL has at most.
const maxReadings = 32

// readings returns the paths that programs can make of one, as components. The first is
// split at its slashes and decoded once, as RFC 3986 (section 2.4) says. The others come
// from it by any sequence of the steps that servers and proxies are known to take.
func (p Protocol) readings(path string) ([][]string, error) {
	first := strings.Split(path, "/")
	for i := range first {
		var err error
		if first[i], err = decode(first[i], true); err != nil {
			return nil, err
		}
	}
	found := [][]string{first}
	if !isAmbiguous(first) {
		return p.repositories(found)
	}
	for i := 0; i < len(found); i++ {
		for _, step := range steps() {
			next, err := step(found[i])
			if err != nil {
				return nil, err
			}
			if containsPath(found, next) {
				continue
			}
			if len(found) == maxReadings {
				return nil, errReadings()
			}
			found = append(found, next)
		}
	}
	return p.repositories(found)
}

func errReadings() error {
	return fmt.Errorf("programs can read the URL's path in more than %d ways", maxReadings)
}

// isAmbiguous reports whether a path can have more than one reading.
func isAmbiguous(path []string) bool {
	for i, c := range path {
		if c == "" && i < len(path)-1 || c == "." || c == ".." ||
			strings.ContainsAny(c, `/\;%?#`) || withoutTail(c) != c {
			return true
		}
	}
	return false
}

// steps are what a program may do to a path, as components, before it looks it up. None
// changes the slice that it gets.
func steps() []func([]string) ([]string, error) {
	return []func([]string) ([]string, error){
		func(path []string) ([]string, error) { return splitAgain(path, "/"), nil },
		func(path []string) ([]string, error) { return splitAgain(path, `\`), nil },
		func(path []string) ([]string, error) { return withoutParameters(path), nil },
		func(path []string) ([]string, error) { return withoutEmpty(path), nil },
		func(path []string) ([]string, error) { return withoutDots(path), nil },
		func(path []string) ([]string, error) { return withoutQuery(path), nil },
		func(path []string) ([]string, error) { return withoutTails(path), nil },
		decodeAgain,
	}
}

func containsPath(paths [][]string, path []string) bool {
	return slices.ContainsFunc(paths, func(p []string) bool { return slices.Equal(p, path) })
}

// splitAgain splits the components at what was an encoded slash or backslash.
func splitAgain(path []string, separator string) []string {
	var out []string
	for _, c := range path {
		out = append(out, strings.Split(c, separator)...)
	}
	return out
}

// withoutParameters removes what follows a semicolon in each component (RFC 3986,
// section 3.3). Servers for Java do so before they look for "..".
func withoutParameters(path []string) []string {
	out := make([]string, len(path))
	for i, c := range path {
		out[i], _, _ = strings.Cut(c, ";")
	}
	return out
}

// withoutQuery removes what follows an encoded question mark or number sign, as a proxy does that
// decodes a path and parses it again.
func withoutQuery(path []string) []string {
	for i, c := range path {
		if at := strings.IndexAny(c, "?#"); at >= 0 {
			return append(slices.Clone(path[:i]), c[:at])
		}
	}
	return path
}

// withoutTails removes the dots and spaces at the end of each component, as Windows does with
// names of files.
func withoutTails(path []string) []string {
	out := make([]string, len(path))
	for i, c := range path {
		out[i] = withoutTail(c)
	}
	return out
}

// withoutTail removes dots and spaces at the end of a component. Of dots alone, it leaves those
// before the first space.
func withoutTail(c string) string {
	if short := strings.TrimRight(c, ". "); short != "" {
		return short
	}
	dots, _, _ := strings.Cut(c, " ")
	return dots
}

// withoutEmpty makes one slash of several.
func withoutEmpty(path []string) []string {
	var out []string
	for i, c := range path {
		if c != "" || i == len(path)-1 {
			out = append(out, c)
		}
	}
	return out
}

// withoutDots removes "." and ".." as RFC 3986 says (section 5.2.4).
func withoutDots(path []string) []string {
	var out []string
	for i, c := range path {
		switch c {
		case ".":
		case "..":
			out = out[:max(len(out)-1, 0)]
		default:
			out = append(out, c)
			continue
		}
		if i == len(path)-1 {
			out = append(out, "")
		}
	}
	return out
}

func decodeAgain(path []string) ([]string, error) {
	out := make([]string, len(path))
	for i, c := range path {
		var err error
		if out[i], err = decode(c, false); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// repositories brings paths into the form of the protocol, each once. For [Git], a
// trailing slash and ".git" are left out. Some servers read ".git" in any letter case, and
// "a/.git" as the repository a, so these are further readings.
func (p Protocol) repositories(paths [][]string) ([][]string, error) {
	if p != Git {
		return paths, nil
	}
	var out [][]string
	for i := 0; i < len(paths); i++ {
		path := withoutSlashes(paths[i])
		exact, other, err := withoutGit(path)
		if err != nil {
			return nil, err
		}
		if other != nil {
			paths = append(slices.Clip(paths), other)
		}
		if containsPath(out, exact) {
			continue
		}
		if len(out) == maxReadings {
			return nil, errReadings()
		}
		out = append(out, exact)
	}
	return out, nil
}

// withoutSlashes removes the slashes at the end of a path.
func withoutSlashes(path []string) []string {
	for len(path) > 1 && path[len(path)-1] == "" {
		path = path[:len(path)-1]
	}
	return path
}

// withoutGit removes ".git" at the end of a path. If only some servers do so, exact is the path
// and other is what they read.
func withoutGit(path []string) (exact, other []string, err error) {
	last := len(path) - 1
	name := path[last]
	base, isGit := cutGit(name)
	switch {
	case !isGit:
		return path, nil, nil
	case base == "" && last == 0:
		return path, []string{""}, nil // the root of the host
	case base == "":
		return path, path[:last], nil
	}
	if _, twice := cutGit(base); twice {
		return nil, nil, errors.New("the URL ends in .git more than once")
	}
	if isNoName(base) {
		return nil, nil, errors.New("the URL has no name before .git at its end")
	}
	if withoutTail(base) != base {
		return nil, nil, errors.New("the URL has a dot or a space before .git at its end")
	}
	stripped := append(slices.Clone(path[:last]), base)
	if strings.HasSuffix(name, ".git") {
		return stripped, nil, nil
	}
	return path, stripped, nil
}

// cutGit removes ".git" at the end of a name, in any letter case. It reports whether it was there.
func cutGit(name string) (string, bool) {
	if len(name) < len(gitSuffix) || !strings.EqualFold(name[len(name)-len(gitSuffix):], gitSuffix) {
		return name, false
	}
	return name[:len(name)-len(gitSuffix)], true
}

// gitSuffix is what the name of a bare repository ends in.
const gitSuffix = ".git"

// isNoName reports whether a program may read nothing, "." or ".." as the end of a component.
func isNoName(s string) bool {
	for decoded, err := decode(s, false); err == nil && decoded != s; decoded, err = decode(s, false) {
		s = decoded
	}
	s, _, _ = strings.Cut(s[strings.LastIndexAny(s, `/\`)+1:], ";")
	return s == "" || s == "." || s == ".."
}

// decode decodes one path component. A strict one has no other "%" than those of encoded
// characters.
func decode(s string, strict bool) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '%', !isEscape(s[i:]) && !strict:
			b.WriteByte(s[i])
			continue
		case !isEscape(s[i:]):
			return "", errors.New("the URL has a % without two hexadecimal digits after it")
		}
		c, _ := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if c < ' ' || c == 0x7f {
			return "", errors.New("the URL has an encoded control character in its path")
		}
		b.WriteByte(byte(c))
		i += 2
	}
	if !utf8.ValidString(b.String()) {
		return "", errors.New("the URL's path is not UTF-8 when it is decoded")
	}
	return b.String(), nil
}

// isEscape reports whether s begins with an encoded byte.
func isEscape(s string) bool {
	return len(s) > 2 && s[0] == '%' && isHex(s[1]) && isHex(s[2])
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
