#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# run.sh [DIRECTORY]: search the models completely, and see to it that each seeded bug is found.
#
# Builds in DIRECTORY, or in a temporary one. A line for each search, as they end: name, states, seconds,
# result. Exit: 0 all models hold and all bugs were caught; 1 not so; 77 spin is absent. As many at once
# as there are CPUs, or MODEL_JOBS; 2 GiB each.

export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd) || exit 1

if ! command -v spin >/dev/null || ! command -v "${CC:=cc}" >/dev/null; then
	echo "models: skipped, they need spin and a C compiler"
	exit 77
fi

# Of itself: --row DIRECTORY ROW... is one of the rows below.
row=
if [ "$1" = --row ]; then
	row=yes
	shift
fi
if [ -n "$1" ]; then
	mkdir -p "$1" && work=$(cd "$1" && pwd) || exit 1
else
	work=$(mktemp -d) || exit 1
	trap 'rm -rf "$work"' EXIT
	trap 'exit 1' HUP INT TERM
fi

failed=0

# search NAME MODEL OPTIMIZATION DEFINES...: the output of a complete search, in $work/NAME/out
search() {
	dir=$work/$1 model=$here/$2.pml level=$3
	shift 3
	mkdir -p "$dir" && cd "$dir" || return 1
	rm -f out
	spin -a "$@" "$model" >spin.out 2>&1 &&
		"$CC" "$level" -w -DSAFETY -DCOLLAPSE -DMEMLIM=7000 -o pan pan.c >cc.out 2>&1 &&
		./pan -m1000000 -w24 >out 2>&1
	cd "$work" && [ -s "$dir/out" ]
}

figures() {
	awk '/states, stored/ { states = $1 }
	     /^pan: elapsed time/ { seconds = $4 }
	     END { printf "%10.0f states %7.1f s", states, seconds }' "$work/$1/out"
}

line() {
	printf '%-26s %s  %s\n' "$1" "$2" "$3"
}

search_holds() {
	name=$1 model=$2
	shift 2
	if ! search "$name" "$model" -O2 "$@"; then
		line "$name" "" "NOT SEARCHED: see spin.out, cc.out"
	elif ! grep -q 'errors: 0$' "$work/$name/out"; then
		line "$name" "$(figures "$name")" "VIOLATED: $(grep -m1 '^pan:1' "$work/$name/out")"
	elif grep -qE 'not completed|too small|out of memory|memory limit' "$work/$name/out"; then
		line "$name" "$(figures "$name")" "NOT COMPLETED"
	else
		line "$name" "$(figures "$name")" "holds"
		return
	fi
	failed=$((failed + 1))
}

# search_caught MODEL BUG DEFINES...
search_caught() {
	name=$1.$2 model=$1 bug=$2
	shift 2
	if ! search "$name" "$model" -O0 "-DBUG_$bug" "$@"; then
		line "$name" "" "NOT SEARCHED: see spin.out, cc.out"
	elif ! grep -q '^pan:1: assertion violated' "$work/$name/out"; then
		line "$name" "$(figures "$name")" "NOT CAUGHT"
	else
		line "$name" "$(figures "$name")" "caught"
		return
	fi
	failed=$((failed + 1))
}

if [ -n "$row" ]; then
	kind=$2
	shift 2
	"search_$kind" "$@"
	exit "$failed"
fi

# holds NAME MODEL DEFINES... and caught MODEL BUG DEFINES...: a row
holds() {
	echo "holds $*"
}
caught() {
	echo "caught $*"
}

# What each member calls: of the swap ring, as swap_ring_state.pml has it, 1 put, 2 get, 4 lease,
# 8 reserve, 16 close; of the ring of bytes 1 put, 2 get, 4 abort, 8 close; of the
# others as they say.
calls() {
	echo "-DOPS1=$1 -DOPS2=$2 -DOPS3=$3"
}

# What each member does with a rwlock: 1 reads, 2 writes.
roles() {
	echo "-DROLE1=$1 -DROLE2=$2 -DROLE3=$3"
}

# shellcheck disable=SC2046 # calls and roles give several words
{
	holds ring.two-slots swap_ring -DR=2 -DNPUT=2 -DKILLS=2 $(calls 3 1 2)
	holds ring.one-slot swap_ring -DR=1 -DNPUT=3 -DKILLS=2 $(calls 3 1 2)
	holds ring.three-deaths swap_ring -DR=1 -DNPUT=1 -DKILLS=3 $(calls 3 3 2)
	holds ring.lease swap_ring -DR=1 -DNPUT=1 -DKILLS=2 -DNB=5 -DNRETURN=1 $(calls 5 4 2)
	holds ring.reserve swap_ring -DR=1 -DNPUT=1 -DKILLS=2 -DNB=5 $(calls 9 2 3)
	holds ring.close swap_ring -DR=1 -DNPUT=1 -DKILLS=2 $(calls 17 2 18)
	holds ring.hints swap_ring -DHINTS=1 -DR=2 -DNPUT=3 -DKILLS=0 $(calls 3 1 2)
	holds ring.hints-death swap_ring -DHINTS=1 -DR=1 -DNPUT=2 -DKILLS=1 $(calls 3 1 2)
	holds bytes.readers bytes_ring -DADVANCES=1 -DNPUT=3 -DTRIES=0 -DKILLS=0 $(calls 1 2 2)
	holds bytes.producers bytes_ring -DADVANCES=1 -DNPUT=2 -DTRIES=1 -DKILLS=0 $(calls 1 1 2)
	holds bytes.death bytes_ring -DNPUT=2 -DTRIES=0 -DKILLS=1 $(calls 1 2 2)
	holds bytes.two-deaths bytes_ring -DNPUT=1 -DTRIES=1 -DKILLS=2 $(calls 1 2 2)
	holds bytes.abort bytes_ring -DSHORTEST=2 -DNPUT=2 -DTRIES=1 -DKILLS=1 $(calls 1 5 2)
	holds bytes.close bytes_ring -DSHORTEST=2 -DNPUT=2 -DTRIES=1 -DKILLS=1 $(calls 1 2 8)
	holds pipe pipe -DSENDS1=122
	holds pipe.room pipe -DCAP=2 -DKILLS=2
	holds pipe.two-deaths pipe -DPIECES=3 -DKILLS=2 -DRECVS=2
	holds pipe.three-pieces pipe -DPIECES=3 -DSENDS1=122
	holds pipe.timeouts pipe -DCAP=2 -DTIMEOUTS=1 -DSENDS1=122
	holds pipe.turns pipe -DRECEIVERS=3 -DKILLS=0 -DSENDS1=211
	holds pipe.senders pipe -DSENDS2=2 -DRECVS=2
	holds broadcast broadcast -DNPUT=3 -DKILLS=1 -DTRIES=2 $(calls 1 2 2)
	holds broadcast.two-deaths broadcast -DNPUT=2 -DKILLS=2 -DTRIES=1 $(calls 1 2 3)
	holds broadcast.ends broadcast -DNPUT=3 -DKILLS=1 -DTRIES=2 -DCOUNTS=1 $(calls 13 50 1)
	holds broadcast.spare-slot broadcast -DCAPACITY=1 -DNPUT=3 -DTRIES=1 $(calls 5 18 7)
	holds broadcast.lossy broadcast -DLOSSY=1 -DNPUT=3 -DTRIES=2 -DCOUNTS=1 $(calls 13 34 1)
	holds broadcast.one-slot broadcast -DLOSSY=1 -DRING=1 -DNPUT=3 -DCOUNTS=1 $(calls 1 34 7)
	holds single.producers single -DNPUT=3 -DKILLS=1 -DTRIES=1 $(calls 1 2 1)
	holds single.consumers single -DNPUT=3 -DKILLS=1 -DTRIES=0 $(calls 1 2 6)
	holds single.two-deaths single -DNPUT=2 -DKILLS=2 -DTRIES=1 $(calls 65 134 3)
	holds single.reserve single -DR=2 -DNPUT=3 -DKILLS=1 -DTRIES=1 $(calls 33 134 33)
	holds single.count single -DNPUT=4 -DKILLS=0 -DTRIES=1 -DCOUNTS=1 $(calls 1 2 16)
	holds single.count-death single -DNPUT=2 -DKILLS=1 -DTRIES=0 -DCOUNTS=1 $(calls 1 6 16)
	holds single.close single -DNPUT=2 -DKILLS=1 -DTRIES=1 -DCOUNTS=1 $(calls 1 2 24)
	holds single.close-count single -DNPUT=2 -DKILLS=1 -DCOUNTS=1 $(calls 1 8 16)
	holds member member
	holds wait wait -DNPUT=1
	holds wait.two-messages wait -DKILLS=0
	holds wait.elsewhere wait -DNPUT=1 -DKILLS=0 -DAWAY=1
	holds wait.leaves wait -DNPUT=0 -DKILLS=0 -DAWAY=1 -DLEAVES=1
	holds wait.elsewhere-death wait -DNPUT=0 -DKILLS=2 -DAWAY=1
	holds bell.one-list bell -DWAYS=1
	holds bell.many bell -DWAYS=2
	holds bell.ppoll bell -DWAYS=4
	holds bell.two-deaths bell -DWAYS=1 -DKILLS=2
	holds bell.again bell -DPUTS1=2 -DPUTS2=0 -DSLEEPS=2 -DKILLS=0
	holds bell.all bell -DALL=1 -DKILLS=0
	holds lock sync_lock -DMORE=1
	holds lock.again sync_lock -DAGAIN=1 -DKILLS=1
	holds lock.forgiving sync_lock -DFORGIVING=1 -DMORE=1
	holds lock.timeouts sync_lock -DTIMEOUTS=1
	holds lock.watched sync_lock -DWATCHES=1
	holds lock.elsewhere sync_lock -DAWAY=1 -DKILLS=1
	holds semaphore.one-unit sync_semaphore -DUNITS=1
	holds semaphore.two-units sync_semaphore -DUNITS=2
	holds condition sync_condition -DNOTIFIES=2
	holds condition.again sync_condition -DAGAIN=1 -DKILLS=1
	holds condition.forgiving sync_condition -DFORGIVING=1
	holds condition.timeouts sync_condition -DTIMEOUTS=1
	holds rwlock.readers sync_rwlock $(roles 1 1 2)
	holds rwlock.writers sync_rwlock $(roles 1 2 2)
	holds rwlock.timeouts sync_rwlock -DTIMEOUTS=1 -DKILLS=0 $(roles 1 2 2)
	holds barrier sync_barrier
	holds barrier.again sync_barrier -DPARTIES=2 -DAGAIN=1 -DKILLS=1
	holds barrier.action sync_barrier -DACTION=1
	holds barrier.timeouts sync_barrier -DTIMEOUTS=1 -DKILLS=1
	holds barrier.reset sync_barrier -DPARTIES=2 -DRESETS=1

	for bug in WANT_FIRST OFFER_LAST LENGTH LOOK_ORDER NO_HOLDER EMPTY; do
		caught swap_ring $bug -DR=1 -DNPUT=2 -DKILLS=2 $(calls 3 3 2)
	done
	for bug in OFFER_HELD RELEASE BUMP VERSION; do
		caught swap_ring $bug -DR=1 -DNPUT=1 -DKILLS=2 -DNB=5 -DNRETURN=1 $(calls 5 4 2)
	done
	caught swap_ring SWEEP_ORDER -DR=1 -DNPUT=1 -DKILLS=2 $(calls 1 2 2)
	caught swap_ring STALE_WANT -DR=1 -DNPUT=1 -DKILLS=1 $(calls 9 3 2)
	caught swap_ring CLOSED -DR=1 -DNPUT=1 -DKILLS=1 $(calls 1 18 2)
	for bug in AGAIN_ONCE PASSES_THE_DEAD NOT_COUNTED ONLY_IF_FOUND NOTE_LAST; do
		caught bytes_ring $bug -DNPUT=1 -DTRIES=1 -DKILLS=2 $(calls 1 2 2)
	done
	for bug in HEAD_STORED HEAD_ONCE RELEASE_FIRST; do
		caught bytes_ring $bug -DADVANCES=1 -DNPUT=3 -DTRIES=0 -DKILLS=0 $(calls 1 2 2)
	done
	caught bytes_ring FULL_BEHIND -DADVANCES=1 -DNPUT=2 -DTRIES=0 -DKILLS=0 $(calls 1 1 2)
	caught bytes_ring NO_SPARE -DADVANCES=1 -DNPUT=3 -DTRIES=1 -DKILLS=0 $(calls 1 2 8)
	caught bytes_ring OWNER_LOOK -DSHORTEST=2 -DNPUT=2 -DTRIES=0 -DKILLS=1 $(calls 1 1 2)
	for bug in LOOKS_LAST FROM_THE_HEAD ASKS_BY_STORE LOOKS_ONLY LOOKS_FROM_HINT; do
		caught pipe $bug
	done
	caught pipe NEVER_ASKS -DCAP=2
	caught pipe NO_NUMBER -DCAP=4 -DSENDS1=122
	caught pipe GIVES_UP_SILENTLY -DCAP=2 -DTIMEOUTS=1 -DKILLS=0
	caught pipe TURN_IS_KEPT -DRECEIVERS=3 -DKILLS=0 -DSENDS1=211
	for bug in TAIL_STORED NO_INCARNATION; do
		caught broadcast $bug -DNPUT=2 -DKILLS=1 -DTRIES=1 $(calls 1 1 2)
	done
	for bug in NEWCOMER_ONCE OWNER_LAST STAMP_FIRST CURSOR_FIRST; do
		caught broadcast $bug -DRING=1 -DNPUT=3 -DKILLS=0 -DTRIES=2 $(calls 1 2 0)
	done
	caught broadcast DEAD_COUNT -DRING=1 -DNPUT=2 -DKILLS=1 -DTRIES=1 $(calls 1 2 0)
	for bug in NO_ODD NO_SECOND_LOOK; do
		caught broadcast $bug -DLOSSY=1 -DRING=1 -DNPUT=2 -DKILLS=0 -DTRIES=1 $(calls 1 2 0)
	done
	caught broadcast OVERTAKEN -DLOSSY=1 -DRING=1 -DNPUT=3 -DKILLS=0 -DCOUNTS=1 $(calls 1 34 0)
	for bug in CLOSED_LATE CLOSED_BY_ANYBODY; do
		caught broadcast $bug -DNPUT=2 -DKILLS=0 -DTRIES=2 $(calls 5 2 4)
	done
	for bug in TAIL_STORED NO_INCARNATION RUN_LEFT; do
		caught single $bug -DNPUT=3 -DKILLS=1 -DTRIES=1 $(calls 1 1 2)
	done
	caught single SHOWN_LATE -DNPUT=1 -DKILLS=1 -DTRIES=0 $(calls 1 2 2)
	for bug in HEADER_FIRST HEAD_FIRST; do
		caught single $bug -DR=1 -DNPUT=2 -DKILLS=0 -DTRIES=1 $(calls 1 2 0)
	done
	for bug in END_STORED PUT_NO_LOOK GET_NO_LOOK; do
		caught single $bug -DNPUT=2 -DKILLS=0 -DTRIES=1 $(calls 1 2 8)
	done
	caught single OVERTAKEN -DNPUT=4 -DKILLS=0 -DTRIES=1 -DCOUNTS=1 $(calls 1 2 16)
	caught single COUNT_OPEN -DNPUT=2 -DKILLS=0 -DCOUNTS=1 $(calls 1 8 16)
	for bug in LEASE_SHOWN HEAD_FIRST_AGAIN; do
		caught single $bug -DNPUT=2 -DKILLS=1 -DTRIES=0 -DCOUNTS=1 $(calls 1 6 16)
	done
	for bug in LATER_CLAIM NO_SECOND_LOOK NO_INCARNATION FREED_FIRST FREED_APART; do
		caught member $bug -DLEAVES=0
	done
	for bug in PARK_FIRST NO_SECOND_LOOK LIVES_NOT_WATCHED; do
		caught wait $bug
	done
	caught wait FINDS_AND_FORGETS -DNPUT=1 -DKILLS=1
	caught wait WAKES_ANYBODY -DNPUT=1 -DKILLS=0 -DAWAY=1
	for bug in JOINS_SILENTLY SWEEPS_SILENTLY; do
		caught wait $bug -DNPUT=0 -DKILLS=1 -DAWAY=1
	done
	caught wait LEAVES_SILENTLY -DNPUT=0 -DKILLS=0 -DAWAY=1 -DLEAVES=1
	for bug in ASKED_LATE MANY_NOT_RUNG NOT_RUNG_BEHIND NO_ARMING ARMS_LATE NO_SECOND_LOOK \
		SLEEPS_UNARMED NOT_SETTLED; do
		caught bell $bug -DPUTS1=2 -DPUTS2=0 -DSLEEPS=2 -DKILLS=0
	done
	for bug in ARMED_IS_ENOUGH DRAINS_IF_COUNTED; do
		caught bell $bug -DWAYS=1
	done
	for bug in RUNG_ONLY SLEEPS_ELSEWHERE; do
		caught bell $bug -DALL=1 -DKILLS=0
	done
	for bug in WAKE_FIRST NO_SECOND_LOOK LISTED_ONLY NO_INCARNATION STORE LOST_TO_ONE; do
		caught sync_lock $bug -DAGAIN=1
	done
	caught sync_lock NO_RETRY -DWATCHES=1
	caught sync_lock WAKES_ANYBODY -DAWAY=1
	for bug in WAKE_FIRST NO_SECOND_LOOK LISTED_ONLY NO_INCARNATION STORE; do
		caught sync_semaphore $bug
	done
	for bug in NOT_PASSED_ON ASKED_BEFORE LOST_UNSEEN NO_SECOND_LOOK NO_INCARNATION; do
		caught sync_condition $bug
	done
	for bug in NO_LOOK NO_DRAIN STEPS_BACK_SILENTLY NO_SECOND_LOOK; do
		caught sync_rwlock $bug -DKILLS=0 $(roles 3 3 3)
	done
	for bug in WRITES_LATE READS_ONCE NO_INCARNATION; do
		caught sync_rwlock $bug -DKILLS=1 $(roles 1 1 2)
	done
	caught sync_rwlock REGISTERS_ANEW -DKILLS=0 $(roles 1 2 2)
	for bug in NOTE_LAST LAST_DOES_NOT_LOOK TAKES_THE_NOTE NO_SECOND_LOOK NO_INCARNATION; do
		caught sync_barrier $bug -DAGAIN=1 -DKILLS=1
	done
	caught sync_barrier CLEARS_LATER -DPARTIES=2 -DAGAIN=1 -DKILLS=1
	caught sync_barrier EXPELLED_LATE -DPARTIES=2 -DRESETS=1
} >"$work/rows"

if ! xargs -P "${MODEL_JOBS:-$(nproc)}" -L 1 sh "$here/run.sh" --row "$work" <"$work/rows"; then
	echo "models: not all went well"
	exit 1
fi
echo "models: all hold, all seeded bugs caught"
