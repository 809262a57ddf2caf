#!/usr/bin/env bash
# Builds what the suite installs on the embedded cluster, and prints it as shell settings: the release, as `make release` makes it,
# and a newer version with its bundle and a catalog with both.
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

# released NAME: an image of the release by digest.
released() { sed -n "s|^\($registry/$1@.*\)|\1|p" "$dir/release/images.txt"; }

# operator VERSION: the image of that version. It differs from the release only in the version in the log.
operator() {
	local work=$dir/operator-$1
	mkdir -p "$work/bin"
	(cd "$root" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=v$1" -o "$work/bin/manager" ./cmd/manager) >&2
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
	push "$work" "$root/catalog/Dockerfile" "$tag"
	echo "$tag"
}

# new_template adds the newer version to both channels of the release's catalog.
new_template() {
	sed "s|image: .*-bundle:v$old\$|image: $old_bundle|" "$root/catalog/template.yaml" | sed "s|^\( *\)- name: locust-k8s-operator.v$old\$|&\n\1- name: locust-k8s-operator.v$new\n\1  replaces: locust-k8s-operator.v$old|"
	printf '  - schema: olm.bundle\n    image: %s\n' "$new_bundle"
}

make -C "$root" release VERSION=$old REGISTRY=$registry PLATFORMS="linux/$(go env GOARCH)" DIST="$dir/release" SCORECARD_TEST_IMAGE="$tools" >&2
old_image=$(released locust-k8s-operator)
old_bundle=$(released locust-k8s-operator-bundle)
scorecard_image=$(released locust-k8s-operator-scorecard)
new_image=$(operator $new)
new_bundle=$(bundle $new "$new_image" $old)
new_template >"$dir/new.template.yaml"
new_catalog=$(catalog new "$dir/new.template.yaml")
(cd "$root" && go build -o "$dir/scorecard" ./test/scorecard) >&2
locust=$(localcluster locust-image)
cat <<TXT
export OLM_OLD=$old OLM_NEW=$new OLM_OLD_CATALOG=$(released locust-k8s-operator-catalog) OLM_NEW_CATALOG=$new_catalog OLM_OLD_IMAGE=$old_image OLM_NEW_IMAGE=$new_image
export OLM_OLD_BUNDLE=$old_bundle OLM_RELEASE=$dir/release HELM=$("$root/tools/build.sh" helm) OLM_TOOLS_IMAGE=$tools OPERATOR_SDK=$sdk LOCUST_IMAGE=$locust
export OLM_SCORECARD=$dir/scorecard
TXT
