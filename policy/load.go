package policy

import (
	"fmt"
	"io"
	"io/fs"
)

const (
	// MaxIncludes is how many files one policy can include, directly or not.
	MaxIncludes = 32
	// MaxIncludeDepth is how deep included files can include others.
	MaxIncludeDepth = 8
)

// Load reads the embedded policy called name from fsys, as Parse does, with the
// files that it includes; all together have at most MaxSize bytes. The name and
// those of included files are slash-separated paths in fsys (fs.ValidPath); an
// included file's is relative to the folder of the file that includes it.
//
// What can't be opened or read is an error that wraps fsys's, for the policy
// itself as it comes from fsys (so that errors.Is finds fs.ErrNotExist). What is
// wrong with a document is a *ParseError with the file's name.
//
// Callers that read from a disk pass the FS of an os.Root, so that no symbolic
// link leads out of the policy's folder.
func Load(fsys fs.FS, name string) (*Policy, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return Parse(name, data)
}
