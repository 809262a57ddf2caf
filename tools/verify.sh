#!/usr/bin/env bash
# Fails if the generated files are not what `make generate` writes. It generates in a copy, so it changes nothing, and
# it does not use git, so it works with uncommitted changes.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/before"
for entry in "$root"/* ; do
	case ${entry##*/} in
	bin | dist) ;;
	*) cp -R "$entry" "$work/before/" ;;
	esac
done
cp -R "$work/before" "$work/after"

if ! make -C "$work/after" generate >"$work/log" 2>&1; then
	cat "$work/log" >&2
	echo "verify: make generate failed, see above" >&2
	exit 1
fi

if stale=$(cd "$work" && diff -r -q -x bin before after); then
	echo "verify: generated files are up to date"
	exit 0
fi
{
	echo "verify: generated files are stale:"
	# "Files before/x and after/x differ", "Only in after/dir: x"
	sed -E -e 's|^Files before/(.*) and after/.* differ$|  \1 differs|' \
		-e 's|^Only in after/?(.*): (.*)$|  \1/\2 is missing|' \
		-e 's|^Only in before/?(.*): (.*)$|  \1/\2 is no longer generated|' <<<"$stale"
	echo
	(cd "$work" && diff -r -u -x bin before after | sed -E '/^(diff|Only)/d' | head -n 40) || true
	echo
	echo "remedy: run 'make generate' and commit the result"
} >&2
exit 1
