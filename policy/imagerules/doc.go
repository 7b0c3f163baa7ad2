// Package imagerules has the rules on images, and is where all of them are compared with an image:
// the rules of a policy on the images of frontends, and those on the images that a build reads.
//
// A rule compares the name, the tag, the digest and the time. In doubt, it refuses: an allow rule
// misses where a condition is uncertain, and a deny rule matches.
package imagerules
