#!/usr/bin/env bash
# Builds the control plane of an older Kubernetes for envtest, and prints the folder of its binaries.
#
#   test/cluster/older/build.sh VERSION
#
# The folder is ${LOCUST_OPERATOR_CACHE:-~/.cache/locust-operator}/older/VERSION-KEY, where KEY is a hash of everything else
# that determines the result. etcd and kubectl are those of the embedded cluster. The module is temporary: each version needs its own
# dependencies, and none of them may change those of the operator. Go checks the modules against its checksum database.
# Progress goes to stderr.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=${1:-}
if (($# != 1)) || [[ ! $version =~ ^v1\.[0-9]+\.[0-9]+$ ]]; then
	echo "usage: test/cluster/older/build.sh VERSION, for example v1.30.14" >&2
	exit 2
fi
cache=${LOCUST_OPERATOR_CACHE:-${HOME:?is not set; set LOCUST_OPERATOR_CACHE to a folder}/.cache/locust-operator}
mkdir -p "$cache/older"
cache=$(cd "$cache" && pwd)

key=$({ cat "$here/build.sh" "$here/main.go.txt"; go env GOVERSION GOOS GOARCH; } | sha256sum | cut -c1-10)
binaries=$cache/older/$version-$key

# The module requires the version, with Kubernetes' own modules at the versions that belong to it: the go.mod of
# k8s.io/kubernetes replaces them by folders of its repository.
write_module() {
	local gomod module modules replaced
	gomod=$(go mod download -json "k8s.io/kubernetes@$version" | sed -nE 's/^[[:space:]]*"GoMod": "(.*)",?$/\1/p')
	modules=$(sed -nE 's|^.*(k8s\.io/[a-z0-9-]+) => \./staging/.*$|\1|p' "$gomod")
	replaced=v0${version#v1}
	{
		echo "module kube-older"
		# The language version and the runtime settings of the release.
		grep -E '^(go|godebug) ' "$gomod"
		echo "require k8s.io/kubernetes $version"
		for module in $modules; do echo "replace $module => $module $replaced"; done
	} >go.mod
	cp "$here/main.go.txt" main.go
}

# Linker flags that set the version of the programs, with a fixed date.
stamp() {
	local package value minor
	minor=${version#v1.} minor=${minor%%.*}
	for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		for value in "gitVersion=$version" gitMajor=1 "gitMinor=$minor" gitCommit=local gitTreeState=archive buildDate=2026-01-01T00:00:00Z; do
			printf -- ' -X %s.%s' "$package" "$value"
		done
	done
}

build() {
	local started=$SECONDS status=0 link
	echo "older: building Kubernetes $version, once per version; takes up to 15 min" >&2
	# Not local: the trap uses them after the function.
	work=$(mktemp -d "$cache/older/tmp-XXXXXX") pid=
	trap 'kill $pid 2>/dev/null || true; rm -rf "$work"' EXIT
	mkdir "$work/module" "$work/bin"
	(
		cd "$work/module"
		export GOWORK=off CGO_ENABLED=0
		echo "module kube-older" >go.mod # no parent folder is the module
		write_module
		exec go build -mod=mod -trimpath -buildvcs=false -ldflags "-s -w$(stamp)" -o "$work/bin/kube-older" .
	) >"$work/log" 2>&1 &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		sleep 1
		if (((SECONDS - started) % 30 == 0)); then
			echo "older: still building, $((SECONDS - started)) s" >&2
		fi
	done
	wait "$pid" || status=$?
	if ((status != 0)); then
		echo "older: building Kubernetes $version failed:" >&2
		grep -v '^go: \(downloading\|found\|finding\)' "$work/log" | tail -n 30 >&2
		return "$status"
	fi
	pid=
	for link in kube-apiserver kube-controller-manager; do ln -s kube-older "$work/bin/$link"; done
	# Renamed when complete, so concurrent and killed builds do no harm.
	mv -T "$work/bin" "$binaries" 2>/dev/null || [[ -x $binaries/kube-older ]]
	rm -rf "$work"
	trap - EXIT
	echo "older: built Kubernetes $version in $((SECONDS - started)) s" >&2
}

[[ -x $binaries/kube-older ]] || build
current=$(go -C "$here/.." run ./cmd/localcluster assets)
for name in etcd kubectl; do ln -sfn "$current/$name" "$binaries/$name"; done
echo "$binaries"
