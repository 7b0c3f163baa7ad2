package policy

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

func TestInputsOfOtherBuildsAreToldFromContexts(t *testing.T) {
	t.Parallel()
	l := mustStack(t, "version: 1\nfrontends: [{name: d, match: [d], options: {inputs: deny}}]\n", "")
	kinds := func(k buildrules.Kind, names ...string) map[string]buildrules.Kind {
		m := map[string]buildrules.Kind{}
		for _, name := range names {
			m[name] = k
		}
		return m
	}
	metadata := map[string]string{"input-metadata:base": "{}"}
	for name, tt := range map[string]struct {
		inputs  []string
		sources map[string]buildrules.Kind
		options map[string]string
		refused string // the input that is refused, or ""
	}{
		"git contexts": {
			[]string{"context", "dockerfile"}, kinds(buildrules.KindGit, "context", "dockerfile"), nil, "",
		},
		"a download": {
			[]string{"context"}, kinds(buildrules.KindHTTP, "context"), nil, "",
		},
		"an image": {
			[]string{"base"}, kinds(buildrules.KindImages, "base"), nil, "base",
		},
		"files of the client": {
			[]string{"base"}, kinds(buildrules.KindLocal, "base"), nil, "base",
		},
		"more than one source":             {[]string{"base"}, kinds("", "base"), nil, "base"},
		"an input that nobody looked into": {[]string{"context"}, nil, nil, "context"},
		"a context and another": {
			[]string{"context", "0-base"}, kinds(buildrules.KindGit, "context"), nil, "0-base",
		},
		"a git repository with an image's configuration": {
			[]string{"base"}, kinds(buildrules.KindGit, "base"), metadata, "base",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := request(t, "d")
			r.Inputs, r.InputSources, r.Options = tt.inputs, tt.sources, tt.options
			d := Decide(l, r)
			if tt.refused == "" {
				require.Equal(t, Allow, d.Verdict, d.Reason)
				return
			}
			require.Equal(t, Deny, d.Verdict)
			require.Equal(t, `rule "d" refuses frontend inputs (options.inputs: deny), and the build has "`+
				tt.refused+`"`, d.Reason)
		})
	}
}
