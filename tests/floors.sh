#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The house rule of includes. A file of lib/ may include public headers, headers of its own folder,
# and headers of lower floors; only the lowest floor includes the kernel's. Examples, tools and the
# benchmark, which are users of the library, may include public headers and those of their own
# folder. Prints each offence as file:line.
set -u
export LC_ALL=C
cd "${top_srcdir:-$(dirname "$0")/..}" || exit 99

floors='platform 1 member 2 wait 3 sync 4 arena 5 queue 6 process 7 subprocess 7 pool 8 manager 9'

files=$(find lib examples tools bench \( -name '*.[ch]' -o -name '*.cc' \) -type f 2>/dev/null | sort)
[ -n "$files" ] || { echo 'no source was found'; exit 99; }

# shellcheck disable=SC2086 # no name of ours has a space
awk -v floors="$floors" '
	function offence(text)
	{
		printf "%s:%d: %s: %s\n", FILENAME, FNR, text, $0
		bad++
	}
	function exists(path,   line, found)
	{
		found = (getline line < path) >= 0
		close(path)
		return found
	}
	# The folder of lib/ that an include names, "" for none; "." and ".." are followed.
	function folder_of(target, own,   part, n)
	{
		sub(/^(\.\/)+/, "", target)
		sub(/^(\.\.\/)+(lib\/)?/, "", target)
		sub(/^lib\//, "", target)
		n = split(target, part, "/")
		return n > 1 ? part[1] : own
	}
	function check_lib(target, quoted,   own, used)
	{
		split(FILENAME, path, "/")
		own = path[2]
		if (!(own in floor)) {
			offence("lib/" own " is no floor")
			return
		}
		if (target ~ /^(linux\/|asm\/|sys\/syscall\.h)/ && floor[own] > 1)
			offence("only the lowest floor may use the kernel directly")
		used = folder_of(target, quoted ? own : "")
		if (used == "" || (!quoted && !(used in floor)))
			return
		if (!(used in floor))
			offence("no floor of lib/, and no public header")
		else if (used != own && floor[used] >= floor[own])
			offence("lib/" own " may not look into lib/" used)
	}
	function check_user(target, quoted,   part)
	{
		split(FILENAME, path, "/")
		if (quoted && (target ~ /\// || !exists(path[1] "/" target)))
			offence("neither public nor of this folder")
		else if (!quoted && split(target, part, "/") > 1 && part[1] in floor)
			offence("not public")
	}
	BEGIN {
		n = split(floors, word, " ")
		for (i = 1; i < n; i += 2)
			floor[word[i]] = word[i + 1]
	}
	/^[ \t]*#[ \t]*include[ \t]*[<"]/ {
		match($0, /[<"][^>"]*/)
		quoted = substr($0, RSTART, 1) == "\""
		target = substr($0, RSTART + 1, RLENGTH - 1)
		seen++
		if (target ~ /^brood(\/[a-z_]+)?\.h$/) {
			if (!exists("include/" target))
				offence("no such public header")
		} else if (FILENAME ~ /^lib\//)
			check_lib(target, quoted)
		else
			check_user(target, quoted)
	}
	END {
		if (seen == 0) {
			print "no include was found"
			exit 99
		}
		printf "%d includes, %d against the rule\n", seen, bad
		exit bad > 0
	}' $files
