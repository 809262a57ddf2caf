#!/usr/bin/env bash
# Runs the end-to-end tests on a kind cluster of their own. `make test-e2e CLUSTER=kind` sets the variables:
#
#   CONTAINER_TOOL   docker, podman or nerdctl
#   IMG              name of the operator image
#   KEEP             1: keep the cluster and its kubeconfig, bin/kind.kubeconfig; the next run uses them
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

name=locust-operator
for tool in "$CONTAINER_TOOL" kind kubectl; do
	command -v "$tool" >/dev/null || {
		echo "error: $tool is not installed; make test-e2e CLUSTER=kind needs $CONTAINER_TOOL, kind and kubectl. Without a container engine use make test-e2e (Linux, root)" >&2
		exit 1
	}
done
"$CONTAINER_TOOL" info >/dev/null || {
	echo "error: $CONTAINER_TOOL does not answer; start it, or name another engine with CONTAINER_TOOL=podman" >&2
	exit 1
}

mkdir -p bin
work=$(mktemp -d)
export KUBECONFIG=$PWD/bin/kind.kubeconfig KIND_EXPERIMENTAL_PROVIDER=$CONTAINER_TOOL
finish() {
	rm -rf "$work"
	[[ ${KEEP:-} == 1 ]] || kind delete cluster --name "$name"
}

clusters=$(kind get clusters)
if grep -qx "$name" <<<"$clusters"; then
	[[ ${KEEP:-} == 1 ]] || {
		echo "error: there is a kind cluster $name already; use it with KEEP=1, or delete it with kind delete cluster --name $name" >&2
		exit 1
	}
fi
trap finish EXIT
echo "==> kind cluster $name"
grep -qx "$name" <<<"$clusters" || kind create cluster --name "$name" --wait 3m
kind export kubeconfig --name "$name"
make docker-build IMG="$IMG" CONTAINER_TOOL="$CONTAINER_TOOL"
"$CONTAINER_TOOL" save --output "$work/operator.tar" "$IMG"
kind load image-archive "$work/operator.tar" --name "$name"
make test-e2e CLUSTER= LOCAL=0 IMG="$IMG"
