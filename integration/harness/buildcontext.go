package harness

import (
	"os"
	"path/filepath"
	"strings"
)

// WriteContext writes a build context into a new folder and returns its path.
// Keys are paths with slashes. A file that begins with "#!" is executable.
func WriteContext(t T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatalf("%v", err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(content, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatalf("%v", err)
		}
	}
	return dir
}
