package strictyaml

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// parse returns the root of the only YAML document in data. It returns nil after it has
// added a problem.
func (d *Document) parse(data []byte) *yaml.Node {
	if !utf8.Valid(data) {
		d.problems.add(d.invalidUTF8(data))
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		d.Problemf(nil, "the document is empty; %s", d.format.Begin)
		return nil
	} else if err != nil {
		d.problems.add(d.syntax(data, err))
		return nil
	}
	if err := dec.Decode(&second); err == nil {
		d.Problemf(&second, "a second document begins here; a file has only one")
		return nil
	} else if !errors.Is(err, io.EOF) {
		d.problems.add(d.syntax(data, err))
		return nil
	}
	root := doc.Content[0]
	if root.Tag == nullTag && root.Value == "" {
		d.Problemf(nil, "the document is empty; %s", d.format.Begin)
		return nil
	}
	return root
}

func (d *Document) invalidUTF8(data []byte) Problem {
	p := Problem{File: d.file, Line: 1, Column: 1, Message: "the document is not UTF-8"}
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if r == utf8.RuneError && size == 1 {
			break
		}
		p.Column++
		if r == '\n' {
			p.Line, p.Column = p.Line+1, 1
		}
		data = data[size:]
	}
	return p
}

// syntax returns the problem for an error of the YAML library. If the text has a common
// mistake, the problem is that mistake and its place. Otherwise it is the library's error, which
// begins with "yaml: line 2: " or, on the first line, with "yaml: ".
func (d *Document) syntax(data []byte, err error) Problem {
	text := unixLines(string(data))
	if found, ok := findSlip(text); ok && !strings.Contains(err.Error(), "exceeded max depth") {
		p := Problem{File: d.file, Message: found.message}
		p.Line, p.Column = place(text, found.offset)
		return p
	}
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	p := Problem{File: d.file, Line: 1}
	if rest, ok := strings.CutPrefix(message, "line "); ok {
		if at, rest, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(at); err == nil {
				p.Line, message = n, rest
			}
		}
	}
	p.Message = "not valid YAML: " + safetext.Printable(message)
	return p
}
