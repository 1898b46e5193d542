#!/bin/sh
# Tries the operator out: events.ndjson must give expected.ndjson, in one run and in two with a restart between them.
#
#   sh test.sh lib@symbol@.so        SBHOST: the host (default: the one in $PATH)
set -eu
plugin=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
sbhost=${SBHOST:-sbhost}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$sbhost" plugin check "$plugin" >"$work/report" || {
	cat "$work/report"
	exit 1
}
tail -n 1 "$work/report"

job() { # directory, option...
	mkdir -p "$work/$1"
	(cd "$work/$1" && shift && "$sbhost" --operator "$plugin" --backend memory --input "$here/events.ndjson" \
		--output out.ndjson --on-error fail --log-level warn "$@")
}

job straight
job restarted --max-events 3
job restarted
cmp "$here/expected.ndjson" "$work/straight/out.ndjson"
cmp "$here/expected.ndjson" "$work/restarted/out.ndjson"
echo "@name@: the records are what they should be"
