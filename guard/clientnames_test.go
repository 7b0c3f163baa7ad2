package guard

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/policy-frontend/policy-frontend/policy/clients"
)

func requireMatch(t *testing.T, want bool, pattern string, c clients.Client) {
	t.Helper()
	p, err := clients.ParsePattern(pattern)
	require.NoError(t, err)
	require.Equal(t, want, p.Match(c), "%s and %s", pattern, c)
}

// peerWith returns who connects with the groups. Nil are those of the tests.
func peerWith(t *testing.T, groups []uint32) caller {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	require.NoError(t, err)
	defer l.Close()
	failed := make(chan error, 1)
	go func() {
		if groups != nil {
			// Only this thread gets the groups. It isn't used again, because it stays locked.
			runtime.LockOSThread()
			if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)),
				uintptr(unsafe.Pointer(&groups[0])), 0); errno != 0 {
				failed <- errno
				_ = l.Close()
				return
			}
		}
		conn, err := net.Dial("unix", l.Addr().String())
		if err == nil {
			t.Cleanup(func() { _ = conn.Close() })
		}
		failed <- err
	}()
	conn, acceptErr := l.Accept()
	require.NoError(t, <-failed)
	require.NoError(t, acceptErr)
	defer conn.Close()
	_, who, err := peerUser(conn)
	require.NoError(t, err)
	return who
}

func TestTheGroupsOfAUser(t *testing.T) {
	t.Parallel()
	own := peerWith(t, nil)
	requireMatch(t, true, fmt.Sprintf("uid:%d", os.Getuid()), own.client)
	requireMatch(t, true, fmt.Sprintf("gid:%d", os.Getgid()), own.client)
	groups, err := os.Getgroups()
	require.NoError(t, err)
	for _, gid := range groups {
		requireMatch(t, true, fmt.Sprintf("gid:%d", gid), own.client)
	}
	if os.Getuid() != 0 {
		t.Skip("only root can have other groups")
	}
	some := peerWith(t, []uint32{4242, 4243})
	requireMatch(t, true, "gid:4243", some.client)
	requireMatch(t, false, "gid:4244", some.client)
	require.Equal(t, own.id, some.id, "groups don't change what belongs to whom")
	most := make([]uint32, maxGroups+1)
	for i := range most {
		most[i] = uint32(10_000 + i)
	}
	requireMatch(t, true, "gid:10001", peerWith(t, most[:maxGroups]).client)
	many := peerWith(t, most)
	requireMatch(t, false, "gid:10001", many.client)
	for gid, want := range map[string]bool{"gid:10001": true, "uid:10001": false} {
		denied, err := clients.ParseList([]string{gid})
		require.NoError(t, err)
		require.Equal(t, want, denied.MayHave(many.client), "a rule that denies %s", gid)
		require.False(t, denied.MayHave(some.client), "a rule that denies %s", gid)
	}
	requireMatch(t, true, fmt.Sprintf("gid:%d", os.Getgid()), many.client)
}

// altNames returns an extension with names, which are tags and texts.
func altNames(t *testing.T, names ...asn1.RawValue) pkix.Extension {
	t.Helper()
	for i := range names {
		names[i].Class = asn1.ClassContextSpecific
	}
	der, err := asn1.Marshal(names)
	require.NoError(t, err)
	return pkix.Extension{Id: subjectAltName, Value: der}
}

func TestTheNamesInACertificate(t *testing.T) {
	t.Parallel()
	uri := func(s string) asn1.RawValue { return asn1.RawValue{Tag: uriTag, Bytes: []byte(s)} }
	dns := func(s string) asn1.RawValue { return asn1.RawValue{Tag: 2, Bytes: []byte(s)} }
	mail := func(s string) asn1.RawValue { return asn1.RawValue{Tag: 1, Bytes: []byte(s)} }
	two := pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{
		{Type: commonName, Value: "mallory"}, {Type: commonName, Value: "alice"},
	}}
	alice := pkix.Name{CommonName: "alice", Organization: []string{"corp"}}
	ca := newAuthority(t)
	for name, tt := range map[string]struct {
		subject pkix.Name
		names   []asn1.RawValue
		want    string
	}{
		"a common name": {alice, nil, "cn:alice"},
		"a common name and DNS": {
			alice,
			[]asn1.RawValue{dns("A.example"), dns("b.example")},
			"cn:alice, dns:a.example and dns:b.example",
		},
		"a URI": {
			alice, []asn1.RawValue{uri("spiffe://corp/a"), dns("x")}, "spiffe://corp/a",
		},
		"a URI without a subject": {
			pkix.Name{}, []asn1.RawValue{uri("spiffe://corp/a")}, "spiffe://corp/a",
		},
		"an escape":        {alice, []asn1.RawValue{uri("spiffe://corp/%20")}, ""},
		"a port":           {alice, []asn1.RawValue{uri("spiffe://corp:1/a")}, ""},
		"a mail address":   {alice, []asn1.RawValue{mail("root@corp")}, "cn:alice"},
		"two common names": {two, nil, ""},
		"no common name":   {pkix.Name{Organization: []string{"corp"}}, nil, ""},
		"a NUL":            {pkix.Name{CommonName: "alice\x00.corp"}, nil, ""},
		"a wildcard":       {pkix.Name{CommonName: "*"}, []asn1.RawValue{dns("*.corp")}, ""},
	} {
		template := x509.Certificate{Subject: tt.subject}
		if tt.names != nil {
			template.ExtraExtensions = []pkix.Extension{altNames(t, tt.names...)}
		}
		leaf := ca.sign(t, template)
		if tt.want == "" {
			tt.want = clients.Client{}.String()
		}
		require.Equal(t, tt.want, namesIn(leaf).String(), name)
		_, err := subjectOf(tls.ConnectionState{
			PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}},
		})
		require.NoError(t, err, "%s: such a client may connect", name)
	}
	// Nobody has a name under which another reading of the certificate knows somebody else.
	for name, text := range map[string]string{
		"an empty fragment":             "spiffe://corp/a#",
		"a scheme in another case":      "Spiffe://corp/a",
		"a host in another case":        "spiffe://Corp/a",
		"an escape that isn't needed":   "spiffe://corp/%61",
		"an escape in another case":     "spiffe://corp/%c3%a9",
		"a segment that means the host": "spiffe://corp/b/../a",
		"an escape of a segment":        "spiffe://corp/b/%2E%2E/a",
	} {
		leaf := ca.sign(t, x509.Certificate{
			ExtraExtensions: []pkix.Extension{altNames(t, uri(text))},
		})
		require.Equal(t, clients.Client{}.String(), namesIn(leaf).String(), name)
		_, err := subjectOf(tls.ConnectionState{
			PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}},
		})
		require.ErrorContains(t, err, "isn't the normal one", name)
	}
	uris := []*url.URL{{Scheme: "spiffe", Host: "corp", Path: "/a"}}
	leaf := ca.sign(t, x509.Certificate{URIs: uris})
	leaf.URIs = nil
	require.Equal(t, clients.Unreadable(), namesIn(leaf), "package x509 has another number of URIs")
}
