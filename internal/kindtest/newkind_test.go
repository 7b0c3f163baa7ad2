package kindtest_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// insertion is text that is put behind another one in a file.
type insertion struct{ file, behind, text string }

// A new kind, plugins: one field of the rules, one of operations, one row of the table and one
// case for tests. Nothing else knows it.
var insertions = []insertion{
	{
		"policy/buildrules/rules.go", "type Rules struct {\n",
		"\tPlugins *PatternRules `yaml:\"plugins,omitempty\" json:\"plugins,omitempty\"`\n",
	},
	{
		"policy/buildrules/operation.go", "type Operation struct {\n",
		"\tPlugin string `yaml:\"plugin,omitempty\"`\n",
	},
	{"policy/buildrules/kinds.go", "var kinds = []row{\n", `	{
		kind:      "plugins",
		matches:   func(o Operation) bool { return o.Plugin != "" },
		normalize: func(o Operation) (Normalized, error) {
			return normalizeReference("a", "plugin", o.Plugin)
		},
		describe:  func(o Operation) string { return "the plugin " + shown(o.Plugin) },
		field:     rulesOf(func(r *Rules) **PatternRules { return &r.Plugins }),
		validate:  func(v *validator, at *yaml.Node, r *Rules) { v.repositories(at, r.Plugins) },
		check:     func(r *Rules, n Normalized) []Violation { return r.Plugins.check(n) },
		allowed:   func(r *Rules) iter.Seq[string] { return slices.Values(r.Plugins.Allow) },
		patterns:  func(r *Rules) (allow, deny []string) { return r.Plugins.Patterns() },
	},
`},
	{
		"internal/kindtest/kindtest.go", "var cases = []Case{\n",
		"\t{\"plugins\", buildrules.Operation{Plugin: \"docker.io/library/a:1\"}, repositories, true},\n",
	},
}

// consumers are the packages with code that depends on the kinds of operations.
var consumers = []string{
	"policy", "policy/buildrules", "frontend",
	"internal/diff", "internal/export", "internal/lint", "internal/opcheck", "internal/policytest",
}

// Every consumer meets a kind that its code doesn't name. The consumers' own tests of every kind
// run with source files that have one kind more; see "go help build", -overlay.
func TestANewKindMeetsEveryConsumer(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles all packages once more")
	}
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for _, in := range insertions {
		path := filepath.Join(root, in.file)
		source, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(string(source), in.behind), "%s in %s", in.behind, in.file)
		replaced := filepath.Join(dir, strings.ReplaceAll(in.file, "/", "_"))
		text := strings.Replace(string(source), in.behind, in.behind+in.text, 1)
		require.NoError(t, os.WriteFile(replaced, []byte(text), 0o600))
		overlay.Replace[path] = replaced
	}
	data, err := json.Marshal(overlay)
	require.NoError(t, err)
	file := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(file, data, 0o600))

	for _, consumer := range consumers {
		t.Run(consumer, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "go", "test", "-overlay", file, "-v", "-run",
				"^(TestEveryKind|TestTheTable|TestEachRow)", "./"+consumer)
			cmd.Dir = root
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, string(out))
			require.Contains(t, string(out), "/plugins ", "no test of this package meets the new kind")
		})
	}
}
