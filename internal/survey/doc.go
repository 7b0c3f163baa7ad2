// Package survey says what a policy would answer to builds, without running them and without a
// network.
//
// It runs the Dockerfile frontend that is a part of this program. A client that has the build file,
// and an empty configuration for each image, stands in for the daemon. Package llbops reads what
// the frontend would ask for, and package policy decides on it, as in a build.
//
//	s := survey.Survey{Layers: layers, Policies: []*policy.Policy{embedded}, Time: now}
//	result := s.Check(ctx, survey.Build{File: "Dockerfile", Data: data})
//
// What only a registry, a daemon or a person could know has the verdict Undecidable: the user that
// a base image sets, a build-arg without a default, or what another frontend does.
package survey
