package policy

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/clients"
)

func TestWhoAdministrates(t *testing.T) {
	t.Parallel()
	const corp = `administration:
  clients: ["uid:0", "gid:27", "cn:release-*", "spiffe://corp/ops/**"]`
	named := func(cn string) clients.Client {
		return clients.Certificate{CommonNames: []string{cn}}.Client()
	}
	for name, tt := range map[string]struct {
		policy, overlay string // fields
		client          clients.Client
		want            string // "" if it is allowed
	}{
		"nobody does by default": {
			"", "", clients.Peer(0, 0), "for uid:0 and gid:0 (administration.clients)",
		},
		"nobody does with default: allow": {"default: allow", "", clients.Peer(0, 0), "for uid:0"},
		"no mode weakens it":              {"mode: warn", "", clients.Peer(0, 0), "for uid:0"},
		"a user in the list does":         {corp, "", clients.Peer(0, 0), ""},
		"a member of a group does":        {corp, "", clients.Peer(5, 5, 6, 27), ""},
		"a certificate's name does":       {corp, "", named("release-1"), ""},
		"a certificate's URI does": {
			corp, "", clients.Certificate{URIs: []string{"spiffe://corp/ops/a/b"}}.Client(), "",
		},
		"another user doesn't": {
			corp, "", clients.Peer(1, 1),
			"for uid:1 and gid:1: it allows only uid:0, gid:27, cn:release-* and others " +
				"(administration.clients)",
		},
		"a client without a name doesn't": {
			`administration: {clients: ["cn:*"]}`, "",
			clients.Client{},
			"for a client without a name that a policy can know: it allows only cn:*",
		},
		"an overlay without the field restricts nothing": {corp, "id: x", clients.Peer(0), ""},
		"an overlay with the field has to list the client too": {
			corp, `administration: {clients: ["uid:1"]}`, clients.Peer(0),
			"the overlay decided: the overlay refuses disk usage for uid:0: it allows only uid:1",
		},
		"an overlay can't add a client": {
			corp, `administration: {clients: ["uid:1"]}`, clients.Peer(1), "the policy refuses",
		},
		"an overlay can't add the first client": {
			"", `administration: {clients: ["uid:1"]}`, clients.Peer(1), "the policy refuses",
		},
	} {
		r := stackOf(t, tt.policy, tt.overlay).DecideAdministration(DiskUsage, tt.client)
		require.Equal(t, AdministrationRule, r.Rule, name)
		if tt.want == "" {
			require.Equal(t, Allow, r.Verdict, "%s: %s", name, r.Reason)
			continue
		}
		require.Equal(t, Deny, r.Verdict, name)
		require.Contains(t, r.Reason, tt.want, name)
	}
	require.Equal(t, Deny, Layers{}.DecideAdministration(Pruning, clients.Peer(0)).Verdict)
}

func TestMistakesInAdministration(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		"administration: ~":                          "administration has no value",
		"administration: {}":                         "p:2:17: administration has no clients; list",
		"administration: {clients: []}":              "clients is empty; give it an entry or remove it",
		"administration: {clients: ~}":               "clients has no value",
		"administration: {clients: uid:0}":           "must be a list",
		"administration: {clients: true}":            "must be a list",
		"administration: [uid:0]":                    "administration must be a mapping",
		`administration: {clients: ["uid:0", root]}`: `p:2:37: clients: "root" is of no known kind`,
		`administration: {clients: ["uid:root"]}`:    `clients: "uid:root" has no number`,
		`administration: {clients: [""]}`:            "clients",
		`administration: {clients: ["**"]}`:          "is of no known kind",
		`administration: {users: ["uid:0"]}`:         "users",
		`administration: {clients: ["cn:a", "cn:"]}`: "has an empty name",
		`frontends: [{match: [a], clients: [user]}]`: "is of no known kind",
	} {
		_, err := Parse("p", []byte("version: 1\n"+doc+"\n"))
		require.ErrorContains(t, err, want, doc)
	}
}

// A whole refusal, as its user sees it.
func TestTheTextOfRefusedAdministration(t *testing.T) {
	t.Parallel()
	l := stackOf(t, `id: corp
contact: "#build-help"
administration: {clients: ["uid:0", "cn:release-*"]}`, "")
	require.Equal(t, `the policy refuses pruning for uid:1 and gid:2: it allows only uid:0 or cn:release-* (administration.clients)
  message:      it concerns all clients, so ask an administrator, or have this client listed in administration.clients
  policy:       corp `+l.embedded.Digest().String()+`
  allowed:      uid:0, cn:release-*
  contact:      #build-help
  outcome:      denied by policy`,
		l.Denial(l.DecideAdministration(Pruning, clients.Peer(1, 2))))
}

// Whom both layers let through, each of them lets through alone if it says anything about it.
func TestAnOverlayNeverAddsAdministrators(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	field := func() string {
		patterns := []string{
			"uid:1", "uid:2", "gid:1", "cn:*", "cn:a*", "dns:*.a", "spiffe://a/*", "spiffe://a/**",
		}
		list := patterns[r.IntN(len(patterns))]
		if r.IntN(2) == 0 {
			list += `", "` + patterns[r.IntN(len(patterns))]
		}
		return []string{
			"", "id: x", "mode: warn", "default: allow", `administration: {clients: ["` + list + `"]}`,
		}[r.IntN(5)]
	}
	known := []clients.Client{
		{},
		clients.Peer(1, 1), clients.Peer(2, 3, 1), clients.Peer(3, 3),
		clients.Certificate{CommonNames: []string{"ab"}, DNS: []string{"b.a"}}.Client(),
		clients.Certificate{URIs: []string{"spiffe://a/b/c"}}.Client(),
		clients.Certificate{URIs: []string{"spiffe://a/b"}}.Client(),
	}
	for range 3000 {
		e, o, c := field(), field(), known[r.IntN(len(known))]
		say := fmt.Sprintf("%s\n%s\n%s", e, o, c)
		if o == "" {
			o = "contact: y"
		}
		overlay := stackOf(t, o, "")
		neutral := overlay.embedded.doc.Administration == nil
		require.Equal(t, stackOf(t, e, o).DecideAdministration(Pruning, c).Verdict == Allow,
			stackOf(t, e, "").DecideAdministration(Pruning, c).Verdict == Allow &&
				(neutral || overlay.DecideAdministration(Pruning, c).Verdict == Allow), say)
	}
}

func TestExplainShowsWhoAdministrates(t *testing.T) {
	t.Parallel()
	l := stackOf(t, `frontends: [{match: [docker/dockerfile]}]
administration: {clients: ["uid:0", "cn:release-*"]}`, `frontends: [{match: ["**"]}]
administration: {clients: ["uid:0"]}`)
	var shown []string
	for _, s := range Explain(l, Request{Reference: refs(t, "docker/dockerfile")[0]}).Steps {
		if s.Kind == StepAdministration {
			shown = append(shown, s.Layer+": "+s.Reason)
		}
	}
	require.Equal(t, []string{
		"overlay: policy-guard lets only these clients administrate the builder: uid:0",
		"policy: policy-guard lets only these clients administrate the builder: uid:0, cn:release-*",
	}, shown)
}

func TestTheDocumentOfAdministrationIsACopy(t *testing.T) {
	t.Parallel()
	l := stackOf(t, `administration: {clients: ["uid:0"]}`, "")
	doc := l.embedded.Document()
	require.Equal(t, "uid:0", doc.Administration.Patterns()[0].String())
	doc.Administration.Clients[0] = "uid:1"
	doc.Administration.Patterns()[0] = clients.Pattern{}
	require.Equal(t, Allow, l.DecideAdministration(Pruning, clients.Peer(0)).Verdict)
}
