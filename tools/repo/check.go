package main

import (
	"bufio"
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// A phrase is one that readers stumble over, with one that they don't.
type phrase struct {
	pattern *regexp.Regexp
	instead string
}

func phrases(pairs ...string) []phrase {
	var all []phrase
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, phrase{regexp.MustCompile(`(?i)\b(?:` + pairs[i] + `)\b`), pairs[i+1]})
	}
	return all
}

// stumbling are the phrases. Each was misread by a reader of this repository.
var stumbling = phrases(
	`anew`, "again",
	`(?:that|which|it|what) (?:is|are) none`, "isn't one",
	`lets? pass`, "allows",
	`belongs? into`, "belongs in",
	`leave away`, "omit",
	`(?:,|those|out) of which`, "a new sentence",
	`what of it`, "a noun",
	`in capitals`, "in upper case",
	`if left out`, "default",
	`warn(?:s|ed)? of`, "warn about",
	`replaces? by`, "replace with",
)

// A finding is one thing to change, with its place.
type finding struct {
	file string
	line int
	text string
}

// check prints its findings about the repository, and fails if there are any.
func check(repository fs.FS, out io.Writer) error {
	var findings []finding
	for _, look := range []func(fs.FS) ([]finding, error){words, versions, namedTests} {
		found, err := look(repository)
		if err != nil {
			return err
		}
		findings = append(findings, found...)
	}
	for _, f := range findings {
		fmt.Fprintf(out, "%s:%d: %s\n", f.file, f.line, f.text)
	}
	if len(findings) > 0 {
		return fmt.Errorf("%d things to change", len(findings))
	}
	fmt.Fprintln(out, "0 things to change.")
	return nil
}

// words looks for the stumbling phrases in the comments of Go files and in the prose of Markdown.
func words(repository fs.FS) ([]finding, error) {
	var findings []finding
	err := fs.WalkDir(repository, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			hidden := name != "." && strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".github"
			if hidden || entry.Name() == "testdata" || name == "tools/repo" {
				return fs.SkipDir
			}
			return nil
		}
		read := map[string]func([]byte) ([]textLine, error){".go": comments, ".md": prose}[path.Ext(name)]
		if read == nil {
			return nil
		}
		data, err := fs.ReadFile(repository, name)
		if err != nil {
			return err
		}
		lines, err := read(data)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, line := range lines {
			for _, p := range stumbling {
				if found := p.pattern.FindString(line.text); found != "" {
					text := fmt.Sprintf("readers stumble over %q; write %q", found, p.instead)
					findings = append(findings, finding{name, line.number, text})
				}
			}
		}
		return nil
	})
	return findings, err
}

// A textLine is a line that people read.
type textLine struct {
	number int
	text   string
}

// comments returns the lines of the comments in a Go file.
func comments(source []byte) ([]textLine, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "", source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var lines []textLine
	for _, group := range file.Comments {
		for _, comment := range group.List {
			lines = append(lines, commentLines(files, comment)...)
		}
	}
	return lines, nil
}

func commentLines(files *token.FileSet, comment *ast.Comment) []textLine {
	first := files.Position(comment.Pos()).Line
	var lines []textLine
	for i, text := range strings.Split(comment.Text, "\n") {
		lines = append(lines, textLine{first + i, text})
	}
	return lines
}

var inlineCode = regexp.MustCompile("`[^`]*`")

// prose returns the lines of a Markdown file that aren't code.
func prose(source []byte) ([]textLine, error) {
	var lines []textLine
	fence := ""
	number := 0
	for scanner := bufio.NewScanner(bytes.NewReader(source)); scanner.Scan(); {
		number++
		line := strings.TrimSpace(scanner.Text())
		switch {
		case fence != "":
			if strings.HasPrefix(line, fence) {
				fence = ""
			}
		case strings.HasPrefix(line, "```"), strings.HasPrefix(line, "~~~"):
			fence = line[:3]
		default:
			lines = append(lines, textLine{number, inlineCode.ReplaceAllString(line, "`")})
		}
	}
	return lines, nil
}
