package main

import (
	"log/slog"
	"net"
	"os"
)

// States of the program that systemd knows (sd_notify(3)).
const (
	isReady    = "READY=1"
	isStopping = "STOPPING=1"
)

// managerVariable has the address of systemd's socket, which systemd sets for Type=notify.
const managerVariable = "NOTIFY_SOCKET"

// tellManager tells systemd the state of the program, if systemd waits for it. A program that can't
// say so goes on: systemd ends it, or says why it doesn't.
func tellManager(state string, log *slog.Logger) {
	address := os.Getenv(managerVariable)
	if address == "" {
		return
	}
	// A name that begins with @ is abstract, for Go as for systemd.
	socket, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err == nil {
		_, err = socket.Write([]byte(state))
		_ = socket.Close()
	}
	if err != nil {
		log.Warn("systemd can't be told the program's state", "state", state, "why", err.Error())
	}
}
