# There is no "# syntax" line on purpose: every instruction below is understood by the Dockerfile frontend that any
# supported BuildKit has built in, so building this image fetches no frontend. The only image it needs is GO_IMAGE.

ARG GO_IMAGE=golang:1.26.8-alpine
ARG VERSION=dev

# The Go toolchain of the machine that builds. Go cross-compiles by itself, so nothing else is needed of GO_IMAGE
# than `go` and /bin/sh; its own GOPROXY, GOFLAGS and the like stay in force.
FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS go
ENV CGO_ENABLED=0 GOMODCACHE=/go/pkg/mod GOCACHE=/go/cache
# The tag "image" leaves out what can't work in the image: the registry client of `lock`. The others leave out what
# nobody can reach there and what every build's process would map: "grpcnotrace" gRPC's debugging pages with their
# templates, for the sake of which the linker would keep all methods of all types, and "nethttpomithttp2" the
# HTTP/2 of net/http, which has no server to talk to (gRPC has its own).
ENV TAGS=image,grpcnotrace,nethttpomithttp2
WORKDIR /src

FROM go AS build
ARG TARGETOS TARGETARCH TARGETVARIANT
ARG VERSION
# TARGETVARIANT is "v7" for linux/arm/v7 and empty for platforms without variants; Go reads GOARM for arm only.
RUN --mount=type=bind,target=. --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/cache \
    GOOS=$TARGETOS GOARCH=$TARGETARCH GOARM=${TARGETVARIANT#v} \
    go build -trimpath -tags "$TAGS" -ldflags "-s -w -X main.version=${VERSION}" -o /out/policy-frontend ./cmd/policy-frontend

# The policy to put into the image comes from the named context "policy". Without one this empty stage stands in,
# the image has no policy inside, and it denies every build with a message that says so.
FROM scratch AS policy

# A policy that would not load is refused here, not by the first build that meets it. The default of POLICY_FILE is a
# pattern, so that no policy at all is not an error; whoever names the file (the bake file does) gets an error if it isn't there.
FROM go AS checked-policy
ARG POLICY_FILE=policy.yam[l]
COPY --from=policy --chmod=0644 ${POLICY_FILE} /checked/policy.yaml
# `lint` exits 1 for findings, which are printed and let through, and 2 for a policy that is not valid.
RUN --mount=type=bind,target=. --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/cache \
    if [ -e /checked/policy.yaml ]; then \
        go build -trimpath -tags "$TAGS" -ldflags "-s -w" -o /lint ./cmd/policy-frontend && \
        { /lint lint /checked/policy.yaml || [ $? -eq 1 ]; }; \
    fi
WORKDIR /checked

# The stages below run checks that need no daemon; `docker buildx bake test lint validate` calls them.
FROM go AS test
RUN --mount=type=bind,target=. --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/cache \
    tools/check test

FROM go AS lint
RUN --mount=type=bind,target=. --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/cache \
    --mount=type=cache,target=/root/.cache/golangci-lint \
    go -C tools/lint build -o /lint/ tool && \
    GOLANGCI=/lint/golangci-lint tools/check lint

FROM go AS vet
RUN --mount=type=bind,target=. --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/cache \
    tools/check vet

FROM go AS modules
RUN --mount=type=bind,target=. --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/cache \
    tools/check modules

# A test of this module holds the checked-in JSON schema equal to the one that the Go types generate.
FROM go AS schema
RUN --mount=type=bind,target=. --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/cache \
    tools/check schema

FROM scratch AS image
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="policy-frontend" \
      org.opencontainers.image.description="Decides by policy which BuildKit frontend a build may use, and runs that one" \
      org.opencontainers.image.source="https://github.com/policy-frontend/policy-frontend" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# BuildKit reads these two before it starts the image: no network for this process, and the frontend features that
# a client may ask for. They are passed on to the inner frontend.
LABEL moby.buildkit.frontend.network.none="true"
LABEL moby.buildkit.frontend.caps="moby.buildkit.frontend.inputs,moby.buildkit.frontend.subrequests,moby.buildkit.frontend.contexts,moby.buildkit.frontend.gitquerystring,moby.buildkit.frontend.contexts.zstd"
COPY --from=build /out/policy-frontend /policy-frontend
COPY --from=checked-policy /checked/ /etc/policy-frontend/
# BuildKit's gateway takes the entrypoint, environment and working directory of a frontend image and no user; this
# user counts when a person runs the image for its command line.
USER 65534:65534
ENTRYPOINT ["/policy-frontend"]
