package guard

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/policy"
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

// frontend returns what decides by the policy.
func (p *Policy) frontend() frontend.Frontend {
	return frontend.Frontend{
		Policy:     func() (*policy.Policy, error) { return p.Policy, nil },
		PolicyText: frontend.PolicyText{Name: p.Name, Files: p.Files},
	}
}

// layers returns the policy and the overlay among the options of a build.
func (p *Policy) layers(opts map[string]string) (policy.Layers, error) {
	return p.frontend().Layers(opts)
}

const (
	// settle is how long a changed policy has to stay the same before it counts. A program that
	// writes the file in place may be seen between two writes.
	settle = 100 * time.Millisecond
	// maxReads is how often a policy that keeps changing is read for one build.
	maxReads = 20
	// maxLook is how long a build waits for the files. Reading a policy that keeps changing takes two
	// seconds.
	maxLook = 10 * time.Second
)

// policyFile is a policy in a file that may change while the guard runs. The last valid one stays
// in force until there is another valid one.
//
// The files are looked at for each build, by one goroutine at a time. Builds that begin while it
// looks share the next look: the one under way may have read a file before they began.
type policyFile struct {
	path    string
	log     *slog.Logger
	observe Observer
	settle  func()        // waits for writers of the files
	most    time.Duration // of a look

	seen *reading // what the files had when they were read last; only for the goroutine that looks

	mu      sync.Mutex
	inForce *Policy
	problem error     // why the newest policy isn't in force; nil if it is
	began   time.Time // of the look under way; zero if there is none
	next    *look     // for builds that have begun since then; nil if there are none
	late    bool      // the look under way takes longer than most
}

// look is one look at the files, for which builds wait.
type look struct{ done chan struct{} }

// openPolicy reads the policy at path, which has to be valid.
func openPolicy(path string, log *slog.Logger, o Observer) (*policyFile, error) {
	p := &policyFile{
		path: path, log: log, observe: o, settle: func() { <-time.After(settle) }, most: maxLook,
	}
	loaded, r, err := loadPolicy(path)
	if err != nil {
		return nil, err
	}
	p.inForce, p.seen = loaded, r
	o.PolicyRead(loaded, nil)
	return p, nil
}

// current returns the policy in force. It looks at the files first: their text is compared, because
// the times of files tell little about it. A disk that doesn't answer is like a missing file: the
// last good policy stays in force.
func (p *policyFile) current() *Policy {
	l := p.join()
	for left := p.left(); left > 0; left = p.left() {
		late := time.NewTimer(left)
		select {
		case <-l.done:
			late.Stop()
			return p.lastGood()
		case <-late.C:
		}
	}
	return p.lastGood()
}

func (p *policyFile) lastGood() *Policy {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inForce
}

// join returns a look that hasn't begun yet.
func (p *policyFile) join() *look {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.next
	if l == nil {
		l = &look{done: make(chan struct{})}
		p.next = l
	}
	if p.began.IsZero() {
		p.began = time.Now()
		go p.lookAround()
	}
	return l
}

// lookAround looks as long as builds wait for that.
func (p *policyFile) lookAround() {
	for {
		p.mu.Lock()
		l := p.next
		p.next = nil
		if l == nil {
			p.began = time.Time{}
			p.mu.Unlock()
			return
		}
		p.began = time.Now()
		p.mu.Unlock()
		p.look()
		close(l.done)
	}
}

// look looks at the files once.
func (p *policyFile) look() {
	for range maxReads {
		if p.seen != nil && p.seen.unchanged(p.path) {
			p.inTime()
			return
		}
		loaded, r, err := loadPolicy(p.path)
		p.settle()
		if r.unchanged(p.path) {
			p.seen = r
			p.inTime()
			p.changed(loaded, err)
			return
		}
	}
	p.seen = nil // the next look reads them again
	p.inTime()
	p.changed(nil, errUnsettled)
}

var (
	errUnsettled = errors.New("the policy changes each time that it is read")
	errLate      = errors.New("the policy can't be read in time")
)

// left returns how long builds wait for the look under way. When that is over, it says so.
func (p *policyFile) left() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.began.IsZero() {
		return p.most
	}
	left := p.most - time.Since(p.began)
	if left <= 0 && !p.late {
		p.late = true
		p.note(errLate)
	}
	return left
}

// inTime notes that a look has ended, if it was late.
func (p *policyFile) inTime() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.late {
		p.late = false
		p.log.Info("the policy can be read again", "file", p.path)
		p.observe.PolicyRead(p.inForce, p.problem)
	}
}

// note says that the newest policy isn't in force, and why. mu is held.
func (p *policyFile) note(why error) {
	p.log.Error("the policy isn't valid, so the last good one stays in force", "file", p.path,
		"why", logText(why.Error()), "policy", p.inForce.Digest())
	p.observe.PolicyRead(p.inForce, why)
}

// changed notes that the files have a new text, and says so.
func (p *policyFile) changed(loaded *Policy, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && p.problem != nil && err.Error() == p.problem.Error() {
		return
	}
	p.problem = err
	if err != nil {
		p.note(err)
		return
	}
	p.inForce = loaded
	p.log.Info("a new policy is in force", "file", p.path, "id", loaded.Identity().ID,
		"policy", loaded.Digest())
	p.observe.PolicyRead(p.inForce, nil)
}

// state returns the policy in force, and why the newest one isn't, or nil.
func (p *policyFile) state() (*Policy, error) {
	p.current()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.late {
		return p.inForce, errLate
	}
	return p.inForce, p.problem
}

// loadPolicy reads a policy and what it includes. The reading is never nil.
func loadPolicy(path string) (*Policy, *reading, error) {
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
	r := &reading{}
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

// readOnce reads a file. It never waits, as it would for a pipe.
func (r *reading) readOnce(name string) (fs.FileInfo, []byte, error) {
	if r.err != nil {
		return nil, nil, r.err
	}
	f, err := r.dir.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return info, nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(policy.MaxSize-r.size)+1))
	return info, data, err
}

// unchanged reports whether the same names have the same text now.
func (r *reading) unchanged(path string) bool {
	now := newReading(path)
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
