#!/usr/bin/env bash
# Fails if code or documentation contains a word of tools/lint/words.txt. It checks the files of all modules, or only the
# given files and folders.
#
#   tools/lint/words.sh [PATH...]
#
# golangci-lint's misspell has extra-words, but only for single words in Go files; the list has phrases, and prose is in
# Markdown, YAML and shell scripts too.
set -euo pipefail

list=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/words.txt
(($# > 0)) || { cd "$(dirname "$list")/../.." && set -- .; }

status=0
while IFS=$'\t' read -r pattern instead; do
	case $pattern in '' | '#'*) continue ;; esac
	if matches=$(grep -rniwE --exclude-dir={.git,bin,dist,testdata} \
		--include={'*.go','*.md','*.tmpl','*.yaml','*.json','*.py','*.sh',Makefile} -e "$pattern" -- "$@" | grep -v 'http\.No[B]ody'); then
		status=1
		echo "$matches" | sed -e 's|^\./||' -e 's/^\(.\{160\}\).*/\1.../' >&2
		echo "words: '$pattern': write instead: ${instead:?is missing in $list}" >&2
	fi
done <"$list"
((status == 0)) || { echo "words: the list is tools/lint/words.txt" >&2; exit 1; }
echo "words: no word of tools/lint/words.txt is used"
