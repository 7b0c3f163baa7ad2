package guard

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/vsa"
)

const (
	// signTime bounds the time of a command that signs, and the time before in which it waits for
	// others.
	signTime = 10 * time.Second
	// maxSigning is how many such commands run at once. Each build of each client may want one.
	maxSigning = 4
	// maxSignOutput bounds what it prints, in bytes, to each of its outputs.
	maxSignOutput = 16 << 10
)

// signCommand is a [vsa.Signer] that has a program sign.
type signCommand struct {
	args    []string
	public  vsa.PublicKey
	running chan struct{} // has one for each command that runs
}

// SignCommand returns a signer that runs a program for each signature, as for a key in a KMS or an
// HSM. The words of the line are the program and its arguments; no shell reads them. The program
// gets the message on standard input, and prints the signature: its bytes, or base64. It may take
// ten seconds. Four run at once; further ones wait up to ten seconds. The public key verifies each
// signature.
func SignCommand(line string, public vsa.PublicKey) (vsa.Signer, error) {
	args := strings.Fields(line)
	if len(args) == 0 {
		return nil, errors.New("it is empty")
	}
	if _, err := exec.LookPath(args[0]); err != nil {
		return nil, err
	}
	return signCommand{args, public, make(chan struct{}, maxSigning)}, nil
}

// Public implements [vsa.Signer].
func (s signCommand) Public() vsa.PublicKey { return s.public }

// Sign implements [vsa.Signer].
func (s signCommand) Sign(ctx context.Context, message []byte) ([]byte, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	defer func() { <-s.running }()
	ctx, cancel := context.WithTimeout(ctx, signTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.args[0], s.args[1:]...)
	cmd.WaitDelay = time.Second // for what it has started itself, and left
	var stdout, stderr bytes.Buffer
	cmd.Stdin = bytes.NewReader(message)
	cmd.Stdout = &bounded{Writer: &stdout, left: maxSignOutput}
	cmd.Stderr = &bounded{Writer: &stderr, left: maxSignOutput}
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s didn't end within %s", s.args[0], signTime)
	}
	if err != nil {
		text := safetext.OneLine(safetext.Lines(stderr.String()))
		return nil, fmt.Errorf("%s failed: %w: %.500s", s.args[0], err, text)
	}
	sig := stdout.Bytes()
	if s.public.Verifies(message, sig) {
		return sig, nil
	}
	text := strings.Join(strings.Fields(string(sig)), "")
	if decoded, err := base64.StdEncoding.DecodeString(text); err == nil &&
		s.public.Verifies(message, decoded) {
		return decoded, nil
	}
	return nil, fmt.Errorf("what %s printed is no signature by the key of --sign-key", s.args[0])
}

// wait waits until the command may run.
func (s signCommand) wait(ctx context.Context) error {
	timeout := time.NewTimer(signTime)
	defer timeout.Stop()
	select {
	case s.running <- struct{}{}:
		return nil
	case <-timeout.C:
		return fmt.Errorf("%d of %s were running for %s", maxSigning, s.args[0], signTime)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// bounded writes at most that many bytes, and fails then.
type bounded struct {
	io.Writer
	left int
}

// Write implements [io.Writer].
func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errors.New("it prints too much")
	}
	return b.Writer.Write(p)
}
