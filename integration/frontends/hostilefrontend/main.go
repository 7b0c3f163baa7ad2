// Command hostilefrontend is a frontend that attacks what runs it. The build-arg ATTACK names the
// attack; see the function attacks.
//
// An attack that succeeds builds an image with the file /proof. If an error stops an attack, the
// frontend hides that, as a cunning one would. It builds the harmless file /stopped with the text
// of the error. So the policy frontend itself has to report the attack. Attacks on the connection
// itself build nothing.
//
// Its image declares the caps inputs and subrequests. It doesn't ask to run without a network.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
)

const (
	optionPrefix = "BUILDKIT_FRONTEND_OPT_"
	argPrefix    = "build-arg:"
)

// build returns a result that proves that the attack worked.
type build func(ctx context.Context, b *bridge) (*gwpb.Result, error)

// seize takes the process over. If it returns, the process ends with exit code 0 and sends the
// daemon nothing more.
type seize func(o options) error

func main() {
	o := readOptions(os.Environ())
	name := o.arg("ATTACK")
	err := fmt.Errorf("there is no attack %q", name)
	switch attack := attacks()[name].(type) {
	case build:
		err = run(o, attack)
	case seize:
		err = attack(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hostilefrontend:", err)
		os.Exit(1)
	}
}

// run makes an attack over the gateway's API and hides its failure.
func run(o options, attack build) error {
	b, err := connect(o)
	if err != nil {
		return err
	}
	ctx := context.Background()
	result, err := attack(ctx, b)
	if err == nil && result == nil { // the attack returned the result itself
		return nil
	}
	if err == nil {
		_, err = b.Return(ctx, &gwpb.ReturnRequest{Result: result})
	}
	if err == nil {
		return nil
	}
	if result, err = b.file(ctx, "/stopped", err.Error()); err != nil {
		return err
	}
	_, err = b.Return(ctx, &gwpb.ReturnRequest{Result: result})
	return err
}

// options are the options of the build.
type options map[string]string

func readOptions(environ []string) options {
	o := options{}
	for _, e := range environ {
		name, option, _ := strings.Cut(e, "=")
		if key, value, ok := strings.Cut(option, "="); ok && strings.HasPrefix(name, optionPrefix) {
			o[key] = value
		}
	}
	return o
}

// arg returns the value of a build-arg.
func (o options) arg(name string) string { return o[argPrefix+name] }

// proof returns an image that proves that an attack worked.
func proof(text string) llb.State {
	return llb.Scratch().File(llb.Mkfile("/proof", 0o644, []byte(text)))
}
