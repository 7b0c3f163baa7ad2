// Package clients reads patterns of clients and compares them with what is known about a client.
// It knows neither how a client is asked who it is, nor what it wants.
//
//	p, err := clients.ParsePattern("spiffe://corp.example/ci/*")
//	p.Match(clients.Peer(1000, 1000)) // false
//
// A pattern begins with the kind of names that it is for:
//
//   - "uid:1000" and "gid:1000": a user of the machine, or a group of one, by number. There are no
//     names of users and groups: a policy means the same on each machine.
//   - "cn:release-*": the common name in a certificate's subject. "*" stands for any characters.
//   - "dns:*.ci.example": a DNS name in a certificate. "*" stays within one label.
//   - "spiffe://corp.example/ci/*": the URI in a certificate. "*" stays within one segment of the
//     path, and "**" stands for any number of segments. At the end it stands for at least one.
//     Scheme and host have no star.
//
// # What a pattern can't match
//
// A pattern means the least that its words can mean, because it allows something. A name in a
// certificate that can be read in two ways is the name of nobody:
//
//   - a URI with a port, a user, a query, a fragment, an escape such as %2e, a host with upper-case
//     letters, or a segment that is empty, "." or "..",
//   - a DNS name with a star, a dot at its end, or the form of an IP address,
//   - a common name with a star, or with characters that can't be printed,
//   - each of several URIs, or of several common names.
//
// A certificate with a URI has no other names. Its authority vouches for the URI (SPIFFE X.509-SVID,
// section 2), and may let the client write anything else.
package clients
