package clients

import (
	"slices"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// maxDNS is how many DNS names of a certificate count.
const maxDNS = 100

// Client has the names of a client. The zero Client has none, and no pattern matches it.
type Client struct{ names []name }

// Peer returns the client that is a user of the machine, with the groups of its process. The first
// group is its main one.
func Peer(uid uint32, groups ...uint32) Client {
	c := Client{[]name{number(kindUser, uid)}}
	if len(groups) == 0 {
		return c
	}
	c.names = append(c.names, number(kindGroup, groups[0]))
	others := slices.Sorted(slices.Values(groups[1:]))
	for _, gid := range slices.Compact(others) {
		if gid != groups[0] {
			c.names = append(c.names, number(kindGroup, gid))
		}
	}
	return c
}

// Certificate has names in a client's verified certificate, each as it is written there.
type Certificate struct {
	// URIs and DNS are those among its alternative names.
	URIs, DNS []string
	// CommonNames are those of its subject.
	CommonNames []string
}

// Client returns the client with the names of the certificate that count; see the package. If there
// are too many DNS names, none of them counts.
func (c Certificate) Client() Client {
	var out Client
	add := func(n name, err error) {
		if err == nil {
			out.names = append(out.names, n)
		}
	}
	if len(c.URIs) > 0 {
		if len(c.URIs) == 1 {
			add(parseURI(c.URIs[0], false))
		}
		return out
	}
	if len(c.CommonNames) == 1 {
		add(parseCommon(c.CommonNames[0], false))
	}
	if len(c.DNS) <= maxDNS {
		for _, host := range c.DNS {
			add(parseDNS(globs.FoldASCII(host), false))
		}
	}
	return out
}

// maxShown is how many of its names stand for a client in a message.
const maxShown = 3

// String describes the client by some of its names: "uid:1000, gid:1000 and others".
func (c Client) String() string {
	if len(c.names) == 0 {
		return "a client without a name that a policy can know"
	}
	var texts []string
	for _, n := range c.names[:min(len(c.names), maxShown)] {
		texts = append(texts, safetext.Printable(n.text))
	}
	if len(c.names) > maxShown {
		texts = append(texts, "others")
	}
	return safetext.And(texts)
}
