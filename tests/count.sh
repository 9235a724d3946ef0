#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Add up the results of all test programs that ran below the given build directories (default: here).
#
# A program of the Check library counts each of its tests, by the summary line in its log; any other
# program counts as one. A Check program that failed beyond what its summary says (it crashed, or
# was ended by the time limit) counts as one failure more. The last line is the result:
#
#	N passed, N failed[, N skipped]
#
# Exit status: 0 when something ran and nothing failed.
set -u
export LC_ALL=C

find "${@:-.}" -name '*.trs' -type f | sort | while read -r trs; do
	echo "TRS $trs"
	grep '^:test-result:' "$trs" || echo ':test-result: ERROR'
	# grep fails when there is no such line: the program is not of the Check library.
	grep '^[0-9]*%: Checks: [0-9]*, Failures: [0-9]*, Errors: [0-9]*' "${trs%.trs}.log" 2>/dev/null
done | awk '
	function settle()
	{
		if (name == "")
			return
		if (result == "SKIP")
			skipped++
		else if (result != "PASS" && result != "XFAIL") {
			if (bad == 0)
				bad = 1
			print "failed: " name
		} else if (checks == 0)
			passed++
		passed += checks > 0 ? checks - known : 0
		failed += bad
	}
	$1 == "TRS" {
		settle()
		name = substr($0, 5)
		sub(/^\.\//, "", name)
		sub(/\.trs$/, "", name)
		result = ""
		checks = known = bad = 0
	}
	$1 == ":test-result:" {
		result = $2
	}
	$2 == "Checks:" {
		checks += $3
		known += $5 + $7
		bad = known
	}
	END {
		settle()
		printf "%d passed, %d failed", passed, failed
		if (skipped > 0)
			printf ", %d skipped", skipped
		printf "\n"
		exit failed > 0 || passed + skipped == 0
	}'
