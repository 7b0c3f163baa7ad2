package clients

import (
	"slices"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// maxDNS is how many DNS names of a certificate count.
const maxDNS = 100

// Client has the names of a client. The zero Client is unknown: nobody has asked who it is. It has
// no names, and no pattern matches it, but any may.
type Client struct {
	known bool
	// names are those by which it surely is somebody.
	names []name
	// claimed are further names in its certificate. Nobody vouches for them.
	claimed []name
	// unclear are kinds of names of which it has some that can't be read, or be told apart.
	unclear []kind
}

// Unreadable returns a client whose names can't be read, whatever their kind.
func Unreadable() Client {
	return Client{known: true, unclear: []kind{kindUser, kindGroup, kindCommon, kindDNS, kindURI}}
}

// Known reports whether somebody has asked who the client is. It may have no names even so.
func (c Client) Known() bool { return c.known }

// Equal reports whether the same is known about both clients.
func (c Client) Equal(o Client) bool {
	same := func(a, b name) bool { return a.text == b.text }
	return c.known == o.known && slices.EqualFunc(c.names, o.names, same) &&
		slices.EqualFunc(c.claimed, o.claimed, same) && slices.Equal(c.unclear, o.unclear)
}

// add adds a name that counts, if it can be read.
func (c *Client) add(k kind, n name, err error) {
	if err != nil {
		c.blur(k)
		return
	}
	c.names = append(c.names, n)
}

// claim adds a name that doesn't count.
func (c *Client) claim(k kind, n name, err error) {
	if err != nil {
		c.blur(k)
		return
	}
	c.claimed = append(c.claimed, n)
}

func (c *Client) blur(k kind) {
	if !slices.Contains(c.unclear, k) {
		c.unclear = append(c.unclear, k)
	}
}

// Peer returns the client that is a user of the machine, with the groups of its process. The first
// group is its main one.
func Peer(uid uint32, groups ...uint32) Client {
	c := Client{known: true}
	c.addNumber(kindUser, uid)
	if len(groups) == 0 {
		return c
	}
	c.addNumber(kindGroup, groups[0])
	others := slices.Sorted(slices.Values(groups[1:]))
	for _, gid := range slices.Compact(others) {
		if gid != groups[0] {
			c.addNumber(kindGroup, gid)
		}
	}
	return c
}

// PeerInGroups is [Peer] for a process that has further groups, and nobody knows which.
func PeerInGroups(uid, main uint32) Client {
	c := Peer(uid, main)
	c.blur(kindGroup)
	return c
}

// addNumber adds a user or a group. Behind the number that the kernel shows for all that it can't
// name here can be any of them.
func (c *Client) addNumber(k kind, n uint32) {
	if n == overflow {
		c.blur(k)
	}
	c.names = append(c.names, number(k, n))
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
	out := Client{known: true}
	add := out.add
	if len(c.URIs) > 0 { // its authority vouches for nothing else
		add = out.claim
	}
	for _, uri := range c.URIs {
		n, err := parseURI(uri, false)
		if len(c.URIs) > 1 {
			out.claim(kindURI, n, err)
			continue
		}
		out.add(kindURI, n, err)
	}
	for _, text := range c.CommonNames {
		n, err := parseCommon(text, false)
		if len(c.CommonNames) > 1 {
			out.claim(kindCommon, n, err)
			continue
		}
		add(kindCommon, n, err)
	}
	if len(c.DNS) > maxDNS {
		out.blur(kindDNS)
		return out
	}
	for _, host := range c.DNS {
		n, err := parseDNS(globs.FoldASCII(host), false)
		add(kindDNS, n, err)
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
