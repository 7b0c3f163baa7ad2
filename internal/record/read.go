package record

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Reader reads the entries of a record.
type Reader struct {
	r    *bufio.Reader
	line int
}

// NewReader returns a reader of the record. It keeps at most one line in memory.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, 64<<10)} }

// LineError is a line that isn't an entry.
type LineError struct {
	// Line is its number, from 1.
	Line int
	// Err says what is wrong with it. It is [ErrTorn] for a line that breaks off.
	Err error
}

// Error implements error.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns Err.
func (e *LineError) Unwrap() error { return e.Err }

// Next returns the next entry. The error is [io.EOF] after the last one, a [*LineError] for a line
// that isn't an entry, after which Next goes on with the next line, or that of reading. Empty lines
// count as lines and are left out.
func (r *Reader) Next() (*Entry, error) {
	for {
		line, err := r.next()
		if err != nil {
			return nil, err
		}
		if len(line) == 0 {
			continue
		}
		e, err := Parse(line)
		if err != nil {
			return nil, &LineError{r.line, err}
		}
		return e, nil
	}
}

// errLong is the error of a line that is too long.
var errLong = fmt.Errorf("it has more than %d bytes", MaxLine)

// next returns the next line without its line break.
func (r *Reader) next() ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := r.r.ReadSlice('\n')
		if long = long || len(line)+len(part) > MaxLine+1; !long {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) == 0 && !long:
			return nil, io.EOF
		case err != nil && !errors.Is(err, io.EOF):
			return nil, err
		}
		r.line++
		if long {
			return nil, &LineError{r.line, errLong}
		}
		return bytes.TrimSuffix(line, []byte("\n")), nil
	}
}
