#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The programs in README.md are what they say: each ```c block that has a main is compiled against
# the library as it was built, and run; where the next block is a ```text block, that is its output
# to the letter.
set -u
export LC_ALL=C
: "${top_srcdir:?}" "${top_builddir:?}" "${CC:?}"

scratch=$(mktemp -d "$top_builddir/readme.XXXXXX") || exit 99
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 99

awk '
	/^```/ && kind != "" {
		close(file)
		kind = ""
		next
	}
	/^```c$/ {
		kind = "c"
		file = sprintf("%d.c", ++n)
		follows = 1
		next
	}
	/^```/ {
		kind = /^```text$/ && follows ? "text" : "other"
		file = sprintf("%d.expected", n)
		follows = 0
		next
	}
	kind == "c" || kind == "text" {
		print > file
	}' "$top_srcdir/README.md" || exit 99

programs=0
failures=0
for source in *.c; do
	grep -q 'int main' "$source" 2>/dev/null || continue
	programs=$((programs + 1))
	name=${source%.c}
	# shellcheck disable=SC2086 # lists of flags
	if ! { $CC -std=gnu11 -Wall -Wextra -Werror $CFLAGS -I "$top_srcdir/include" -c "$source" &&
		"$top_builddir/libtool" --silent --tag=CC --mode=link \
			$CC $CFLAGS -o "$name" "$name.o" "$top_builddir/lib/libbrood.la"; }; then
		echo "program $name of README.md does not compile"
		failures=$((failures + 1))
		continue
	fi
	timeout 60 "./$name" >"$name.output"
	status=$?
	if [ $status -ne 0 ]; then
		echo "program $name of README.md ends with status $status"
		failures=$((failures + 1))
	elif [ -f "$name.expected" ] && ! diff -u "$name.expected" "$name.output"; then
		echo "program $name of README.md prints something else"
		failures=$((failures + 1))
	fi
done
echo "$programs programs, $failures failures"
[ "$programs" -gt 0 ] && [ "$failures" -eq 0 ]
