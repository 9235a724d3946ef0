#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Each public header compiles alone, and twice, as strict C11 and as C++17, without a warning, with
# the compilers that were configured and with clang, as far as they are here.
set -u
export LC_ALL=C
: "${top_srcdir:?}" "${CC:?}" "${CXX:?}"

warnings='-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror'
failures=0
compiled=0

# compile COMPILER LANGUAGE STANDARD
compile()
{
	# The compiler may be two words, such as "ccache gcc".
	$1 -x "$2" -std="$3" -fsyntax-only /dev/null 2>/dev/null || {
		echo "$1 as $3: not here"
		return
	}
	for header in brood.h $(cd "$top_srcdir/include" && echo brood/*.h); do
		compiled=$((compiled + 1))
		# shellcheck disable=SC2086 # a list of flags
		printf '#include <%s>\n#include <%s>\nint main(void) { return 0; }\n' \
			"$header" "$header" |
			$1 -x "$2" -std="$3" $warnings -I "$top_srcdir/include" -fsyntax-only - && continue
		echo "$header: not clean as $3 with $1"
		failures=$((failures + 1))
	done
}

compile "$CC" c c11
compile clang c c11
compile "$CXX" c++ c++17
compile clang++ c++ c++17
echo "$compiled compilations, $failures failures"
[ "$compiled" -gt 0 ] && [ "$failures" -eq 0 ]
