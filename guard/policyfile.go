package guard

import (
	"bytes"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// Policy is a valid policy, and the text that it was read from.
type Policy struct {
	*policy.Policy
	// Name is the file name of the policy itself.
	Name string
	// Files has the text of the policy, under Name, and those of the files that it includes. Their
	// names are relative to the policy's directory, with slashes. All together have at most
	// [policy.MaxSize] bytes.
	Files map[string]string
}

// frontend returns what decides by the policy on what a client asks for.
func (p *Policy) frontend(by clients.Client) frontend.Frontend {
	return frontend.Frontend{
		Client:     by,
		Policy:     func() (*policy.Policy, error) { return p.Policy, nil },
		PolicyText: frontend.PolicyText{Name: p.Name, Files: p.Files},
	}
}

// layers returns the policy and the overlay among the options of a client's build.
func (p *Policy) layers(by clients.Client, opts map[string]string) (policy.Layers, error) {
	return p.frontend(by).Layers(opts)
}

// policyFile is a policy in a file that may change while the guard runs.
type policyFile struct {
	*lastGood[*Policy]
	path string
}

// openPolicy reads the policy at path, which has to be valid.
func openPolicy(path string, log *slog.Logger, o Observer) (policyFile, error) {
	last, err := openLastGood(func() (*Policy, snapshot, error) {
		return loadPolicy(path)
	}, func(n news[*Policy]) {
		switch {
		case n.again:
			log.Info("the policy can be read again", "file", path)
		case n.problem != nil:
			log.Error("the policy isn't valid, so the last good one stays in force", "file", path,
				"why", logText(n.problem.Error()), "policy", n.inForce.Digest())
		default:
			log.Info("a new policy is in force", "file", path, "id", n.inForce.Identity().ID,
				"policy", n.inForce.Digest())
		}
		o.PolicyRead(n.inForce, n.problem)
	})
	if err != nil {
		return policyFile{}, err
	}
	o.PolicyRead(last.inForce, nil)
	return policyFile{last, path}, nil
}

// loadPolicy reads a policy and what it includes.
func loadPolicy(path string) (*Policy, snapshot, error) {
	r := newReading(path)
	defer r.close()
	name := filepath.Base(path)
	loaded, err := policy.Load(r, name)
	if err != nil {
		return nil, r, err
	}
	texts := map[string]string{}
	for _, f := range r.files {
		texts[f.name] = string(f.data)
	}
	return &Policy{Policy: loaded, Name: name, Files: texts}, r, nil
}

// reading is an [fs.FS] that reads each file once and keeps what it found. Together, the files have
// at most a byte more than a policy may have.
type reading struct {
	path  string
	dir   *os.Root
	err   error // of dir
	files []*fileRead
	size  int
}

// fileRead is what was found under a name.
type fileRead struct {
	name string
	info fs.FileInfo
	data []byte
	err  error
}

// newReading begins to read the directory of a file. close must be called.
func newReading(path string) *reading {
	r := &reading{path: path}
	r.dir, r.err = os.OpenRoot(filepath.Dir(path))
	return r
}

func (r *reading) close() {
	if r.dir != nil {
		_ = r.dir.Close()
		r.dir = nil
	}
}

// read returns what is under the name.
func (r *reading) read(name string) *fileRead {
	for _, f := range r.files {
		if f.name == name {
			return f
		}
	}
	f := &fileRead{name: name}
	f.info, f.data, f.err = r.readOnce(name)
	r.size += len(f.data)
	r.files = append(r.files, f)
	return f
}

// readOnce reads a file.
func (r *reading) readOnce(name string) (fs.FileInfo, []byte, error) {
	if r.err != nil {
		return nil, nil, r.err
	}
	return readRegular(r.dir.OpenFile, name, policy.MaxSize-r.size)
}

// unchanged implements snapshot.
func (r *reading) unchanged() bool {
	now := newReading(r.path)
	defer now.close()
	for _, f := range r.files {
		if !f.same(now.read(f.name)) {
			return false
		}
	}
	return true
}

func (f *fileRead) same(other *fileRead) bool {
	if f.err != nil || other.err != nil {
		return f.err != nil && other.err != nil && f.err.Error() == other.err.Error()
	}
	return f.info.Mode().Type() == other.info.Mode().Type() && bytes.Equal(f.data, other.data)
}

// Stat implements [fs.StatFS].
func (r *reading) Stat(name string) (fs.FileInfo, error) {
	f := r.read(name)
	return f.info, f.err
}

// Open implements [fs.FS].
func (r *reading) Open(name string) (fs.File, error) {
	f := r.read(name)
	if f.err != nil {
		return nil, f.err
	}
	return &openFile{bytes.NewReader(f.data), f.info}, nil
}

// openFile is a file whose text is in memory.
type openFile struct {
	*bytes.Reader
	info fs.FileInfo
}

// Stat implements [fs.File].
func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// Close implements [fs.File].
func (f *openFile) Close() error { return nil }
