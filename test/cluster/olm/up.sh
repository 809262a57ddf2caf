#!/usr/bin/env bash
# Installs the Operator Lifecycle Manager, built from source, on the running embedded cluster. With --image it only builds
# the image and prints its name.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
here=$root/test/cluster/olm
cache=${LOCUST_OPERATOR_CACHE:-$HOME/.cache/locust-operator}
localcluster() { go -C "$root/test/cluster" run ./cmd/localcluster "$@"; }

programs=(opm olm catalog package-server copy-content cpb grpc-health-probe scorecard-test)

# The tag of the image is a hash of its content.
image() {
	local paths key tag work program i
	mapfile -t paths < <("$root/tools/build.sh" "${programs[@]}")
	key=$({ printf '%s\n' "${paths[@]}"; cat "$here/Dockerfile"; } | sha256sum | cut -c1-12)
	tag=localhost:5000/olm:$key
	if [ ! -e "$cache/olm/$key" ]; then
		if [ ! -x /bin/busybox ] || ! /bin/busybox --help >/dev/null 2>&1; then
			echo "olm: installing busybox-static" >&2
			DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends busybox-static >/dev/null 2>&1 ||
				{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends busybox-static; } >&2
		fi
		work=$(mktemp -d)
		mkdir -p "$work/root/"{bin,tmp,etc,home,configs}
		chmod 1777 "$work/root/tmp" "$work/root/home"
		cp /bin/busybox "$work/root/bin/busybox"
		for program in $(/bin/busybox --list); do
			[ -e "$work/root/bin/$program" ] || ln -s busybox "$work/root/bin/$program"
		done
		for i in "${!programs[@]}"; do cp "${paths[i]}" "$work/root/bin/${programs[i]}"; done
		mv "$work/root/bin/grpc-health-probe" "$work/root/bin/grpc_health_probe"
		printf 'root:x:0:0:root:/:/bin/sh\nnonroot:x:1001:0::/home:/bin/sh\n' >"$work/root/etc/passwd"
		localcluster image build --context "$work" --file "$here/Dockerfile" --tag "$tag" >&2
		rm -rf "$work"
		mkdir -p "$cache/olm" && touch "$cache/olm/$key"
	fi
	echo "$tag"
}

tag=$(image)
if [ "${1:-}" = --image ]; then
	echo "$tag"
	exit
fi
settings=$(localcluster env)
eval "$settings"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sed "s|IMAGE|$tag|" "$here/values.yaml" >"$work/values.yaml"
(cd "$root/tools/olm" && "$("$root/tools/build.sh" olm-chart)" "$work/values.yaml") >"$work/all.yaml"
sed '/^# the rest$/,$d' "$work/all.yaml" >"$work/crds.yaml"
sed '1,/^# the rest$/d' "$work/all.yaml" >"$work/rest.yaml"
kubectl apply --server-side -f "$work/crds.yaml" >/dev/null
kubectl wait --for condition=Established --timeout 60s -f "$work/crds.yaml" >/dev/null
kubectl apply --server-side -f "$work/rest.yaml" >/dev/null
for deployment in olm-operator catalog-operator; do
	kubectl -n olm rollout status "deployment/$deployment" --timeout 3m
done
kubectl -n olm wait --for jsonpath='{.status.phase}'=Succeeded clusterserviceversion/packageserver --timeout 3m
echo "OLM is up"
