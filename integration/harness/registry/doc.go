// Package registry is the registry of the end-to-end tests, and the images in it.
//
// [New] starts a registry in this process, which records what it is asked for.
// [Registry.PushFrontend] packs a static program as a frontend image, [PackLayer] and
// [NewImage] make other images, and [Registry.AppendFile] derives one image from another.
// [ReadOCI] and [Registry.ReadImage] show what is in an image that a build made.
package registry
