// Command sshkeys prints the comment of the first key of the ssh-agent at
// SSH_AUTH_SOCK.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

func main() {
	comment, err := firstKey(os.Getenv("SSH_AUTH_SOCK"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "sshkeys:", err)
		os.Exit(1)
	}
	fmt.Println(comment)
}

func firstKey(socket string) (string, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte{0, 0, 0, 1, 11}); err != nil { // list the keys
		return "", err
	}
	answer, err := readString(conn)
	if err != nil {
		return "", err
	}
	if len(answer) < 5 || answer[0] != 12 || binary.BigEndian.Uint32(answer[1:]) == 0 {
		return "", errors.New("the agent has no key")
	}
	_, rest, err := cut(answer[5:]) // the key itself
	if err != nil {
		return "", err
	}
	comment, _, err := cut(rest)
	return string(comment), err
}

// readString reads a string of the SSH protocols: its length, then its bytes.
func readString(r io.Reader) ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	s := make([]byte, min(binary.BigEndian.Uint32(head), 1<<16))
	_, err := io.ReadFull(r, s)
	return s, err
}

// cut splits a string of the SSH protocols off the bytes that follow it.
func cut(b []byte) (s, rest []byte, err error) {
	if len(b) < 4 || uint64(len(b)-4) < uint64(binary.BigEndian.Uint32(b)) {
		return nil, nil, io.ErrUnexpectedEOF
	}
	n := 4 + int(binary.BigEndian.Uint32(b))
	return b[4:n], b[n:], nil
}
