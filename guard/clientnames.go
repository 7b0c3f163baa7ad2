package guard

import (
	"crypto/x509"
	"encoding/asn1"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// maxGroups is how many groups of a client count, besides its main one.
const maxGroups = 1024

// userAt returns the client at the other end of a Unix socket, with the groups that its process had
// when it connected. It may be in any group if there are more than maxGroups besides the main one,
// or if the kernel doesn't tell (before Linux 4.13).
func userAt(fd uintptr, cred *unix.Ucred) (clients.Client, error) {
	groups, known, err := peerGroups(fd)
	if !known {
		return clients.PeerInGroups(cred.Uid, cred.Gid), err
	}
	return clients.Peer(cred.Uid, append([]uint32{cred.Gid}, groups...)...), err
}

func peerGroups(fd uintptr) (_ []uint32, known bool, err error) {
	groups := make([]uint32, maxGroups)
	size := uint32(unsafe.Sizeof(groups[0])) * maxGroups // in bytes
	//nolint:gosec // G103: package unix has no function for this option
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
		uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
	switch errno {
	case 0:
		return groups[:size/uint32(unsafe.Sizeof(groups[0]))], true, nil
	case unix.ERANGE, unix.ENOPROTOOPT:
		return nil, false, nil
	}
	return nil, false, errno
}

var (
	// commonName is the object identifier of a common name (X.520).
	commonName = asn1.ObjectIdentifier{2, 5, 4, 3}
	// subjectAltName is that of the alternative names (RFC 5280, section 4.2.1.6), and uriTag the tag
	// of a URI among them.
	subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
)

const uriTag = 6

// namesIn returns the client with the names in a verified certificate.
func namesIn(leaf *x509.Certificate) clients.Client {
	uris := writtenURIs(leaf)
	if len(uris) != len(leaf.URIs) {
		return clients.Unreadable() // package x509 has read the certificate in another way
	}
	c := clients.Certificate{URIs: uris, DNS: leaf.DNSNames}
	for _, n := range leaf.Subject.Names {
		if n.Type.Equal(commonName) {
			text, _ := n.Value.(string) // another value counts, and is no name
			c.CommonNames = append(c.CommonNames, text)
		}
	}
	return c.Client()
}

// writtenURIs returns the URIs in a certificate as they are written there. [x509.Certificate] has
// them parsed, without an empty fragment and with the scheme in lower case.
func writtenURIs(leaf *x509.Certificate) []string {
	var uris []string
	for _, e := range leaf.Extensions {
		if !e.Id.Equal(subjectAltName) {
			continue
		}
		var names []asn1.RawValue
		if _, err := asn1.Unmarshal(e.Value, &names); err != nil {
			return nil
		}
		for _, n := range names {
			if n.Class == asn1.ClassContextSpecific && n.Tag == uriTag {
				uris = append(uris, string(n.Bytes))
			}
		}
	}
	return uris
}
