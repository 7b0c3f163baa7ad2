package opcheck

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

func TestAnswersAboutResultsAndCaches(t *testing.T) {
	t.Parallel()
	p, err := policy.Parse("p", []byte(`version: 1
exports: {client: [oci], push: {allow: [x/y]}, store: {allow: [x/z]}}
caches: {imports: {registry: {allow: [x/y]}}, exports: {local: allow}}
sbom: {generators: {allow: [x/y]}}
`))
	require.NoError(t, err)
	l, err := policy.Stack(p, nil)
	require.NoError(t, err)
	require.Equal(t, policy.Deny, WishDebug().Check(l, policy.Decision{}).Verdict)
	cache := func(export bool) func(string) (Wish, error) {
		return func(s string) (Wish, error) {
			use, err := ParseCache(s)
			use.Export = export
			return WishCache(use), err
		}
	}
	from, to := cache(false), cache(true)
	export := func(s string) (Wish, error) {
		e, err := ParseExport(s)
		return WishExport(e), err
	}
	sbom := func(s string) (Wish, error) {
		image, err := imageref.Parse(s)
		if err != nil {
			return Wish{}, err
		}
		return WishSBOM(image), nil
	}
	for name, tt := range map[string]struct {
		wish  func(string) (Wish, error)
		text  string
		want  policy.Verdict // "" if it isn't understood
		asked string
	}{
		"a push":                       {export, "push=x/y:1", policy.Allow, "a push to docker.io/x/y:1"},
		"another push":                 {export, "push=x/z", policy.Deny, "docker.io/x/z:latest"},
		"an image in the store":        {export, "store=x/z", policy.Allow, "docker.io/x/z:latest in"},
		"an exporter to the client":    {export, "oci", policy.Allow, "of the type oci"},
		"another exporter":             {export, "tar", policy.Deny, "type tar"},
		"a push without a name":        {export, "push", "", ""},
		"a name for the client":        {export, "oci=x", "", ""},
		"an unknown exporter":          {export, "image", "", ""},
		"an invalid name":              {export, "push=X Y", "", ""},
		"an import":                    {from, "registry=x/y", policy.Allow, "import of the build cache"},
		"an import from a directory":   {from, "local", policy.Deny, "of the type local"},
		"an import by another service": {from, "s3", policy.Deny, "of the type s3"},
		"an export to a registry":      {to, "registry=x/y", policy.Deny, "export of the build cache"},
		"an export to a directory":     {to, "local", policy.Allow, "type local"},
		"an inline export":             {to, "inline", policy.Allow, "type inline"},
		"a registry without a name":    {to, "registry", "", ""},
		"a cache whose name is none":   {to, "registry=", "", ""},
		"an SBOM":                      {sbom, "x/y:1", policy.Allow, "an SBOM by docker.io/x/y:1"},
		"another SBOM":                 {sbom, "x/z", policy.Deny, "docker.io/x/z:latest"},
		"an SBOM by no image":          {sbom, "X Y", "", ""},
	} {
		wish, err := tt.wish(tt.text)
		if tt.want == "" {
			require.Error(t, err, name)
			continue
		}
		require.NoError(t, err, name)
		a := wish.Check(l, policy.Decision{})
		require.Equal(t, tt.want, a.Verdict, name)
		require.Contains(t, a.Asked, tt.asked, name)
		require.Contains(t, a.Messages, seen, name)
		require.Equal(t, tt.want == policy.Deny, a.Reason != "" && a.Rule != "", name)
	}
}

func TestAnswersWhoAdministrates(t *testing.T) {
	t.Parallel()
	p, err := policy.Parse("p", []byte("version: 1\nadministration: {clients: [\"uid:0\"]}\n"))
	require.NoError(t, err)
	l, err := policy.Stack(p, nil)
	require.NoError(t, err)
	for text, asked := range map[string]string{
		"disk-usage": "seeing the disk usage of the builder", "pruning": "pruning the builder",
	} {
		what, err := ParseAdministering(text)
		require.NoError(t, err)
		require.Contains(t, Administering(), text)
		wish := WishAdministration(what)
		require.Equal(t, asked, wish.Asked())
		a := wish.Check(l.For(clients.Peer(0)), policy.Decision{})
		require.Equal(t, policy.Allow, a.Verdict)
		require.Equal(t, []string{seen}, a.Messages)
		for _, other := range []policy.Layers{l, l.For(clients.Peer(1))} {
			a = wish.Check(other, policy.Decision{})
			require.Equal(t, policy.Deny, a.Verdict)
			require.Equal(t, policy.AdministrationRule, a.Rule)
			require.Contains(t, a.Reason, "refuses "+string(what)+" for ")
		}
	}
	_, err = ParseAdministering("disk usage")
	require.EqualError(t, err, `"disk usage" isn't disk-usage or pruning`)
}

func TestAWishIsDescribed(t *testing.T) {
	t.Parallel()
	ref := func(s string) imageref.Reference {
		r, err := imageref.Parse(s)
		require.NoError(t, err)
		return r
	}
	for want, e := range map[string]policy.Export{
		"a push to x.example/a:1 and x.example/b:latest": {
			Type: policy.ExportImage, Push: true,
			Names: []imageref.Reference{ref("x.example/a:1"), ref("x.example/b")},
		},
		"a result for the client of the type oci with the annotations a and b": {
			Type: "oci", Annotations: []string{"a", "b"},
		},
		`a result for the client of the type "\x1b"`: {Type: "\x1b"},
	} {
		require.Equal(t, want, WishExport(e).Asked())
	}
}

// Rules on configurations can't check what no frontend made.
func TestAResultOfLLBIsExportedWithoutRulesOnConfigurations(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fields string
		want   policy.Verdict
	}{
		"no rules":                {"llb: allow", policy.Allow},
		"rules on configurations": {"llb: allow\nbuild: {config: {user: {forbid: [root]}}}", policy.Deny},
		"an export that is refused anyway": {
			"llb: allow\nexports: {client: []}", policy.Deny,
		},
	} {
		p, err := policy.Parse("p", []byte("version: 1\ncontact: c\n"+tt.fields+"\n"))
		require.NoError(t, err)
		l, err := policy.Stack(p, nil)
		require.NoError(t, err)
		d := l.LLB(time.Unix(0, 0))
		a := WishExport(policy.Export{Type: "oci"}).Check(l, d)
		require.Equal(t, tt.want, a.Verdict, name)
		if strings.Contains(tt.fields, "config") {
			require.Contains(t, a.Reason, "(build.config)")
			require.Equal(t, "c", a.Contact)
		}
		use := policy.CacheUse{Type: policy.CacheInline, Export: true}
		require.Equal(t, policy.Allow, WishCache(use).Check(l, d).Verdict, "it is no export of a result")
	}
}
