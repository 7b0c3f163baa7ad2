package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const root = "../.."

// codeBlock is a fenced block of a page.
type codeBlock struct {
	language, text string
	file           string // the name in "Save this as `NAME`" before it, or ""
	after          string // the text up to the next block
}

var (
	fence = regexp.MustCompile("(?ms)^( *)```(\\w*)\n(.*?)^ *```$")
	saved = regexp.MustCompile("Save this as `([^`]+)`[^\n]*:\\s*$")
)

// codeBlocks returns the fenced blocks of a page in order.
func codeBlocks(page string) []codeBlock {
	found := fence.FindAllStringSubmatchIndex(page, -1)
	blocks := make([]codeBlock, len(found))
	for i, m := range found {
		indent, text := page[m[2]:m[3]], page[m[6]:m[7]]
		text = regexp.MustCompile("(?m)^"+indent).ReplaceAllString(text, "")
		end := len(page)
		if i+1 < len(found) {
			end = found[i+1][0]
		}
		blocks[i] = codeBlock{language: page[m[4]:m[5]], text: text, after: page[m[1]:end]}
		if s := saved.FindStringSubmatch(page[:m[0]]); s != nil {
			blocks[i].file = s[1]
		}
	}
	return blocks
}

// Policies that the pages show are valid and answer as the tables under them say. Commands
// run in order, in a directory with the files that the page saves, and print what is shown.
// Programs that need a daemon are stubs here; package integration runs the real ones.
func TestTheBlocksOfPages(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"README.md", "docs/quickstart.md", "docs/rollout.md", "docs/ci.md", "docs/troubleshooting.md",
		"docs/check.md",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := exampleFolder(t)
			stubPrograms(t, dir)
			for _, b := range codeBlocks(contents(t, filepath.Join(root, name))) {
				if b.file != "" {
					writeTo(t, dir, b.file, b.text)
				}
				switch b.language {
				case "yaml":
					testYAML(t, dir, b)
				case "toml":
					requireDaemonConfig(t, b.text)
				case "sh":
					for _, command := range shellLines(b.text) {
						runShown(t, dir, command)
					}
				case "console":
					testConsole(t, dir, b.text)
				case "dockerfile", "mermaid", "text":
				default:
					t.Errorf("nothing tests a block of %q:\n%s", b.language, b.text)
				}
			}
		})
	}
}

// stubPrograms puts stubs on the path of shell: a docker whose `run` runs this program in
// the directory that it would mount, a git that shows the present file, and programs that
// do nothing.
func stubPrograms(t *testing.T, dir string) {
	t.Helper()
	const docker = `#!/bin/sh
case "$1 $2 $3 $5 $6" in
"run --rm -v -w /work") ;;
"run -d"*|"rm -f"*|"buildx "*|"context "*) exit 0 ;;
*) echo "docker $*: nothing tests this" >&2; exit 9 ;;
esac
case "$4 $7" in
*:/work:ro" "*/policy-frontend:*) ;;
*) echo "docker $*: nothing tests this" >&2; exit 9 ;;
esac
shift 7
exec policy-frontend "$@"
`
	for name, script := range map[string]string{
		"docker":   docker,
		"git":      "#!/bin/sh\n[ \"$1\" = show ] && exec cat \"${2##*:}\"\n",
		"jq":       "#!/bin/sh\n",
		"go":       "#!/bin/sh\n",
		"make":     "#!/bin/sh\n",
		"buildctl": "#!/bin/sh\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, ".bin", name), []byte(script), 0o700))
	}
}

// shellLines returns the commands of a block, with continued lines joined.
func shellLines(text string) []string {
	var commands []string
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\\\n", " "), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			commands = append(commands, line)
		}
	}
	return commands
}

var exitsOneForAnAnswer = regexp.MustCompile(
	`(?m)(policy-frontend|policy-frontend:\S+) (eval|explain|lint|diff|test|check)\b`)

// runShown runs a command that a page shows; exit code 1 is an answer of some.
func runShown(t *testing.T, dir, command string) string {
	t.Helper()
	stdout, stderr, code := shell(t, dir, command)
	if code != exitDeny || !exitsOneForAnAnswer.MatchString(command) {
		require.Zero(t, code, "%s\n%s%s", command, stdout, stderr)
	}
	return stdout
}

// testConsole compares what a command prints with what is shown. Builds are shown with
// what a real daemon says, so package integration runs them.
func testConsole(t *testing.T, dir, text string) {
	t.Helper()
	command, want, ok := strings.Cut(strings.TrimPrefix(text, "$ "), "\n")
	require.True(t, ok, text)
	got := runShown(t, dir, command)
	if !strings.HasPrefix(command, "docker buildx ") && !strings.HasPrefix(command, "buildctl ") {
		require.Equal(t, want, got, command)
	}
}

// testYAML tests a policy, a file of cases or a pipeline.
func testYAML(t *testing.T, dir string, b codeBlock) {
	t.Helper()
	var doc map[string]any // with yaml.v3, a repeated key is an error
	require.NoError(t, yaml.Unmarshal([]byte(b.text), &doc), b.text)
	switch {
	case doc["version"] != nil:
		file := write(t, "policy.yaml", b.text)
		code, stdout, stderr := run("lint", file)
		require.NotEqual(t, exitUsage, code, "%s%s", stdout, stderr)
		for _, row := range answerRow.FindAllStringSubmatch(b.after, -1) {
			require.Equal(t, row[2], verdict(t, file, row[1]), row[1])
		}
	case doc["cases"] != nil: // The commands after it run them.
		require.NotEmpty(t, b.file)
	case doc["repos"] != nil:
		hooks := contents(t, filepath.Join(root, ".pre-commit-hooks.yaml"))
		for _, id := range regexp.MustCompile(`- id: \S+`).FindAllString(b.text, -1) {
			require.Contains(t, hooks, id+"\n")
		}
	case doc["jobs"] != nil:
		testWorkflow(t, dir, doc)
	default:
		testGitLab(t, dir, doc)
	}
}

var answerRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (allow|deny|warn|undecidable) \\|$")

// verdict returns what eval answers to arguments as the tables of the docs have them.
func verdict(t *testing.T, policy, arguments string) string {
	t.Helper()
	args := []string{"eval", "--policy", policy, "--format", "json"}
	_, stdout, stderr := run(append(args, strings.Fields(arguments)...)...)
	var d struct{ Verdict string }
	require.NoError(t, json.Unmarshal([]byte(stdout), &d), "%s\n%s", arguments, stderr)
	return d.Verdict
}

// remarshal reads a value again, strictly, as another type.
func remarshal(t *testing.T, from, to any) {
	t.Helper()
	data, err := yaml.Marshal(from)
	require.NoError(t, err)
	d := yaml.NewDecoder(strings.NewReader(string(data)))
	d.KnownFields(true)
	require.NoError(t, d.Decode(to))
}

// testWorkflow tests a workflow of GitHub Actions: it has no other fields than these, the
// daemon's configuration is the documented one, and the steps run.
func testWorkflow(t *testing.T, dir string, doc map[string]any) {
	t.Helper()
	var workflow struct {
		Name        string
		On          map[string]any
		Permissions map[string]string
		Jobs        map[string]struct {
			RunsOn string `yaml:"runs-on"`
			Steps  []struct {
				Name, Uses, Run, If string
				With                map[string]any
			}
		}
	}
	remarshal(t, doc, &workflow)
	require.NotEmpty(t, workflow.Name)
	require.NotEmpty(t, workflow.On)
	for _, job := range workflow.Jobs {
		require.NotEmpty(t, job.RunsOn)
		for _, step := range job.Steps {
			uses, runs := step.Uses != "", step.Run != ""
			require.NotEqual(t, uses, runs, "a step uses or runs something: %+v", step)
			if config, ok := step.With["buildkitd-config-inline"].(string); ok {
				requireDaemonConfig(t, config)
			}
			if step.Run != "" {
				runShown(t, dir, step.Run)
			}
		}
	}
}

// testGitLab tests a pipeline of GitLab CI likewise.
func testGitLab(t *testing.T, dir string, doc map[string]any) {
	t.Helper()
	var jobs map[string]struct {
		Image     string
		Services  []string
		Variables map[string]string
		Rules     []map[string]string
		Script    []string
		Artifacts map[string]any
	}
	remarshal(t, doc, &jobs)
	for _, job := range jobs {
		require.NotEmpty(t, job.Script)
		for _, command := range job.Script {
			runShown(t, dir, command)
			if strings.HasPrefix(command, "cat >buildkitd.toml") {
				requireDaemonConfig(t, contents(t, filepath.Join(dir, "buildkitd.toml")))
			}
		}
	}
}

// requireDaemonConfig fails if a configuration of buildkitd is not that of
// docs/buildkitd.toml, whatever the registry's name.
func requireDaemonConfig(t *testing.T, config string) {
	t.Helper()
	plain := func(text string) []string {
		var lines []string
		for line := range strings.SplitSeq(text, "\n") {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				lines = append(lines, strings.ReplaceAll(line, "localhost:5000/", "registry.example/"))
			}
		}
		return lines
	}
	require.Equal(t, plain(contents(t, filepath.Join(root, "docs/buildkitd.toml"))), plain(config))
}

var messageHeading = regexp.MustCompile("(?m)^### `(.+)`$")

// Each heading of docs/troubleshooting.md is a part of a message that the program, or
// BuildKit, really has; "…" stands for what is filled in.
func TestTheMessagesOfTroubleshooting(t *testing.T) {
	t.Parallel()
	page := contents(t, filepath.Join(root, "docs/troubleshooting.md"))
	product := sources(t, root, "cmd", "frontend", "policy", "internal")
	buildkit := moduleFolder(t, "github.com/moby/buildkit")
	daemon := sources(t, buildkit, "frontend/gateway", "solver", "sourcepolicy")

	keys := 0
	for _, section := range strings.Split(page, "\n## ")[1:] {
		code := product
		if strings.HasPrefix(section, "Messages of buildkitd\n") {
			code = daemon
		}
		for _, heading := range messageHeading.FindAllStringSubmatch(section, -1) {
			keys++
			parts := strings.Split(strings.Trim(heading[1], "…"), "…")
			for i := range parts {
				parts[i] = regexp.QuoteMeta(parts[i])
			}
			// What is filled in is a verb of fmt, or what stands between two literals.
			filledIn := `(?:%(?:\[\d\])?[a-z]|" \+ .{1,80}? \+ ")`
			message := regexp.MustCompile(strings.Join(parts, filledIn))
			if !message.MatchString(code) {
				t.Errorf("no message of the code has %q", heading[1])
			}
		}
	}
	require.Greater(t, keys, 30)

	compatibility := contents(t, filepath.Join(root, "docs/compatibility.md"))
	refusals := regexp.MustCompile("refused: `([^`]+)`").FindAllStringSubmatch(compatibility, -1)
	require.Len(t, refusals, 2)
	for _, m := range refusals {
		if !strings.Contains(product, m[1]) {
			t.Errorf("no message of the code has %q", m[1])
		}
	}
}

// sources returns the Go code in directories below dir, without tests.
func sources(t *testing.T, dir string, below ...string) string {
	t.Helper()
	var b strings.Builder
	add := func(path string, d fs.DirEntry, err error) error {
		isCode := strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go")
		if err == nil && !d.IsDir() && isCode {
			b.WriteString(contents(t, path))
		}
		return err
	}
	for _, name := range below {
		require.NoError(t, filepath.WalkDir(filepath.Join(dir, name), add))
	}
	return splitLiteral.ReplaceAllString(b.String(), "")
}

// splitLiteral is where a long message goes on in the next line.
var splitLiteral = regexp.MustCompile(`" ?\+\n\s*"`)

// moduleFolder returns where the code of a module is.
func moduleFolder(t *testing.T, module string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// Links between pages lead to a file, and to a heading in it.
func TestLinksBetweenPages(t *testing.T) {
	t.Parallel()
	pages := []string{filepath.Join(root, "README.md")}
	patterns := []string{"docs/*.md", "docs/cli/*.md", "examples/*.md", "examples/*/*.md"}
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		pages = append(pages, found...)
	}
	for _, page := range pages {
		for _, m := range link.FindAllStringSubmatch(contents(t, page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			path, anchor, _ := strings.Cut(m[1], "#")
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			_, err := os.Stat(target)
			require.NoError(t, err, "%s: %s", page, m[1])
			if anchor != "" {
				require.Contains(t, anchors(contents(t, target)), anchor, "%s: %s", page, m[1])
			}
		}
	}
}

var notInAnchor = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)

// anchors returns the names that GitHub gives the headings of a page.
func anchors(page string) []string {
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(page, -1) {
		name := notInAnchor.ReplaceAllString(strings.ToLower(m[1]), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}
