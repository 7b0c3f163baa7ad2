// Command downloader downloads in a command of a build, in the ways that its first argument names.
// It prints what it gets. It ends with 22 if the server or the proxy refuses, and with 1 if it gets
// no answer.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const timeout = 5 * time.Second

var ways = map[string]func(args []string) error{
	"get":      get,      // URL, as most programs do
	"many":     many,     // URL COUNT, one request after another; it prints how long they took
	"unset":    unset,    // URL, without the proxy
	"tcp":      tcp,      // HOST:PORT, and one line, without the proxy
	"udp":      udp,      // HOST:PORT, and one line, without the proxy
	"connect":  connect,  // HOST:PORT, and one line through the proxy
	"http2":    http2,    // URL, with HTTP/2 through the proxy
	"fronting": fronting, // URL HOST, with another host in the request
	"pinned":   pinned,   // URL, with no certificate authority but that of the file /authority.pem
	"own":      own,      // starts a server, and asks it without the proxy
	"loopback": loopback, // URL, by the proxy although it is a loopback address
	"late":     late,     // URL, by connections to the proxy from before the end of the command
	"raw":      raw,      // the first line of a request to the proxy, and one header
	"give":     give,     // HOST:PORT FILE, passes on a connection by the proxy by the socket FILE
	"take":     take,     // FILE URL, gets a connection by the socket FILE, and uses it later
}

func main() {
	if len(os.Args) < 2 || ways[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: downloader WAY ARGUMENT...")
		os.Exit(2)
	}
	if err := ways[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "downloader:", err)
		os.Exit(1)
	}
}

func transport() *http.Transport {
	return &http.Transport{Proxy: http.ProxyFromEnvironment}
}

func ask(t *http.Transport, address, host string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	req.Host = host
	resp, err := (&http.Client{Transport: t}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	fmt.Printf("%s %d %s\n", resp.Proto, resp.StatusCode, strings.TrimSpace(string(body)))
	if resp.StatusCode >= http.StatusBadRequest {
		os.Exit(22)
	}
	return nil
}

func get(args []string) error {
	t := transport()
	t.Proxy = always // Go's own function leaves out loopback addresses, where the tests' servers are
	return ask(t, args[0], "")
}

func many(args []string) error {
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	t := transport()
	t.Proxy = always
	client := &http.Client{Transport: t, Timeout: time.Minute}
	began := time.Now()
	for range count {
		if err := discard(client, args[0]); err != nil {
			return err
		}
	}
	fmt.Printf("took %.6f seconds\n", time.Since(began).Seconds())
	return nil
}

// discard reads an answer to its end, after which the connection can be used again.
func discard(client *http.Client, address string) error {
	resp, err := client.Get(address)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the status is %s", resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// always is the proxy for all addresses.
func always(*http.Request) (*url.URL, error) { return url.Parse(os.Getenv("HTTP_PROXY")) }

func unset(args []string) error { return ask(&http.Transport{}, args[0], "") }

func tcp(args []string) error { return line("tcp", args[0]) }

func udp(args []string) error { return line("udp", args[0]) }

// line sends a line and prints the answer.
func line(network, address string) error {
	c, err := net.DialTimeout(network, address, timeout)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(c, "hello"); err != nil {
		return err
	}
	answer := make([]byte, 1000)
	n, err := c.Read(answer)
	if err != nil {
		return err
	}
	fmt.Printf("answer: %s\n", answer[:n])
	return nil
}

// toProxy sends text to the proxy, and returns the connection with the header of the answer read.
func toProxy(text string) (net.Conn, *bufio.Reader, *http.Response, error) {
	proxy, err := url.Parse(os.Getenv("HTTP_PROXY"))
	if err != nil {
		return nil, nil, nil, err
	}
	c, err := net.DialTimeout("tcp", proxy.Host, timeout)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, nil, nil, err
	}
	if _, err := io.WriteString(c, text); err != nil {
		return nil, nil, nil, err
	}
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	return c, r, resp, err
}

func connect(args []string) error {
	c, r, resp, err := toProxy("CONNECT " + args[0] + " HTTP/1.1\r\nHost: " + args[0] + "\r\n\r\n")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	defer c.Close() // before the body, which has no end
	fmt.Println("connected:", resp.Status)
	if _, err := fmt.Fprintln(c, "hello"); err != nil {
		return err
	}
	answer, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	fmt.Printf("answer: %s\n", answer)
	return nil
}

func http2(args []string) error {
	t := transport()
	t.Proxy, t.ForceAttemptHTTP2 = always, true
	return ask(t, args[0], "")
}

func fronting(args []string) error {
	t := transport()
	t.Proxy = always
	return ask(t, args[0], args[1])
}

func pinned(args []string) error {
	text, err := os.ReadFile("/authority.pem")
	if err != nil {
		return err
	}
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(text)
	t := transport()
	t.Proxy, t.TLSClientConfig = always, &tls.Config{RootCAs: authorities}
	return ask(t, args[0], "")
}

func own([]string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, "own server")
		}))
	}()
	return ask(transport(), "http://"+l.Addr().String()+"/", "")
}

func loopback(args []string) error { return get(args) }

func raw(args []string) error {
	c, _, resp, err := toProxy(args[0] + "\r\n" + args[1] + "\r\n\r\n")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	defer c.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1000))
	fmt.Printf("answer: %s %s\n", resp.Status, body)
	return err
}

// give opens a connection to a host by the proxy, and passes it on by a socket.
func give(args []string) error {
	c, _, resp, err := toProxy("CONNECT " + args[0] + " HTTP/1.1\r\nHost: " + args[0] + "\r\n\r\n")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	defer c.Close() // before the body, which has no end
	file, err := c.(*net.TCPConn).File()
	if err != nil {
		return err
	}
	defer file.Close()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: args[1], Net: "unix"})
	if err != nil {
		return err
	}
	defer l.Close()
	if err := l.SetDeadline(time.Now().Add(handTime)); err != nil {
		return err
	}
	to, err := l.AcceptUnix()
	if err != nil {
		return err
	}
	defer to.Close()
	_, _, err = to.WriteMsgUnix([]byte{0}, syscall.UnixRights(int(file.Fd())), nil)
	fmt.Println("gave a connection")
	return err
}

// handTime is how long a command waits for another one.
const handTime = 20 * time.Second

// take gets a connection that another command has opened. It requests a URL by it, after a pause in
// which the other command's build ends.
func take(args []string) error {
	c, err := taken(args[0])
	if err != nil {
		return err
	}
	fmt.Println("took a connection")
	time.Sleep(handTime / 2)
	authorities, err := x509.SystemCertPool()
	if err != nil {
		return err
	}
	return ask(&http.Transport{DialTLSContext: func(
		ctx context.Context, _, address string,
	) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		t := tls.Client(c, &tls.Config{RootCAs: authorities, ServerName: host})
		return t, t.HandshakeContext(ctx)
	}}, args[1], "")
}

// taken returns a connection that comes by a socket.
func taken(socket string) (net.Conn, error) {
	var from *net.UnixConn
	var err error
	for until := time.Now().Add(handTime); from == nil && time.Now().Before(until); {
		if from, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"}); err != nil {
			time.Sleep(handTime / 100)
		}
	}
	if err != nil {
		return nil, err
	}
	defer from.Close()
	oob := make([]byte, syscall.CmsgSpace(4)) // one file descriptor
	_, n, _, _, err := from.ReadMsgUnix(make([]byte, 1), oob)
	if err != nil {
		return nil, err
	}
	messages, err := syscall.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return nil, err
	}
	if len(messages) != 1 {
		return nil, fmt.Errorf("%d control messages arrived", len(messages))
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fds[0]), "connection")
	defer file.Close()
	return net.FileConn(file)
}

// late opens connections through the proxy, and asks nothing until the proxy takes no more, as its
// command has ended. Then it uses one after the other, until one is served.
func late(args []string) error {
	target, err := url.Parse(args[0])
	if err != nil {
		return err
	}
	proxy, err := always(nil)
	if err != nil {
		return err
	}
	var open []*tls.Conn
	for range 50 {
		c, _, resp, err := toProxy("CONNECT " + target.Host + " HTTP/1.1\r\nHost: " + target.Host +
			"\r\n\r\n")
		if err != nil {
			return err
		}
		_ = resp.Body                                             // it has no end
		t := tls.Client(c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // a test's server
		if err := t.Handshake(); err != nil {
			return err
		}
		open = append(open, t)
	}
	fmt.Println("opened")
	tick := time.NewTicker(timeout / 20)
	defer tick.Stop()
	for ; ; <-tick.C {
		c, err := net.DialTimeout("tcp", proxy.Host, timeout)
		if err != nil {
			break
		}
		c.Close()
	}
	for _, c := range open {
		<-tick.C
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", target.Path, target.Host)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			break
		}
	}
	return nil
}
