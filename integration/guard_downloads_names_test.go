package integration

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/policy-frontend/policy-frontend/internal/record"
)

// nameServer answers each question for a name's address by the next of its addresses, and from then
// on by the last one.
type nameServer struct {
	addresses []netip.Addr

	mu    sync.Mutex
	asked map[string]int // by name, with a dot at its end
}

// serve answers on port 53 of a loopback address until the test ends. It returns the file that
// names the server as /etc/resolv.conf does.
func (s *nameServer) serve(t *testing.T) (file string) {
	t.Helper()
	s.asked = map[string]int{}
	var conn net.PacketConn
	var err error
	for i := 1; i < 255; i++ { // other tests may have one of these
		if conn, err = net.ListenPacket("udp", fmt.Sprintf("127.53.53.%d:53", i)); err == nil {
			break
		}
	}
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	go answerPackets(conn, s.answer)
	host, _, err := net.SplitHostPort(conn.LocalAddr().String())
	require.NoError(t, err)
	return forDaemon(t, []byte("nameserver "+host+"\n"))
}

// answer answers a message. It is nil for one that isn't DNS.
func (s *nameServer) answer(question []byte) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return nil
	}
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	for _, q := range m.Questions {
		if q.Type != dnsmessage.TypeA {
			continue
		}
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}, // for 0 seconds
			Body:   &dnsmessage.AResource{A: s.next(q.Name.String()).As4()},
		})
	}
	answer, err := m.Pack()
	if err != nil {
		return nil
	}
	return answer
}

func (s *nameServer) next(name string) netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	address := s.addresses[min(s.asked[name], len(s.addresses)-1)]
	s.asked[name]++
	return address
}

// times returns how often an address of a name was asked for.
func (s *nameServer) times(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[name]
}

// onOnePort starts servers at addresses, on a port that is free at all of them. Each answers with
// its address.
func onOnePort(t *testing.T, addresses ...netip.Addr) (port uint16) {
	t.Helper()
	var listeners []net.Listener
	for tries := 0; len(listeners) < len(addresses); {
		l, err := net.Listen("tcp", netip.AddrPortFrom(addresses[len(listeners)], port).String())
		if err == nil {
			listeners = append(listeners, l)
			port = l.Addr().(*net.TCPAddr).AddrPort().Port()
			continue
		}
		for _, l := range listeners {
			l.Close()
		}
		listeners, port = nil, 0
		tries++
		require.Less(t, tries, 20, "%v", err)
	}
	for i, l := range listeners {
		answer := func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close") // the next request looks up the name again
			fmt.Fprintln(w, "served by", addresses[i])
		}
		server := httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(answer)}}
		server.Start()
		t.Cleanup(server.Close)
	}
	return port
}

// Rules on downloads judge names. The daemon looks an allowed one up for each request, and connects
// to whatever address it gets, also to one that the rules deny by itself.
func TestNamesThatChangeTheirAddressUnderRulesOnDownloads(t *testing.T) {
	t.Parallel()
	env.NeedsRoot(t, "a rootless one has a name server of its own")
	env.NeedsOwnDaemon(t, "it gets a name server")
	w := newDownloads(t)
	first, second := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	names := &nameServer{addresses: []netip.Addr{first, second}}
	w.config.Resolver = names.serve(t)
	port := onOnePort(t, first, second)
	path := filepath.Join(t.TempDir(), "record")
	_, build := w.guard(t, fmt.Sprintf(`version: 1
frontends:
  - name: dockerfile
    match: [docker/dockerfile]
    dispatch: builtin
    build:
      exec:
        downloads:
          allow: ["http://changes.example:%d/**"]
          deny: ["http://%s:%d/**"]
`, port, second, port), "--record", path)
	url := func(host, path string) string { return fmt.Sprintf("http://%s:%d%s", host, port, path) }
	judged := func(e *record.Entry) (urls []string) {
		for _, d := range e.Downloads {
			urls = append(urls, d.URL+" "+d.Verdict)
		}
		return urls
	}

	a, b := url("changes.example", "/a"), url("changes.example", "/b")
	o := build(t, w.dockerfile(t, "downloader get "+a+" && downloader get "+b)).RequireSuccess(t)
	require.Regexp(t, `(?s)200 served by 127\.0\.0\.1\n.*200 served by 127\.0\.0\.2\n`, o.Text())
	require.Equal(t, 2, names.times("changes.example."))
	require.ElementsMatch(t, []string{a + " allow", b + " allow"}, judged(lastOf(t, path)))

	for _, host := range []string{"other.example", second.String()} {
		denied := url(host, "/c")
		o := build(t, w.dockerfile(t, "downloader get "+denied+" || echo went $((1 + 1))"))
		o.RequireFailure(t, refusedDownload, "request for "+denied)
		require.NotContains(t, o.Text(), "went 2")
		require.Equal(t, []string{denied + " deny"}, judged(lastOf(t, path)))
	}
	require.Zero(t, names.times("other.example."), "nobody looks up a name that is refused")
}
