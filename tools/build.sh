#!/usr/bin/env bash
# Builds one of the pinned developer tools and prints the path of its binary.
#
#   tools/build.sh TOOL [TOOL...]
#
# Binaries are stored outside the clone, in ${LOCUST_OPERATOR_CACHE:-~/.cache/locust-operator}/tools/KEY/,
# where KEY is a hash of everything that determines the result: the tool module's go.mod and go.sum, the Go
# version, the platform and the build flags. So a bumped pin builds a new binary, and clones share binaries.
# Progress goes to stderr; stdout has only the paths, one line per tool.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${LOCUST_OPERATOR_CACHE:-${HOME:?is not set; set LOCUST_OPERATOR_CACHE to a folder}/.cache/locust-operator}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

# Sets module, package, tags, stamp (linker flags) and cold (build time on two cores with an empty Go build cache).
describe() {
	tags="" stamp=""
	case $1 in
	controller-gen) module=. package=sigs.k8s.io/controller-tools/cmd/controller-gen cold="1 min" ;;
	crd-ref-docs) module=. package=github.com/elastic/crd-ref-docs cold="1 min" ;;
	kustomize) module=. package=sigs.k8s.io/kustomize/kustomize/v5 cold="1 min" ;;
	golangci-lint) module=lint package=github.com/golangci/golangci-lint/v2/cmd/golangci-lint cold="4 min" ;;
	operator-sdk)
		module=operator-sdk package=github.com/operator-framework/operator-sdk/cmd/operator-sdk cold="3 min"
		# Without this tag the image library needs the C library gpgme.
		tags=containers_image_openpgp
		# It writes its own version, which the linker sets, to generated files.
		local name version sdk=github.com/operator-framework/operator-sdk
		version=$(go -C "$here/$module" list -m -f '{{.Version}}' "$sdk")
		for name in Version GitVersion ImageVersion; do
			stamp+=" -X $sdk/internal/version.$name=$version"
		done
		;;
	scorecard-test)
		module=operator-sdk package=github.com/operator-framework/operator-sdk/images/scorecard-test cold="1 min"
		tags=containers_image_openpgp
		;;
	actionlint) module=actionlint package=github.com/rhysd/actionlint/cmd/actionlint cold="1 min" ;;
	go-licenses) module=supply package=github.com/google/go-licenses/v2 cold="1 min" ;;
	govulncheck) module=supply package=golang.org/x/vuln/cmd/govulncheck cold="1 min" ;;
	helm)
		module=chart package=helm.sh/helm/v3/cmd/helm cold="4 min"
		# Without a cluster it renders for the Kubernetes of its libraries, whose version the linker sets.
		local part minor helm=helm.sh/helm/v3
		minor=$(go -C "$here/$module" list -m -f '{{.Version}}' k8s.io/client-go | cut -d. -f2)
		for part in pkg/chartutil pkg/lint/rules; do
			stamp+=" -X $helm/$part.k8sVersionMajor=1 -X $helm/$part.k8sVersionMinor=$minor"
		done
		stamp+=" -X $helm/internal/version.version=$(go -C "$here/$module" list -m -f '{{.Version}}' $helm)"
		;;
	krew | validate-krew-manifest) module=krew package=sigs.k8s.io/krew/cmd/$1 cold="1 min" ;;
	kwok) module=kwok package=sigs.k8s.io/kwok/cmd/kwok cold="2 min" ;;
	olm) module=olm package=github.com/operator-framework/operator-lifecycle-manager/cmd/olm tags=json1 cold="2 min" ;;
	catalog) module=olm package=github.com/operator-framework/operator-lifecycle-manager/cmd/catalog tags=json1 cold="1 min" ;;
	package-server) module=olm package=github.com/operator-framework/operator-lifecycle-manager/cmd/package-server tags=json1 cold="1 min" ;;
	copy-content) module=olm package=github.com/operator-framework/operator-lifecycle-manager/cmd/copy-content tags=json1 cold="1 min" ;;
	cpb) module=olm package=github.com/operator-framework/operator-lifecycle-manager/util/cpb tags=json1 cold="1 min" ;;
	opm) module=olm package=github.com/operator-framework/operator-registry/cmd/opm tags=json1,containers_image_openpgp cold="2 min" ;;
	grpc-health-probe) module=olm package=github.com/grpc-ecosystem/grpc-health-probe cold="1 min" ;;
	olm-chart) module=olm package=github.com/AbdelrhmanHamouda/locust-k8s-operator/tools/olm/chart cold="1 min" ;;
	*)
		echo "tools/build.sh: unknown tool '$1'; one of: controller-gen crd-ref-docs kustomize golangci-lint" \
			"operator-sdk scorecard-test olm catalog package-server copy-content cpb opm grpc-health-probe olm-chart helm krew validate-krew-manifest kwok go-licenses govulncheck actionlint" >&2
		return 2
		;;
	esac
}

hash() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }

build() {
	local tool=$1 module package tags stamp cold key binary log started pid status=0
	describe "$tool"
	key=$({
		cat "$here/$module/go.mod" "$here/$module/go.sum"
		[[ $tool != olm-chart ]] || cat "$here/olm/chart/main.go"
		go env GOVERSION GOOS GOARCH
		echo "$package $tags $stamp"
	} | hash | cut -c1-16)
	binary=$cache/tools/$key/$tool
	if [[ -x $binary ]]; then
		echo "$binary"
		return
	fi

	mkdir -p "$cache/tools/$key"
	log=$binary.$$.log
	started=$SECONDS
	echo "tools: building $tool, once per version; takes up to $cold" >&2
	# Built under a temporary name and renamed, so concurrent and killed builds do no harm.
	CGO_ENABLED=0 go -C "$here/$module" build -trimpath -buildvcs=false -ldflags="-s -w$stamp" \
		${tags:+-tags="$tags"} -o "$binary.$$" "$package" >"$log" 2>&1 &
	pid=$!
	# shellcheck disable=SC2064 # expand now, on purpose
	trap "kill $pid 2>/dev/null; rm -f '$binary.$$' '$log'" EXIT
	while kill -0 "$pid" 2>/dev/null; do
		sleep 1
		if (((SECONDS - started) % 20 == 0)); then
			echo "tools: still building $tool, $((SECONDS - started)) s" >&2
		fi
	done
	wait "$pid" || status=$?
	if ((status != 0)); then
		echo "tools: building $tool failed:" >&2
		grep -v '^go: downloading' "$log" | tail -n 30 >&2
		return "$status"
	fi
	mv "$binary.$$" "$binary"
	rm -f "$log"
	trap - EXIT
	echo "tools: built $tool in $((SECONDS - started)) s" >&2
	echo "$binary"
}

if (($# == 0)); then
	echo "usage: tools/build.sh TOOL [TOOL...]" >&2
	exit 2
fi
for tool in "$@"; do
	build "$tool"
done
