#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Run the small examples and compare what they print.
set -u
export LC_ALL=C
: "${top_builddir:?}"
cd "$(mktemp -d)" || exit 99
trap 'rm -rf "$PWD"' EXIT
bin=$top_builddir/examples
failures=0

expect()
{
	if printf '%s\n' "$2" | cmp -s - "$1.out"; then
		echo "$1: as expected"
	else
		echo "$1: FAILED, it printed:"
		cat "$1.out"
		failures=$((failures + 1))
	fi
}

timeout 60 "$bin/exec_worker" >exec_worker.out 2>&1
expect exec_worker '1: 1
2: 4
3: 9
4: 16
5: 25'

timeout 60 "$bin/strangers" serve "$PWD/socket" >strangers.out 2>&1 &
server=$!
until [ -S socket ] || ! kill -0 $server 2>/dev/null; do sleep 0.01; done
for visitor in 1 2 3; do
	# The socket is bound before the server listens at it.
	until timeout 60 "$bin/strangers" visit "$PWD/socket" 2>visit.err ||
		! grep -q refused visit.err; do sleep 0.01; done
	cat visit.err
done
wait $server || failures=$((failures + 1))
expect strangers 'visitor 1 was here
visitor 2 was here
visitor 3 was here
3 visitors'

[ "$failures" -eq 0 ]
