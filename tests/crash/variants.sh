#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Kill and stop members at every instruction, in the machine code of several compilers: the library's
# sources and each program step_*.c of this folder are compiled into one, by gcc and clang with -O0
# and -O2, and run; gcc's -O0 with the assertions of the debug build. A compiler that is not here is
# left out with a word.
#
# Arguments, if any, name the variants: variants.sh gcc-O2. STEP_ARGS goes to the programs.
set -u
export LC_ALL=C
: "${top_srcdir:?}" "${top_builddir:?}" "${WARN_CFLAGS:=-Wall}" "${URCU_CFLAGS=}" "${URCU_LIBS:=-lurcu-bp}"

failures=0
passes=0
[ $# -gt 0 ] || set -- gcc-O0 gcc-O2 clang-O0 clang-O2

# Compile all sources to objects in the current folder: lib/queue/queue.c to lib-queue-queue.o.
compile()
{
	(
		cd "$top_srcdir" || exit 1
		printf '%s\n' lib/*/*.c tests/crash/*.c
	) | while read -r source; do
		# shellcheck disable=SC2086 # lists of flags
		$1 $2 -g -std=gnu11 -D_GNU_SOURCE= $WARN_CFLAGS -fvisibility=hidden \
			-I "$top_srcdir/include" -I "$top_srcdir/lib" $URCU_CFLAGS \
			-c "$top_srcdir/$source" -o "$(echo "${source%.c}" | tr / -).o" || exit 1
	done
}

# link COMPILER PROGRAM: its object, all of the library, and what the programs share.
link()
{
	objects=$(printf '%s\n' ./*.o | grep -v '/tests-crash-step_')
	# shellcheck disable=SC2086 # lists
	$1 -pthread -o "$2" "./tests-crash-$2.o" $objects $URCU_LIBS
}

# judge VARIANT PROGRAM STATUS
judge()
{
	echo "$1 $2:"
	tail -n 20 "$2.out" | sed 's/^/    /'
	case $3 in
	0) passes=$((passes + 1)) ;;
	77) ;;
	*)
		echo "$1 $2: FAILED with status $3"
		failures=$((failures + 1))
		;;
	esac
}

# At each of their points some programs wait until others are really asleep, and awake again: some
# milliseconds. So they take fewer points, unless all are asked for.
stride_of()
{
	stride=${BROOD_STRIDE:-1}
	if [ "$stride" -gt 1 ]; then
		case $1 in
		step_sync | step_wait) stride=$((16 * stride + 1)) ;;
		step_broadcast | step_buffer | step_pairs | step_pipe | step_pipe_again | step_pool | \
			step_ring_stop | step_single) stride=$((4 * stride + 1)) ;;
		esac
	fi
	echo "$stride"
}

# All programs of a variant run at once: each stays on one processor.
run()
{
	variant=$1
	programs=$(cd "$top_srcdir/tests/crash" && printf '%s\n' step_*.c | sed 's/\.c$//')
	started=

	for program in $programs; do
		if ! link "${variant%-*}" "$program" >"$program.out" 2>&1; then
			judge "$variant" "$program" 'no program'
			continue
		fi
		# shellcheck disable=SC2086 # a list
		BROOD_STRIDE=$(stride_of "$program") "./$program" ${STEP_ARGS:-} >"$program.out" 2>&1 &
		started="$started $program:$!"
	done
	for job in $started; do
		wait "${job#*:}"
		judge "$variant" "${job%:*}" $?
	done
}

for variant in "$@"; do
	if ! command -v "${variant%-*}" >/dev/null; then
		echo "$variant: left out, ${variant%-*} is not here"
		continue
	fi
	folder=$top_builddir/tests/crash/variants/$variant
	rm -rf "$folder"
	mkdir -p "$folder" && cd "$folder" || exit 99
	flags=-${variant#*-}
	[ "$variant" != gcc-O0 ] || flags="$flags -DBROOD_DEBUG"
	if ! compile "${variant%-*}" "$flags"; then
		echo "$variant: does not compile"
		failures=$((failures + 1))
		continue
	fi
	run "$variant"
done

echo "$passes programs passed, $failures failed"
[ "$failures" -eq 0 ] || exit 1
[ "$passes" -gt 0 ] || exit 77
