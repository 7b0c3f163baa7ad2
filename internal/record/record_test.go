package record

import (
	"errors"
	"flag"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/kindtest"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

var update = flag.Bool("update", false, "write testdata again")

// complete is an entry in which each field is set.
func complete() *Entry {
	began := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	export := Export{
		Type: "image", Push: true, Names: []string{"registry.example/app:1"},
		Annotations: []string{"org.opencontainers.image.title"},
	}
	return &Entry{
		Version: Version, Event: Ended, ID: strings.Repeat("0a", 16), Time: began.Add(time.Second),
		Began: began, Build: "b1", Client: Client{
			Identity: "uid:1000", Names: []string{"uid:1000", "gid:1000"}, Claimed: []string{"cn:alice"},
			Unclear: []string{"dns"},
		},
		Policy: Document{"corp-ci", digest("1")},
		Asked: Asked{
			Frontend: "gateway.v0", LLB: true, Platform: "linux/amd64", Target: "release",
			Options: []string{"build-arg:VERSION", "source"}, Inputs: []Input{{"base", "git"}},
			Exports: []Export{export}, Caches: []Cache{{"registry", true, "registry.example/cache:latest"}},
			Entitlements: []string{"network.host"}, SBOM: "docker.io/docker/buildkit-syft-scanner:1",
			Hidden: true,
		},
		Outcome: Done, Seconds: 0.25, Code: "Unknown",
		Decision: &Decision{
			Verdict: "warn", LLB: true, Requested: "docker/dockerfile:1",
			Image: "docker.io/docker/dockerfile:1@" + digest("2"), Digest: digest("2"),
			Dispatch: "forward", Rule: "dockerfile", Layer: "policy",
			Reason: "rule \"dockerfile\" allows it", Overlay: &Document{"team", digest("3")},
		},
		Sources: []Source{{
			Kind: KindImage, Name: "docker.io/library/busybox:latest", Ref: "main", Checksum: digest("4"),
			Read: "mirror.example/busybox:latest", Digest: digest("5"), Secrets: []string{"token"},
			SSH: []string{"deploy"}, For: ForFrontend, Verdict: "allow",
		}},
		Refusals: []Refusal{{"a source", "default", "no <rule> allows it & more"}},
		Warnings: []string{"the rule expires soon"},
		Exported: []Exported{{export, digest("6")}},
		Omitted:  map[string]int{"sources": 3},
	}
}

func digest(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }

// The form is what others rely on.
func TestTheFormOfALine(t *testing.T) {
	t.Parallel()
	line, err := complete().Line()
	require.NoError(t, err)
	const file = "testdata/complete.jsonl"
	if *update {
		require.NoError(t, os.WriteFile(file, line, 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), string(line))
	e, err := Parse(line)
	require.NoError(t, err)
	require.Equal(t, complete(), e)
}

func TestWhatIsNoEntry(t *testing.T) {
	t.Parallel()
	line, err := complete().Line()
	require.NoError(t, err)
	valid := strings.TrimSpace(string(line))
	changed := func(from, to string) string {
		require.Contains(t, valid, from)
		return strings.Replace(valid, from, to, 1)
	}
	for name, tt := range map[string]struct{ line, why string }{
		"an empty object":        {"{}", "it has the version 0, and this program knows only 1"},
		"another version":        {changed(`"version":1`, `"version":2,"new":1`), "it has the version 2"},
		"an unknown field":       {changed(`"version":1`, `"version":1,"user":"x"`), `unknown field "user"`},
		"an unknown inner field": {changed(`"identity":`, `"name":"x","identity":`), `unknown field "name"`},
		"an unknown event":       {changed(`"ended"`, `"paused"`), `the unknown event "paused"`},
		"an unknown outcome":     {changed(`"done"`, `"fine"`), `the unknown outcome "fine"`},
		"a beginning with an end": {
			changed(`"ended"`, `"begun"`), "it has begun, and has an outcome",
		},
		"an end without an outcome": {changed(`"outcome":"done",`, ""), "the unknown outcome"},
		"no id":                     {changed(strings.Repeat("0a", 16), "b1"), "no id of 32"},
		"no time":                   {changed(`"time":"2027-03-01T12:00:01Z",`, ""), "it has no time"},
		"no client":                 {changed(`"uid:1000"`, `""`), "it has no client"},
		"no policy":                 {changed(digest("1"), ""), "no digest of the policy"},
		"an unknown verdict":        {changed(`"verdict":"warn"`, `"verdict":"yes"`), `verdict "yes"`},
		"an unknown verdict on a source": {
			changed(`"verdict":"allow"`, `"verdict":"yes"`), `verdict "yes"`,
		},
		"two entries":   {valid + valid, "something follows the entry"},
		"a text":        {"begun", "it isn't an entry"},
		"a broken line": {valid[:len(valid)/2], "it breaks off in the middle"},
		"zeros":         {"\x00\x00\x00", "it isn't an entry"},
	} {
		_, err := Parse([]byte(tt.line))
		require.ErrorContains(t, err, tt.why, name)
	}
}

// Each place at which a line can break off is seen as one.
func TestALineThatBreaksOff(t *testing.T) {
	t.Parallel()
	line, err := complete().Line()
	require.NoError(t, err)
	for n := 1; n < len(line)-1; n++ {
		_, err := Parse(line[:n])
		require.ErrorIs(t, err, ErrTorn, string(line[:n]))
	}
}

func TestAReaderGoesOnAfterALineThatIsNoEntry(t *testing.T) {
	t.Parallel()
	line, err := complete().Line()
	require.NoError(t, err)
	text := string(line) + "\n" + "x\n" + string(line[:50]) + "\n" + strings.Repeat("a", MaxLine+1) +
		"\n" + string(line) + string(line[:50])
	r := NewReader(strings.NewReader(text))
	var lines []int
	var torn, entries int
	for {
		_, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		var of *LineError
		switch {
		case err == nil:
			entries++
		case errors.As(err, &of):
			lines = append(lines, of.Line)
			if errors.Is(err, ErrTorn) {
				torn++
			}
		default:
			require.NoError(t, err)
		}
	}
	require.Equal(t, 2, entries)
	require.Equal(t, []int{3, 4, 5, 7}, lines)
	require.Equal(t, 2, torn)

	broken := errors.New("broken disk")
	_, err = NewReader(io.MultiReader(strings.NewReader("{"), failing{broken})).Next()
	require.ErrorIs(t, err, broken)
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

func TestALineIsBounded(t *testing.T) {
	t.Parallel()
	e := complete()
	e.Build = strings.Repeat("x", MaxLine)
	_, err := e.Line()
	require.ErrorContains(t, err, "more than 4194304")
	e.Build, e.ID = "b", "x"
	_, err = e.Line()
	require.ErrorContains(t, err, "no id")
}

func TestOneEntryOfABuildCounts(t *testing.T) {
	t.Parallel()
	of := func(id string, e Event) *Entry {
		return &Entry{ID: id, Event: e, Began: time.Unix(int64(id[0]), 0)}
	}
	var b Builds
	require.Empty(t, b.Open())
	require.Nil(t, b.Add(of("a", Begun)))
	require.Nil(t, b.Add(of("c", Begun)))
	require.Nil(t, b.Add(of("b", Begun)))
	require.Nil(t, b.Add(of("b", Begun)), "in a file after a rotation")
	end := of("a", Ended)
	require.Same(t, end, b.Add(end))
	require.Nil(t, b.Add(of("a", Ended)), "a file that is read twice")
	require.Nil(t, b.Add(of("a", Begun)), "files in another order")
	alone := of("d", Ended)
	require.Same(t, alone, b.Add(alone))
	open := b.Open()
	require.Len(t, open, 2)
	require.Equal(t, "b", open[0].ID)
	require.Equal(t, "c", open[1].ID)
}

// A source says what rules check, whatever its kind.
func TestEveryKindOfSourceIsCheckedAsItWas(t *testing.T) {
	t.Parallel()
	kindtest.Run(t, func(t *testing.T, c kindtest.Case) {
		t.Helper()
		s := SourceOf(c.Operation)
		if !c.Kind.IsSource() {
			require.Equal(t, KindOther, s.Kind)
			return
		}
		require.NotEqual(t, KindOther, s.Kind)
		require.Equal(t, []buildrules.Operation{c.Operation}, s.Operations())
	})
	s := SourceOf(buildrules.Operation{
		Git: &buildrules.Git{URL: "https://x.example/a", Ref: "main", Checksum: "0123"},
	})
	s.Secrets, s.SSH = []string{"token"}, []string{"deploy"}
	require.Equal(t, []buildrules.Operation{
		{Git: &buildrules.Git{URL: "https://x.example/a", Ref: "main", Checksum: "0123"}},
		{Exec: &buildrules.Exec{Secrets: []string{"token"}, SSH: []string{"deploy"}}},
	}, s.Operations())
	require.Equal(t, []buildrules.Operation{{Unknown: "a thing"}},
		SourceOf(buildrules.Operation{Unknown: "a thing"}).Operations())
}

func FuzzParse(f *testing.F) {
	line, err := complete().Line()
	require.NoError(f, err)
	f.Add(line)
	f.Add([]byte("{}"))
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Parse(data)
		if err != nil {
			return
		}
		// What is read can be written, and is read as the same.
		again, err := e.Line()
		require.NoError(t, err)
		same, err := Parse(again)
		require.NoError(t, err)
		third, err := same.Line()
		require.NoError(t, err)
		require.Equal(t, string(again), string(third))
	})
}
