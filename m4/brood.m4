dnl SPDX-License-Identifier: LGPL-2.1-or-later

dnl BROOD_CXX_WORKS: whether there is a C++17 compiler at all. AC_PROG_CXX does not say so.
AC_DEFUN([BROOD_CXX_WORKS], [
AC_CACHE_CHECK([whether $CXX compiles C++17], [brood_cv_cxx_works],
	[AC_LANG_PUSH([C++])
	brood_saved=$CXXFLAGS
	CXXFLAGS="$CXXFLAGS -std=c++17"
	AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[#include <atomic>]], [[]])],
		[brood_cv_cxx_works=yes], [brood_cv_cxx_works=no])
	CXXFLAGS=$brood_saved
	AC_LANG_POP([C++])])
])

dnl BROOD_SANITIZER: --enable-sanitizer=LIST sets SANITIZER_CFLAGS, for compiling and linking.
AC_DEFUN([BROOD_SANITIZER], [
AC_ARG_ENABLE([sanitizer],
	[AS_HELP_STRING([--enable-sanitizer=LIST],
		[build with sanitizers: address, undefined, thread, or a list with commas])],
	[], [enable_sanitizer=no])
SANITIZER_CFLAGS=
AS_CASE([$enable_sanitizer],
	[no], [],
	[yes], [AC_MSG_ERROR([--enable-sanitizer needs a list, such as address,undefined])],
	[SANITIZER_CFLAGS="-fsanitize=$enable_sanitizer -fno-sanitize-recover=all -fno-omit-frame-pointer"
	dnl The thread sanitizer does not understand stand-alone fences, and gcc warns at each.
	AS_CASE([$enable_sanitizer], [*thread*],
		[BROOD_CFLAG_IF([-Werror -Wno-tsan],
			[SANITIZER_CFLAGS="$SANITIZER_CFLAGS -Wno-tsan"])])
	BROOD_CFLAG_IF([$SANITIZER_CFLAGS], [],
		[AC_MSG_ERROR([$CC cannot build with -fsanitize=$enable_sanitizer])])])
AC_SUBST([SANITIZER_CFLAGS])
])

dnl BROOD_CFLAG_IF(FLAGS, IF-YES, IF-NO): whether the compiler takes FLAGS and makes a program.
AC_DEFUN([BROOD_CFLAG_IF], [
AC_MSG_CHECKING([whether $CC takes $1])
brood_saved=$CFLAGS
CFLAGS="$CFLAGS $1"
AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
	[brood_flag=yes], [brood_flag=no])
CFLAGS=$brood_saved
AC_MSG_RESULT([$brood_flag])
AS_IF([test $brood_flag = yes], [$2], [$3])
])

dnl BROOD_VERSION_SCRIPT: the conditional VERSION_SCRIPT, set when the linker takes one.
AC_DEFUN([BROOD_VERSION_SCRIPT], [
AC_CACHE_CHECK([whether the linker takes a version script], [brood_cv_version_script],
	[brood_saved=$LDFLAGS
	LDFLAGS="$LDFLAGS -shared -fPIC -Wl,--version-script=$srcdir/lib/brood.map"
	AC_LINK_IFELSE([AC_LANG_SOURCE([[int brood_probe(void); int brood_probe(void) { return 0; }]])],
		[brood_cv_version_script=yes], [brood_cv_version_script=no])
	LDFLAGS=$brood_saved])
AM_CONDITIONAL([VERSION_SCRIPT], [test $brood_cv_version_script = yes])
])

dnl BROOD_PEERS: what brood-bench compares with, beside what every Linux has. For each peer: HAVE_X
dnl as a conditional and in config.h, its X_CFLAGS and X_LIBS, and its name in brood_peers. None of
dnl the flags goes anywhere but to the one file of that peer.
AC_DEFUN([BROOD_PEERS], [
brood_peers="wfcqueue"

PKG_CHECK_MODULES([CK], [ck], [have_ck=yes], [have_ck=no])
BROOD_PEER([CK], [have_ck], [Concurrency Kit])

dnl DPDK's own list of libraries is some sixty long; the ring needs three.
PKG_CHECK_MODULES([RTE_RING], [libdpdk],
	[BROOD_LINKS([RTE_RING_LIBS], [$RTE_RING_CFLAGS], [-lrte_ring -lrte_eal -lrte_kvargs],
		[[#include <rte_ring.h>]], [[return rte_ring_get_memsize(64) < 0;]],
		[have_rte_ring])],
	[have_rte_ring=no])
BROOD_PEER([RTE_RING], [have_rte_ring], [the ring of DPDK])

have_boost=no
AS_IF([test "$brood_cv_cxx_works" = yes],
	[AC_LANG_PUSH([C++])
	AC_CHECK_HEADER([boost/interprocess/ipc/message_queue.hpp], [have_boost=yes])
	AC_LANG_POP([C++])])
BROOD_PEER([BOOST], [have_boost], [the message_queue of Boost.Interprocess])

AC_SEARCH_LIBS([mq_open], [rt], [have_mq=yes], [have_mq=no])
BROOD_PEER([MQ], [have_mq], [POSIX message queues])

dnl No peer, but what writes the figures for machines.
PKG_CHECK_MODULES([JANSSON], [jansson],
	[AC_DEFINE([HAVE_JANSSON], [1], [Whether there is the JSON library jansson.])
	have_jansson=yes],
	[have_jansson=no])
])

dnl BROOD_PEER(NAME, SHELL-VARIABLE, TEXT)
AC_DEFUN([BROOD_PEER], [
AM_CONDITIONAL([HAVE_$1], [test $$2 = yes])
AS_IF([test $$2 = yes],
	[brood_peers="$brood_peers m4_tolower([$1])"
	AC_DEFINE([HAVE_$1], [1], [Whether there is $3.])])
])

dnl BROOD_LINKS(LIBS-VARIABLE, CFLAGS, LIBS, HEADERS, BODY, RESULT): whether such a program links.
AC_DEFUN([BROOD_LINKS], [
AC_MSG_CHECKING([whether a program links with $3])
brood_saved_cflags=$CFLAGS
brood_saved_libs=$LIBS
CFLAGS="$CFLAGS $2"
LIBS="$3 $LIBS"
AC_LINK_IFELSE([AC_LANG_PROGRAM([$4], [$5])], [$6=yes], [$6=no])
CFLAGS=$brood_saved_cflags
LIBS=$brood_saved_libs
AC_MSG_RESULT([$$6])
AS_IF([test $$6 = yes], [$1="$3"])
AC_SUBST([$1])
])
