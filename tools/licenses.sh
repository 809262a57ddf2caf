#!/usr/bin/env bash
# Fails if a library that is linked into the operator or the kubectl plugin has a license that is not allowed, or none that can be
# recognized.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
allowed='Apache-2\.0|BSD-2-Clause|BSD-3-Clause|ISC|MIT|MPL-2\.0'

check=$(tools/build.sh go-licenses)
# Without GOROOT it treats every package as one of the standard library, and finds nothing at all. With no license allowed it
# fails, and lists all of them.
found=$(GOROOT=$(go env GOROOT) "$check" check ./cmd/... --allowed_licenses none 2>&1 >/dev/null |
	grep -E "^(Not allowed license|Did not find license)") || true
libraries=$(grep -c . <<<"$found" || true)
if ((libraries < 20)); then
	echo "licenses: found only $libraries libraries, which cannot be right; run: $check check ./cmd/..." >&2
	exit 1
fi
if refused=$(grep -vE "^Not allowed license '($allowed)' " <<<"$found"); then
	echo "$refused" >&2
	echo "licenses: remedy: remove these libraries, or allow the license in tools/licenses.sh" >&2
	exit 1
fi
echo "licenses: the licenses of all $libraries libraries are allowed"
