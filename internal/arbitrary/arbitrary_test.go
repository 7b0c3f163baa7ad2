package arbitrary_test

import (
	"math/rand/v2"
	"reflect"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/arbitrary"
	"github.com/policy-frontend/policy-frontend/policy"
)

// Nobody can change a policy by its document, and a document says all of the policy.
func TestADocumentIsADeepCopy(t *testing.T) {
	t.Parallel()
	for seed := range arbitrary.Seeds(300) {
		text, p := arbitrary.Policy(rand.New(rand.NewPCG(seed, 21)).IntN)
		d := p.Document()
		again, err := yaml.Marshal(d)
		require.NoError(t, err)
		q, err := policy.Parse("p", again)
		require.NoError(t, err, "seed %d\n%s", seed, again)
		require.Equal(t, written(t, p.Document()), written(t, q.Document()), "seed %d\n%s", seed, text)
		overwrite(reflect.ValueOf(&d).Elem())
		require.Equal(t, string(again), written(t, p.Document()), "seed %d\n%s", seed, text)
	}
}

func written(t *testing.T, d policy.Document) string {
	t.Helper()
	text, err := yaml.Marshal(d)
	require.NoError(t, err)
	return string(text)
}

// overwrite changes each text, number and mapping that exported fields lead to.
func overwrite(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				overwrite(v.Field(i))
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			overwrite(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			overwrite(v.Index(i))
		}
	case reflect.Map:
		if !v.IsNil() {
			v.Clear()
		}
	case reflect.String:
		v.SetString("overwritten")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int:
		v.SetInt(v.Int() + 1)
	}
}

// attest finds the field in a policy.
var attest = regexp.MustCompile(`(?m)^attest:.*\n( +- .*\n)*`)

// What both layers allow, the embedded policy allows alone. So does the overlay, unless it says
// nothing about it.
func TestAnOverlayOnlyTightensWhatPolicyGuardApplies(t *testing.T) {
	t.Parallel()
	tightened := 0
	for seed := range arbitrary.Seeds(300) {
		choose := arbitrary.Source(rand.New(rand.NewPCG(seed, 23)).IntN)
		textE, e := arbitrary.Policy(choose)
		textO, _ := arbitrary.Policy(choose)
		if choose(2) == 0 {
			textE += choose.GuardedText()
			parsed, err := policy.Parse("p", []byte(textE))
			if err == nil { // It can have the fields already.
				e = parsed
			}
		}
		textO = attest.ReplaceAllString(textO, "") // which no overlay has
		o, err := policy.ParseOverlay("o", []byte(textO))
		require.NoError(t, err, textO)
		both, err := policy.Stack(e, o)
		if o.DownloadRules() != "" && e.DownloadRules() == "" {
			require.Error(t, err)
			continue
		}
		require.NoError(t, err)
		alone, err := policy.Stack(e, nil)
		require.NoError(t, err)
		for range 50 {
			x, u, by := arbitrary.Export(choose), arbitrary.Cache(choose), arbitrary.Client(choose)
			alone, both := alone.For(by), both.For(by)
			for _, v := range [][2]policy.Verdict{
				{alone.DecideExport(x).Verdict, both.DecideExport(x).Verdict},
				{alone.DecideCache(u).Verdict, both.DecideCache(u).Verdict},
				{alone.DecideDebug().Verdict, both.DecideDebug().Verdict},
			} {
				require.False(t, v[0] == policy.Deny && v[1] != policy.Deny,
					"seed %d\n%s\n---\n%s\n%s\n%+v\n%+v", seed, textE, textO, by, x, u)
				if v[0] != v[1] {
					tightened++
				}
			}
		}
		at := arbitrary.Day(1 + choose(4))
		was, is := alone.LLB(at), both.LLB(at)
		require.False(t, !was.Verdict.Permits() && is.Verdict.Permits(), "seed %d", seed)
		require.Equal(t, is, both.ExplainLLB(at).Decision)
		if !is.Verdict.Permits() {
			continue
		}
		require.False(t, !was.Exportable() && is.Exportable(), "seed %d", seed)
		for range 50 {
			op := arbitrary.Operation(choose)
			// An overlay's conversions rename images before the policy judges them.
			if op.Image != "" && is.Check(op).Image.Name() != "" {
				continue
			}
			require.False(t, was.Check(op).Verdict == policy.Deny && is.Check(op).Verdict != policy.Deny,
				"seed %d\n%s\n---\n%s\n%s", seed, textE, textO, op.Describe())
		}
	}
	require.Positive(t, tightened, "else the property says nothing")
}
