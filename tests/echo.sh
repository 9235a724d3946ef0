#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The servers of examples/ under load: quiet; while a worker is killed every 20 ms; with clients
# that do not read, and clients that go away. Each answer must come once, in order and right. Then
# they are told to end, and killed, in the middle of a load. No descriptor, process or shared memory
# may stay.
set -u
export LC_ALL=C
: "${top_srcdir:?}" "${top_builddir:?}" "${ECHO_SERVERS:?}"

connections=64
requests=1000
kills=100

# Other tests use /dev/shm at the same time: take one of our own where that is allowed.
if [ -z "${own_shm-}" ] && unshare -rm mount -t tmpfs shm /dev/shm 2>/dev/null; then
	# shellcheck disable=SC2016 # for the inner shell
	own_shm=1 exec unshare -rm sh -c 'mount -t tmpfs shm /dev/shm && exec sh "$0"' "$0"
fi

cd "$(mktemp -d)" || exit 99
server=
# shellcheck disable=SC2086 # none or one
trap 'kill -9 $server 2>/dev/null; rm -rf "$PWD"' EXIT
trap 'exit 99' HUP INT TERM
mark="echo_test=$$.$(date +%s%N)"

fail()
{
	echo "FAIL: $name: $*"
	cat said
	exit 1
}

# until_true COMMAND...: within 10 s, or false.
until_true()
{
	tries=1000
	until "$@"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.01
	done
}

listens_or_ended()
{
	grep -q '^listening' said || ! kill -0 "$server" 2>/dev/null
}

start()
{
	: >said
	env "$mark" "$top_builddir/$1" >>said 2>&1 &
	server=$!
	until_true listens_or_ended
	port=$(sed -n 's/^listening at port //p' said)
	[ -n "$port" ] || fail 'it does not listen'
}

descriptors()
{
	find "/proc/$server/fd" -mindepth 1 2>/dev/null | wc -l
}

# Each worker is watched by a descriptor once it has been seen: some may not have been at first.
few_descriptors()
{
	[ "$(descriptors)" -le $((descriptors_at_first + 4)) ]
}

# load SLOW RUDE
load()
{
	"$top_builddir/tests/echo_load" "$port" $connections $requests "$@" >load 2>&1 ||
		fail "$(cat load)"
}

# The oldest one each time. Nobody else ends them, so it is alive, or a child not yet reaped.
kill_workers()
{
	for _ in $(seq $kills); do
		victim=$(cut -d ' ' -f 1 "/proc/$server/task/$server/children") || return
		kill -9 "$victim" 2>/dev/null && echo "$victim" >>killed
		sleep 0.02
	done
	touch no_more
}

# The last load goes on after the last kill, so a worker that has a client's socket would be seen.
while_workers_are_killed()
{
	kill_workers &
	killer=$!
	until [ -e no_more ]; do
		load
		loads=$((loads + 1))
	done
	wait $killer
}

ticks()
{
	sed 's/.*) //' "/proc/$server/stat" | awk '{ print $12 + $13 }'
}

# A descriptor that is ready while nothing is to be done would keep the loop busy: 50 ticks.
idle()
{
	before=$(ticks)
	sleep 0.5
	[ $(($(ticks) - before)) -le 10 ] || fail 'it is busy with nothing'
}

# end SIGNAL: its exit status is left in $status.
end()
{
	kill -"$1" "$server"
	wait "$server"
	status=$?
	server=
}

# The same in the middle of a load.
interrupt()
{
	"$top_builddir/tests/echo_load" "$port" $connections 1000000 >load 2>&1 &
	loader=$!
	sleep 0.1
	end "$1"
	wait $loader && fail 'a load that cannot have ended'
}

nothing_stays()
{
	! grep -qzxF "$mark" /proc/[0-9]*/environ 2>/dev/null || return 1
	[ -z "${own_shm-}" ] || [ -z "$(ls -A /dev/shm)" ]
}

ended_well()
{
	[ $status -eq 0 ] || fail "status $status after SIGTERM"
	nothing_stays || fail 'a process, or something in /dev/shm, stays after SIGTERM'
}

# How many times the server says that it has done this.
said_of()
{
	sed -n "s/.*\<\([0-9]*\) $1.*/\1/p" said
}

for program in $ECHO_SERVERS; do
	name=$(basename "$program")

	start "$program"
	load
	echo "$name: quiet: $(cat load)"
	descriptors_at_first=$(descriptors)
	: >killed
	rm -f no_more
	loads=1
	while_workers_are_killed
	echo "$name: while workers were killed, the last of $loads loads: $(cat load)"
	until_true few_descriptors ||
		fail "$(descriptors) descriptors, $descriptors_at_first at first"
	idle
	end TERM
	ended_well
	[ "$(said_of answers)" -eq $((loads * connections * requests)) ] || fail 'too many answers'
	[ "$(said_of 'workers replaced')" -eq "$(sort -u killed | wc -l)" ] ||
		fail 'not all workers were replaced'
	echo "$name: $(tail -n 1 said)"

	start "$program"
	load 8 8
	echo "$name: 8 slow clients, 8 that leave: $(cat load)"
	"$top_builddir/tests/echo_load" "$port" >load 2>&1 || fail "$(cat load)"
	interrupt TERM
	ended_well

	start "$program"
	interrupt KILL
	until_true nothing_stays || fail 'a process, or something in /dev/shm, stays after SIGKILL'
done
case $ECHO_SERVERS in
*uv*) ;;
*) echo 'SKIP: echo_uv: libuv is missing' ;;
esac
