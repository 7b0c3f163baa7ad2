// Package provision gets the programs that the end-to-end tests and the demo run.
//
// [Prepare] builds the programs that tools/go.mod pins and installs the ones that come
// from the distribution. [Tools.ChooseBuildkitd] adds an older or a rootless buildkitd,
// [Tools.Engine] a Docker Engine. [Tools.GoToolchain] and [Tools.GoModules] list the files
// of an image in which the product can be built without a network.
//
// Everything that is built is kept in the directory .build of the repository and is built
// again only when its inputs change. The package starts no daemon and makes no image.
package provision
