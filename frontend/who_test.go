package frontend

import (
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// forCI is corpPolicy with a rule that is only for some clients.
const forCI = corpPolicy + "    clients: [\"cn:ci-*\"]\n"

func clientNamed(cn string) clients.Client {
	return clients.Certificate{CommonNames: []string{cn}}.Client()
}

func TestAnImageAloneRefusesAPolicyThatNamesClients(t *testing.T) {
	_, err := inImage(t, newFake(t, "# syntax=docker/dockerfile:1\n", nil), forCI, false)
	require.EqualError(t, err, `frontend docker/dockerfile:1 is refused: this policy "corp-ci" names `+
		`clients (frontends[0].clients), and only policy-guard knows who builds: build through `+
		`policy-guard, or have clients removed
  requested by: line 1 of Dockerfile
  rule:         invariant
  policy:       corp-ci `+digest.FromString(forCI).String()+`
  contact:      #build-help
  outcome:      denied by policy`)

	const overlay = "version: 1\nexports: {push: {clients: [\"uid:1\"], allow: [a]}}\ndefault: allow\n"
	c := newFake(t, "# syntax=docker/dockerfile:1\n", map[string]string{optionkeys.Overlay: overlay})
	_, err = inImage(t, c, corpPolicy, false)
	require.ErrorContains(t, err, "the overlay names clients (exports.push.clients)")

	// Who administrates the builder is no matter of builds.
	administered := corpPolicy + "administration: {clients: [\"uid:1\"]}\n"
	_, err = inImage(t, newFake(t, "# syntax=docker/dockerfile:1\n", nil), administered, false)
	require.NoError(t, err)
}

func TestAnImageKnowsTheClientFromPolicyGuardAlone(t *testing.T) {
	by := func(c clients.Client) func(*gatewayopts.HandOver) {
		return func(h *gatewayopts.HandOver) { h.Client = c }
	}
	ci, dev := clientNamed("ci-1"), clientNamed("dev")
	const open = "version: 1\ndefault: allow\n"
	for name, tt := range map[string]struct {
		embedded, handed string
		fromGuard        bool
		by               clients.Client
		why              string // "" if it runs
	}{
		"a client for whom the rule is": {handed: forCI, fromGuard: true, by: ci},
		"another client": {
			handed: forCI, fromGuard: true, by: dev,
			why: `rule "dockerfile" would allow it, but only for cn:ci-*, not for cn:dev`,
		},
		"no client": {
			handed: forCI, fromGuard: true,
			why: `this policy "corp-ci" names clients (frontends[0].clients), and only policy-guard`,
		},
		"the image's own policy too": {handed: open, embedded: forCI, fromGuard: true, by: ci},
		"the image's own policy too, which refuses": {
			handed: open, embedded: forCI, fromGuard: true, by: dev, why: "only for cn:ci-*, not for cn:dev",
		},
		"a client that anybody may have sent": {
			handed: open, embedded: forCI, by: ci,
			why: `this policy "corp-ci" names clients (frontends[0].clients), and only policy-guard`,
		},
		"one that anybody may have sent, with a policy that only tightens": {
			handed: forCI, embedded: open, by: dev,
			why: `the overlay decided: rule "dockerfile" would allow it, but only for cn:ci-*`,
		},
		"one with a policy that only tightens, and lets it": {handed: forCI, embedded: open, by: ci},
	} {
		t.Run(name, func(t *testing.T) {
			c := newFake(t, "", handed(t, tt.handed, by(tt.by)))
			c.opts[optionkeys.Source] = pinnedSelf
			_, err := inImage(t, c, tt.embedded, tt.fromGuard)
			if tt.why != "" {
				require.ErrorContains(t, err, tt.why)
				require.Empty(t, c.solved)
				return
			}
			require.NoError(t, err)
			require.Len(t, c.solved, 1)
		})
	}
}

func TestAClientIsHandedOverStrictly(t *testing.T) {
	opts := handed(t, forCI, func(h *gatewayopts.HandOver) { h.Client = clientNamed("ci-1") })
	text := opts[optionkeys.HandOverPiece+"0"]
	require.Contains(t, text, `"names":["cn:ci-1"]`)
	for _, other := range []string{`"names":["cn:*"]`, `"names":["cn:ci-1"],"more":1`, `"names":"cn:ci-1"`} {
		c := newFake(t, "", handed(t, forCI, nil))
		changed := strings.Replace(text, `"names":["cn:ci-1"]`, other, 1)
		c.opts[optionkeys.Source] = pinnedSelf
		c.opts[optionkeys.HandOverPiece+"0"] = changed
		c.opts[optionkeys.HandOverDigest] = digest.FromString(changed).String()
		_, err := inImage(t, c, "", true)
		require.ErrorContains(t, err, "policy-guard's policy didn't arrive as it was sent: it can't be read")
	}
}

// What the image gets is in the provenance of the result, so it isn't told who builds unless its
// decision depends on it.
func TestTheClientIsHandedOverOnlyIfAPolicyNamesClients(t *testing.T) {
	const overlay = "version: 1\nfrontends: [{name: mine, match: [\"**\"], clients: [\"cn:ci-1\"]}]\n"
	for name, tt := range map[string]struct {
		doc     string
		overlay string
		want    clients.Client
	}{
		"no rule for clients":   {doc: mediatedPolicy, want: clients.Client{}},
		"a rule for clients":    {doc: forCI + "    dispatch: mediate\n", want: clientNamed("ci-1")},
		"a rule of the overlay": {doc: mediatedPolicy, overlay: overlay, want: clientNamed("ci-1")},
	} {
		t.Run(name, func(t *testing.T) {
			fake := newOutside(t)
			if tt.overlay != "" {
				fake.opts[optionkeys.Overlay] = tt.overlay
			}
			p, err := policy.Parse("policy.yaml", []byte(tt.doc))
			require.NoError(t, err)
			f := Frontend{
				Policy:     func() (*policy.Policy, error) { return p, nil },
				PolicyText: PolicyText{Name: "policy.yaml", Files: map[string]string{"policy.yaml": tt.doc}},
				Mediator:   selfRef, Client: clientNamed("ci-1"),
			}
			choice, err := f.Choose(t.Context(), fake, gatewayFrontend)
			require.NoError(t, err)
			h, err := gatewayopts.Parse(choice.Options).HandOver()
			require.NoError(t, err)
			require.True(t, tt.want.Equal(h.Client), h.Client.String())
			require.Equal(t, tt.want.Known(),
				strings.Contains(choice.Options[optionkeys.HandOverPiece+"0"], `"client":`))

			f.Client = clientNamed("dev")
			_, err = f.Choose(t.Context(), fake, gatewayFrontend)
			require.Equal(t, tt.want.Known(), err != nil, "it decides by the client itself")
		})
	}
}
