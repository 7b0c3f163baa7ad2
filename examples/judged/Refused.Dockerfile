# syntax=docker/dockerfile:1
ARG BASE=quay.io/someone/base:1
FROM ${BASE}
RUN echo "not from here" >/hello
USER 65534
