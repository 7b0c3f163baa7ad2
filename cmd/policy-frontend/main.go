// Command policy-frontend is the program of the policy frontend's image. Started
// by BuildKit it serves one build; otherwise it is a command line that tries out
// and checks policies.
package main

import "os"

func main() {
	// BuildKit starts a frontend with no arguments and names the session in the
	// environment (BuildKit's frontend/gateway/gateway.go).
	if len(os.Args) == 1 && os.Getenv("BUILDKIT_SESSION_ID") != "" {
		os.Exit(serve(os.Stderr))
	}
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
}
