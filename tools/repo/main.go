// Command repo answers questions about this repository's own files. It uses only the standard
// library, so it runs on any machine that has Go.
//
//	repo check           find words that readers stumble over, versions that disagree, lost tests
//	repo notes VERSION   print the release notes of a version from CHANGELOG.md
//	repo tags VERSION    print the image tags that a release moves; reads all Git tags from stdin
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "repo:", err)
		os.Exit(1)
	}
}

// run runs the command in args on the repository that is two folders up, where `go -C tools/repo
// run .` starts it.
func run(args []string, stdin io.Reader, stdout io.Writer) error {
	const root = "../.."
	switch {
	case len(args) == 1 && args[0] == "check":
		return check(os.DirFS(root), stdout)
	case len(args) == 2 && args[0] == "notes":
		changelog, err := os.ReadFile(root + "/CHANGELOG.md")
		if err != nil {
			return err
		}
		notes, err := releaseNotes(string(changelog), args[1])
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(stdout, notes)
		return err
	case len(args) == 2 && args[0] == "tags":
		existing, err := io.ReadAll(stdin)
		if err != nil {
			return err
		}
		tags, err := movingTags(args[1], string(existing))
		if err != nil {
			return err
		}
		for _, tag := range tags {
			fmt.Fprintln(stdout, tag)
		}
		return nil
	}
	return errors.New("usage: repo check | notes VERSION | tags VERSION")
}
