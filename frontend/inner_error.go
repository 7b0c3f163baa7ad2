package frontend

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

var errNoResult = errors.New("it ended without a result")

// maxTail is how many bytes of a frontend's stderr are shown when the frontend fails.
const maxTail = 2 << 10

// innerError reports that an inner frontend ended without a result.
type innerError struct {
	name, stderr string
	cause        error
}

func (e *innerError) Error() string {
	text := fmt.Sprintf("the frontend %s failed: %v", e.name, e.cause)
	if e.stderr != "" {
		text += "\nits last output on stderr:\n  " + strings.ReplaceAll(e.stderr, "\n", "\n  ")
	}
	return text
}

func (e *innerError) Unwrap() error { return e.cause }

// tail keeps the last [maxTail] bytes that are written to it.
type tail struct{ buf []byte }

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.buf = append(t.buf, b[max(0, len(b)-maxTail):]...)
	if over := len(t.buf) - maxTail; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string { return safetext.Lines(string(bytes.TrimSpace(t.buf))) }
