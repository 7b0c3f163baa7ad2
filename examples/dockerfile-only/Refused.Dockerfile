# syntax=docker/dockerfile-upstream:master
FROM busybox
RUN echo "built by a refused frontend" >/hello
