package buildrules

import (
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUsersThatTwoListsRequire(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, above, own, want string
		yes, not               []string
	}{
		{
			"a glob and a range", "1*", "1000-2000", "1* in 1000-2000",
			[]string{"1000", "1600"},
			[]string{"2000", "100", "app"},
		},
		{"a glob at the end", "*5", "8-30", "*5 in 8-30", []string{"15", "25"}, []string{"5", "20"}},
		{
			"a glob for all numbers of a range", "1*", "1000-1999", "1* in 1000-1999",
			[]string{"1500"},
			nil,
		},
		{"one user and a range", "1600", "1000-2000", "1600", []string{"1600"}, []string{"1601"}},
		{"two ranges", "1000-2000", "1500-3000", "1500-2000", []string{"1500"}, []string{"2001"}},
		{"a glob of letters and a range", "app*", "1000-2000", "", nil, nil},
		{"a glob of other numbers", "3*", "1000-2000", "", nil, nil},
		{"a user outside a range", "5", "1000-2000", "", nil, nil},
		{"ranges without a common user", "1-5", "6-9", "", nil, nil},
		{"globs without a common user", "a*", "b*", "", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, lists := range [][2]string{{tt.above, tt.own}, {tt.own, tt.above}} {
				above, problems := parse(t, "config: {user: {require: ['"+lists[0]+"']}}")
				require.Empty(t, problems)
				own, problems := parse(t, "config: {user: {require: ['"+lists[1]+"']}}")
				require.Empty(t, problems)
				require.Equal(t, tt.want == "", own.Conflict(above) != "")
				both := own.Under(above)
				if tt.want != "" {
					require.Equal(t, []string{tt.want}, both.Config.User.Require)
				}
				for _, user := range tt.yes {
					require.GreaterOrEqual(t, matchesAny(both.Config.User.require, user), 0, user)
				}
				for _, user := range append(tt.not, "root") {
					require.Equal(t, -1, matchesAny(both.Config.User.require, user), user)
				}
			}
		})
	}
}

func TestUsersInThreeEntriesAreInTheirOverlap(t *testing.T) {
	t.Parallel()
	entries := []entry{
		{glob: "1*"},
		{glob: "*5"},
		{glob: "*1*"},
		{glob: "15"},
		{glob: "a*"},
		{from: 1, to: 9},
		{from: 10, to: 99},
		{from: 7, to: 1200},
		{from: 100, to: 1999},
	}
	for _, a := range entries {
		for _, b := range entries {
			for _, c := range entries {
				both := meetUsers(meetUsers([]entry{a}, []entry{b}), []entry{c})
				for n := 1; n < 2100; n += 7 {
					s := strconv.Itoa(n)
					in := slices.ContainsFunc(both, func(e entry) bool { return e.matches(s) })
					require.Equal(t, a.matches(s) && b.matches(s) && c.matches(s), in,
						"%s: %s, %s, %s", s, a, b, c)
				}
			}
		}
	}
}

func TestAUserIsWrittenInDecimalDigits(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"0o0", "0x0", "0b1", "1_000", "0O17"} {
		for _, list := range []string{"forbid", "require"} {
			_, problems := parse(t, "config: {user: {"+list+": ['"+s+"']}}")
			require.Equal(t, []string{"1: " + list + `: "` + s + `" is a number that no image has as its ` +
				"user; write it with decimal digits alone, such as 0"}, problems)
		}
	}
	_, problems := parse(t, "config: {user: {forbid: ['00', '0', app0, 010]}}")
	require.Empty(t, problems)
}

func TestAHostNameHasNoEmptyLabel(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"db": true, "db.": true, "db.corp.example.": true, "::1": true,
		"db..": false, "db.corp.example..": false, ".db": false, "a..b": false, ".": false,
	} {
		_, err := Operation{Exec: &Exec{Hosts: []string{name}}}.Normalize(KindExec)
		require.Equal(t, ok, err == nil, name)
		_, problems := parse(t, "exec: {hosts: ['"+name+"'], deny: {hosts: ['"+name+"']}}")
		require.Equal(t, ok, len(problems) == 0, name)
	}
	_, problems := parse(t, "exec: {hosts: ['*', '*.corp.example']}")
	require.Empty(t, problems)
}
