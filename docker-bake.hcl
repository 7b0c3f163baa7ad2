# Every image that a build starts from is a variable, so no build depends on a registry that isn't
# yours.

variable "VERSION" {
  default     = "dev"
  description = "Stamped into the binary and the image's version label."
}

variable "REVISION" {
  default     = ""
  description = "Commit that is built; goes into the image's revision label."
}

variable "IMAGE" {
  default     = "policy-frontend:dev"
  description = "Full reference of the image, with registry and tag. Several are separated by commas."
}

variable "GUARD_IMAGE" {
  default     = "policy-guard:dev"
  description = "Full reference of policy-guard's image. Several are separated by commas."
}

variable "MEDIATOR" {
  default     = "policy-frontend-mediator:dev"
  description = "Full reference of the image for policy-guard's --image. Several are separated by commas."
}

variable "GO_IMAGE" {
  default     = "golang:1.26.8-alpine"
  description = "Image with the Go toolchain; needs no more than go and /bin/sh."
}

variable "SBOM_SCANNER" {
  default     = "docker/buildkit-syft-scanner:stable-1"
  description = "Image that writes the SBOM of a release."
}

variable "POLICY" {
  default     = ""
  description = "Policy for the image: a file (.yaml, .yml or .json), or a context (directory, git, docker-image://…) with a policy.yaml. Without it, the image denies every build."
}

variable "PLATFORMS" {
  default = [
    "linux/amd64",
    "linux/arm64",
    "linux/arm/v7",
    "linux/386",
    "linux/ppc64le",
    "linux/riscv64",
    "linux/s390x",
  ]
  type        = list(string)
  description = "Platforms of the targets that end with -cross, and of release."
}

function "is_file" {
  params = [path]
  result = can(regex("\\.(yaml|yml|json)$", path)) && !can(regex("://", path))
}

group "default" {
  targets = ["image"]
}

group "validate" {
  targets = ["vet", "modules", "schema"]
}

target "_go" {
  args = {
    GO_IMAGE = GO_IMAGE
  }
}

target "_check" {
  inherits = ["_go"]
  output   = ["type=cacheonly"]
}

target "image" {
  description = "The image for the builder's own platform."
  inherits    = ["_go"]
  target      = "image"
  args = {
    VERSION     = VERSION
    REVISION    = REVISION
    POLICY_FILE = POLICY == "" ? null : is_file(POLICY) ? basename(POLICY) : "policy.yaml"
  }
  contexts = POLICY == "" ? {} : { policy = is_file(POLICY) ? dirname(POLICY) : POLICY }
  tags     = split(",", IMAGE)
  # zstd is a tenth smaller here than the best gzip. Every BuildKit that has allowedRepositories
  # reads it.
  output = ["type=image,oci-mediatypes=true,compression=zstd,compression-level=22,force-compression=true"]
}

target "mediator" {
  description = "The image for policy-guard's --image, which hands over the policy with each build."
  inherits    = ["image"]
  target      = "mediator"
  tags        = split(",", MEDIATOR)
}

target "image-cross" {
  description = "The image for every platform."
  inherits    = ["image"]
  platforms   = PLATFORMS
}

target "mediator-cross" {
  description = "The image for policy-guard's --image, for every platform."
  inherits    = ["mediator"]
  platforms   = PLATFORMS
}

target "guard" {
  description = "The image of policy-guard for the builder's own platform. It holds no policy."
  inherits    = ["_go"]
  target      = "guard"
  args = {
    VERSION  = VERSION
    REVISION = REVISION
  }
  tags = split(",", GUARD_IMAGE)
}

target "guard-cross" {
  description = "The image of policy-guard for every platform."
  inherits    = ["guard"]
  platforms   = PLATFORMS
}

group "release" {
  targets = ["release-image", "release-mediator", "release-guard"]
}

target "_release" {
  attest = [
    "type=provenance,mode=max",
    "type=sbom,generator=${SBOM_SCANNER}",
  ]
  output = ["type=image,push=true,oci-mediatypes=true,compression=zstd,compression-level=22,force-compression=true,rewrite-timestamp=true"]
}

target "release-image" {
  description = "image-cross with provenance and SBOM, timestamps set to SOURCE_DATE_EPOCH, pushed."
  inherits    = ["image-cross", "_release"]
}

target "release-mediator" {
  description = "mediator-cross, as release-image."
  inherits    = ["mediator-cross", "_release"]
}

target "release-guard" {
  description = "guard-cross, as release-image, with gzip: old Docker Engines and Kubernetes run it."
  inherits    = ["guard-cross", "_release"]
  output      = ["type=image,push=true,oci-mediatypes=true,rewrite-timestamp=true"]
}

target "test" {
  description = "The tests that need no daemon. --set test.args.PACKAGES=./policy/... chooses packages."
  inherits    = ["_check"]
  target      = "test"
}

target "lint" {
  description = "golangci-lint over all modules."
  inherits    = ["_check"]
  target      = "lint"
}

target "vet" {
  description = "gofmt and go vet over all modules."
  inherits    = ["_check"]
  target      = "vet"
}

target "modules" {
  description = "go mod tidy has nothing to change, in all modules."
  inherits    = ["_check"]
  target      = "modules"
}

target "schema" {
  description = "The JSON schema is the one that the Go types generate."
  inherits    = ["_check"]
  target      = "schema"
}
