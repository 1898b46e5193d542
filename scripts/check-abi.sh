#!/bin/bash
# A second look at the ABI, by other eyes than tests/unit/test_abi_layout.c: abidiff compares the debug information of tests/abi/probe.c,
# compiled with each frozen header and with ours. Unlike the golden layouts it sees the signatures of callbacks.
#
# With the frozen header's minor version nothing may differ. In a later one members are appended, which abidiff shows for
# somebody to read; what it calls incompatible fails. Exits 77 ("skipped") without abidiff or a frozen header.
set -u
cd "$(dirname "$0")/.." || exit 1
if ! command -v abidiff >/dev/null; then
	echo "Skipping the second look at the ABI (no abidiff; package abigail-tools)"
	exit 77
fi
dir=$(mktemp -d "${TMPDIR:-/tmp}/sbhost-abi-XXXXXX")
trap 'rm -rf "$dir"' EXIT

# compile INCLUDE_DIR OUTPUT
compile() {
	cc -std=c11 -g -shared -fPIC -fvisibility=hidden -I "$1" -o "$2" tests/abi/probe.c
}

minor_of() {
	sed -nE 's/^#define SB_ABI_MINOR ([0-9]+)$/\1/p' "$1"
}

compared=0
failed=0
compile include "$dir/ours.so" || exit 1
for frozen in tests/abi/v*/sb_plugin.h; do
	[ -e "$frozen" ] || continue
	compile "$(dirname "$frozen")" "$dir/frozen.so" || exit 1
	abidiff "$dir/frozen.so" "$dir/ours.so"
	status=$?
	compared=$((compared + 1))
	if [ $((status & 11)) -ne 0 ]; then
		echo "FAILED: $frozen and include/sb_plugin.h are not compatible"
		failed=1
	elif [ $status -ne 0 ] && [ "$(minor_of "$frozen")" = "$(minor_of include/sb_plugin.h)" ]; then
		echo "FAILED: include/sb_plugin.h differs from $frozen, which is frozen: raise SB_ABI_MINOR (docs/abi.md)"
		failed=1
	fi
done
echo "ABI: compared with $compared frozen headers"
[ "$failed" = 0 ] || exit 1
[ "$compared" -gt 0 ] || exit 77
