package arbitrary

import (
	"strings"

	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// clientPatterns returns patterns that rules have.
func clientPatterns() []string {
	return []string{
		"uid:1", "uid:2", "gid:2", "gid:3", "cn:a", "cn:a*", "cn:*b", "dns:*.a", "dns:b.*",
		"spiffe://a/b", "spiffe://a/*", "spiffe://a/**",
	}
}

// Client returns a client. It can be an unknown one, and one without names.
func Client(choose Source) clients.Client {
	text := choose.one([]string{
		"", "", "uid:1 gid:1", "uid:2 gid:2", "uid:1 gid:2 gid:3", "uid:3", "uid:3 gid:3", "cn:a",
		"cn:ab", "cn:A", "cn:b dns:b.a", "cn:a dns:c", "dns:b.a", "dns:c.b.a", "dns:b.c dns:d.a",
		"spiffe://a/b", "spiffe://a/c", "spiffe://a/b/c", "spiffe://a/B", "spiffe://a", "spiffe://c/b",
		"certificate", "unreadable", "claimed",
	})
	switch text {
	case "certificate":
		return clients.Certificate{}.Client()
	case "unreadable":
		return clients.Certificate{CommonNames: []string{"a", "*"}}.Client()
	case "claimed":
		return clients.Certificate{
			URIs: []string{"spiffe://a/b"}, CommonNames: []string{"a"}, DNS: []string{"b.a"},
		}.Client()
	}
	c, err := clients.Parse(strings.Fields(text))
	if err != nil {
		panic(err)
	}
	return c
}
