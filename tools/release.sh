#!/usr/bin/env bash
# Makes a release: builds the images for all platforms, pushes them, and writes the files of the release, among them the kubectl
# plugin. `make release` runs it. docs/release.md describes what it writes.
#
#   VERSION=1.2.3 REGISTRY=registry.example.com/team IMAGE_BASE=... DIST=... PLATFORMS=... ALL_PLATFORMS=... BASE=... \
#       PLUGIN_PLATFORMS=... DOWNLOADS=https://example.com/releases tools/release.sh
#
# A tag that the registry already has is not replaced by different content, except in a registry on this machine.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
: "${VERSION:?}" "${REGISTRY:?}" "${IMAGE_BASE:?}" "${DIST:?}" "${PLATFORMS:?}" "${ALL_PLATFORMS:?}" "${BASE:?}" "${PLUGIN_PLATFORMS:?}" "${DOWNLOADS:?}"
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
rm -f "$dist"/{install.yaml,notes.md,images.txt,chart.txt,checksums.txt,locust.yaml} "$dist"/*.spdx.json "$dist"/*.tgz "$dist"/kubectl-locust_*

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

# compile PLATFORM FILE PACKAGE NAME: cross-compiles a program, and writes its SBOM.
compile() {
	CGO_ENABLED=0 GOOS=${1%/*} GOARCH=${1#*/} go build -trimpath -buildvcs=false \
		-ldflags "-s -w -X main.version=v$VERSION" -o "$2" "$3"
	"$release" sbom -program "$2" -name "$4" -version "$VERSION" -created "$SOURCE_DATE_EPOCH" >"$dist/$4_${VERSION}_${1/\//_}.spdx.json"
}

step "build the programs for $PLATFORMS"
for platform in ${PLATFORMS//,/ }; do
	compile "$platform" "$work/build/${platform#*/}/bin/manager" ./cmd/manager locust-k8s-operator
	compile "$platform" "$work/build/${platform#*/}/bin/scorecard" ./test/scorecard locust-k8s-operator-scorecard
done

step "build the kubectl plugin for $PLUGIN_PLATFORMS"
plugin=kubectl-locust archives=()
for platform in ${PLUGIN_PLATFORMS//,/ }; do
	compile "$platform" "$work/plugin/$platform/$plugin" ./cmd/$plugin $plugin
	# Windows runs no shell scripts.
	more=(LICENSE)
	[[ $platform == windows/* ]] || more+=(cmd/$plugin/kubectl_complete-locust)
	archive=$("$release" archive -program "$work/plugin/$platform/$plugin" -name $plugin -version "$VERSION" -platform "$platform" \
		-created "$SOURCE_DATE_EPOCH" -dist "$dist" "${more[@]}")
	archives+=("$dist/$archive")
done
"$release" krew -name $plugin -version "$VERSION" -url "$DOWNLOADS/v$VERSION" "${archives[@]}" >"$dist/locust.yaml"

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
(cd "$dist" && shopt -s nullglob && hash install.yaml images.txt chart.txt locust.yaml *.spdx.json *.tgz kubectl-locust_*.{tar.gz,zip} >checksums.txt)
step "wrote $dist"
