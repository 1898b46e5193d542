#!/bin/sh
# Does include/sb_plugin.h compile alone, without a warning, in every language version that
# it promises? Each tests/golden/header_*.c and .cpp is compiled with every compiler that is
# there. Exits 1 when one fails, 77 ("skipped") when there is no compiler at all.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
object=$(mktemp "${TMPDIR:-/tmp}/sbhost-header-XXXXXX")
trap 'rm -f "$object"' EXIT
warnings="-Wall -Wextra -Wpedantic -Werror"
checked=0
failed=0

# check COMPILER STANDARD FILE
check() {
	# shellcheck disable=SC2086
	if "$1" -std="$2" $warnings -fPIC -I "$root/include" -c "$3" -o "$object"; then
		checked=$((checked + 1))
	else
		echo "FAILED: $1 -std=$2 $3"
		failed=$((failed + 1))
	fi
}

for compiler in gcc clang; do
	command -v "$compiler" >/dev/null || continue
	for file in "$root"/tests/golden/header_*.c; do
		for standard in c11 c17; do
			check "$compiler" "$standard" "$file"
		done
	done
done

cpp=0
for compiler in g++ clang++; do
	command -v "$compiler" >/dev/null || continue
	# clang++ may be there without the headers of a C++ library.
	echo '#include <cstdint>' | "$compiler" -x c++ -fsyntax-only - 2>/dev/null || continue
	cpp=1
	for file in "$root"/tests/golden/header_*.cpp; do
		for standard in c++11 c++20; do
			check "$compiler" "$standard" "$file"
		done
	done
done
[ "$cpp" = 1 ] || echo "Skipping the C++ half of the header check (no C++ compiler; package g++)"

echo "sb_plugin.h: $checked compilations passed, $failed failed"
[ "$failed" = 0 ] || exit 1
[ "$checked" -gt 0 ] || exit 77
