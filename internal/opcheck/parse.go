package opcheck

import (
	"reflect"

	"github.com/policy-frontend/policy-frontend/internal/strictyaml"
	"github.com/policy-frontend/policy-frontend/policy"
)

// MaxSize is the size in bytes of the largest file of facts.
const MaxSize = 4 << 20

var format = strictyaml.Format{Name: "the document", Begin: "write a list such as - image: busybox", Limit: MaxSize}

// Parse reads a file of facts of at most MaxSize bytes: a YAML list of what a
// frontend would ask for, one field of policy.Fact each.
//
//   - image: busybox
//   - git: {url: "https://git.example/a", ref: main}
//   - exec: {network: host}
//
// The file is a name for messages. The error is a [*strictyaml.Error] with positions.
func Parse(file string, data []byte) ([]policy.Fact, error) {
	var out []policy.Fact
	doc := strictyaml.Decode(file, data, format, &out)
	if err := doc.Err(); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		doc.Problemf(doc.Root(), "there are no facts; write a list such as - image: busybox")
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

// Problem says why what somebody wrote is no fact, or "". What is a fact can still
// be refused because it can't be made sense of.
func Problem(f policy.Fact) string {
	v := reflect.ValueOf(f)
	n := 0
	for i := range v.NumField() {
		if !v.Field(i).IsZero() {
			n++
		}
	}
	switch {
	case n == 0:
		return "there is no fact; write one field, such as image: busybox"
	case n > 1:
		return "there are several facts in one; write one entry for each"
	case f.Git != nil && f.Git.URL == "", f.HTTP != nil && f.HTTP.URL == "":
		return "the url is missing"
	}
	return ""
}
