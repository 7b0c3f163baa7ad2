package harness

import (
	"archive/tar"
	"bytes"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// ServeFiles serves files over HTTP until the test ends and returns the URL of
// the folder, which has no slash at its end. Keys are paths with slashes.
func ServeFiles(t T, files map[string][]byte) string {
	t.Helper()
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, ok := files[strings.TrimPrefix(path.Clean(r.URL.Path), "/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(data) // a client that went away is its own problem
	}))
}

// WatchedServer serves one file under every path over HTTP until the test ends. It returns its URL,
// without a slash at the end, and a function with the paths that were asked for until now.
func WatchedServer(t T) (url string, asked func() []string) {
	t.Helper()
	var mu sync.Mutex
	var paths []string
	url = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		paths = append(paths, r.URL.Path)
		mu.Unlock()
		w.Header().Set("Last-Modified", "Tue, 01 Jan 2019 00:00:00 GMT")
		_, _ = w.Write([]byte("watched\n"))
	}))
	return url, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(paths)
	}
}

// GitServer commits files to a new git repository, serves it over HTTP until
// the test ends and returns its URL, as git contexts take it, and the commit.
// The branch is main.
func GitServer(t T, files map[string]string) (url, commit string) {
	t.Helper()
	dir := WriteContext(t, files)
	git := func(args ...string) string {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = []string{
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + dir,
			"GIT_CONFIG_NOSYSTEM=1",
			"GIT_AUTHOR_NAME=test", "GIT_AUTHOR_EMAIL=test@example.com",
			"GIT_COMMITTER_NAME=test", "GIT_COMMITTER_EMAIL=test@example.com",
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q", "-b", "main")
	git("add", "-A")
	git("commit", "-q", "-m", "build context")
	// What the dumb HTTP protocol needs.
	git("update-server-info")
	commit = git("rev-parse", "HEAD")
	const name = "/app.git"
	repository := http.FileServer(http.Dir(filepath.Join(dir, ".git")))
	mux := http.NewServeMux()
	mux.Handle(name+"/", http.StripPrefix(name, repository))
	return serve(t, mux) + name, commit
}

// TarContext packs files as the tar of a build context.
func TarContext(t T, files map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), Typeflag: tar.TypeReg}
		if err := w.WriteHeader(h); err != nil {
			t.Fatalf("%v", err)
		}
		if _, err := w.Write([]byte(files[name])); err != nil {
			t.Fatalf("%v", err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatalf("%v", err)
	}
	return buf.Bytes()
}

func serve(t T, handler http.Handler) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("%v", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ends when closed
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return fmt.Sprintf("http://%s", listener.Addr())
}
