package opcheck

import (
	"reflect"

	"github.com/policy-frontend/policy-frontend/internal/strictyaml"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// MaxSize is the size in bytes of the largest file of operations.
const MaxSize = 4 << 20

var format = strictyaml.Format{Name: "the document", Begin: "write a list such as - image: busybox", Limit: MaxSize}

// Parse reads a file of operations of at most MaxSize bytes: a YAML list of what a
// frontend would ask for, one field of buildrules.Operation each.
//
//   - image: busybox
//   - git: {url: "https://git.example/a", ref: main}
//   - exec: {network: host}
//
// The file is a name for messages. The error is a [*strictyaml.Error] with positions.
func Parse(file string, data []byte) ([]buildrules.Operation, error) {
	var out []buildrules.Operation
	doc := strictyaml.Decode(file, data, format, &out)
	if err := doc.Err(); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		doc.Problemf(doc.Root(), "there are no operations; write a list such as - image: busybox")
	}
	for i, f := range out {
		if problem := Problem(f); problem != "" {
			doc.Problemf(doc.At(i), "%s", problem)
		}
	}
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return out, nil
}

// Problem says why what somebody wrote is no operation, or "". What is an operation can still
// be refused because it can't be made sense of.
func Problem(f buildrules.Operation) string {
	v := reflect.ValueOf(f)
	n := 0
	for i := range v.NumField() {
		if !v.Field(i).IsZero() {
			n++
		}
	}
	switch {
	case n == 0:
		return "there is no operation; write one field, such as image: busybox"
	case n > 1:
		return "there are several operations in one; write one entry for each"
	case f.Git != nil && f.Git.URL == "", f.HTTP != nil && f.HTTP.URL == "":
		return "the url is missing"
	}
	return ""
}
