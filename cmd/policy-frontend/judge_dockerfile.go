//go:build !image

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"

	"github.com/policy-frontend/policy-frontend/internal/buildfiles"
	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/policytest"
	"github.com/policy-frontend/policy-frontend/internal/survey"
)

// judgeDockerfile returns the answers to what a Dockerfile asks for, without those that are simply
// allowed.
func (f suiteDir) judgeDockerfile(q policytest.Question) ([]opcheck.Answer, error) {
	data, err := f.read(q.File.Dockerfile, buildfiles.MaxSize)
	if err != nil {
		return nil, err
	}
	s := survey.Survey{Layers: q.Layers, Policies: q.Policies, Time: q.Request.Time}
	b := survey.Build{
		File: q.File.Dockerfile, Data: data, Inputs: q.Request.Inputs, Options: map[string]string{},
	}
	maps.Copy(b.Options, q.Request.Options)
	b.Options["filename"] = path.Base(q.File.Dockerfile)
	if q.File.Target != "" {
		b.Options["target"] = q.File.Target
	}
	for name, value := range q.File.Args {
		b.Options[optionkeys.BuildArgPrefix+name] = value
	}
	result := s.CheckWith(context.Background(), b, q.Decision)
	if result.Error != "" {
		return nil, errors.New(placeIn(result.File, result.Line) + ": " + result.Error)
	}
	var out []opcheck.Answer
	for _, found := range result.Findings {
		a := opcheck.Answer{
			Verdict: found.Verdict, Asked: found.Asked, Rule: found.Rule, Layer: found.Layer,
			Reason: found.Reason, Messages: append([]string{}, found.Messages...),
			Allowed: found.Allowed, Contact: found.Contact,
		}
		if found.Line > 0 {
			a.At = fmt.Sprintf("line %d", found.Line)
		}
		out = append(out, a)
	}
	return out, nil
}
