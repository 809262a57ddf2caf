#!/usr/bin/env bash
# Shows that the embedded cluster leaves the machine as it was, and comes up over what a killed one left.
#
#   machine.sh before FILE   writes what the machine is like, unless the cluster runs
#   machine.sh after FILE    kills parts of the running cluster, brings it up again, kills all of it, takes it down,
#                            and compares; does nothing when there is no FILE
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

localcluster() { go run ./cmd/localcluster "$@"; }

pids=${LOCUST_OPERATOR_CACHE:-$HOME/.cache/locust-operator}/cluster/pids

# kill_hard ends components of the cluster the way a crash does. A pid file starts with the process's pid.
kill_hard() {
	for file in "$@"; do
		read -r pid _ <"$file"
		kill -KILL "$pid" 2>/dev/null || true
	done
}

before() {
	rm -f "$1"
	if localcluster status >/dev/null 2>&1; then
		echo "the cluster runs already, so what it leaves behind is not checked; make cluster-down first for that"
		return
	fi
	localcluster down >/dev/null 2>&1
	localcluster snapshot >"$1"
}

after() {
	[ -f "$1" ] || return 0
	echo "==> kill containerd, the kubelet and etcd, and bring the cluster up again"
	kill_hard "$pids"/{containerd,kubelet,etcd}.pid
	localcluster up
	localcluster status >/dev/null
	echo "==> kill all of it, take it down, and compare the machine with before"
	kill_hard "$pids"/*.pid
	localcluster down
	localcluster snapshot | diff "$1" - || {
		echo "the cluster left something behind (see above: < before, > after)" >&2
		exit 1
	}
	rm -f "$1"
	echo "the machine is as it was"
}

case "${1:-} ${2:-}" in
"before "?*) before "$2" ;;
"after "?*) after "$2" ;;
*)
	echo "usage: machine.sh before|after FILE" >&2
	exit 2
	;;
esac
