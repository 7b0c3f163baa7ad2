package main

import (
	"fmt"
	"os"

	"github.com/policy-frontend/policy-frontend/guard"
	"github.com/policy-frontend/policy-frontend/internal/attached"
	"github.com/policy-frontend/policy-frontend/internal/lock"
	"github.com/policy-frontend/policy-frontend/vsa"
)

// signed returns how images get summaries; nil if they get none.
func (f flags) signed() (*guard.Summaries, error) {
	if f.signKey == "" {
		return nil, nil
	}
	signer, err := f.signer()
	if err != nil {
		return nil, err
	}
	s := &guard.Summaries{Signer: signer, Version: version, Folder: f.summaries}
	if f.summaries != "" {
		if info, err := os.Stat(f.summaries); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("--summaries: %s isn't a folder", f.summaries)
		}
	}
	if f.pushSummaries {
		s.Push = attached.Registries{Registry: lock.NewRegistry(f.insecure)}.Push
	}
	return s, nil
}

// signer returns what signs: a key, or a command.
func (f flags) signer() (vsa.Signer, error) {
	if f.signCommand == "" {
		key, err := readSecret(f.signKey)
		if err != nil {
			return nil, fmt.Errorf("--sign-key: %w", err)
		}
		signer, err := vsa.ParsePrivateKey(key)
		if err != nil {
			return nil, fmt.Errorf("--sign-key: %s: %w", f.signKey, err)
		}
		return signer, nil
	}
	key, err := os.ReadFile(f.signKey)
	if err != nil {
		return nil, fmt.Errorf("--sign-key: %w", err)
	}
	public, err := vsa.ParsePublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("--sign-key: %s: %w (with --sign-command, it is the public key)",
			f.signKey, err)
	}
	signer, err := guard.SignCommand(f.signCommand, public)
	if err != nil {
		return nil, fmt.Errorf("--sign-command: %w", err)
	}
	return signer, nil
}
