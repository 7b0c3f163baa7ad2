package guard

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/policy-frontend/policy-frontend/internal/record"
)

const (
	// recordMode is the mode of a record that the guard makes. It says who builds what.
	recordMode = 0o600
	// maxTail bounds what is read of a record at the start, in bytes.
	maxTail = 32 << 20
)

// RecordFile is what a guard writes its record of builds to. One guard alone may have it.
type RecordFile struct {
	path string // "" for a stream
	out  io.Writer
	file *os.File // nil for a stream
	size int64    // of the file when it was last looked at
	torn bool     // what was written last breaks off
}

// OpenRecord opens a record, to which lines are added. If there is no such file, it makes one that
// only its owner can read. It fails if another guard has the file.
func OpenRecord(path string) (*RecordFile, error) {
	r := &RecordFile{path: path}
	return r, r.open()
}

// RecordTo returns a record that is written to a stream. Nothing is known about builds that were
// recorded there before.
func RecordTo(w io.Writer) *RecordFile { return &RecordFile{out: w} }

// open opens the file at the path, in place of the one that was open.
func (r *RecordFile) open() error {
	f, err := os.OpenFile(r.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, recordMode)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("another program writes its record to %s", r.path)
		}
	}
	torn := false
	if err == nil {
		torn, err = breaksOff(f, info)
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	r.close()
	r.out, r.file, r.size, r.torn = f, f, info.Size(), torn
	return nil
}

// breaksOff reports whether a file ends within a line.
func breaksOff(f *os.File, info fs.FileInfo) (bool, error) {
	if !info.Mode().IsRegular() || info.Size() == 0 {
		return false, nil
	}
	var last [1]byte
	_, err := f.ReadAt(last[:], info.Size()-1)
	return last[0] != '\n', err
}

func (r *RecordFile) close() {
	if r.file != nil {
		_ = r.file.Close()
	}
}

// renew opens the file at the path if it isn't the open one any more. It reports whether what was
// written isn't in the file any more: the file was renamed or removed, or its text was.
func (r *RecordFile) renew() (bool, error) {
	if r.file == nil {
		return false, nil
	}
	there, err := os.Stat(r.path)
	if err == nil {
		open, err := r.file.Stat()
		if err != nil {
			return false, err
		}
		if os.SameFile(there, open) {
			shorter := open.Size() < r.size
			r.size = open.Size()
			return shorter, nil
		}
	}
	return true, r.open()
}

// add writes a line, which ends with a line break, in one piece.
func (r *RecordFile) add(line []byte) error {
	if r.torn {
		line = append([]byte("\n"), line...)
	}
	n, err := r.out.Write(line)
	r.size += int64(n)
	if n > 0 {
		r.torn = n < len(line)
	}
	return err
}

// unfinished returns the entries of builds that have begun and not ended. It looks at the last part
// of the file only.
func (r *RecordFile) unfinished() ([]*record.Entry, error) {
	if r.file == nil {
		return nil, nil
	}
	info, err := r.file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	from := max(info.Size()-maxTail, 0)
	lines := record.NewReader(io.NewSectionReader(r.file, from, info.Size()-from))
	var builds record.Builds
	for {
		e, err := lines.Next()
		var line *record.LineError
		switch {
		case errors.Is(err, io.EOF):
			return builds.Open(), nil
		case errors.As(err, &line): // the first one may have begun before
			continue
		case err != nil:
			return nil, err
		}
		builds.Add(e)
	}
}
