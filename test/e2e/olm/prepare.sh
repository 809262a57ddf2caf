#!/usr/bin/env bash
# Builds the images that the OLM suite installs on the embedded cluster, and prints them as shell settings: two versions of
# the operator with their bundles, a catalog with the older one, a catalog with both, and the scorecard's tests.
#
#   prepare.sh DIR
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
registry=localhost:5000
localcluster() { go -C "$root/test/cluster" run ./cmd/localcluster "$@"; }
digest() { sha256sum "$@" | sha256sum | cut -c1-12; }
push() { localcluster image build --context "$1" --file "$2" --tag "$3" "${@:4}" >&2; }

old=$(sed -n "s/^BUNDLE_VERSION ?= //p" "$root/Makefile")
new=${old%.*}.99
tools=$("$root/test/cluster/olm/up.sh" --image)
sdk=$("$root/tools/build.sh" operator-sdk)

scorecard() {
	local work=$dir/scorecard
	mkdir -p "$work"
	(cd "$root" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$work/scorecard" ./test/scorecard) >&2
	local tag
	tag=$registry/locust-k8s-operator-scorecard:$(digest "$work/scorecard")
	push "$work" "$root/test/scorecard/Dockerfile" "$tag" --build-arg BASE=scratch
	echo "$tag"
}

# operator VERSION: the image of that version. The versions differ only in the version in the log.
operator() {
	local work=$dir/operator-$1
	mkdir -p "$work/bin"
	(cd "$root" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$1" -o "$work/bin/manager" ./cmd/manager) >&2
	local tag
	tag=$registry/locust-k8s-operator:v$1-$(digest "$work/bin/manager")
	push "$work" "$root/Dockerfile" "$tag" --build-arg BASE=scratch
	echo "$tag"
}

# bundle VERSION IMAGE [REPLACES]
bundle() {
	local work=$dir/bundle-$1
	"$root/tools/bundle.sh" "$1" "$2" "$scorecard_image" "$tools" "$work" "${3:-}" >&2
	local tag
	tag=$registry/locust-k8s-operator-bundle:v$1-$(find "$work/bundle" -type f ! -name .x | sort | xargs cat | sha256sum | cut -c1-12)
	push "$work" "$work/bundle.Dockerfile" "$tag"
	echo "$tag"
}

# catalog NAME TEMPLATE: built by `make catalog` from a template with local images.
catalog() {
	local work=$dir/catalog-$1
	make -C "$root" catalog CATALOG_TEMPLATE="$2" CATALOG_DIR="$work" CATALOG_FLAGS=--use-http >&2
	local tag
	tag=$registry/locust-k8s-operator-catalog:$(digest "$work/catalog/catalog.yaml")
	push "$work" "$root/catalog/Dockerfile" "$tag" --build-arg "BASE=$tools"
	echo "$tag"
}

# The project's template has the first release; new_template adds the newer one to both channels.
old_template() { sed "s|image: .*|image: $old_bundle|" "$root/catalog/template.yaml"; }
new_template() {
	old_template | sed "s|^\( *\)- name: locust-k8s-operator.v$old\$|&\n\1- name: locust-k8s-operator.v$new\n\1  replaces: locust-k8s-operator.v$old|"
	printf '  - schema: olm.bundle\n    image: %s\n' "$new_bundle"
}

scorecard_image=$(scorecard)
old_image=$(operator $old)
new_image=$(operator $new)
old_bundle=$(bundle $old "$old_image")
new_bundle=$(bundle $new "$new_image" $old)
old_template >"$dir/old.template.yaml"
new_template >"$dir/new.template.yaml"
old_catalog=$(catalog old "$dir/old.template.yaml")
new_catalog=$(catalog new "$dir/new.template.yaml")
locust=$(localcluster locust-image)
cat <<TXT
export OLM_OLD=$old OLM_NEW=$new OLM_OLD_CATALOG=$old_catalog OLM_NEW_CATALOG=$new_catalog OLM_OLD_IMAGE=$old_image OLM_NEW_IMAGE=$new_image
export OLM_NEW_BUNDLE=$new_bundle OLM_BUNDLE_DIR=$dir/bundle-$new/bundle OLM_TOOLS_IMAGE=$tools OPERATOR_SDK=$sdk LOCUST_IMAGE=$locust
export OLM_SCORECARD=$dir/scorecard/scorecard
TXT
