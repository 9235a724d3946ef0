#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# pmap runs what it is told, once, shows outputs in the order of the lines, and its exit status tells
# how many failed. Workers, reader and keeper are killed; Ctrl-C and SIGTERM end all. No process and no
# shared memory may stay.
set -u
export LC_ALL=C
: "${top_builddir:?}"

# Other tests use /dev/shm at the same time: take one of our own where that is allowed.
if [ -z "${own_shm-}" ] && unshare -rm mount -t tmpfs shm /dev/shm 2>/dev/null; then
	# shellcheck disable=SC2016 # for the inner shell
	own_shm=1 exec unshare -rm sh -c 'mount -t tmpfs shm /dev/shm && exec sh "$0"' "$0"
fi

case $top_builddir in
/*) pmap=$top_builddir/examples/pmap ;;
*) pmap=$PWD/$top_builddir/examples/pmap ;;
esac
cd "$(mktemp -d)" || exit 99
runner=
writer=
# shellcheck disable=SC2086 # none or one
trap 'kill -9 $runner $writer 2>/dev/null; rm -rf "$PWD"' EXIT
trap 'exit 99' HUP INT TERM
mark="pmap_test=$$.$(date +%s%N)"
failures=0

fail()
{
	echo "FAIL: $name: $*"
	[ ! -s err ] || head -n 20 err
	failures=$((failures + 1))
}

# run STATUS ARGUMENT...: standard input, output and error are files here.
run()
{
	wanted=$1
	shift
	env "$mark" timeout 60 "$pmap" "$@" <in >out 2>err
	status=$?
	[ $status -eq "$wanted" ] || fail "status $status, not $wanted"
}

same()
{
	cmp -s "$1" "$2" || fail "$1 is not $2: $(diff "$2" "$1" | head -n 5)"
}

said()
{
	grep -qxF -e "$1" err || fail "it does not say: $1"
}

# until_true COMMAND...: within 20 s, or false.
until_true()
{
	tries=2000
	until "$@"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.01
	done
}

nothing_stays()
{
	! grep -qzxF "$mark" /proc/[0-9]*/environ 2>/dev/null || return 1
	[ -z "${own_shm-}" ] || [ -z "$(ls -A /dev/shm)" ]
}

name='nothing to do'
: >in
run 0
[ -z "$(cat out err)" ] || fail 'it says something'

name='order'
for i in $(seq 60); do
	echo "sleep 0.0$((i * 7 % 10)); echo $i; echo e$i >&2"
done >in
seq 60 >wanted
seq -f 'e%g' 60 >wanted_err
run 0 -j 7
same out wanted
same err wanted_err

name='failures'
printf '%s\n' 'echo a' 'exit 3' 'kill -9 $$' 'echo b; exit 255' true 'no_such_program_here' >in
run 4 -j 3
printf 'a\nb\n' >wanted
same out wanted
said 'pmap: 4 of 6 failed:'
said '  exit code 3: exit 3'
# shellcheck disable=SC2016 # as it was written
said '  signal 9 (Killed): kill -9 $$'
said '  exit code 255: echo b; exit 255'
said '  exit code 127: no_such_program_here'

name='101 failures'
yes false | head -n 101 >in
run 101
name='100 failures'
yes false | head -n 100 >in
run 100
name='150 failures'
yes false | head -n 150 >in
run 101
[ "$(grep -c 'exit code 1: false' err)" -eq 150 ] || fail 'not all are listed'

name='{}'
# shellcheck disable=SC2016 # as it will be written
printf '%s\n' 'a b' '$(date) "quoted" {}' '' '*' >in
# shellcheck disable=SC2016 # as they were written
printf '%s\n' '<a b|a b>' '<$(date) "quoted" {}|$(date) "quoted" {}>' '<|>' '<*|*>' >wanted
run 0 printf '<%s>\n' '{}|{}'
same out wanted
name='no {}'
printf '%s\n' 'a b' '' >in
printf '%s\n' '-<a b>' '-<>' >wanted
run 0 -j 2 printf '-<%s>\n'
same out wanted

name='no such command'
echo x >in
run 1 ./no_such_program
grep -q 'No such file' err || fail 'it does not say why'

name='lines that cannot be'
{
	printf 'echo 1\necho\0 2\n'
	head -c 200000 /dev/zero | tr '\0' x
	printf '\necho 3'
} >in
printf '1\n3\n' >wanted
run 2
same out wanted
grep -q '^  the line has a NUL byte in it: echo$' err || fail 'no word of the NUL'
grep -q '^  the line is longer than 131,071 bytes: xxx' err || fail 'no word of the length'

name='the longest line'
{
	printf ': '
	head -c 131069 /dev/zero | tr '\0' x
	echo
} >in
run 0

name='big outputs'
for i in 1 2 3 4 5; do
	echo "yes $i | head -c 10000000"
done >in
for i in 1 2 3 4 5; do
	yes $i | head -c 10000000
done >wanted
run 0 -j 5
same out wanted
rm wanted

name='2000 short ones'
seq -f 'echo %g' 2000 >in
seq 2000 >wanted
run 0 -j 4 --bar
same out wanted
grep -q '\[#*\] 2000 done, 0 failed, ' err || fail 'no bar'

name='time-out'
printf '%s\n' 'echo before; sleep 100; echo after' 'echo second' >in
printf 'before\nsecond\n' >wanted
run 1 -t 1
same out wanted
said '  timed out: echo before; sleep 100; echo after'
until_true nothing_stays || fail 'a process stays'

name='input is a folder'
env "$mark" timeout 60 "$pmap" <. >out 2>err
status=$?
[ $status -eq 255 ] || fail "status $status"

# What the shells of the lines have started goes too.
name='output is full'
printf '%s\n' 'echo x' 'sleep 100; :' >in
env "$mark" timeout 60 "$pmap" <in >/dev/full 2>err
status=$?
[ $status -eq 255 ] || fail "status $status"
grep -q 'No space' err || fail 'it does not say why'
until_true nothing_stays || fail 'a process stays'

name='closed streams'
echo 'echo x' >in
env "$mark" timeout 60 "$pmap" <in >&- 2>err
status=$?
[ $status -eq 255 ] || fail "output: status $status"
env "$mark" timeout 60 "$pmap" <&- >out 2>err
status=$?
[ $status -eq 0 ] || fail "input: status $status"
[ -z "$(cat out err)" ] || fail 'it read something'

name='nobody reads the output'
{
	yes 'echo x' | head -n 5000
	echo 'sleep 100; :'
} >in
{
	env --default-signal=PIPE "$mark" timeout 60 "$pmap" <in 2>err
	echo $? >status
} | head -n 1 >out
[ "$(cat status)" -eq 141 ] || fail "status $(cat status), not by SIGPIPE"
until_true nothing_stays || fail 'a process stays'

# The first process has one child, the dispatcher; that has two, the pool's keeper and, as long as there
# is something to read, the reader.
children()
{
	cat "/proc/$1/task/$1/children"
}

# start ARGUMENT...: and wait until a command has said that it is there. It leads a group, and does not
# ignore SIGINT as what a shell starts in the background does.
start()
{
	rm -f began
	env --default-signal=INT "$mark" setsid "$pmap" "$@" <in >out 2>err &
	runner=$!
	until_true test -e began || fail 'it does not begin'
	dispatcher=$(children $runner | tr -d ' ')
	keeper=$(children "$dispatcher" | cut -d ' ' -f 1)
	reader=$(children "$dispatcher" | cut -d ' ' -f 2)
}

# A zombie has.
has_ended()
{
	case $(sed 's/.*) //' "/proc/$runner/stat" 2>/dev/null) in
	Z* | '') ;;
	*) return 1 ;;
	esac
}

# Its exit status is left in $status.
wait_for_its_end()
{
	until_true has_ended || {
		fail 'it does not end'
		kill -9 $runner
	}
	wait $runner 2>/dev/null
	status=$?
	runner=
}

# ends STATUS
ends()
{
	wait_for_its_end
	[ $status -eq "$1" ] || fail "status $status, not $1"
	until_true nothing_stays || fail 'a process, or something in /dev/shm, stays'
}

name='a worker is killed'
# shellcheck disable=SC2016 # for the shells of pmap
printf '%s\n' 'echo first' 'echo $PPID >worker; touch began; exec sleep 100' >in
seq -f 'sleep 0.01; echo %g' 50 >>in
{
	echo first
	seq 50
} >wanted
start -j 2
kill -9 "$(cat worker)"
ends 1
same out wanted
# shellcheck disable=SC2016 # as it was written
grep -q '^  worker died: signal 9, pid [0-9]*: echo \$PPID' err || fail 'it does not say so'

# Each line is done, or told to have failed.
name='workers are killed'
echo 'touch began; sleep 0.02; echo 1' >in
seq -f 'sleep 0.02; echo %g' 2 300 >>in
start -j 4
for _ in $(seq 20); do
	victim=$(children "$keeper" 2>/dev/null | cut -d ' ' -f 1)
	[ -z "$victim" ] || kill -9 "$victim" 2>/dev/null
	sleep 0.03
done
wait_for_its_end
sort -nc out || fail 'out of order'
sed -n 's/^  worker died: .*; echo //p' err >died
[ $status -gt 0 ] || fail 'no worker was killed'
[ $status -eq "$(wc -l <died)" ] || fail "status $status, but $(wc -l <died) died"
sort -n out died >all
seq 300 >wanted
same all wanted

name='the keeper is killed'
echo 'touch began; exec sleep 100' >in
seq -f 'sleep 0.01; echo %g' 50 >>in
seq 50 >wanted
start -j 1
kill -TERM "$keeper" # which is nothing to it
kill -9 "$keeper"
ends 1
same out wanted

# The first one waits; of the others those go on whose outputs may be held until it ends.
name='outputs that are held'
echo 'touch began; until [ -e go ]; do sleep 0.01; done' >in
seq -f 'head -c 8000000 /dev/zero; touch made%g' 60 >>in
rm -f out
mkfifo out
wc -c <out >count &
counter=$!
start -j 2
many_are_made()
{
	[ "$(find . -name 'made*' | wc -l)" -ge 30 ]
}
until_true many_are_made || fail 'too few are run'
sleep 1
[ "$(find . -name 'made*' | wc -l)" -le 45 ] || fail "$(find . -name 'made*' | wc -l) are run"
touch go
ends 0
wait $counter
[ "$(cat count)" -eq 480000000 ] || fail 'not all comes'
rm -f out made* go

name='the reader is killed'
rm in
mkfifo in
sh -c "echo 'touch began; echo 1'; exec sleep 100" >in &
writer=$!
echo 1 >wanted
start
until_true test -s out || fail 'the line does not come'
kill -9 "$reader"
ends 255
same out wanted
said 'pmap: not all lines could be read'
kill $writer
wait $writer 2>/dev/null
writer=
rm in

yes 'touch began; exec sleep 100' | head -n 3 >in
name='the dispatcher is killed'
start -j 2
kill -9 "$dispatcher"
ends 137
name='the first process is killed'
start -j 2
kill -9 $runner
ends 137

# The shells and what they wait for must go.
{
	echo 'touch began; sleep 100; echo must not'
	yes 'sleep 100; echo must not' | head -n 20
} >in
# interrupt SIGNAL PID STATUS
interrupt()
{
	kill -s "$1" -- "$2"
	ends "$3"
	[ -z "$(cat out err)" ] || fail 'a command ran that must not, or was told'
}

name='Ctrl-C'
start -j 3
interrupt INT -$runner 130
name='SIGINT to it alone'
start -j 3
interrupt INT $runner 130
name='SIGTERM to it alone'
start -j 3
interrupt TERM $runner 143

name='all'
until_true nothing_stays || fail 'a process, or something in /dev/shm, stays'
[ "$failures" -eq 0 ] && echo 'pmap: as expected'
[ "$failures" -eq 0 ]
