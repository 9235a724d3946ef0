#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# wordcount, plain and with workers killed, on a generated tree whose count sort and wc know too,
# and on a tree of real headers. It must say "identical", and leave no process and no shared memory.
# WORDCOUNT names the program.

program=${WORDCOUNT:-./examples/wordcount}
if ! [ -x "$program" ]; then
	echo "SKIP: $program is missing"
	exit 77
fi

# Other tests use /dev/shm at the same time: take one of our own where that is allowed.
if [ -z "$own_shm" ] && unshare -rm mount -t tmpfs shm /dev/shm 2>/dev/null; then
	own_shm=1 exec unshare -rm sh -c 'mount -t tmpfs shm /dev/shm && exec sh "$0"' "$0"
fi

export LC_ALL=C
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT
trap 'exit 99' HUP INT TERM
tree=$dir/tree
mark="wordcount_test=$$.$(date +%s%N)"
checks=0

fail()
{
	echo "FAIL: $*"
	[ -s "$dir/out" ] && cat "$dir/out"
	exit 1
}

# Files of many sizes, a word longer than any chunk, bytes that are no text, odd names, links.
make_tree()
{
	mkdir -p "$tree/a b/c" "$tree/empty" || exit 99
	awk -v tree="$tree" 'BEGIN {
		srand(7)
		for (i = 0; i < 120; i++) {
			file = tree (i % 2 ? "/" : "/a b/") "file" i
			n = int(rand() * rand() * 6000)
			printf "" > file
			for (j = 0; j < n; j++)
				printf "%s%s", "w" int(1 / (rand() + 0.00001)),
					rand() < 0.2 ? ".\n" : rand() < 0.1 ? "-" : " " > file
			close(file)
		}
	}' || exit 99
	awk 'BEGIN { for (i = 0; i < 30000; i++) printf "long%d_", i }' > "$tree/a b/c/long"
	: > "$tree/a b/c/empty"
	head -c 200000 "$program" > "$tree/$(printf 'new\nline')"
	printf 'last_word_without_a_line_feed' > "$tree/last"
	ln -s ../last "$tree/a b/link"
	ln -s . "$tree/loop"
}

# The words of a tree, one a line, made without the program. No run may join two files.
words_of()
{
	find "$1" -type f -exec sh -c 'for f; do cat "$f"; echo; done' - {} + |
		tr -cs 'A-Za-z0-9_' '\n' | grep . | fold -b -w 255
}

# run NAME ARGUMENT...: the line "identical" is left in $line.
run()
{
	name=$1
	shift
	ls -A /dev/shm > "$dir/before" 2>/dev/null
	env "$mark" timeout -k 5 60 "$program" "$@" > "$dir/out" 2>&1
	status=$?
	[ $status -eq 0 ] || fail "$name: exit status $status"
	line=$(grep '^identical: ' "$dir/out") || fail "$name: does not say identical"
	nothing_stays "$name"
	checks=$((checks + 1))
}

# Processes are known by a mark in their environment. In a common /dev/shm, other tests get a while to
# take away what is theirs.
nothing_stays()
{
	stays=$(grep -lzxF "$mark" /proc/[0-9]*/environ 2>/dev/null)
	[ -z "$stays" ] || fail "$1: a process stays: $stays"
	tries=100
	until [ -z "$(new_in_shm)" ]; do
		tries=$((tries - 1))
		if [ -n "$own_shm" ] || [ $tries -eq 0 ]; then
			fail "$1: stays in /dev/shm: $(new_in_shm)"
		fi
		sleep 0.1
	done
}

new_in_shm()
{
	ls -A /dev/shm 2>/dev/null | comm -13 "$dir/before" -
}

expect()
{
	case $line in
	"$2"*) ;;
	*) fail "$1: expected $2" ;;
	esac
}

killed_20()
{
	case $line in
	*"(20 workers killed, "*) ;;
	*) fail "$1: not 20 workers killed" ;;
	esac
}

# with_commas NUMBER
with_commas()
{
	echo "$1" | sed -e ':a' -e 's/\([0-9]\)\([0-9]\{3\}\)\($\|,\)/\1,\2\3/' -e 'ta'
}

make_tree
words_of "$tree" > "$dir/words"
total=$(with_commas "$(wc -l < "$dir/words")")
distinct=$(with_commas "$(sort -u "$dir/words" | wc -l)")
known="identical: $total words, $distinct distinct, counted by "

run "tree" --top 0 "$tree"
expect "tree" "$known"
run "tree, 1 worker" --workers 1 "$tree"
expect "tree, 1 worker" "${known}1 workers and by one process"
for i in 1 2 3 4 5; do
	run "tree, chaos $i" --chaos 20 --seed $i "$tree"
	expect "tree, chaos $i" "$known"
	killed_20 "tree, chaos $i"
done
run "tree, 1 worker, chaos" --chaos 20 --workers 1 "$tree"
expect "tree, 1 worker, chaos" "$known"
killed_20 "tree, 1 worker, chaos"

run "one file" "$tree/last"
expect "one file" "identical: 1 words, 1 distinct"
run "empty directory" "$tree/empty"
expect "empty directory" "identical: 0 words, 0 distinct"

headers=/usr/include/linux
[ -d $headers ] || headers=/usr/include
run "headers" $headers
for i in 1 2 3 4 5; do
	run "headers, chaos $i" --chaos 20 --seed $i $headers
	killed_20 "headers, chaos $i"
done

"$program" "$tree/absent" > "$dir/out" 2>&1
[ $? -eq 2 ] || fail "absent path: exit status is not 2"

echo "$checks runs identical, nothing stays"
