package buildfiles

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"strings"
)

// environment has the variables of the file .env, which compose reads beside a compose file. Those
// of the shell aren't known.
type environment struct {
	values map[string]string
	// others have values that can't be read here, such as those of several lines.
	others map[string]bool
}

var (
	envName  = regexp.MustCompile(`(?m)^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)[ \t]*[=:]`)
	envPlain = regexp.MustCompile(
		`(?m)^(?:export[ \t]+)?([A-Za-z_]\w*)=(?:([\w./:@+-]*)|"([\w./:@+ -]*)"|'([\w./:@+ -]*)')\r?$`)
)

// environ returns the variables with those of the file .env in the directory. A variable is unknown
// if it has two values. The error says why the file can't be read.
func (t Tree) environ(dir string, above environment) (environment, error) {
	e := environment{values: maps.Clone(above.values), others: maps.Clone(above.others)}
	if e.values == nil {
		e = environment{values: map[string]string{}, others: map[string]bool{}}
	}
	data, err := t.read(path.Join(dir, ".env"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errDirectory) {
		return e, nil
	}
	plain := map[string]int{}
	for _, m := range envPlain.FindAllStringSubmatch(string(data), -1) {
		value := m[2] + m[3] + m[4]
		if old, ok := e.values[m[1]]; ok && old != value {
			e.others[m[1]] = true
		}
		e.values[m[1]] = value
		plain[m[1]]++
	}
	for _, m := range envName.FindAllStringSubmatch(string(data), -1) {
		if plain[m[1]]--; plain[m[1]] < 0 {
			e.others[m[1]] = true
		}
	}
	return e, err
}

// interpolate puts the values of variables in a text, or their defaults: ${NAME:-default},
// ${NAME-default}. It returns the names of those that have none; they become empty, as in compose.
// "$$" is "$". depth bounds the defaults in defaults.
func (e environment) interpolate(s string, depth int) (out string, unset []string) {
	if depth == 0 {
		return "", []string{"${...}"}
	}
	var b strings.Builder
	add := func(text string, missing []string) {
		b.WriteString(text)
		unset = append(unset, missing...)
	}
	for i := 0; i < len(s); i++ {
		if s[i] != '$' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		rest := s[i+1:]
		switch rest[0] {
		case '$':
			b.WriteByte('$')
			i++
		case '{':
			end := closing(rest)
			if end < 0 {
				b.WriteByte('$')
				continue
			}
			add(e.expand(rest[1:end], depth))
			i += end + 1
		default:
			n := nameLength(rest)
			if n == 0 {
				b.WriteByte('$')
				continue
			}
			add(e.expand(rest[:n], depth))
			i += n
		}
	}
	return b.String(), unset
}

// closing returns the index of the brace that closes the first one, or -1.
func closing(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// expand returns the value of what is between braces.
func (e environment) expand(s string, depth int) (text string, unset []string) {
	n := nameLength(s)
	name, rest := s[:n], s[n:]
	value, isSet := e.values[name]
	if e.others[name] {
		return "", []string{name}
	}
	for _, op := range []string{":-", "-"} {
		if word, ok := strings.CutPrefix(rest, op); ok && (!isSet || op == ":-" && value == "") {
			return e.interpolate(word, depth-1)
		} else if ok {
			return value, nil
		}
	}
	isRequired := strings.HasPrefix(rest, ":?") && value != "" || strings.HasPrefix(rest, "?")
	if isSet && (rest == "" || isRequired) {
		return value, nil
	}
	return "", []string{name}
}

func nameLength(s string) int {
	n := 0
	for n < len(s) && (s[n] == '_' || s[n] >= 'a' && s[n] <= 'z' || s[n] >= 'A' && s[n] <= 'Z' ||
		n > 0 && s[n] >= '0' && s[n] <= '9') {
		n++
	}
	return n
}
