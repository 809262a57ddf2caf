#!/usr/bin/env bash
# Copies to the chart what config/ already has, so that it is not written twice. `make generate` runs it.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
files=charts/locust-k8s-operator/files
kustomize=$(tools/build.sh kustomize)
rm -rf "$files"
mkdir -p "$files"
cp config/crd/bases/locust.io_locusttests.yaml "$files/crd.yaml"
cp config/crd/bases/locust.io_locustreports.yaml "$files/crd-reports.yaml"
cp config/crd/conversion.yaml "$files/conversion.yaml"
cp config/webhook/manifests.yaml "$files/webhook.yaml"
cp config/prometheus/{monitor,rules}.yaml config/prometheus/dashboard.json "$files/"
"$kustomize" build config/rbac >"$files/rbac.yaml"
"$kustomize" build config/certificates >"$files/certificates.yaml"
