package buildrules

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// parse decodes and validates rules. It returns the mistakes, each with its line.
func parse(t *testing.T, doc string) (*Rules, []string) {
	t.Helper()
	var n yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(doc), &n))
	var r Rules
	require.NoError(t, n.Decode(&r))
	var found []string
	r.Validate(n.Content[0], func(at *yaml.Node, format string, args ...any) {
		found = append(found, fmt.Sprintf("%d: ", at.Line)+fmt.Sprintf(format, args...))
	})
	return &r, found
}

func TestValidateBringsEntriesIntoCanonicalForm(t *testing.T) {
	t.Parallel()
	r, problems := parse(t,
		`config: {user: {forbid: ["", root, "0"]}, ports: {forbid: ["22"]}, volumes: {require: ["data/"]}}
exec: {hosts: [A.example.], cgroupParents: [x], ulimits: {NOFILE: 5}}
`)
	require.Empty(t, problems)
	root := entry{glob: "root"}
	require.Equal(t, []entry{root, root, root}, r.Config.User.forbid)
	require.Equal(t, []entry{{glob: "*", from: 22, to: 22}}, r.Config.Ports.forbid)
	require.Equal(t, []entry{{glob: "/data"}}, r.Config.Volumes.require)
	require.Equal(t, []string{"a.example"}, r.Exec.hosts)
	require.Equal(t, []string{"/x"}, r.Exec.cgroupParents)
	require.Equal(t, map[string]int{"nofile": 5}, r.Exec.ulimits)
}
