# The operator's image: one static binary, no shell, not root.
#
# The binary is built outside, so the image needs no Go and no network:
#
#   make build            # bin/manager
#   make docker-build     # with the default base
#   make docker-build BASE=scratch
#
# scratch is enough for the binary: it talks to the API server with the CA of its service account. The default base
# adds CA certificates, time zones and a passwd entry.
ARG BASE=gcr.io/distroless/static:nonroot
FROM ${BASE}

COPY bin/manager /manager

# A number, not a name: the kubelet checks runAsNonRoot against it, and scratch has no passwd file.
USER 65532:65532

ENTRYPOINT ["/manager"]
