// Command policy-frontend is the program in the policy frontend's image. When BuildKit starts
// it, it serves one build. Otherwise it is a command-line tool for policy authors.
package main

import "os"

func main() {
	// BuildKit starts a frontend without arguments and names the session in the environment
	// (BuildKit's frontend/gateway/gateway.go).
	if len(os.Args) == 1 && os.Getenv("BUILDKIT_SESSION_ID") != "" {
		os.Exit(serve(os.Stderr))
	}
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
}
