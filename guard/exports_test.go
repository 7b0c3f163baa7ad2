package guard

import (
	"testing"

	controlapi "github.com/moby/buildkit/api/services/control"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/policy-frontend/policy-frontend/policy"
)

// layersOf makes layers of the fields of a policy.
func layersOf(t *testing.T, fields string) policy.Layers {
	t.Helper()
	p, err := policy.Parse("p", []byte("version: 1\n"+fields+"\n"))
	require.NoError(t, err)
	l, err := policy.Stack(p, nil)
	require.NoError(t, err)
	return l
}

func pairsOf(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

const exportsCorp = `exports: {push: {allow: ["corp.example/**", x/y], deny: ["**/base"]}, ` +
	`store: {allow: [corp.example/kept]}, annotations: [org.*]}`

func TestTheAttributesOfAnImageExporter(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		attrs map[string]string
		want  map[string]string // nil if it is refused
		why   string
	}{
		"an allowed name is pushed and not stored": {
			pairsOf("name", "corp.example/a:1", "push", "true"),
			pairsOf("name", "corp.example/a:1", "push", "true", "store", "false"), "",
		},
		"a name that may be stored stays": {
			pairsOf("name", "corp.example/kept:1", "push", "true"),
			pairsOf("name", "corp.example/kept:1", "push", "true"), "",
		},
		"the client can't have it stored": {
			pairsOf("name", "corp.example/a:1", "push", "true", "store", "true"),
			pairsOf("name", "corp.example/a:1", "push", "true", "store", "false"), "",
		},
		"an empty value is true": {
			pairsOf("name", "x.example/a", "push", ""), nil, "pushing to x.example/a:latest",
		},
		"no push is a name in the store": {
			pairsOf("name", "corp.example/a", "push", "false"), nil, "(exports.store.allow)",
		},
		"a name in the store": {
			pairsOf("name", "corp.example/kept", "unpack", "true"),
			pairsOf("name", "corp.example/kept:latest", "unpack", "true"), "",
		},
		"each name is written as it was judged": {
			pairsOf("name", "CORP.example:443/a,index.docker.io/x/y:2,x/y", "push", "1"),
			pairsOf("name", "corp.example/a:latest,docker.io/x/y:2,docker.io/x/y:latest", "push", "1",
				"store", "false"), "",
		},
		"one of several names": {
			pairsOf("name", "corp.example/a,corp.example/base:2", "push", "true"), nil,
			"corp.example/base:2 (exports.push.deny",
		},
		"an empty name among others": {
			pairsOf("name", "corp.example/a,", "push", "true"), nil, "the reference is empty",
		},
		"a space before a name": {
			pairsOf("name", "corp.example/a, corp.example/b", "push", "true"), nil, "with a space",
		},
		"a name that the frontend chooses": {
			pairsOf("name", "*", "push", "true"), nil, "can't be judged",
		},
		"a digest that the image doesn't have": {
			pairsOf("name", "corp.example/kept@"+fakeDigest), nil, "has a digest",
		},
		"a push by digest has no tag": {
			pairsOf("name", "corp.example/a", "push", "true", "push-by-digest", "true"),
			pairsOf("name", "corp.example/a", "push", "true", "push-by-digest", "true", "store", "false"),
			"",
		},
		"a tag in a push by digest": {
			pairsOf("name", "corp.example/a:latest", "push", "true", "push-by-digest", "true"), nil,
			"has a tag",
		},
		"a prefix for the digest is a name": {
			pairsOf("name", "corp.example/a", "push", "true", "dangling-name-prefix", "x.example/b"), nil,
			"pushing to x.example/b",
		},
		"an allowed prefix": {
			pairsOf("push", "true", "dangling-name-prefix", "x/y", "danging-name-empty-only", ""),
			pairsOf("push", "true", "dangling-name-prefix", "docker.io/x/y", "danging-name-empty-only", "",
				"store", "false"), "",
		},
		"a prefix with a tag": {
			pairsOf("push", "true", "dangling-name-prefix", "x/y:1"), nil, "has a tag",
		},
		"an insecure registry": {
			pairsOf("name", "corp.example/a", "push", "true", "registry.insecure", "true"), nil,
			"registry.insecure, which is for the daemon's configuration",
		},
		"an insecure registry by an empty value": {
			pairsOf("name", "corp.example/a", "push", "true", "registry.insecure", ""), nil,
			"registry.insecure",
		},
		"a secure registry": {
			pairsOf("name", "corp.example/kept", "registry.insecure", "false", "name-canonical", "true"),
			pairsOf("name", "corp.example/kept:latest", "registry.insecure", "false", "name-canonical",
				"true"), "",
		},
		"a push that is neither true nor false": {
			pairsOf("name", "corp.example/kept", "push", "yes"), nil, "neither true nor false",
		},
		"a push without a name": {pairsOf("push", "true"), nil, "an image without a name"},
		"an incomplete image": {
			pairsOf("name", "corp.example/kept", "unsafe-internal-store-allow-incomplete", "true"), nil,
			"the attribute unsafe-internal-store-allow-incomplete",
		},
		"a name by the frontend's metadata": {
			pairsOf("name", "corp.example/kept", "image.name", "x"), nil, "the attribute image.name",
		},
		"an attribute of exporters to the client": {
			pairsOf("name", "corp.example/kept", "tar", "false"), nil, "the attribute tar",
		},
		"an allowed annotation": {
			pairsOf("name", "corp.example/kept:1", "annotation-index.org.a", "b"),
			pairsOf("name", "corp.example/kept:1", "annotation-index.org.a", "b"), "",
		},
		"an annotation for a platform": {
			pairsOf("name", "corp.example/kept", "annotation-manifest[linux/amd64].com.a", "b"), nil,
			"the annotation com.a",
		},
		"an annotation for what doesn't exist": {
			pairsOf("name", "corp.example/kept", "annotation-manifest[a b].org.a", "b"), nil,
			"the attribute annotation-manifest[a b].org.a",
		},
		"an image without a name or a push": {nil, map[string]string{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent := pairsOf()
			for k, v := range tc.attrs {
				sent[k] = v
			}
			got, err := exporter(layersOf(t, exportsCorp), "image", tc.attrs)
			require.Len(t, tc.attrs, len(sent), "the request stays as it is")
			if tc.want == nil {
				require.ErrorContains(t, err, tc.why)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
		})
	}
}

func TestTheAttributesOfExportersToTheClient(t *testing.T) {
	t.Parallel()
	l := layersOf(t, exportsCorp)
	for _, kind := range []string{"oci", "docker"} {
		_, err := exporter(l, kind, pairsOf("name", "anything:1,*", "annotation.org.a", "b"))
		require.NoError(t, err)
		sent := pairsOf("name", "a/b:1", "prefer-image-digest", "true")
		got, err := exporter(l, kind, sent)
		require.NoError(t, err)
		require.Equal(t, pairsOf("name", "a/b:1"), got, "buildx's own attribute isn't the daemon's")
		require.Len(t, sent, 2)
		_, err = exporter(l, kind, pairsOf("annotation.com.a", "b"))
		require.ErrorContains(t, err, "the annotation com.a")
		for _, key := range []string{"push", "registry.insecure", "store", "dangling-name-prefix"} {
			_, err = exporter(l, kind, pairsOf(key, "true"))
			require.ErrorContains(t, err, "the attribute "+key)
		}
	}
}

// A client sees what was asked, what decided, what is allowed and whom to ask.
func TestARefusedExporterIsExplainedToTheClient(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	_, err := controlapi.NewControlClient(as(t, g, "alice")).Solve(of(t), &controlapi.SolveRequest{
		Ref: "b", Exporters: []*controlapi.Exporter{
			{Type: "image", Attrs: pairsOf("name", "a/b", "push", "true")},
		},
	})
	requireCode(t, codes.PermissionDenied, err)
	require.Contains(t, status.Convert(err).Message(),
		"policy-guard refuses /moby.buildkit.v1.Control/Solve: the policy refuses pushing to "+
			"docker.io/a/b:latest (exports.push)\n  message:      build with -o type=oci")
	require.ErrorContains(t, err, "outcome:      denied by policy")
	for _, call := range d.all() {
		require.NotContains(t, call.method, "Control/Solve")
	}
}

// What a client's own policy refuses stays refused, and a policy that takes none refuses the build.
func TestAnOverlayBindsExporters(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	for overlay, want := range map[string]string{
		"{version: 1, exports: {client: [tar]}}": "the overlay refuses a result for the client of the " +
			"type oci",
		"{version: 1, exports: {}}": "exports is empty",
	} {
		_, err := controlapi.NewControlClient(as(t, g, "alice")).Solve(of(t), &controlapi.SolveRequest{
			Ref: "b", Exporters: []*controlapi.Exporter{{Type: "oci"}},
			FrontendAttrs: pairsOf("build-arg:POLICY_FRONTEND_POLICY", overlay),
		})
		requireCode(t, codes.PermissionDenied, err)
		require.ErrorContains(t, err, want)
	}
}

const cachesCorp = `caches: {imports: {registry: {allow: [x/y, "corp.example/**"]}}, ` +
	`exports: {registry: {allow: [x/y]}, local: allow}}`

func TestTheCachesOfABuild(t *testing.T) {
	t.Parallel()
	entry := func(kind string, pairs ...string) []*controlapi.CacheOptionsEntry {
		return []*controlapi.CacheOptionsEntry{{Type: kind, Attrs: pairsOf(pairs...)}}
	}
	for name, tc := range map[string]struct {
		cache *controlapi.CacheOptions
		want  *controlapi.CacheOptions // nil if it is refused
		why   string
	}{
		"an import": {
			&controlapi.CacheOptions{Imports: entry("registry", "ref", "x/y")},
			&controlapi.CacheOptions{Imports: entry("registry", "ref", "docker.io/x/y:latest")}, "",
		},
		"another import": {
			&controlapi.CacheOptions{Imports: entry("registry", "ref", "x/z")}, nil,
			"importing the build cache docker.io/x/z:latest: it allows only x/y or corp.example/**",
		},
		"an import in the old form": {
			&controlapi.CacheOptions{ImportRefsDeprecated: []string{"x/y:1"}},
			&controlapi.CacheOptions{Imports: entry("registry", "ref", "docker.io/x/y:1")}, "",
		},
		"an import in the old form beside an allowed one": {
			&controlapi.CacheOptions{
				Imports:              entry("registry", "ref", "x/y"),
				ImportRefsDeprecated: []string{"x/z"},
			}, nil, "docker.io/x/z",
		},
		"an import without a name": {
			&controlapi.CacheOptions{Imports: entry("registry")}, nil, "the reference is empty",
		},
		"an import from a directory": {
			&controlapi.CacheOptions{Imports: entry("local", "src", "x", "digest", fakeDigest)}, nil,
			"in a directory of the client (caches.imports.local)",
		},
		"an import from an address of the client's choice": {
			&controlapi.CacheOptions{Imports: entry("s3", "endpoint_url", "http://10.0.0.1")}, nil,
			"of the type s3",
		},
		"an insecure import": {
			&controlapi.CacheOptions{Imports: entry("registry", "ref", "x/y", "registry.insecure", "1")},
			nil, "registry.insecure",
		},
		"an import with an unknown attribute": {
			&controlapi.CacheOptions{Imports: entry("registry", "ref", "x/y", "future", "1")}, nil,
			"the attribute future",
		},
		"an export": {
			&controlapi.CacheOptions{Exports: entry("registry", "ref", "x/y:1", "mode", "max")},
			&controlapi.CacheOptions{
				Exports: entry("registry", "ref", "docker.io/x/y:1", "mode", "max"),
			}, "",
		},
		"a name for imports is none for exports": {
			&controlapi.CacheOptions{Exports: entry("registry", "ref", "corp.example/a")}, nil,
			"exporting the build cache to corp.example/a:latest",
		},
		"an export in the old form": {
			&controlapi.CacheOptions{
				ExportRefDeprecated: "x/y", ExportAttrsDeprecated: pairsOf("ref", "x/z", "mode", "max"),
			},
			&controlapi.CacheOptions{
				Exports: entry("registry", "ref", "docker.io/x/y:latest", "mode", "max"),
			}, "",
		},
		"another export in the old form": {
			&controlapi.CacheOptions{
				ExportRefDeprecated: "x/z", ExportAttrsDeprecated: pairsOf("ref", "x/y"),
			}, nil, "docker.io/x/z",
		},
		"old attributes without a name, which have no effect": {
			&controlapi.CacheOptions{ExportAttrsDeprecated: pairsOf("ref", "x/z")},
			&controlapi.CacheOptions{}, "",
		},
		"an export to a directory": {
			&controlapi.CacheOptions{Exports: entry("local", "dest", "x", "mode", "max")},
			&controlapi.CacheOptions{Exports: entry("local", "dest", "x", "mode", "max")}, "",
		},
		"an inline export": {
			&controlapi.CacheOptions{Exports: entry("inline")},
			&controlapi.CacheOptions{Exports: entry("inline")}, "",
		},
		"an inline export with attributes": {
			&controlapi.CacheOptions{Exports: entry("inline", "ref", "x/z")}, nil, "the attribute ref",
		},
		"no cache": {nil, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := caches(layersOf(t, cachesCorp), tc.cache)
			if tc.why != "" {
				require.ErrorContains(t, err, tc.why)
				return
			}
			require.NoError(t, err)
			require.True(t, proto.Equal(tc.want, got), "%v", got)
		})
	}
}

// All entrances of a request for a frontend are judged alike.
func TestTheCachesThatARequestForAFrontendNames(t *testing.T) {
	t.Parallel()
	l := layersOf(t, cachesCorp)
	for name, tc := range map[string]struct{ opts, want map[string]string }{
		"as clients write them": {
			pairsOf("cache-imports", `[{"Type":"registry","Attrs":{"ref":"x/y"}}]`),
			pairsOf("cache-imports", `[{"Type":"registry","Attrs":{"ref":"docker.io/x/y:latest"}}]`),
		},
		"in another letter case, and twice": {
			pairsOf("cache-imports",
				`[{"type":"s3","TYPE":"registry","attrs":{"ref":"x/z","ref":"corp.example/a:1"}}]`),
			pairsOf("cache-imports", `[{"Type":"registry","Attrs":{"ref":"corp.example/a:1"}}]`),
		},
		"in the old option": {
			pairsOf("cache-from", "x/y,corp.example/a:1"),
			pairsOf("cache-from", "docker.io/x/y:latest,corp.example/a:1"),
		},
		"none":          {pairsOf("cache-imports", ""), pairsOf("cache-imports", "")},
		"an empty list": {pairsOf("cache-imports", "[]"), pairsOf("cache-imports", "[]")},
	} {
		require.NoError(t, cacheOptions(l, tc.opts), name)
		require.Equal(t, tc.want, tc.opts, name)
	}
	for name, tc := range map[string]struct{ key, value, why string }{
		"another name":                {"cache-imports", `[{"Type":"registry","Attrs":{"ref":"x/z"}}]`, "docker.io/x/z"},
		"another type":                {"cache-imports", `[{"Type":"gha","Attrs":{"url":"http://a"}}]`, "of the type gha"},
		"no type":                     {"cache-imports", `[null]`, "of the type"},
		"a directory":                 {"cache-imports", `[{"Type":"local","Attrs":{"src":"a"}}]`, "caches.imports.local"},
		"no JSON":                     {"cache-imports", "x", "can't be read"},
		"another name in the old one": {"cache-from", "x/y,x/z", "docker.io/x/z"},
		"an empty name":               {"cache-from", "x/y,", "the reference is empty"},
	} {
		require.ErrorContains(t, cacheOptions(l, pairsOf(tc.key, tc.value)), tc.why, name)
	}
	require.ErrorContains(t, imports(l, []*gwpb.CacheOptionsEntry{
		{Type: "registry", Attrs: pairsOf("ref", "x/y")},
		{Type: "registry", Attrs: pairsOf("ref", "x/z")},
	}), "docker.io/x/z")
}

func TestARequestWithACacheIsRefusedInEachPlace(t *testing.T) {
	t.Parallel()
	_, _, c, ctx := begun(t)
	for _, req := range []*gwpb.SolveRequest{
		asking("docker/dockerfile:1", "cache-from", "x/y"),
		asking("docker/dockerfile:1", "cache-imports", `[{"Type":"registry","Attrs":{"ref":"x/y"}}]`),
	} {
		_, err := c.Solve(ctx, req)
		requireCode(t, codes.PermissionDenied, err)
		require.ErrorContains(t, err, "importing the build cache docker.io/x/y:latest")
	}
	req := asking("docker/dockerfile:1")
	req.CacheImports = []*gwpb.CacheOptionsEntry{{Type: "s3"}}
	_, err := c.Solve(ctx, req)
	requireCode(t, codes.PermissionDenied, err)
	require.ErrorContains(t, err, "of the type s3")
}
