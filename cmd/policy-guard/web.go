package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/policy-frontend/policy-frontend/guard"
)

// Bounds of the HTTP server, which has one purpose and no secrets.
const (
	webTimeout    = 10 * time.Second // of a request
	maxWebHeaders = 8 << 10          // bytes
	maxScrapes    = 4                // at once
)

// web is the HTTP server for metrics and health. A nil *web serves nothing.
type web struct {
	listener net.Listener
	server   *http.Server
	once     sync.Once
	closed   chan struct{}
}

// openWeb listens on the address, unless it is "".
func openWeb(address string, m *metrics, g *guard.Guard) (*web, error) {
	w := &web{closed: make(chan struct{})}
	if address == "" {
		return w, nil
	}
	var err error
	if path, ok := strings.CutPrefix(address, "unix://"); ok && strings.HasPrefix(path, "/") {
		w.listener, err = openSocket(path)
	} else {
		hostPort := strings.TrimPrefix(address, "tcp://")
		if _, _, wrong := net.SplitHostPort(hostPort); wrong != nil {
			return nil, usageError{fmt.Errorf("--metrics: %s is neither tcp://host:port nor unix:///path",
				address)}
		}
		w.listener, err = net.Listen("tcp", hostPort)
	}
	if err != nil {
		return nil, fmt.Errorf("--metrics: %w", err)
	}
	m.watch(g)
	w.server = &http.Server{
		Handler: webHandler(m, g), ReadTimeout: webTimeout, WriteTimeout: webTimeout,
		IdleTimeout: webTimeout, MaxHeaderBytes: maxWebHeaders,
	}
	return w, nil
}

// webHandler serves the metrics, and whether the program lives and is ready.
func webHandler(m *metrics, g *guard.Guard) http.Handler {
	scrape := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		_, _ = g.Policy() // it looks whether the policy has changed
		scrape.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := g.Ready(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
		if p, problem := g.Policy(); problem != nil {
			fmt.Fprintf(w, "the policy isn't valid, so the last good one stays in force: %s\n", p.Digest())
		}
	})
	return mux
}

// serve serves until close.
func (w *web) serve() error {
	if w.server == nil {
		<-w.closed
		return nil
	}
	if err := w.server.Serve(w.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("--metrics: %w", err)
	}
	return nil
}

func (w *web) close() {
	w.once.Do(func() {
		close(w.closed)
		if w.server != nil {
			_ = w.server.Close()
		}
	})
}
