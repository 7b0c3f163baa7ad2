// Package imageref reads image references and patterns of image names, and compares
// them in one canonical form.
//
// [Parse] reads a reference as Docker users write it:
//
//	ref, err := imageref.Parse("docker/dockerfile:1")
//	ref.String() // "docker.io/docker/dockerfile:1"
//
// [ParsePattern] reads a pattern of allowed names, and [ParseDenyPattern] one of denied names. A
// pattern of allowed names means the least that its words can mean, and one of denied names the
// most.
//
// In a pattern, "*" stands for any run of characters within one path component, the empty one
// included. "**" is a whole component and stands for any number of components. At the end of a
// pattern it stands for at least one, so "corp.example/tools/**" doesn't match
// "corp.example/tools". In a host, "*" stays within one label, and "**" stands for any number of
// labels. The port "*" stands for any port, the default one included.
//
// # Canonical form
//
// Registries and clients accept many spellings of one name. In the canonical form,
//   - the host is in lower case,
//   - the host is docker.io where it was implied or written index.docker.io,
//   - a name of one component on docker.io is in the directory library,
//   - the port 443, which every registry client uses by default, is left out,
//   - other ports have no leading zeros, and an IPv6 address has one spelling,
//   - a reference without tag and digest has the tag latest.
//
// Only a comparison of canonical forms is safe: "DOCKER.IO/x" and "docker.io:443/x"
// would otherwise escape a rule on docker.io/x.
package imageref
