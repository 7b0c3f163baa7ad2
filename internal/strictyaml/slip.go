package strictyaml

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// slip is a common mistake in the text of a document: where it is, in bytes, and what to do.
type slip struct {
	offset  int
	message string
}

// findSlip returns the first mistake that it knows in a text that isn't YAML. The YAML library
// reports many of them at another line, without a column, and in terms of its grammar.
//
// It reads YAML only as far as it has to: blocks by their indentation, lists and mappings in
// brackets, and quoted, plain and block scalars. A text that the library takes isn't its matter.
func findSlip(text string) (slip, bool) {
	s := slips{text: text}
	for s.found == nil && s.pos < len(s.text) {
		if s.pos == s.line {
			s.beginLine()
		} else {
			s.token()
		}
	}
	if s.found == nil && len(s.open) > 0 {
		at := s.open[len(s.open)-1]
		s.add(at, "this "+s.text[at:at+1]+" is never closed")
	}
	if s.found == nil {
		return slip{}, false
	}
	return *s.found, true
}

// slips is the state of [findSlip].
type slips struct {
	text  string
	pos   int   // of the next byte
	line  int   // where the current line begins
	until int   // where it ends, once a token of it was read
	open  []int // the brackets that are open
	found *slip

	levels []int // the columns at which the open blocks begin
	node   int   // the column of the last key or dash, below which its value stands
	keyed  bool  // the current line has a key
	last   end
}

// end is how the last line of a block ended.
type end int

const (
	endNothing end = iota // a key or a dash without a value
	endPlain              // a plain scalar, which can go on
	endWhole              // a value that can't go on
)

func (s *slips) add(offset int, message string) {
	if s.found == nil {
		s.found = &slip{offset, message}
	}
}

// rest returns the rest of the current line. It looks for the line's end only once, because all
// of a document can be on one line.
func (s *slips) rest() string {
	if s.until < s.pos || s.until == 0 {
		s.until = len(s.text)
		if i := strings.IndexByte(s.text[s.pos:], '\n'); i >= 0 {
			s.until = s.pos + i
		}
	}
	return s.text[s.pos:s.until]
}

// nextLine goes to the beginning of the next line.
func (s *slips) nextLine() {
	if i := strings.IndexByte(s.text[s.pos:], '\n'); i >= 0 {
		s.pos += i + 1
	} else {
		s.pos = len(s.text)
	}
	s.line = s.pos
}

// beginLine reads the indentation of a line, and skips a line without a token.
func (s *slips) beginLine() {
	line := s.rest()
	content := strings.TrimLeft(line, " \t")
	switch {
	case content == "" || content[0] == '#',
		len(s.open) == 0 && (line[0] == '%' || strings.HasPrefix(line, "---") ||
			strings.HasPrefix(line, "...")):
		s.nextLine()
		return
	case len(s.open) > 0:
		s.pos += len(line) - len(content)
		if s.pos == s.line {
			s.token()
		}
		return
	}
	if i := strings.IndexByte(line[:len(line)-len(content)], '\t'); i >= 0 {
		s.add(s.pos+i, "the line is indented with a tab, and YAML takes only spaces; write spaces")
		return
	}
	column := len(line) - len(content)
	if s.last == endPlain && column > s.node {
		if i := keyEnd(line); i >= 0 {
			s.add(s.pos+column, "the line has a key, but is indented as if it went on with the value "+
				"above; write it at the column of the other keys")
		}
		s.nextLine()
		return
	}
	s.indent(column)
	s.keyed = false
	s.pos += column
	if s.found == nil {
		s.token()
	}
}

// keyEnd returns where the text of a line has the colon of a key, or -1.
func keyEnd(line string) int {
	line, _, _ = strings.Cut(line, " #")
	if i := strings.Index(line, ": "); i >= 0 {
		return i
	}
	if strings.HasSuffix(line, ":") {
		return len(line) - 1
	}
	return -1
}

// indent compares the column at which a line begins with those of the open blocks.
func (s *slips) indent(column int) {
	for len(s.levels) > 0 && s.levels[len(s.levels)-1] > column {
		s.levels = s.levels[:len(s.levels)-1]
		s.last = endWhole
	}
	top := -1
	if len(s.levels) > 0 {
		top = s.levels[len(s.levels)-1]
	}
	switch {
	case top == column:
	case top >= 0 && s.last != endNothing:
		s.add(s.line+column, "the line is indented unlike the lines above; write it at the column of "+
			"those that it belongs to")
	default:
		s.levels = append(s.levels, column)
	}
	s.node = column
}

// token reads one token.
func (s *slips) token() {
	switch c := s.text[s.pos]; {
	case c == '\n':
		s.nextLine()
	case c == ' ' || c == '\t' || c == ',' && len(s.open) > 0:
		s.pos++
	case c == '#':
		s.nextLine()
	case c == '"' || c == '\'':
		s.quoted(c)
	case c == '[' || c == '{':
		s.bracket()
	case c == ']' || c == '}':
		s.close(c)
	case c == '-' && s.alone() && len(s.open) == 0:
		s.dash()
	case (c == '?' || c == ':') && (s.alone() || len(s.open) > 0):
		s.pos++
	case strings.IndexByte("*@`%", c) >= 0:
		s.needsQuotes()
	case c == '|' || c == '>':
		s.block()
	default:
		s.plain()
	}
}

// alone reports whether the byte is followed by a space or the end of the line.
func (s *slips) alone() bool {
	return s.pos+1 >= len(s.text) || strings.IndexByte(" \t\n", s.text[s.pos+1]) >= 0
}

// dash reads the dash of an entry, whose value is a block of its own.
func (s *slips) dash() {
	s.node, s.last = s.pos-s.line, endNothing
	s.pos++
	after := strings.TrimLeft(s.rest(), " ")
	if after == "" || after[0] == '#' {
		return
	}
	s.pos += len(s.rest()) - len(after)
	s.levels = append(s.levels, s.pos-s.line)
}

// upTo returns the text up to a comment or the end of the line or, in brackets, up to one of
// the characters.
func (s *slips) upTo(stops string) string {
	text := s.rest()
	if len(s.open) > 0 {
		if i := strings.IndexAny(text, stops); i >= 0 {
			text = text[:i]
		}
	}
	text, _, _ = strings.Cut(text, " #")
	return text
}

// value returns the text of the plain value that begins here, as its author meant it.
func (s *slips) value() string {
	return strings.TrimRight(s.upTo(",]}"), " \t")
}

// needsQuotes adds the slip of a value that begins with a character of YAML's own.
func (s *slips) needsQuotes() {
	text := s.value()
	quote := `"`
	if strings.ContainsAny(text, `"\`) {
		quote = "'"
	}
	what := safetext.Printable(text)
	if utf8.RuneCountInString(what) > 64 {
		s.add(s.pos, "a value that begins with "+text[:1]+" is special in YAML; put it in quotes")
		return
	}
	s.add(s.pos, "a value that begins with "+text[:1]+" is special in YAML; put it in quotes: "+
		quote+what+quote)
}

// address is an IPv6 address in brackets.
var address = regexp.MustCompile(`^\[[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\]`)

func (s *slips) bracket() {
	if a := address.FindString(s.rest()); a != "" {
		s.add(s.pos, "an address such as "+a+" begins a list in YAML; put the whole value in quotes")
		return
	}
	s.open = append(s.open, s.pos)
	s.pos++
}

func (s *slips) close(c byte) {
	opener := byte('[')
	if c == '}' {
		opener = '{'
	}
	last := len(s.open) - 1
	switch {
	case last < 0:
		s.add(s.pos, "this "+string(rune(c))+" closes nothing; remove it, or put the value in quotes")
		return
	case s.text[s.open[last]] != opener:
		s.add(s.pos, "this "+string(rune(c))+" doesn't close the "+
			s.text[s.open[last]:s.open[last]+1]+" before it")
		return
	}
	s.open = s.open[:last]
	s.pos++
	s.ended("]")
}

// quoted reads a quoted scalar.
func (s *slips) quoted(quote byte) {
	begin := s.pos
	for s.pos++; s.pos < len(s.text); s.pos++ {
		switch c := s.text[s.pos]; {
		case c == '\\' && quote == '"':
			s.pos++
		case c == quote && quote == '\'' && strings.HasPrefix(s.text[s.pos:], "''"):
			s.pos++
		case c == quote:
			if i := strings.LastIndexByte(s.text[begin:s.pos], '\n'); i >= 0 {
				s.line = begin + i + 1
			}
			s.pos++
			s.ended("quotes")
			return
		}
	}
	s.pos = len(s.text)
	s.add(begin, "the quotes that begin here are never closed")
}

// ended checks what follows a value in quotes or brackets.
func (s *slips) ended(what string) {
	s.last = endWhole
	after := strings.TrimLeft(s.rest(), " \t")
	if after == "" || after[0] == '#' || after[0] == ':' ||
		len(s.open) > 0 && strings.IndexByte(",]}", after[0]) >= 0 {
		if strings.HasPrefix(after, ":") {
			s.keyed = s.keyed || len(s.open) == 0
			s.last = endNothing
		}
		return
	}
	switch {
	case what == "quotes" && len(s.open) > 0:
		s.add(s.pos, "more text follows the closing quote; put the whole value in quotes, or write a "+
			"comma")
	case what == "quotes":
		s.add(s.pos, "more text follows the closing quote; put the whole value in quotes")
	case len(s.open) > 0:
		s.add(s.pos, "more text follows the closing bracket; write a comma, or put the whole value in "+
			"quotes")
	default:
		s.add(s.pos, "more text follows the closing bracket; put the whole value in quotes")
	}
}

// header is the first line of a block scalar.
var header = regexp.MustCompile(`^[|>][-+1-9]{0,2}[ \t]*(#.*)?$`)

// block skips a block scalar.
func (s *slips) block() {
	if len(s.open) > 0 || !header.MatchString(s.rest()) {
		s.needsQuotes()
		return
	}
	s.last = endWhole
	for s.nextLine(); s.pos < len(s.text); s.nextLine() {
		line := s.rest()
		content := strings.TrimLeft(line, " ")
		if content != "" && len(line)-len(content) <= s.node {
			return
		}
	}
}

// plain reads a key or a plain scalar.
func (s *slips) plain() {
	begin := s.pos
	text := s.upTo(",[]{}")
	colon := keyEnd(text)
	if len(s.open) > 0 {
		s.pos += len(text)
		if colon >= 0 {
			s.pos = begin + colon + 1
		}
		s.last = endWhole
		return
	}
	switch {
	case colon >= 0 && s.keyed:
		s.add(begin, `a value with a colon and a space, or one at its end, must be in quotes`)
	case colon >= 0:
		s.keyed, s.last, s.node = true, endNothing, begin-s.line
		s.pos = begin + colon + 1
	default:
		if m := crowded.FindString(text); m != "" && !s.keyed {
			s.add(begin+len(m)-1, "write a space after the colon")
			return
		}
		s.pos += len(text)
		s.last = endPlain
	}
}

// crowded is a key whose value follows the colon at once.
var crowded = regexp.MustCompile(`^[A-Za-z]+:["'\[{]`)

// place returns the line and the column of a byte of the text, from 1.
func place(text string, offset int) (line, column int) {
	before := text[:offset]
	begin := strings.LastIndexByte(before, '\n') + 1
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[begin:]) + 1
}

// unixLines returns the text with a line feed at the end of each line, as the YAML library
// counts them.
func unixLines(text string) string {
	if !slices.Contains([]byte(text), '\r') {
		return text
	}
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
}
