package lint

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/policy-frontend/policy-frontend/internal/editdistance"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// ignored is a comment that accepts a finding: # lint:ignore CODE REASON. It is for findings on its
// own line or, if nothing else is on that line, on the next line that isn't a comment. On the line
// on which a rule or an alias begins, it is for all findings in it.
type ignored struct {
	file         string
	line, column int
	target       int // the line with the findings
	code         Code
	reason       string
	used         bool
}

// comment is a comment that accepts a finding. The text of a value can look like one; it is
// reported as unused then.
var comment = regexp.MustCompile(
	`(?:^|[ \t])#[ \t]*lint:ignore(?:[ \t]+(\S+))?(?:[ \t]+(.*\S))?[ \t]*$`)

// ignore removes the findings that comments accept. It adds one for each comment that accepts
// nothing.
func (c *checker) ignore(source func(file string) ([]byte, error)) {
	if source == nil {
		return
	}
	var all []*ignored
	for _, file := range c.files() {
		if data, err := source(file); err == nil {
			all = append(all, readIgnored(file, string(data))...)
		}
	}
	if len(all) == 0 {
		return
	}
	type key struct {
		file string
		line int
		code Code
	}
	accepted := map[key]*ignored{}
	for _, i := range all {
		if i.problem() == "" {
			accepted[key{i.file, i.target, i.code}] = i
		}
	}
	c.found = slices.DeleteFunc(c.found, func(f located) bool {
		done := false
		for _, line := range []int{f.Line, f.owner} {
			if i := accepted[key{f.File, line, f.Code}]; i != nil {
				i.used, done = true, true
			}
		}
		return done
	})
	for _, i := range all {
		f := Finding{Code: IgnoreUnused, File: i.file, Line: i.line, Column: i.column}
		switch problem := i.problem(); {
		case problem != "":
			f.Code, f.Message = IgnoreInvalid, problem
		case !i.used:
			f.Message = fmt.Sprintf("line %d has no finding %s, so the comment accepts nothing; remove it",
				i.target, i.code)
		default:
			continue
		}
		c.add(f)
	}
}

// problem says why the comment can't accept a finding, or "".
func (i *ignored) problem() string {
	codes := Codes()
	switch {
	case i.code == "":
		return "the comment names no finding; write # lint:ignore CODE REASON"
	case i.code == Invalid || i.code == IgnoreInvalid || i.code == IgnoreUnused:
		return fmt.Sprintf("%s can't be accepted; correct what it is about", i.code)
	case !slices.Contains(codes, i.code):
		names := make([]string, len(codes))
		for n, c := range codes {
			names[n] = string(c)
		}
		hint := ""
		if near := editdistance.Nearest(string(i.code), names); near != "" {
			hint = "; did you mean " + near + "?"
		}
		return fmt.Sprintf("there is no finding %s%s", safetext.Quote(string(i.code)), hint)
	case i.reason == "":
		return fmt.Sprintf("the comment doesn't say why %s is accepted; add a reason after it", i.code)
	}
	return ""
}

func readIgnored(file, text string) []*ignored {
	var out, waiting []*ignored
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		number++
		line = strings.TrimRight(line, "\r\n")
		alone := strings.HasPrefix(strings.TrimLeft(line, " \t"), "#")
		if at := comment.FindStringSubmatchIndex(line); at != nil {
			i := &ignored{file: file, line: number, target: number}
			begin := at[0] + strings.IndexByte(line[at[0]:], '#')
			i.column = utf8.RuneCountInString(line[:begin]) + 1
			if at[2] >= 0 {
				i.code = Code(line[at[2]:at[3]])
			}
			if at[4] >= 0 {
				i.reason = line[at[4]:at[5]]
			}
			out = append(out, i)
			if alone {
				waiting = append(waiting, i)
			}
		}
		if alone || strings.TrimSpace(line) == "" {
			continue
		}
		for _, i := range waiting {
			i.target = number
		}
		waiting = nil
	}
	return out
}
