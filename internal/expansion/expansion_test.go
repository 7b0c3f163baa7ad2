package expansion

import (
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/stretchr/testify/require"
)

func TestStages(t *testing.T) {
	t.Parallel()

	t.Run("a comment can say what to lint", func(t *testing.T) {
		t.Parallel()
		stages, args, err := Stages([]byte(
			"\n# check=skip=all\nARG A\nFROM scratch\n# check=skip=UndefinedVar\nENV B=$C\n"))
		require.NoError(t, err)
		require.Len(t, args, 1)
		require.Len(t, stages, 1)
		require.Len(t, stages[0].Commands, 1)
	})

	for name, data := range map[string]string{
		"nothing":                "",
		"an unknown instruction": "FORM scratch\n",
	} {
		t.Run(name+" is no Dockerfile", func(t *testing.T) {
			t.Parallel()
			_, _, err := Stages([]byte(data))
			require.Error(t, err)
		})
	}
}

// FuzzExpandedSize holds that no text expands to more than what is computed beforehand.
func FuzzExpandedSize(f *testing.F) {
	f.Add("$A$A${B}", "xx", "yyy")
	f.Add("${A//x/$B}", "xxxxx", "yyyyyyyyyy")
	f.Add("${A/x/${B//y/$A}}", "xxx", "yyy")
	f.Add("${C:-$A${B:+$A}}", "xxx", "yyy")
	f.Fuzz(func(t *testing.T, text, a, b string) {
		if len(text) > 200 || len(a) > 50 || len(b) > 50 {
			return
		}
		env := shell.EnvsFromSlice([]string{"A=" + a, "B=" + b})
		got, _, err := shell.NewLex('\\').ProcessWord(text, env)
		if err != nil {
			return
		}
		bound := expandedSize(text, map[string]int{"A": sizeOf(a), "B": sizeOf(b)}, 16<<20)
		require.LessOrEqual(t, len(got), bound, "%q", got)
	})
}
