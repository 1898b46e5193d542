#!/bin/sh
# Tries the backend out: the rules of the ABI, then a job that changes over from it to the host's own memory backend, which must
# end up as if nothing had happened.
#
#   sh test.sh lib@symbol@.so        SBHOST: the host (default: the one in $PATH)
set -eu
plugin=$(realpath "$1")
sbhost=${SBHOST:-sbhost}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$sbhost" plugin check "$plugin" >"$work/report" || {
	cat "$work/report"
	exit 1
}
tail -n 1 "$work/report"

job() { # directory, backend, option...
	mkdir -p "$work/$1"
	(cd "$work/$1" && shift && "$sbhost" --backend "$@" --input generator:users=100,rate=0,seed=7,count=20000 \
		--output out.ndjson --ttl 0 --log-level warn)
}

job straight memory
job swapped "$plugin" --max-events 7000
job swapped "$plugin" --max-events 7000 --parallelism 2
job swapped memory
for job in straight swapped; do
	"$sbhost" state export --checkpoint-dir "$work/$job/checkpoints" | sort >"$work/$job.state"
	sort "$work/$job/out.ndjson" >"$work/$job.out" # of two tasks, either may be first
done
cmp "$work/straight.state" "$work/swapped.state"
cmp "$work/straight.out" "$work/swapped.out"
echo "@name@: state and output are what they should be"
