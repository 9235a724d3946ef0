#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The shared library exports what the public headers declare, under the name of its version, and
# nothing else.
set -u
export LC_ALL=C
: "${top_srcdir:?}" "${top_builddir:?}"

library=$top_builddir/lib/.libs/libbrood.so
grep -q "^dlname='..*'" "$top_builddir/lib/libbrood.la" 2>/dev/null ||
	{ echo 'no shared library was built'; exit 77; }
command -v nm >/dev/null || { echo 'nm is missing'; exit 77; }

scratch=$(mktemp -d) || exit 99
trap 'rm -rf "$scratch"' EXIT

nm -D --defined-only "$library" >"$scratch/symbols" || exit 99
awk '$2 != "A" && $3 != "" { print $3 }' "$scratch/symbols" | sort -u >"$scratch/exported"

# "BROOD_API type name(" may be spread over two lines.
cat "$top_srcdir"/include/brood/*.h | grep -v '^#' | tr '\n' ' ' | grep -o 'BROOD_API [^;(]*(' |
	grep -o 'brood_[a-z0-9_]*(' | tr -d '(' | sort -u | sed 's/$/@@BROOD_0.1/' >"$scratch/declared"
[ -s "$scratch/declared" ] || { echo 'no declaration was found'; exit 99; }

extra=$(comm -23 "$scratch/exported" "$scratch/declared")
missing=$(comm -13 "$scratch/exported" "$scratch/declared")
[ -z "$extra" ] || printf 'exported, but not public:\n%s\n' "$extra"
[ -z "$missing" ] || printf 'public, but not exported:\n%s\n' "$missing"
echo "$(wc -l <"$scratch/exported") symbols exported"
[ -z "$extra$missing" ]
