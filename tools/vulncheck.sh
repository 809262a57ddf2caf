#!/usr/bin/env bash
# Fails if the operator imports a package of a module that has a known vulnerability. Vulnerabilities of the standard library
# are only printed: to fix them, build with a newer Go.
#
# The database is vuln.go.dev, or if that is unreachable, the snapshot of it that the module proxy serves.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
db=${GOVULNDB:-https://vuln.go.dev}
module=golang.org/x/vulndb@v0.0.0-20261105234957-e22db6528018

not_covered() {
	echo "govulncheck: skipped: the vulnerability database is unreachable"
	exit 0
}

of="$db"
if ! curl -sSf --max-time 5 -o /dev/null "$db/index/db.json" 2>/dev/null; then
	folder=${LOCUST_OPERATOR_CACHE:-$HOME/.cache/locust-operator}/vulndb/${module##*@}
	if [[ ! -f $folder/index/modules.json ]]; then
		entries=$(cd / && go mod download -json "$module" 2>/dev/null | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
		[[ -n $entries ]] || not_covered
		go -C tools run ./vulndb "$entries/data/osv" "$folder" || not_covered
	fi
	db=file://$folder of="of ${module##*@}"
fi
check=$(tools/build.sh govulncheck)
status=0
found=$(timeout 300 "$check" -db "$db" -scan package ./cmd/... 2>&1) || status=$?
case $status in
0) echo "govulncheck: no known vulnerability (database $of)" ;;
3)
	modules=$(awk -v RS='\n\n' '/ Module: / { print $0 "\n" }' <<<"$found")
	if [[ -n $modules ]]; then
		echo "$modules" >&2
		echo "govulncheck: remedy: run go get with the fixed version, and go mod tidy" >&2
		exit 1
	fi
	echo "govulncheck: the standard library of $(go env GOVERSION) has $(grep -c '^Vulnerability #' <<<"$found") known vulnerabilities in packages that are imported (database $of); build releases with a newer Go"
	;;
*)
	head -n 1 <<<"$found" >&2
	not_covered
	;;
esac
