package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

var (
	goLine   = regexp.MustCompile(`(?m)^go (\S+)$`)
	goImage  = regexp.MustCompile(`golang:(\d[\d.]*)-alpine`)
	makeTool = regexp.MustCompile(`(?m)^[A-Z]+ *:= v\d.*$`)
)

// versions looks for versions that disagree, and for versions that the update bot can't see.
func versions(repository fs.FS) ([]finding, error) {
	main, err := fs.ReadFile(repository, "go.mod")
	if err != nil {
		return nil, err
	}
	want := goLine.FindSubmatch(main)
	if want == nil {
		return []finding{{"go.mod", 1, "it has no go line"}}, nil
	}
	modules, err := modules(repository)
	if err != nil {
		return nil, err
	}
	var findings []finding
	for _, place := range append(
		modules, versionPlace{"Dockerfile", goImage}, versionPlace{"docker-bake.hcl", goImage}) {
		data, err := fs.ReadFile(repository, place.file)
		if err != nil {
			return nil, err
		}
		at := place.pattern.FindSubmatchIndex(data)
		if at == nil {
			findings = append(findings, finding{place.file, 1, "it names no version of Go"})
			continue
		}
		if got := string(data[at[2]:at[3]]); got != string(want[1]) {
			findings = append(findings, finding{
				place.file, lineAt(data, at[2]),
				fmt.Sprintf("it names Go %s, and go.mod names Go %s", got, want[1]),
			})
		}
	}
	unseen, err := unseenByBot(repository)
	return append(findings, unseen...), err
}

// A versionPlace is a file that names the version of Go, and the pattern that finds it.
type versionPlace struct {
	file    string
	pattern *regexp.Regexp
}

// modules returns the go.mod of each module.
func modules(repository fs.FS) ([]versionPlace, error) {
	var places []versionPlace
	err := fs.WalkDir(repository, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && strings.HasPrefix(entry.Name(), "."):
			return fs.SkipDir
		case !entry.IsDir() && path.Base(name) == "go.mod":
			places = append(places, versionPlace{name, goLine})
		}
		return nil
	})
	return places, err
}

// unseenByBot returns the lines of the Makefile that pin a tool's version and that no pattern of
// the update bot matches.
func unseenByBot(repository fs.FS) ([]finding, error) {
	const config = "renovate.json"
	data, err := fs.ReadFile(repository, config)
	if err != nil {
		return nil, err
	}
	var bot struct {
		CustomManagers []struct {
			ManagerFilePatterns, MatchStrings []string
		}
	}
	if err := json.Unmarshal(data, &bot); err != nil {
		return nil, fmt.Errorf("%s: %w", config, err)
	}
	makefile, err := fs.ReadFile(repository, "Makefile")
	if err != nil {
		return nil, err
	}
	seen := map[int]bool{}
	for _, manager := range bot.CustomManagers {
		for _, text := range manager.MatchStrings {
			pattern, err := regexp.Compile(text)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", config, err)
			}
			for _, at := range pattern.FindAllSubmatchIndex(makefile, -1) {
				value := pattern.SubexpIndex("currentValue")
				if value > 0 && at[2*value] >= 0 {
					seen[lineAt(makefile, at[2*value])] = true
				}
			}
		}
	}
	var findings []finding
	for _, at := range makeTool.FindAllIndex(makefile, -1) {
		if line := lineAt(makefile, at[0]); !seen[line] {
			findings = append(findings, finding{
				"Makefile", line,
				"renovate.json doesn't match this version; put a renovate comment above it",
			})
		}
	}
	return findings, nil
}

func lineAt(data []byte, offset int) int { return 1 + strings.Count(string(data[:offset]), "\n") }
