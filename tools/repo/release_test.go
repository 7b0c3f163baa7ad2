package main

import (
	"slices"
	"strings"
	"testing"
)

func TestMovingTags(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, tag, existing string
		want                []string
	}{
		{"the first release moves both lines", "v1.0.0", "v1.0.0", []string{"1.0", "1"}},
		{
			"the newest release moves both lines", "v1.2.3", "v1.2.2 v1.2.3 v1.1.9",
			[]string{"1.2", "1"},
		},
		{"numbers are compared as numbers", "v1.10.0", "v1.9.0 v1.10.0", []string{"1.10", "1"}},
		{
			"a fix of an older minor line leaves the major line", "v1.1.4", "v1.2.0 v1.1.4",
			[]string{"1.1"},
		},
		{
			"a fix of an older major line moves that line", "v1.9.1", "v2.0.0 v1.9.0",
			[]string{"1.9", "1"},
		},
		{
			"an old release that is released again moves nothing", "v1.2.0", "v1.2.1",
			nil,
		},
		{"a release candidate moves nothing", "v1.3.0-rc.1", "v1.2.0", nil},
		{
			"a newer release candidate doesn't count", "v1.2.1", "v1.3.0-rc.1",
			[]string{"1.2", "1"},
		},
		{"before 1.0.0 there is no major line", "v0.4.0", "", []string{"0.4"}},
		{"other Git tags don't count", "v1.0.0", "latest v9 nightly-2", []string{"1.0", "1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := movingTags(tc.tag, strings.ReplaceAll(tc.existing, " ", "\n"))
			if err != nil || !slices.Equal(got, tc.want) {
				t.Fatalf("got %q, %v; want %q", got, err, tc.want)
			}
		})
	}
	for _, tag := range []string{"", "1.2.3", "v1.2", "v1.2.3+build", "v01.2.3", "v1.2.3 "} {
		if got, err := movingTags(tag, ""); err == nil {
			t.Errorf("%q is not a release tag, got %q", tag, got)
		}
	}
}

const testChangelog = `# Changelog

## [Unreleased]

### Added

- not yet

## [1.1.0] - 2027-02-01

### Added

- two
  lines

### Fixed

- one more

## [1.0.0] - 2027-01-01

- the first

[Unreleased]: https://example.com/compare
[1.1.0]: https://example.com/v1.1.0
`

func TestReleaseNotes(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]string{
		"v1.1.0": "### Added\n\n- two\n  lines\n\n### Fixed\n\n- one more",
		"v1.0.0": "- the first",
	} {
		got, err := releaseNotes(testChangelog, tag)
		if err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", tag, got, err, want)
		}
	}
	for _, tc := range []struct{ changelog, tag, want string }{
		{testChangelog, "v1.2.0", `no section "## [1.2.0]"`},
		{testChangelog, "v1.1", "not a release tag"},
		{"## [1.0.0] - 2027-01-01\n\n### Added\n", "v1.0.0", "has no entry"},
		{"## [1.0.0]\n\n## [0.9.0]\n\n- old\n", "v1.0.0", "has no entry"},
	} {
		_, err := releaseNotes(tc.changelog, tc.tag)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v; want %q", tc.tag, err, tc.want)
		}
	}
}
