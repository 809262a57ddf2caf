#!/usr/bin/env bash
# Makes a release: builds the images for all platforms, pushes them, and writes the files of the release. `make release` runs
# it. docs/release.md describes what it writes.
#
#   VERSION=1.2.3 REGISTRY=registry.example.com/team IMAGE_BASE=... DIST=... PLATFORMS=... ALL_PLATFORMS=... BASE=... tools/release.sh
#
# A tag that the registry already has is not replaced by different content, except in a registry on this machine.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
: "${VERSION:?}" "${REGISTRY:?}" "${IMAGE_BASE:?}" "${DIST:?}" "${PLATFORMS:?}" "${ALL_PLATFORMS:?}" "${BASE:?}"
export VERSION

mkdir -p "$DIST"
dist=$(cd "$DIST" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go -C tools/release build -o "$work/release" .
release=$work/release
step() { echo "==> release $VERSION: $*" >&2; }

# Everything that can be wrong with the version is checked before anything is pushed.
"$release" notes -changelog CHANGELOG.md -version "$VERSION" >"$work/notes.md"
overwrite=() plain_http=() alone=() opm_flags=
case $REGISTRY in
localhost:* | 127.0.0.1:*) overwrite=(-overwrite) plain_http=(-plain-http) alone=(-alone) opm_flags=--use-http ;;
*)
	if [ -n "$(git status --porcelain)" ]; then
		echo "release: the working tree has changes that are not committed: commit them, or use a registry on this machine" >&2
		exit 1
	fi
	;;
esac
"$release" template "${alone[@]}" -template catalog/template.yaml -version "$VERSION" -bundle none >/dev/null
rm -rf "$dist"/{bundle,bundle.Dockerfile,catalog,operatorhub}
rm -f "$dist"/{install.yaml,notes.md,images.txt,chart.txt,checksums.txt} "$dist"/*.spdx.json "$dist"/*.tgz

# The time of the release is that of its commit, so that building it again gives the same content.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH
module=$(go list -m)
annotations=(
	-annotation "org.opencontainers.image.source=https://$module"
	-annotation "org.opencontainers.image.revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)"
	-annotation "org.opencontainers.image.version=$VERSION"
	-annotation "org.opencontainers.image.licenses=Apache-2.0"
)

# push NAME DOCKERFILE CONTEXT [FLAG...]: the reference by digest. NAME is a suffix of IMAGE_BASE, "" for the operator.
push() {
	"$release" push -platforms "$PLATFORMS" -tag "$IMAGE_BASE$1:v$VERSION" -file "$2" -context "$3" \
		-annotation "org.opencontainers.image.title=${IMAGE_BASE##*/}$1" "${annotations[@]}" "${overwrite[@]}" "${@:4}" | tee -a "$dist/images.txt"
}

# program PATH PACKAGE NAME: cross-compiles it for all platforms, and writes its SBOMs.
program() {
	local platform arch file
	for platform in ${PLATFORMS//,/ }; do
		arch=${platform#*/}
		file=$work/build/$arch/$1
		CGO_ENABLED=0 GOOS=${platform%/*} GOARCH=$arch go build -trimpath -buildvcs=false \
			-ldflags "-s -w -X main.version=v$VERSION" -o "$file" "$2"
		"$release" sbom -program "$file" -name "$3" -version "$VERSION" -created "$SOURCE_DATE_EPOCH" \
			>"$dist/$3_${VERSION}_${platform/\//_}.spdx.json"
	done
}

step "build the programs for $PLATFORMS"
program bin/manager ./cmd/manager locust-k8s-operator
program bin/scorecard ./test/scorecard locust-k8s-operator-scorecard

step "push the images to $REGISTRY"
operator=$(push "" Dockerfile "$work/build/{arch}" -build-arg "BASE=$BASE")
scorecard=$(push -scorecard test/scorecard/Dockerfile "$work/build/{arch}/bin" -build-arg "BASE=$BASE")

step "bundle and manifests with images by digest"
tools/bundle.sh "$VERSION" "$operator" "$scorecard" "${SCORECARD_TEST_IMAGE:?}" "$dist"
bundle=$(push -bundle "$dist/bundle.Dockerfile" "$dist")
make build-installer IMG="$operator" DIST="$dist"

step "catalog"
mkdir -p "$dist/catalog"
"$release" template "${alone[@]}" -template catalog/template.yaml -version "$VERSION" -bundle "$bundle" >"$dist/catalog/template.yaml"
make catalog CATALOG_TEMPLATE="$dist/catalog/template.yaml" CATALOG_DIR="$dist/catalog" CATALOG_FLAGS="$opm_flags"
catalog=$(push -catalog catalog/Dockerfile "$dist/catalog")

step "OperatorHub"
make operatorhub VERSION="$VERSION" DIST="$dist"

step "verify"
"$release" verify -platforms "$PLATFORMS" -images "$IMAGE_BASE" -in "$dist/install.yaml" -in "$dist/bundle" -in "$dist/catalog/catalog" \
	"$operator" "$scorecard" "$bundle" "$catalog"
if [ "$PLATFORMS" = "$ALL_PLATFORMS" ]; then
	tools/multiarch.sh "$release" "$dist/bundle"
else
	step "only for $PLATFORMS: the labels of the bundle are not checked"
fi

# What users follow comes last: the chart, and the tag of the catalog, which CatalogSources follow.
step "chart"
go -C tools/chart run . -chart "$root/charts/locust-k8s-operator" -version "$VERSION" -image "$operator" -dist "$dist" \
	-push "$REGISTRY/charts" "${plain_http[@]}" >"$dist/chart.txt"
newest=$(sed -n 's/^ *- name: locust-k8s-operator\.v\([0-9.]*\)$/\1/p' catalog/template.yaml | sort -V | tail -n 1)
if [ "$VERSION" = "$newest" ]; then
	"$release" push -platforms "$PLATFORMS" -tag "$IMAGE_BASE-catalog:latest" -overwrite \
		-file catalog/Dockerfile -context "$dist/catalog" \
		-annotation "org.opencontainers.image.title=${IMAGE_BASE##*/}-catalog" "${annotations[@]}" >/dev/null
fi

{
	# A release's page is not in the repository, so links need an address.
	sed "s|](docs/|](https://$module/blob/v$VERSION/docs/|g" "$work/notes.md"
	printf '\n### Images and chart\n\n'
	sed 's|.*|    &|' "$dist/images.txt" "$dist/chart.txt"
} >"$dist/notes.md"
hash() { if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi; }
(cd "$dist" && shopt -s nullglob && hash install.yaml images.txt chart.txt *.spdx.json *.tgz >checksums.txt)
step "wrote $dist"
