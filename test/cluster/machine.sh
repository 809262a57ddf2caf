#!/usr/bin/env bash
# Verifies that the embedded cluster restores the state of the machine, and starts over the remains of a killed cluster.
#
#   machine.sh before FILE   writes the state of the machine, unless the cluster runs
#   machine.sh after FILE    kills parts of the running cluster, starts it again, kills all of it, stops it,
#                            and compares; does nothing if FILE does not exist
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

localcluster() { go run ./cmd/localcluster "$@"; }

pids=${LOCUST_OPERATOR_CACHE:-$HOME/.cache/locust-operator}/cluster/pids

# kill_hard sends SIGKILL to components of the cluster. A pid file starts with the process's pid.
kill_hard() {
	for file in "$@"; do
		read -r pid _ <"$file"
		kill -KILL "$pid" 2>/dev/null || true
	done
}

before() {
	rm -f "$1"
	if localcluster status >/dev/null 2>&1; then
		echo "the cluster is already running, so its remains are not checked; run make cluster-down first for that"
		return
	fi
	localcluster down >/dev/null 2>&1
	localcluster snapshot >"$1"
}

after() {
	[ -f "$1" ] || return 0
	echo "==> kill containerd, the kubelet and etcd, and start the cluster again"
	kill_hard "$pids"/{containerd,kubelet,etcd}.pid
	localcluster up
	localcluster status >/dev/null
	echo "==> kill all of it, stop it, and compare the state of the machine"
	kill_hard "$pids"/*.pid
	localcluster down
	localcluster snapshot | diff "$1" - || {
		echo "the cluster did not restore the state of the machine (see above: < before, > after)" >&2
		exit 1
	}
	rm -f "$1"
	echo "the state of the machine is restored"
}

case "${1:-} ${2:-}" in
"before "?*) before "$2" ;;
"after "?*) after "$2" ;;
*)
	echo "usage: machine.sh before|after FILE" >&2
	exit 2
	;;
esac
