package buildrules

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheTableHasARowForEachFieldOfRules(t *testing.T) {
	t.Parallel()
	var fields []Kind
	for f := range reflect.TypeFor[Rules]().Fields() {
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		fields = append(fields, Kind(key))
		if Kind(key) == KindExec {
			fields = append(fields, KindDownloads) // a field of ExecRules
		}
	}
	require.Equal(t, fields, append(Kinds(), "others"))
	require.Equal(t, reflect.TypeFor[Operation]().NumField(), len(kinds)+1,
		"one field for each kind, and Unknown")
}

func TestEachRowIsComplete(t *testing.T) {
	t.Parallel()
	for _, row := range kinds {
		require.NotNil(t, row.matches, row.kind)
		require.NotNil(t, row.normalize, row.kind)
		require.NotNil(t, row.describe, row.kind)
		require.NotNil(t, row.field.isSet, row.kind)
		require.NotNil(t, row.field.denied, row.kind)
		require.NotNil(t, row.field.only, row.kind)
		require.NotNil(t, row.field.under, row.kind)
		require.NotNil(t, row.validate, row.kind)
		require.NotEqual(t, row.check == nil, row.rewrite == nil, "%s has either check or rewrite",
			row.kind)
	}
}

func TestAnUnknownKindFailsClosed(t *testing.T) {
	t.Parallel()
	const unknown Kind = "other"
	var r Rules
	require.True(t, unknown.IsSource())
	require.True(t, unknown.InResult())
	require.False(t, unknown.IsUnseen())
	require.True(t, r.Restricts(unknown))
	require.False(t, r.Has(unknown))
	require.Empty(t, r.Allowed(unknown, 5))
	require.Equal(t, Rules{}, r.Only(unknown))
	_, err := Operation{Image: "a"}.Normalize(unknown)
	require.Error(t, err)
	_, err = Operation{Image: "a"}.Normalize(KindGit)
	require.Error(t, err, "an operation of another kind")
}
