package policy

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// folder makes the files of a policy's folder.
func folder(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, data := range files {
		out[name] = &fstest.MapFile{Data: []byte(data)}
	}
	return out
}

func TestLoadFollowsIncludes(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"etc/policy.yaml":       "version: 1\nid: corp\ninclude: [team/a.yaml, b.yaml]\naliases: [{from: m, to: n}]\nfrontends:\n- {name: main, match: [m]}\n",
		"etc/team/a.yaml":       "version: 1\nid: team-a\ninclude: [more/c.yaml]\naliases: [{from: a, to: n}]\nfrontends:\n- {match: [a]}\n- {name: a2, match: [a]}\n",
		"etc/team/more/c.yaml":  "version: 1\nfrontends:\n- {match: [c]}\n",
		"etc/b.yaml":            "\ufeffversion: 1\r\nfrontends:\r\n- {match: [b]}\r\n",
		"etc/nobody-asked.yaml": "version: 2\n",
	}
	p, err := Load(folder(files), "etc/policy.yaml")
	require.NoError(t, err)
	var rules []string
	for i := range p.doc.Frontends {
		r := &p.doc.Frontends[i]
		rules = append(rules, fmt.Sprintf("%s %s:%d", r.Name, r.File(), r.Line()))
	}
	require.Equal(t, []string{
		"main etc/policy.yaml:6",
		"frontends[0] of etc/team/a.yaml etc/team/a.yaml:6", "a2 etc/team/a.yaml:7",
		"frontends[0] of etc/team/more/c.yaml etc/team/more/c.yaml:3",
		"frontends[0] of etc/b.yaml etc/b.yaml:3",
	}, rules)
	require.Equal(t, "etc/team/a.yaml", p.doc.Aliases[1].File())
	require.Equal(t, "corp", p.doc.ID)

	var sums strings.Builder
	for _, name := range []string{
		"etc/policy.yaml", "etc/team/a.yaml", "etc/team/more/c.yaml",
		"etc/b.yaml",
	} {
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256([]byte(files[name])), name)
	}
	require.Equal(t, digest.FromString(sums.String()), p.Digest(),
		"what sha256sum prints, through sha256sum")

	l, err := Stack(p, nil)
	require.NoError(t, err)
	require.Equal(t, "frontends[0] of etc/b.yaml", Decide(l, request(t, "b")).Rule)

	files["etc/b.yaml"] += "# changed\n"
	again, err := Load(folder(files), "etc/policy.yaml")
	require.NoError(t, err)
	require.NotEqual(t, p.Digest(), again.Digest(), "a change in an included file is another policy")
}

func TestLoadWithoutIncludesIsParse(t *testing.T) {
	t.Parallel()
	want := mustParse(t, everyField)
	got, err := Load(folder(map[string]string{"policy.yaml": everyField}), "policy.yaml")
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	const head = "version: 1\n"
	many, deep := map[string]string{"policy.yaml": head + "include:\n"},
		map[string]string{"policy.yaml": head + "include: [d0.yaml]\n"}
	for i := range maxIncludes + 1 {
		many["policy.yaml"] += fmt.Sprintf("- f%d.yaml\n", i)
		many[fmt.Sprintf("f%d.yaml", i)] = head
	}
	for i := range maxIncludeDepth + 1 {
		deep[fmt.Sprintf("d%d.yaml", i)] = head + fmt.Sprintf("include: [d%d.yaml]\n", i+1)
	}
	tests := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{
			"a file that isn't there",
			map[string]string{"policy.yaml": head + "include: [a.yaml]\n"},
			"policy.yaml:2:11: include: a.yaml doesn't exist; a path is relative to the directory of the file that includes it",
		},
		{
			"a file above the folder",
			map[string]string{"policy.yaml": head + "include: [../a.yaml]\n"},
			`policy.yaml:2:11: include: "../a.yaml" is not a path below the policy's directory`,
		},
		{
			"a file above the folder by a detour",
			map[string]string{"policy.yaml": head + "include: [x/../../a.yaml]\n"},
			"is not a path below the policy's directory",
		},
		{
			"an absolute path",
			map[string]string{"policy.yaml": head + "include: [/etc/passwd]\n"},
			"is not a path below the policy's directory",
		},
		{
			"a path of another system",
			map[string]string{"policy.yaml": head + `include: ["..\\a.yaml"]` + "\n"},
			"is not a path below the policy's directory",
		},
		{
			"the folder itself",
			map[string]string{"policy.yaml": head + "include: [.]\n"},
			"is not a path below the policy's directory",
		},
		{
			"an over-long path",
			map[string]string{"policy.yaml": head + "include: [" + strings.Repeat("a", 256) + "]\n"},
			"is too long: 256 bytes",
		},
		{
			"a path that can't be printed",
			map[string]string{"policy.yaml": head + "include: [\"a\\e\"]\n"},
			"has the character U+001B",
		},
		{
			"a folder",
			map[string]string{"policy.yaml": head + "include: [a]\n", "a/b.yaml": head},
			"policy.yaml:2:11: include: a can't be read: it isn't a regular file",
		},
		{
			"an empty list",
			map[string]string{"policy.yaml": head + "include: []\n"},
			"policy.yaml:2:10: include is empty",
		},
		{
			"itself",
			map[string]string{"policy.yaml": head + "include: [policy.yaml]\n"},
			"policy.yaml:2:11: include: policy.yaml includes itself: policy.yaml includes policy.yaml",
		},
		{
			"a circle",
			map[string]string{
				"policy.yaml": head + "include: [a.yaml]\n",
				"a.yaml":      head + "include: [b.yaml]\n", "b.yaml": head + "include: [a.yaml]\n",
			},
			"b.yaml:2:11: include: a.yaml includes itself: policy.yaml includes a.yaml includes b.yaml includes a.yaml",
		},
		{
			"a file twice",
			map[string]string{
				"policy.yaml": head + "include: [a.yaml, b.yaml]\n",
				"a.yaml":      head + "include: [b.yaml]\n", "b.yaml": head,
			},
			"policy.yaml:2:19: include: b.yaml is already included; include each file once",
		},
		{
			"too many files", many,
			"policy.yaml:35:3: include: f32.yaml is one file too many: a policy includes at most 32",
		},
		{
			"files too deep", deep,
			"d7.yaml:2:11: include: d8.yaml is included too deep: at most 8 levels below the policy",
		},
		{
			"too much in all",
			map[string]string{
				"policy.yaml": head + "include: [a.yaml, b.yaml]\n",
				"a.yaml":      head + "#" + strings.Repeat("x", MaxSize/2),
				"b.yaml":      head + "#" + strings.Repeat("x", MaxSize/2),
			},
			"policy.yaml:2:19: include: with b.yaml, the policy has more than 4194304 bytes",
		},
		{
			"too much in the policy",
			map[string]string{"policy.yaml": head + "#" + strings.Repeat("x", MaxSize)},
			"policy.yaml: the document has more than 4194304 bytes",
		},
		{
			"a file without version",
			map[string]string{"policy.yaml": head + "include: [a.yaml]\n", "a.yaml": "id: x\n"},
			"a.yaml:1:1: the version is missing",
		},
		{
			"an empty file",
			map[string]string{"policy.yaml": head + "include: [a.yaml]\n", "a.yaml": ""},
			"a.yaml: the document is empty",
		},
		{
			"a file that says what belongs into the policy",
			map[string]string{
				"policy.yaml": head + "include: [a.yaml]\n",
				"a.yaml":      head + "default: allow\n",
			},
			"a.yaml:2:1: default belongs in the policy itself; an included file has only version, id, aliases, frontends and include",
		},
		{
			"a file that changes the mode",
			map[string]string{"policy.yaml": head + "include: [a.yaml]\n", "a.yaml": head + "mode: warn\n"},
			"a.yaml:2:1: mode belongs in the policy itself",
		},
		{
			"a file that sets limits",
			map[string]string{
				"policy.yaml": head + "include: [a.yaml]\n",
				"a.yaml":      head + "limits: {match: [a]}\n",
			},
			"a.yaml:2:1: limits belongs in the policy itself",
		},
		{
			"a file that accepts overlays",
			map[string]string{
				"policy.yaml": head + "include: [a.yaml]\n",
				"a.yaml":      head + "overlay: {accept: narrow}\n",
			},
			"a.yaml:2:1: overlay belongs in the policy itself",
		},
		{
			"a file with a broken rule",
			map[string]string{
				"policy.yaml": head + "include: [t/a.yaml]\n",
				"t/a.yaml":    head + "frontends:\n- match: [A]\n",
			},
			`t/a.yaml:3:11: match: "A" has upper-case letters`,
		},
		{
			"a name twice",
			map[string]string{
				"policy.yaml": head + "include: [a.yaml]\nfrontends:\n- {name: x, match: [a]}\n",
				"a.yaml":      head + "frontends:\n- {name: x, match: [a]}\n",
			},
			`a.yaml:3:10: the name "x" is already that of the rule on line 4 of policy.yaml; names must be unique`,
		},
		{
			"problems of several files",
			map[string]string{
				"policy.yaml": head + "include: [a.yaml, b.yaml]\n", "a.yaml": head + "x: 1\n",
				"b.yaml": head + "y: 1\n",
			},
			"a.yaml:2:1: unknown field \"x\"\nb.yaml:2:1: unknown field \"y\"",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Load(folder(tt.files), "policy.yaml")
			var e *ParseError
			require.ErrorAs(t, err, &e)
			require.Contains(t, err.Error(), tt.want)
			require.NotContains(t, err.Error(), "\x1b")
		})
	}
	_, err := Load(fstest.MapFS{}, "policy.yaml")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// What a folder on a disk can hold that a map can't.
func TestLoadStaysInItsFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, data string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644))
	}
	write("outside.yaml", "version: 1\n")
	write("etc/inside.yaml", "version: 1\nfrontends: [{name: inside, match: [a]}]\n")
	require.NoError(t, os.Symlink("inside.yaml", filepath.Join(dir, "etc/good.yaml")))
	require.NoError(t, os.Symlink("../outside.yaml", filepath.Join(dir, "etc/bad.yaml")))
	require.NoError(t, os.Symlink("/dev/zero", filepath.Join(dir, "etc/zero.yaml")))
	require.NoError(t, os.Symlink("..", filepath.Join(dir, "etc/up")))
	root, err := os.OpenRoot(filepath.Join(dir, "etc"))
	require.NoError(t, err)
	defer root.Close()
	for name, ok := range map[string]bool{
		"inside.yaml": true, "good.yaml": true, "bad.yaml": false,
		"zero.yaml": false, "up/outside.yaml": false,
	} {
		file := strings.ReplaceAll(name, "/", "-") + ".policy"
		write("etc/"+file, "version: 1\ninclude: ["+name+"]\n")
		p, err := Load(root.FS(), file)
		if ok {
			require.NoError(t, err, name)
			require.Equal(t, "inside", p.doc.Frontends[0].Name)
			continue
		}
		var e *ParseError
		require.ErrorAs(t, err, &e, name)
		require.Equal(t, 2, e.Problems[0].Line)
		require.Equal(t, "include: "+name+" can't be read: a symbolic link leads out of the policy's "+
			"directory; copy the file into the directory, or name the file that the link leads to",
			e.Problems[0].Message)
	}
	_, err = Load(root.FS(), "bad.yaml")
	require.ErrorIs(t, err, ErrOutside)
}

// brokenFS has a file that opens and can't be read.
type brokenFS struct{ fs.FS }

type brokenFile struct{ fs.File }

var errBroken = errors.New("disk on fire")

func (b brokenFS) Open(name string) (fs.File, error) {
	f, err := b.FS.Open(name)
	return brokenFile{f}, err
}

func (brokenFile) Read([]byte) (int, error) { return 0, errBroken }

func TestLoadTellsAReadError(t *testing.T) {
	t.Parallel()
	_, err := Load(brokenFS{folder(map[string]string{"policy.yaml": "version: 1\n"})}, "policy.yaml")
	require.ErrorIs(t, err, errBroken)
}
