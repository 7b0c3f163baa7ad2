# This file has no "# syntax" line on purpose. The Dockerfile frontend inside of every supported
# BuildKit understands it, so this build fetches no frontend. It needs no image except GO_IMAGE.

ARG GO_IMAGE=golang:1.26.8-alpine
ARG VERSION=dev

# The Go toolchain for the machine that builds; Go cross-compiles by itself. GO_IMAGE needs only
# `go` and /bin/sh, and its own GOPROXY, GOFLAGS and the like stay in force.
FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS go
ENV CGO_ENABLED=0 GOMODCACHE=/go/pkg/mod GOCACHE=/go/cache
WORKDIR /src

FROM go AS build
ARG TARGETOS TARGETARCH TARGETVARIANT
ARG VERSION
# TARGETVARIANT is "v7" for linux/arm/v7, and empty for platforms without variants. Go reads GOARM
# for arm only.
RUN --mount=type=bind,target=. \
    --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/cache \
    GOOS=$TARGETOS GOARCH=$TARGETARCH GOARM=${TARGETVARIANT#v} \
    tools/build image /out/policy-frontend

FROM go AS build-guard
ARG TARGETOS TARGETARCH TARGETVARIANT
ARG VERSION
RUN --mount=type=bind,target=. \
    --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/cache \
    GOOS=$TARGETOS GOARCH=$TARGETARCH GOARM=${TARGETVARIANT#v} \
    tools/build guard /out/policy-guard

# The named context "policy" has the policy for the image and overrides this stage. Without it, the
# image has no policy, and it denies every build with a message that says so.
FROM scratch AS policy

# An invalid policy fails this build, and not the first build that uses the image. The default of
# POLICY_FILE is a pattern, so a missing policy isn't an error. If the caller names a file, as the
# bake file does, that file has to exist.
FROM go AS checked-policy
ARG POLICY_FILE=policy.yam[l]
COPY --from=policy --chmod=0644 ${POLICY_FILE} /checked/policy.yaml
# `lint` exits 1 for findings, which are only printed, and 2 for an invalid policy.
RUN --mount=type=bind,target=. \
    --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/cache \
    if [ -e /checked/policy.yaml ]; then \
        tools/build image /lint && \
        { /lint lint /checked/policy.yaml || [ $? -eq 1 ]; }; \
    fi
WORKDIR /checked

# The stages below run checks that need no daemon: `docker buildx bake test lint validate`.
FROM go AS test
ARG PACKAGES
RUN --mount=type=bind,target=. \
    --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/cache \
    tools/check test

FROM go AS lint
RUN --mount=type=bind,target=. \
    --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/cache \
    --mount=type=cache,target=/root/.cache/golangci-lint \
    go -C tools/lint build -o /lint/ tool && \
    GOLANGCI=/lint/golangci-lint tools/check lint

FROM go AS vet
RUN --mount=type=bind,target=. \
    --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/cache \
    tools/check vet

FROM go AS modules
RUN --mount=type=bind,target=. \
    --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/cache \
    tools/check modules

# A test in tools/schema compares the JSON schema in policy with the one that the Go types generate.
FROM go AS schema
RUN --mount=type=bind,target=. \
    --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/cache \
    tools/check schema

# policy-guard has an image of its own, so that the one that each build starts stays small.
FROM scratch AS guard
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="policy-guard" \
      org.opencontainers.image.description="Stands before a buildkitd and lets clients build what a policy allows" \
      org.opencontainers.image.source="https://github.com/policy-frontend/policy-frontend" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build-guard /out/policy-guard /policy-guard
USER 65534:65534
ENTRYPOINT ["/policy-guard"]

FROM scratch AS frontend
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="policy-frontend" \
      org.opencontainers.image.description="Enforces a policy on BuildKit builds: which frontends they may use, and what these may build" \
      org.opencontainers.image.source="https://github.com/policy-frontend/policy-frontend" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# BuildKit reads these two labels before it starts the image: this process has no network, and a
# client may ask for these features of frontends. They are passed on to the inner frontend.
# policy-guard reads the third one: the image keeps to a policy that it gets from policy-guard.
LABEL moby.buildkit.frontend.network.none="true"
LABEL moby.buildkit.frontend.caps="moby.buildkit.frontend.inputs,moby.buildkit.frontend.subrequests,moby.buildkit.frontend.contexts,moby.buildkit.frontend.gitquerystring,moby.buildkit.frontend.contexts.zstd"
LABEL policy-frontend.policy-from-guard="1"
COPY --from=build /out/policy-frontend /policy-frontend
COPY --from=checked-policy /checked/ /etc/policy-frontend/
# BuildKit's gateway uses the entrypoint, environment and working directory of a frontend image, and
# ignores its user. The user matters when a person runs the image for its command line.
USER 65534:65534

# The image for --image of policy-guard, which hands over the policy with each build. A daemon that
# runs it for clients directly holds them to no policy at all.
FROM frontend AS mediator
ENTRYPOINT ["/policy-frontend", "--policy-from-guard"]

FROM frontend AS image
ENTRYPOINT ["/policy-frontend"]
