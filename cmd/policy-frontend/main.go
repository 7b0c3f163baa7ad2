// Command policy-frontend is the program in the policy frontend's image. When BuildKit starts
// it, it serves one build. Otherwise it is a command-line tool for policy authors.
package main

import "os"

func main() {
	// BuildKit starts a frontend with the arguments of its image's entrypoint, and names the session
	// in the environment (BuildKit's frontend/gateway/gateway.go).
	if os.Getenv("BUILDKIT_SESSION_ID") != "" {
		switch {
		case len(os.Args) == 1:
			os.Exit(serve(os.Stderr, false))
		case len(os.Args) == 2 && os.Args[1] == "--"+policyFromGuard:
			os.Exit(serve(os.Stderr, true))
		}
	}
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
}
