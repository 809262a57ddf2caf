#!/usr/bin/env bash
# Runs the bundle validator for multiple architectures, which compares the architectures in the labels and the node affinity of
# the CSV with those of its images.
#
#   tools/multiarch.sh RELEASE BUNDLE
#
# The validator runs `docker pull IMAGE` and `docker manifest inspect IMAGE`. RELEASE, the program of tools/release, stands in
# for docker, so that no container engine is needed.
set -euo pipefail

release=$1 bundle=$2
sdk=$("$(dirname "${BASH_SOURCE[0]}")/build.sh" operator-sdk)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/docker" <<SH
#!/bin/sh
case "\$1 \$2" in
"manifest inspect") exec "$release" inspect "\$3" ;;
"pull "*) exec "$release" inspect "\$2" ;;
esac
echo "not expected: docker \$*" >&2
exit 1
SH
chmod +x "$work/docker"
status=0
PATH=$work:$PATH "$sdk" bundle validate "$bundle" --select-optional name=multiarch --optional-values=container-tools=docker \
	>"$work/log" 2>&1 || status=$?
if ((status != 0)) || grep -q 'level=\(warning\|error\)' "$work/log"; then
	cat "$work/log" >&2
	exit 1
fi
echo "the labels and the node affinity of the bundle have the architectures of its images"
