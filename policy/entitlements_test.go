package policy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

func TestWhichEntitlementsABuildGets(t *testing.T) {
	t.Parallel()
	const host, unsafe = "network.host", "security.insecure"
	frontend := func(build string) string {
		return "dispatch: mediate\nfrontends: [{name: a, match: [docker/dockerfile], build: {" + build + "}}]"
	}
	const another = "dispatch: mediate\nfrontends: [{match: [docker/dockerfile]}, " +
		"{match: [x/y], build: {exec: {networks: [host]}}}]"
	whole := func(build string) string {
		return "dispatch: mediate\ndefault: allow\nbuild: {" + build + "}"
	}
	for name, tt := range map[string]struct {
		policy, overlay string
		entitlement     string
		before, after   bool // allowed before the frontend is known, and after that
	}{
		"without rules on commands there is none": {"default: allow", "", host, false, false},
		"a network that is listed":                {whole("exec: {networks: [host]}"), "", host, true, true},
		"a network that is only not denied": {
			whole("exec: {deny: {networks: [none]}}"), "",
			host, false, false,
		},
		"a network that another field leaves": {
			whole("exec: {secrets: [a]}"), "",
			host, false, false,
		},
		"a network that is listed and denied": {
			whole("exec: {networks: [host], deny: {networks: [host]}}"), "",
			host, false, false,
		},
		"a network is no sandbox": {whole("exec: {networks: [host]}"), "", unsafe, false, false},
		"no sandbox":              {whole("exec: {insecure: true}"), "", unsafe, true, true},
		"all devices":             {whole("exec: {devices: true}"), "", "device", true, true},
		"all devices, where one is denied": {
			whole("exec: {devices: true, deny: {devices: [a/b=1]}}"), "",
			"device", false, false,
		},
		"all devices, where some are listed": {
			whole("exec: {devices: ['a/b*']}"), "",
			"device", false, false,
		},
		"a device that is listed": {
			whole("exec: {devices: ['a/b*']}"), "",
			"device=a/b=1", true, true,
		},
		"a device that isn't": {whole("exec: {devices: [a/c]}"), "", "device=a/b=1", false, false},
		"a device that is denied by its kind": {
			whole("exec: {devices: true, deny: {devices: [a/b]}}"), "",
			"device=a/b=1", false, false,
		},
		"no commands":                {whole("exec: deny"), "", host, false, false},
		"a rule of the frontend":     {frontend("exec: {networks: [host]}"), "", host, true, true},
		"a rule of another frontend": {another, "", host, true, false},
		"a mode doesn't weaken it": {
			"mode: warn\n" + whole("exec: {mode: warn, secrets: [a]}"), "",
			host, false, false,
		},
		"an overlay without rules on commands leaves it": {
			whole("exec: {networks: [host]}"), "default: allow",
			host, true, true,
		},
		"an overlay has to list it": {
			whole("exec: {networks: [host]}"), whole("exec: {secrets: [a]}"),
			host, true, false,
		},
		"an overlay can't add it": {
			"default: allow", whole("exec: {networks: [host]}"),
			host, false, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := stackOf(t, tt.policy, tt.overlay)
			e, err := buildrules.ParseEntitlement(tt.entitlement)
			require.NoError(t, err)
			require.Equal(t, tt.entitlement, e.String())
			before := l.DecideEntitlement(e)
			require.Equal(t, tt.before, before.Verdict == Allow, before.Reason)
			d := Decide(l, Request{Reference: refs(t, "docker/dockerfile:1")[0], Time: time.Unix(0, 0)})
			require.True(t, d.Verdict.Permits())
			after := d.CheckEntitlement(e)
			require.Equal(t, tt.after, after.Verdict == Allow, after.Reason)
			require.False(t, after.Verdict == Allow && before.Verdict != Allow)
		})
	}
}

func TestTheTextOfARefusedEntitlement(t *testing.T) {
	t.Parallel()
	l := stackOf(t, `contact: "#help"
dispatch: mediate
frontends: [{name: a, match: [docker/dockerfile]}, {match: [x/y], build: {exec: {networks: [host]}}}]`, "")
	host, err := buildrules.ParseEntitlement("network.host")
	require.NoError(t, err)
	insecure, err := buildrules.ParseEntitlement("security.insecure")
	require.NoError(t, err)
	require.Equal(t, `the policy refuses the entitlement security.insecure, because no build rules list it (build.exec.insecure)
  message:      build without --allow, or have build.exec.insecure list what it is for
  policy:       `+l.embedded.Digest().String()+`
  contact:      #help
  outcome:      denied by policy`, l.Denial(l.DecideEntitlement(insecure)))
	d := Decide(l, Request{Reference: refs(t, "docker/dockerfile")[0]})
	r := d.CheckEntitlement(host)
	require.Equal(t, "a", r.Rule)
	require.Equal(t, `the build has the entitlement network.host, which the build rules for rule "a" of `+
		`the policy don't list (build.exec.networks)`, r.Reason)
	require.Equal(t, "#help", r.Contact)
	require.Equal(t, Deny, d.Overrule(r).CheckEntitlement(host).Verdict)
}

func TestEntitlementsThatNobodyCanCheck(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "x", "network.host=x", "device=", "device=a,alias=b", `device="a"`, "device=*", "device=a\n",
		"Network.Host", "security.insecure ",
	} {
		_, err := buildrules.ParseEntitlement(s)
		require.Error(t, err, s)
	}
}
