package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/internal/policytest"
	"github.com/policy-frontend/policy-frontend/policy"
)

// Judge judges LLB as eval does, and a Dockerfile as check does.
func (f suiteDir) Judge(q policytest.Question) ([]opcheck.Answer, error) {
	if q.File.LLB == "" {
		return f.judgeDockerfile(q)
	}
	data, err := f.read(q.File.LLB, llbops.MaxSize)
	if err != nil {
		return nil, err
	}
	list, err := operationsOf(q.File.LLB, data, q.OwnLLB, q.Layers.NamesClients())
	if err != nil {
		return nil, err
	}
	answers, err := check(opcheck.Check, q.Layers, q.Request, q.Decision, list)
	return slices.DeleteFunc(answers, func(a opcheck.Answer) bool {
		return a.Verdict == policy.Allow
	}), err
}

// read reads a file in the directory or below, of at most as many bytes as the limit.
func (f suiteDir) read(name string, limit int64) ([]byte, error) {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // reading a pipe may never end
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	file, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", name, limit)
	}
	return data, err
}
