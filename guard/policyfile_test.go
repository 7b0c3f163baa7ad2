package guard

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
)

// observed is an Observer that remembers what it was told.
type observed struct {
	mu       sync.Mutex
	problems []error // of PolicyRead
	refusals []string
	decided  []policy.Decision
	answers  []bool
}

func (o *observed) Decided(d policy.Decision, _ time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.decided = append(o.decided, d)
}

func (o *observed) Refused(rule, what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refusals = append(o.refusals, rule+" "+what)
}

func (o *observed) Answered(allowed bool, _ time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answers = append(o.answers, allowed)
}

func (o *observed) PolicyRead(_ *Policy, problem error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.problems = append(o.problems, problem)
}

// logged is a log that can be read while it is written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func textLog() (*slog.Logger, *logged) {
	l := &logged{}
	return slog.New(slog.NewTextHandler(l, nil)), l
}

func withID(id string) string {
	return "version: 1\nid: " + id + "\nfrontends: [{name: a, match: [docker/dockerfile]}]\n"
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

// opened returns a policy with a text, the path of its file, and the log of what becomes of it.
func opened(t *testing.T, text string, o Observer) (p policyFile, path string, log *logged) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "policy.yaml")
	write(t, path, text)
	to, log := textLog()
	p, err := openPolicy(path, to, o)
	require.NoError(t, err)
	return p, path, log
}

func TestTheLastGoodPolicyStaysInForce(t *testing.T) {
	t.Parallel()
	link := func(t *testing.T, old, name string) {
		t.Helper()
		require.NoError(t, os.Symlink(old, name+".new"))
		require.NoError(t, os.Rename(name+".new", name))
	}
	for name, tc := range map[string]struct {
		change func(t *testing.T, dir string)
		want   string // the id of the policy in force after the change
		why    string // in the log, if the change isn't in force
	}{
		"nothing changes": {func(*testing.T, string) {}, "one", ""},
		"a file that is written again with the same text": {func(t *testing.T, dir string) {
			write(t, dir+"/policy.yaml", withID("one"))
		}, "one", ""},
		"another valid policy": {func(t *testing.T, dir string) {
			write(t, dir+"/policy.yaml", withID("two"))
		}, "two", ""},
		"another policy of the same size and time": {func(t *testing.T, dir string) {
			info, err := os.Stat(dir + "/policy.yaml")
			require.NoError(t, err)
			write(t, dir+"/policy.yaml", withID("two"))
			require.NoError(t, os.Chtimes(dir+"/policy.yaml", info.ModTime(), info.ModTime()))
		}, "two", ""},
		"an invalid policy": {func(t *testing.T, dir string) {
			write(t, dir+"/policy.yaml", "version: 1\nfrontend: []\n")
		}, "one", "frontend"},
		"an empty file": {func(t *testing.T, dir string) {
			write(t, dir+"/policy.yaml", "")
		}, "one", "empty"},
		"a removed file": {func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(dir+"/policy.yaml"))
		}, "one", "no such file"},
		"a removed directory": {func(t *testing.T, dir string) {
			require.NoError(t, os.RemoveAll(dir))
		}, "one", "no such file"},
		"a directory in place of the file": {func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(dir+"/policy.yaml"))
			require.NoError(t, os.Mkdir(dir+"/policy.yaml", 0o700))
		}, "one", "isn't a regular file"},
		"a pipe in place of the file": {func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(dir+"/policy.yaml"))
			require.NoError(t, syscall.Mkfifo(dir+"/policy.yaml", 0o600))
		}, "one", "isn't a regular file"},
		"a link that leads out of the directory": {func(t *testing.T, dir string) {
			other := filepath.Join(t.TempDir(), "p.yaml")
			write(t, other, withID("two"))
			link(t, other, dir+"/policy.yaml")
		}, "one", "leads out of the policy's directory"},
		"a file that is too large": {func(t *testing.T, dir string) {
			write(t, dir+"/policy.yaml", withID("two")+strings.Repeat("#", policy.MaxSize))
		}, "one", "more than"},
		"a volume of Kubernetes, whose link is replaced": {func(t *testing.T, dir string) {
			write(t, dir+"/..v1/policy.yaml", withID("two"))
			write(t, dir+"/..v2/policy.yaml", withID("three"))
			link(t, "..v1", dir+"/..data")
			link(t, "..data/policy.yaml", dir+"/policy.yaml")
			link(t, "..v2", dir+"/..data")
			require.NoError(t, os.RemoveAll(dir+"/..v1"))
		}, "three", ""},
		"an included file that changes": {func(t *testing.T, dir string) {
			write(t, dir+"/policy.yaml", withID("two")+"include: [team/a.yaml]\n")
			write(t, dir+"/team/a.yaml", "version: 1\nfrontends: [{name: b, match: [a/b]}]\n")
		}, "two", ""},
		"an included file that is missing": {func(t *testing.T, dir string) {
			write(t, dir+"/policy.yaml", withID("two")+"include: [a.yaml]\n")
		}, "one", "doesn't exist"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "policy")
			write(t, dir+"/policy.yaml", withID("one"))
			log, text := textLog()
			seen := &observed{}
			p, err := openPolicy(dir+"/policy.yaml", log, seen)
			require.NoError(t, err)
			p.settle = func() {}
			tc.change(t, dir)
			for range 3 {
				require.Equal(t, tc.want, p.current().Identity().ID)
			}
			inForce, problem := p.state()
			require.Equal(t, tc.want, inForce.Identity().ID)
			lines := strings.Count(text.String(), "\n")
			switch {
			case tc.why != "":
				require.ErrorContains(t, problem, tc.why)
				require.Contains(t, text.String(), "the last good one stays in force")
				require.Contains(t, text.String(), tc.why)
				require.Equal(t, 1, lines, "once for a change: %s", text)
			case tc.want == "one":
				require.NoError(t, problem)
				require.Zero(t, lines, text)
			default:
				require.NoError(t, problem)
				require.Contains(t, text.String(), "a new policy is in force")
				require.Equal(t, 1, lines, text)
			}
			require.Len(t, seen.problems, 1+lines)
			require.Equal(t, problem == nil, seen.problems[lines] == nil)

			// A valid policy is in force again, also if it is the first one.
			write(t, dir+"/new.yaml", withID("one"))
			require.NoError(t, os.RemoveAll(dir+"/policy.yaml"))
			require.NoError(t, os.Rename(dir+"/new.yaml", dir+"/policy.yaml"))
			inForce, problem = p.state()
			require.NoError(t, problem)
			require.Equal(t, "one", inForce.Identity().ID)
		})
	}
}

func TestAPolicyThatIsBeingWrittenIsNotReadHalf(t *testing.T) {
	t.Parallel()
	p, path, _ := opened(t, withID("one"), unobserved{})

	// What was written first is valid by itself, and allows more than the whole.
	half := withID("half")
	f, err := os.Create(path)
	require.NoError(t, err)
	_, err = f.WriteString(half)
	require.NoError(t, err)
	var once sync.Once
	p.settle = func() {
		once.Do(func() {
			_, err := f.WriteString("limits: {timeout: 5m}\n")
			require.NoError(t, errors.Join(err, f.Close()))
		})
	}
	require.Contains(t, p.current().Files["policy.yaml"], "limits")

	// A file that never stays the same never counts.
	reads := 0
	p.settle = func() {
		reads++
		write(t, path, withID("x")+strings.Repeat("#", reads))
	}
	write(t, path, withID("y"))
	_, problem := p.state()
	require.ErrorIs(t, problem, errUnsettled)
	require.Equal(t, maxReads, reads)
	p.settle = func() {}
	current, problem := p.state()
	require.NoError(t, problem)
	require.Equal(t, "x", current.Identity().ID)
}

func TestAPolicyComesWithItsText(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	main := withID("main") + "include: [team/a.yaml]\n"
	const team = "version: 1\nfrontends: [{name: b, match: [a/b]}]\n"
	write(t, dir+"/p.yaml", main)
	write(t, dir+"/team/a.yaml", team)
	p, _, err := loadPolicy(dir + "/p.yaml")
	require.NoError(t, err)
	require.Equal(t, "p.yaml", p.Name)
	require.Equal(t, map[string]string{"p.yaml": main, "team/a.yaml": team}, p.Files)
	write(t, dir+"/team/a.yaml", "")
	require.Equal(t, team, p.Files["team/a.yaml"])

	// Nobody changes only an included file unnoticed.
	log, _ := textLog()
	write(t, dir+"/team/a.yaml", team)
	file, err := openPolicy(dir+"/p.yaml", log, unobserved{})
	require.NoError(t, err)
	before := file.current().Digest()
	write(t, dir+"/team/a.yaml", strings.Replace(team, "a/b", "a/c", 1))
	require.NotEqual(t, before, file.current().Digest())
}

func TestAGuardNeedsAValidPolicyToBegin(t *testing.T) {
	t.Parallel()
	conn, err := Dial("unix:///nowhere")
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = New(conn, Options{PolicyPath: filepath.Join(t.TempDir(), "p.yaml")})
	require.ErrorIs(t, err, fs.ErrNotExist)
	path := filepath.Join(t.TempDir(), "p.yaml")
	write(t, path, "x: 1\n")
	_, err = New(conn, Options{PolicyPath: path})
	require.Error(t, err)
}
