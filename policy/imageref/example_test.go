package imageref_test

import (
	"fmt"

	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

func ExampleParse() {
	ref, err := imageref.Parse("DOCKER.io:443/docker/dockerfile")
	if err != nil {
		panic(err)
	}
	fmt.Println(ref)
	fmt.Println(ref.Familiar())
	// Output:
	// docker.io/docker/dockerfile:latest
	// docker/dockerfile:latest
}

func ExampleParsePattern() {
	p, err := imageref.ParsePattern("docker/*")
	if err != nil {
		panic(err)
	}
	ref, err := imageref.Parse("docker/dockerfile:1")
	if err != nil {
		panic(err)
	}
	fmt.Println(p, p.Match(ref))
	// Output: docker.io/docker/* true
}
