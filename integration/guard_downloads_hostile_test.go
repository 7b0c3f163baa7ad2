package integration

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// lineServer answers each line over TCP and UDP on one port, until the test ends. It returns the
// address, and a function that reports whether anything has arrived.
func lineServer(t *testing.T) (address string, reached func() bool) {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { tcp.Close() })
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { udp.Close() })
	arrived := make(chan struct{}, 100)
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			arrived <- struct{}{}
			_, _ = c.Write([]byte("reached\n"))
			c.Close()
		}
	}()
	go answerPackets(udp, func([]byte) []byte {
		arrived <- struct{}{}
		return []byte("reached\n")
	})
	return tcp.Addr().String(), func() bool { return len(arrived) > 0 }
}

// answerPackets answers each message on a connection until that is closed. A message whose answer
// is nil gets none.
func answerPackets(conn net.PacketConn, answer func(message []byte) []byte) {
	buf := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if a := answer(buf[:n]); a != nil {
			_, _ = conn.WriteTo(a, from)
		}
	}
}

// Each way is tried by a command that would go on after an error. What reaches the outside is in
// docs/threat-model.md.
func TestHostileCommandsUnderRulesOnDownloads(t *testing.T) {
	t.Parallel()
	w := newDownloads(t)
	w.config.Entitlements = []string{"network.host"}
	_, build := w.guard(t, w.policy(""))
	address, reached := lineServer(t)
	plain := strings.TrimPrefix(w.http, "http://")
	const alsoFails = " || echo went $((1 + 1))"

	for name, tc := range map[string]struct {
		command string
		refused bool   // the build is
		shows   string // in the progress of a build that isn't refused
		args    []string
	}{
		"raw TCP": {
			command: "downloader tcp 192.0.2.1:80", shows: "network is unreachable",
		},
		"raw TCP to loopback, which is the container's own": {
			command: "downloader tcp " + address, shows: "connection refused",
		},
		"no proxy variables": {
			command: "env -u HTTP_PROXY -u HTTPS_PROXY -u http_proxy -u https_proxy downloader unset http://" +
				address + "/denied/unset", shows: "connection refused", // the container's own loopback
		},
		"raw TCP to the proxy's network": {
			command: "downloader tcp 10.89.0.1:22", shows: "downloader: ",
		},
		"an IP literal in another spelling": {
			command: "downloader get http://127.1:" + plain[strings.LastIndex(plain, ":")+1:] +
				"/allowed/literal", refused: true,
		},
		"CONNECT to another port, without TLS": {
			command: "downloader connect " + address, shows: "downloader: ",
		},
		"HTTP/2": {
			command: "downloader http2 " + w.https + "/denied/http2", refused: true,
		},
		"HTTP/2 without TLS": {
			command: `downloader raw "PRI * HTTP/2.0" "Host: denied.example"`, refused: true,
		},
		"a path with dots": {
			command: "downloader get " + w.http + "/allowed/../denied/dots", refused: true,
		},
		"a path with encoded dots": {
			command: "downloader get " + w.http + "/allowed/%2e%2e/denied/encoded", refused: true,
		},
		"another scheme in the request": {
			command: `downloader raw "GET docker-image://docker.io/library/busybox:latest HTTP/1.1" ` +
				`"Host: ` + plain + `"`, shows: "answer: ",
		},
		"a relative request with a Host": {
			command: `downloader raw "GET /denied/relative HTTP/1.1" "Host: ` + plain + `"`, refused: true,
		},
		"an absolute request with another Host": {
			command: `downloader raw "GET ` + w.http + `/denied/absolute HTTP/1.1" "Host: allowed.example"`,
			refused: true,
		},
		"a request without a host": {
			command: `downloader raw "GET http:denied HTTP/1.1" "Host: ` + plain + `"`, refused: true,
		},
		"the allowed host as the user": {
			command: "downloader get http://" + plain + "@" + address + "/allowed/user", refused: true,
		},
		"a redirect to a denied URL": {
			command: "downloader get " + w.http + "/allowed/redirect/" + plain + "/denied/redirected",
			refused: true,
		},
		"DNS": {
			command: "downloader udp " + address, shows: "downloader: ",
		},
		"the host's network": {
			command: "downloader get http://" + address + "/denied/host", refused: true,
			args: []string{"--network=host", "--allow=network.host"},
		},
		"the host's network, by raw TCP": {
			command: "downloader tcp " + address, shows: "connection refused",
			args: []string{"--network=host", "--allow=network.host"},
		},
		"a server of its own": {
			command: "downloader own", shows: "200 own server",
		},
		"a service on the host's loopback by the proxy": {
			command: "NO_PROXY= downloader get http://" + address + "/denied/loopback", refused: true,
		},
		"a pinned authority": {
			command: "downloader pinned " + w.https + "/denied/pinned", shows: "certificate",
		},
		"many requests at once": {
			command: "for i in 1 2 3 4 5 6 7 8; do downloader get " + w.http +
				"/denied/many$i & done; wait", refused: true,
		},
		"a request and then another one on the connection": {
			command: "downloader get " + w.https + "/allowed/a && downloader get " + w.https +
				"/denied/second", refused: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := w.dockerfile(t, "("+tc.command+")"+alsoFails)
			o := build(t, dir, tc.args...)
			if tc.refused {
				o.RequireFailure(t, refusedDownload)
				require.NotContains(t, o.Text(), "went 2")
			} else {
				o.RequireSuccess(t)
				require.Contains(t, o.Text(), tc.shows)
			}
			require.False(t, reached(), o.Text())
		})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, asked := range w.asked {
		if !strings.Contains(asked, "/allowed/redirect/") {
			require.NotContains(t, asked, "/denied/")
		}
	}
}

// What is judged is the host in the URL, and the daemon looks it up. A client chooses the addresses
// that commands see for names, and they change neither what is judged nor where a request goes.
func TestAddressesOfACommandChangeNothingInWhatIsJudged(t *testing.T) {
	t.Parallel()
	w := newDownloads(t)
	port := w.http[strings.LastIndex(w.http, ":"):]
	_, build := w.guard(t, fmt.Sprintf(`version: 1
frontends:
  - name: dockerfile
    match: [docker/dockerfile]
    dispatch: builtin
    build: {exec: {downloads: {allow: ["http://localhost%s/allowed/**"]}}}
`, port))
	get := func(name, path string) string {
		return "downloader get http://" + name + port + path + " || echo went $((1 + 1))"
	}
	elsewhere := []string{
		"--add-host=localhost:192.0.2.1", "--add-host=elsewhere.example:127.0.0.1",
	}
	for _, args := range [][]string{nil, elsewhere} {
		o := build(t, w.dockerfile(t, "cat /etc/hosts; "+get("localhost", "/allowed/named")), args...)
		require.Contains(t, o.RequireSuccess(t).Text(), "200 served")
		require.Equal(t, args != nil, strings.Contains(o.Text(), "192.0.2.1"))
	}
	require.Equal(t, 2, w.count("/allowed/named"))
	o := build(t, w.dockerfile(t, get("elsewhere.example", "/allowed/renamed")), elsewhere...)
	o.RequireFailure(t, refusedDownload, "request for http://elsewhere.example"+port)
	require.NotContains(t, o.Text(), "went 2")
	require.False(t, w.got("/allowed/renamed"))
}

// What rules on downloads can't see: the daemon asks about the URL, and a request has a Host
// besides.
func TestDomainFrontingUnderRulesOnDownloads(t *testing.T) {
	t.Parallel()
	w := newDownloads(t)
	_, build := w.guard(t, w.policy(""))
	o := build(t, w.dockerfile(t, "downloader fronting "+w.https+"/allowed/fronting hidden.example"))
	o.RequireSuccess(t)
	require.True(t, w.got("hidden.example/allowed/fronting"),
		"it passes, as docs/threat-model.md says")
	build(t, w.dockerfile(t, "downloader fronting "+w.http+"/allowed/plain hidden.example"))
	require.False(t, w.got("hidden.example/allowed/plain"), "the proxy sets the Host without TLS")
}
