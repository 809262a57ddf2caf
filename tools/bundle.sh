#!/usr/bin/env bash
# Generates the OLM bundle from config/manifests.
#
#   tools/bundle.sh VERSION OPERATOR_IMAGE SCORECARD_IMAGE SCORECARD_TEST_IMAGE DIR [REPLACES]
#
# It writes DIR/bundle and DIR/bundle.Dockerfile. An existing bundle keeps its creation time while nothing else
# changes, and is replaced only if operator-sdk validates the new one without warnings. REPLACES is the previous version, for the
# upgrade graph of the tests; that of the releases is in catalog/.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=$1 image=$2 scorecard=$3 builtin=$4
mkdir -p "$5"
dir=$(cd "$5" && pwd)
replaces=${6:-}

sdk=$("$root/tools/build.sh" operator-sdk)
kustomize=$("$root/tools/build.sh" kustomize)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The SDK reads the markers in api/ and writes to the current folder, so it runs in a copy.
cp -R "$root/api" "$root/config" "$root/PROJECT" "$root/go.mod" "$root/go.sum" "$work/"
cd "$work"
(cd config/manager && "$kustomize" edit set image "controller=$image")
sed -i "s|image: scorecard-builtin\$|image: $builtin|; s|image: scorecard\$|image: $scorecard|" config/scorecard/patches/*.yaml
base=config/manifests/bases/locust-k8s-operator.clusterserviceversion.yaml
sed -i "s|controller:latest|$image|" "$base"
[ -z "$replaces" ] || printf '  replaces: locust-k8s-operator.v%s\n' "$replaces" >>"$base"
"$sdk" generate kustomize manifests --quiet --interactive=false --apis-dir api
"$kustomize" build --load-restrictor LoadRestrictionsNone config/manifests | "$sdk" generate bundle --quiet --overwrite --version "$version" \
	--package locust-k8s-operator --channels stable,candidate --default-channel stable 2>sdk.log || { cat sdk.log >&2; exit 1; }
csv=manifests/locust-k8s-operator.clusterserviceversion.yaml
# The SDK finds related images only in variables of the Deployment.
sed -i "s|^  version: |  relatedImages:\\n  - image: $image\\n    name: manager\\n  version: |" "bundle/$csv"
# The SDK always writes a new creation time, which does not count as a change. A release has the time of its commit.
if [ -n "${SOURCE_DATE_EPOCH:-}" ]; then
	stamp=$(TZ=UTC printf '%(%Y-%m-%dT%H:%M:%SZ)T' "$SOURCE_DATE_EPOCH")
	sed -i "s|^    createdAt: .*|    createdAt: \"$stamp\"|" "bundle/$csv"
elif [ -e "$dir/bundle/$csv" ]; then
	stamp=$(grep -m 1 '^    createdAt: ' "$dir/bundle/$csv")
	sed "s|^    createdAt: .*|$stamp|" "bundle/$csv" >stamped.yaml
	! cmp -s stamped.yaml "$dir/bundle/$csv" || mv stamped.yaml "bundle/$csv"
fi
# Reviewers of a bundle ask to fix warnings, so treat them as errors.
"$sdk" bundle validate ./bundle --select-optional suite=operatorframework >sdk.log 2>&1 || { cat sdk.log >&2; exit 1; }
# A report has no example: only the operator creates it, and the scorecard fails for an example without a spec.
if grep 'level=\(warning\|error\)' sdk.log | grep -v 'Kind=LocustReport: provided API should have an example annotation'; then exit 1; fi
rm -rf "$dir/bundle"
mv bundle "$dir/bundle"
mv bundle.Dockerfile "$dir/bundle.Dockerfile"
