package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
)

// askFlags are the flags of the commands that answer what a build asks for.
type askFlags struct {
	requestFlags
	built  buildFlags
	wishes wishFlags
	ownLLB bool
}

func (f *askFlags) add(cmd *cobra.Command) {
	f.requestFlags.add(cmd)
	f.built.add(cmd)
	f.wishes.add(cmd)
	cmd.Flags().BoolVar(&f.ownLLB, "own-llb", false,
		"the client sends LLB of its own, which only policy-guard sees; there is no REF")
}

// args checks the number of arguments.
func (f *askFlags) args(cmd *cobra.Command, args []string) error {
	switch {
	case !f.ownLLB:
		return some("reference")(cmd, args)
	case len(args) > 0:
		return errors.New("LLB of the client's own has no frontend; remove the reference, or --own-llb")
	}
	return nil
}

// question is what the arguments and flags ask.
type question struct {
	layers     policy.Layers
	requests   []policy.Request // at least one; for LLB of the client's own, it has only a time
	operations []asked
	wishes     []opcheck.Wish
}

func (f *askFlags) read(args []string) (question, error) {
	var q question
	var err error
	if f.ownLLB {
		q.layers, q.requests, err = f.readOwn()
	} else {
		q.layers, q.requests, err = f.requestFlags.read(args, f.built.operations, f.built.llb)
	}
	if err != nil {
		return q, err
	}
	if q.operations, err = f.built.read(f.ownLLB, q.layers.NamesClients()); err != nil {
		return q, err
	}
	q.wishes, err = f.wishes.read()
	return q, err
}

// readOwn is [requestFlags.read] for LLB of the client's own.
func (f *askFlags) readOwn() (policy.Layers, []policy.Request, error) {
	err := oneStdin(f.built.operations, f.built.llb, f.policy, f.overlay)
	if err != nil {
		return policy.Layers{}, nil, err
	}
	at, err := parseAt(f.at)
	if err != nil {
		return policy.Layers{}, nil, err
	}
	layers, opts, err := f.context()
	if err != nil {
		return layers, nil, err
	}
	if f.digest != "" || len(f.inputs)+len(opts) > 0 {
		given := slices.Sorted(maps.Keys(opts))
		for i, key := range given {
			given[i] = "--opt " + safetext.Plain(key)
		}
		if f.digest != "" {
			given = append(given, "--digest")
		}
		if len(f.inputs) > 0 {
			given = append(given, "--input")
		}
		return layers, nil, fmt.Errorf("LLB of the client's own has no frontend; remove %s, or --own-llb",
			safetext.And(given))
	}
	return layers, []policy.Request{{Time: at}}, nil
}

// asked reports whether there is anything but the frontend to answer.
func (f *askFlags) asked() bool { return f.built.given() || f.wishes.given() }

// answers returns the answers to the operations and the wishes of a build.
func (q *question) answers(
	ask answerer, r policy.Request, d policy.Decision,
) ([]opcheck.Answer, error) {
	out, err := check(ask, q.layers, r, d, q.operations)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	for _, w := range q.wishes {
		out = append(out, w.Check(q.layers, d))
	}
	return out, nil
}
