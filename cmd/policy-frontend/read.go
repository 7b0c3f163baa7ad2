package main

import (
	"io"
	"os"

	"github.com/policy-frontend/policy-frontend/policy"
)

// readPolicy reads and parses a policy file with the parser, whose limit is in
// bytes. No more than one byte beyond the limit is read.
func readPolicy(file string, limit int64, parse func(string, []byte) (*policy.Policy, error)) (*policy.Policy, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	return parse(file, data)
}
