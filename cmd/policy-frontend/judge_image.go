//go:build image

package main

import (
	"errors"

	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/internal/policytest"
)

// judgeDockerfile says why the image's program reads no Dockerfile: it has no check.
func (suiteDir) judgeDockerfile(policytest.Question) ([]opcheck.Answer, error) {
	return nil, errors.New("the image's program doesn't read Dockerfiles; install the complete one")
}
