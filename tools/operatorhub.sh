#!/usr/bin/env bash
# Writes the folders of a pull request to a community catalog, from the bundle and the catalog of a release.
#
#   tools/operatorhub.sh VERSION DIST CATALOGS [BUNDLE]
#
# CATALOGS are the names of the community's catalogs: latest for operatorhub.io, or those of the OpenShift versions. BUNDLE is the image
# of the bundle that the community's pipeline has built; by default the catalog has that of the release. The layout is that of the contribution guides of
# k8s-operatorhub/community-operators and redhat-openshift-ecosystem/operator-pipelines.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=$1 catalogs=$3 bundle=${4:-}
dist=$(cd "$2" && pwd)
package=locust-k8s-operator
for needed in bundle/manifests catalog/template.yaml catalog/catalog/catalog.yaml images.txt; do
	[ -e "$dist/$needed" ] || {
		echo "operatorhub: $dist/$needed does not exist: run make release first" >&2
		exit 1
	}
done
grep -q "^  version: $version\$" "$dist/bundle/manifests/$package.clusterserviceversion.yaml" || {
	echo "operatorhub: the bundle in $dist is not of version $version" >&2
	exit 1
}

sdk=$("$root/tools/build.sh" operator-sdk)
opm=$("$root/tools/build.sh" opm)
out=$dist/operatorhub
operator=$out/operators/$package
rm -rf "$out"
mkdir -p "$operator/$version" "$operator/catalog-templates"
cp -R "$dist"/bundle/{manifests,metadata,tests} "$operator/$version/"
released=$(grep -- "-bundle@" "$dist/images.txt")
own() { sed "s|$released|${bundle:-$released}|"; }
own <"$dist/catalog/template.yaml" >"$operator/catalog-templates/basic.yaml"
cat >"$operator/ci.yaml" <<YAML
---
# The pipeline merges changes of reviewers by itself.
reviewers:
$(sed -n 's/^\* @/  - /p' "$root/.github/CODEOWNERS")
fbc:
  enabled: true
  catalog_mapping:
    - template_name: basic.yaml
      type: olm.template.basic
      catalog_names: [${catalogs// /, }]
YAML
for name in $catalogs; do
	mkdir -p "$out/catalogs/$name/$package"
	# Catalogs of OpenShift 4.17 and later must not contain bundle objects.
	"$opm" render "$dist/catalog/catalog" --migrate-level bundle-object-to-csv-metadata --output yaml | own >"$out/catalogs/$name/$package/catalog.yaml"
	"$opm" validate "$out/catalogs/$name"
done
# The checks of the community's pipeline.
for validator in name=operatorhub suite=operatorframework; do
	"$sdk" bundle validate "$operator/$version" --select-optional "$validator" >>"$out/log" 2>&1 || { cat "$out/log" >&2; exit 1; }
done
if grep 'level=\(warning\|error\)' "$out/log" | grep -v -e '"operatorhub\\" validator is deprecated' -e 'Kind=LocustReport: provided API should have an example annotation' | grep -q .; then cat "$out/log" >&2; exit 1; fi
rm "$out/log"
echo "==> wrote $out"
