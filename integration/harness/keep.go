package harness

import (
	"os"
	"path/filepath"
	"slices"
)

// dropOldest removes all but the newest n entries of dir.
func dropOldest(dir string, n int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var infos []os.FileInfo
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return err
		}
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b os.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	for _, info := range infos[min(n, len(infos)):] {
		if err := os.RemoveAll(filepath.Join(dir, info.Name())); err != nil {
			return err
		}
	}
	return nil
}
