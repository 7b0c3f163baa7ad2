package opcheck

import (
	"reflect"

	"github.com/policy-frontend/policy-frontend/internal/strictyaml"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// MaxSize is the largest size of a file of operations, in bytes.
const MaxSize = 4 << 20

var format = strictyaml.Format{Name: "the document", Begin: "write a list such as - image: " +
	"busybox", Limit: MaxSize}

// Written is an operation in a file.
type Written struct {
	buildrules.Operation
	// Line is where the operation begins, from 1.
	Line int
}

// Parse reads a file of operations of at most [MaxSize] bytes. It is a YAML list whose entries
// each have one field of [buildrules.Operation]:
//
//   - image: busybox
//   - git: {url: "https://git.example/a", ref: main}
//   - exec: {network: host}
//
// file is its name in messages. The error is a [*strictyaml.Error] with positions.
func Parse(file string, data []byte) ([]Written, error) {
	var list []buildrules.Operation
	doc := strictyaml.Decode(file, data, format, &list)
	if err := doc.Err(); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		doc.Problemf(doc.Root(), "there are no operations; write a list such as - image: busybox")
	}
	out := make([]Written, len(list))
	for i, op := range list {
		out[i] = Written{op, doc.At(i).Line}
		if problem := Problem(op); problem != "" {
			doc.Problemf(doc.At(i), "%s", problem)
		}
	}
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return out, nil
}

// Problem returns the reason why a written operation is invalid, or "". A valid operation can
// still be refused because it can't be interpreted.
func Problem(op buildrules.Operation) string {
	v := reflect.ValueOf(op)
	n := 0
	for i := range v.NumField() {
		if !v.Field(i).IsZero() {
			n++
		}
	}
	switch {
	case n == 0:
		return "the entry is empty; write one field, such as image: busybox"
	case n > 1:
		return "the entry has several operations; write one entry for each"
	case op.Git != nil && op.Git.URL == "", op.HTTP != nil && op.HTTP.URL == "":
		return "the url is missing"
	case op.Image == "scratch":
		return "scratch is no image: FROM scratch reads nothing, so no rule is asked; remove the entry"
	}
	return ""
}

// NotInLLB returns the reason why LLB that no frontend made can't have a valid operation, or "".
func NotInLLB(op buildrules.Operation) string {
	k, err := op.Kind()
	if err == nil && (k == buildrules.KindConfig || k.IsUnseen()) {
		return "LLB of the client's own has no such operation, because a frontend asks for it; remove it"
	}
	return ""
}
