package buildrules

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// maxPort is the highest number of a port.
const maxPort = 1<<16 - 1

// entry is a compiled entry of a [Demand].
type entry struct {
	glob string // for the whole value; in a range, for what follows the slash
	// from and to are the ends of a range of numbers; both are 0 for a glob alone.
	from, to int
	digits   string // in a range, a glob for the number; "" for any
	fold     bool   // letter case doesn't matter; the glob is in lower case
}

// nothing is an entry that no value matches: no value has a NUL.
var nothing = entry{glob: "\x00"}

// String returns the entry as a document has it. No document has one with digits.
func (e entry) String() string {
	if e.to == 0 {
		return e.glob
	}
	s := strconv.Itoa(e.from)
	if e.to != e.from {
		s += "-" + strconv.Itoa(e.to)
	}
	if e.digits != "" {
		s = e.digits + " in " + s
	}
	return prefixedPart(s, e.glob)
}

func prefixedPart(number, protocol string) string {
	if protocol == "" {
		return number
	}
	return number + "/" + protocol
}

func (e entry) matches(s string) bool {
	if e.fold {
		s = strings.ToLower(s)
	}
	if e.to == 0 {
		return globs.Match(e.glob, s)
	}
	number, rest, _ := strings.Cut(s, "/")
	n, err := strconv.Atoi(number)
	return err == nil && e.from <= n && n <= e.to && globs.Match(e.glob, rest) &&
		(e.digits == "" || globs.Match(e.digits, number))
}

// matchesAny returns the index of the first entry that matches one of the spellings, or -1.
func matchesAny(entries []entry, spellings ...string) int {
	return slices.IndexFunc(entries, func(e entry) bool {
		return slices.ContainsFunc(spellings, e.matches)
	})
}

// meet returns entries for the users in both. It leaves out what it can't write.
func (e entry) meet(o entry) []entry {
	switch {
	case e.to == 0 && o.to == 0:
		forms, _ := globs.Meet(e.glob, o.glob)
		out := make([]entry, len(forms))
		for i, g := range forms {
			out[i] = entry{glob: g}
		}
		return out
	case e.to == 0 && !globs.Open(e.glob):
		if o.matches(e.glob) {
			return []entry{e}
		}
		return nil
	case o.to == 0 && !globs.Open(o.glob):
		return o.meet(e)
	}
	return e.meetRange(o)
}

// meetRange is meet for two ranges, or for a range and a glob with a star.
func (e entry) meetRange(o entry) []entry {
	var out []entry
	e, o = e.asRange(), o.asRange()
	m := entry{from: max(e.from, o.from), to: min(e.to, o.to)}
	forms := []string{e.digits + o.digits}
	if e.digits != "" && o.digits != "" {
		forms, _ = globs.Meet(e.digits, o.digits)
	}
	for _, m.digits = range forms {
		if m.hasNumber() {
			out = append(out, m)
		}
	}
	return out
}

// asRange returns the numbers of users that the entry matches.
func (e entry) asRange() entry {
	if e.to == 0 {
		return entry{from: 1, to: maxUser, digits: e.glob}
	}
	return e
}

// hasNumber reports whether a range may have a number. It is false only if there is none.
func (e entry) hasNumber() bool {
	if e.digits == "" {
		return e.from <= e.to
	}
	if strings.Trim(e.digits, "0123456789*") != "" {
		return false
	}
	for n := e.from; n <= e.to; {
		// Numbers that differ in their last digits alone are looked at together.
		size, first := 1, strconv.Itoa(n)
		for n%(size*10) == 0 && n+size*10-1 <= e.to {
			size *= 10
			first = strings.TrimSuffix(strings.TrimSuffix(first, "*"), "0") + "*"
		}
		if globs.Overlaps(e.digits, first) {
			return true
		}
		n += size
	}
	return false
}

// numbers reads a range such as 1-1023. ok is false for anything else.
func numbers(s string) (from, to int, ok bool) {
	low, high, ok := strings.Cut(s, "-")
	from, errFrom := strconv.Atoi(low)
	to, errTo := strconv.Atoi(high)
	return from, to, ok && errFrom == nil && errTo == nil
}

// list says what an entry is in: the entries of require and forbid are read differently.
type list bool

const (
	required  list = false
	forbidden list = true
)

// userEntry, portEntry, volumeEntry, labelEntry and envEntry compile entries of rules. They refuse
// an entry that nothing can match.
func userEntry(s string, in list) (entry, error) {
	from, to, isRange := numbers(s)
	switch {
	case strings.Contains(s, ":"):
		return entry{}, fmt.Errorf("%s has a group; write the user alone", safetext.Quote(s))
	case in == required && s != "" && strings.Trim(s, "*") == "":
		return entry{}, fmt.Errorf("%s demands nothing, because every image has a user; write "+
			"forbid: [root]", safetext.Quote(s))
	case isRange && (from < 1 || to < from || to > maxUser):
		return entry{}, fmt.Errorf("%s is no range of users; write one such as 1000-65535",
			safetext.Quote(s))
	case isRange:
		return entry{from: from, to: to}, nil
	case strings.ContainsAny(s, "<>=!,; /"):
		return entry{}, fmt.Errorf("%s can't be a user; write a name, a number, or a range such as "+
			"1000-65535", safetext.Quote(s))
	case strings.Contains(s, "*"):
		return entry{glob: s}, nil
	}
	user, err := normalizeUser(s)
	if _, notNumber := strconv.Atoi(s); notNumber != nil && isOtherNumber(s) {
		err = fmt.Errorf("%s is a number that no image has as its user; write it with decimal digits "+
			"alone, such as 0", safetext.Quote(s))
	}
	return entry{glob: user}, err
}

// isOtherNumber reports whether s is a number in another form than that of users, such as 0o0 or
// 1_000.
func isOtherNumber(s string) bool {
	_, err := strconv.ParseInt(s, 0, 64)
	return err == nil
}

// portEntry reads a port, a range of ports or a glob, with or without a protocol. Without one, a
// forbidden port is that of every protocol, and a required one is that of tcp.
func portEntry(s string, in list) (entry, error) {
	if s == "" {
		return plainEntry(s)
	}
	number, protocol, hasProtocol := strings.Cut(strings.ToLower(s), "/")
	if !hasProtocol {
		protocol = "tcp"
		if in == forbidden {
			protocol = "*"
		}
	}
	if !slices.ContainsFunc([]string{"tcp", "udp", "sctp"}, func(p string) bool {
		return globs.Match(protocol, p)
	}) {
		return entry{}, fmt.Errorf("%s has an unknown protocol; write tcp, udp, sctp or *",
			safetext.Quote(s))
	}
	if strings.Contains(number, "*") {
		digits := strings.ReplaceAll(number, "*", "")
		if strings.Trim(digits, "0123456789") != "" || len(digits) > len("65535") {
			return entry{}, noPort(s)
		}
		return entry{glob: number + "/" + protocol}, nil
	}
	from, to, isRange := numbers(number)
	if !isRange {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return entry{}, noPort(s)
		}
		from, to = int(n), int(n)
	}
	if from < 1 || to < from || to > maxPort {
		return entry{}, noPort(s)
	}
	return entry{glob: protocol, from: from, to: to}, nil
}

func noPort(s string) error {
	return fmt.Errorf("%s isn't a port; write one such as 80, 80/tcp, 1-1023 or 80*",
		safetext.Quote(s))
}

func volumeEntry(s string, _ list) (entry, error) {
	if s == "" {
		return plainEntry(s)
	}
	volume, err := normalizeVolume(s)
	if strings.HasPrefix(s, "*") {
		volume = volume[min(1, len(volume)):]
	}
	return entry{glob: volume}, err
}

func labelEntry(s string, in list) (entry, error) {
	if key, value, ok := strings.Cut(s, "="); ok && in == required {
		return entry{}, fmt.Errorf("%s has a value, and this list has keys; write values: {%s: %s}",
			safetext.Quote(s), safetext.Printable(key), safetext.Printable(value))
	} else if ok {
		return entry{}, fmt.Errorf("%s has a value, and this list has keys; write %s",
			safetext.Quote(s), safetext.Printable(key))
	}
	return nameEntry(s, in)
}

func envEntry(s string, in list) (entry, error) {
	if name, _, ok := strings.Cut(s, "="); ok {
		return entry{}, fmt.Errorf("%s has a value, and rules see only names; write %s",
			safetext.Quote(s), safetext.Printable(name))
	}
	return nameEntry(s, in)
}

// nameEntry compiles a name. A forbidden name is forbidden in any letter case.
func nameEntry(s string, in list) (entry, error) {
	e, err := plainEntry(s)
	if in == forbidden {
		e.glob, e.fold = strings.ToLower(s), true
	}
	return e, err
}

func plainEntry(s string) (entry, error) {
	if s == "" {
		return entry{}, errors.New("it is empty; give it a value or remove it")
	}
	return entry{glob: s}, nil
}
