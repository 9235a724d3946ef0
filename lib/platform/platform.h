/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 1: every system call and every CPU difference. Nothing above this floor has an #ifdef,
 * calls syscall(2), or knows how the kernel lays anything out.
 *
 * All calls return 0 or a value on success and -errno on failure; none prints or aborts.
 */
#ifndef BROOD_PLATFORM_H
#define BROOD_PLATFORM_H

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>

#include <urcu/arch.h>

#include <brood/base.h>

#define BROOD__LINE 64u		/* bytes that move between cores at once */

#define brood__likely(x)   __builtin_expect(!!(x), 1)
#define brood__unlikely(x) __builtin_expect(!!(x), 0)

/* Kept out of its callers: they are short, and save no registers for it. */
#define brood__slow __attribute__((noinline, cold))
#define brood__flat __attribute__((flatten))	/* all that it calls, inlined: a fast path */

/* Checked in the debug build (--enable-debug) only: the state of shared words, never user input. */
#ifdef BROOD_DEBUG
#include <assert.h>
#define brood__assert(x) assert(x)
#else
#define brood__assert(x) ((void)sizeof(x))
#endif

/* ---- options.c ---- */

/*
 * Copy the caller's options of `size` bytes as we know them, from a struct that begins with its
 * own size (0 = ours). A longer one must be zero in the part that we do not know: -EINVAL. NULL
 * is all zero.
 */
int brood__options(void *ours, size_t size, const void *theirs);

/* ---- clock.c ---- */

#define BROOD__NO_DEADLINE INT64_MAX

/* Times below this are brood_until's; the others are relative. */
#define BROOD__ABSOLUTE_BELOW (INT64_MIN / 2)

/* Whether a timeout says not to wait at all. */
static inline bool brood__no_wait(int64_t timeout)
{
	return timeout <= 0 && timeout >= BROOD__ABSOLUTE_BELOW;
}

/* The brood_now() time at which a timeout ends: 0 = do not wait, BROOD__NO_DEADLINE = never. */
int64_t brood__deadline(int64_t timeout);

static inline bool brood__is_over(int64_t deadline)
{
	return deadline != BROOD__NO_DEADLINE && brood_now() >= deadline;
}

/* ---- futex.c: sleeping on words that processes share. Deadlines are brood_now() times. ---- */

struct brood__futex {		/* sleep only while *word == value */
	_Atomic uint32_t *word;
	uint32_t value;
};

#define BROOD__FUTEX_MANY 128u	/* the kernel's limit for one sleep */

/*
 * Sleep until one of the words is woken or the deadline. 0: woken or a word differs (look again);
 * -ETIMEDOUT; -EINTR: a signal was handled. -ENOSYS when n > 1 and the kernel is older than 5.16.
 */
int brood__futex_sleep(const struct brood__futex *words, unsigned int n, int64_t deadline);

/* Wake up to n sleepers; how many there were. */
int brood__futex_wake(_Atomic uint32_t *word, int n);

/*
 * In one system call, so that neither a stop nor a kill can come between: clear bit `bit` of
 * *mask, then wake the sleeper on *word. How many there were.
 */
int brood__futex_clear_and_wake(_Atomic uint32_t *mask, unsigned int bit, _Atomic uint32_t *word);

/* ---- doorbell.c: sleeping on descriptors ---- */

/* A socket, CLOEXEC and not blocking, that is readable once it was rung, until it is drained. */
int brood__doorbell_make(uint64_t number, uint32_t name);
/* 0; -ECONNREFUSED: nobody has it; -EMFILE and the like: the caller has no socket to ring by. */
int brood__doorbell_ring(uint64_t number, uint32_t name);
/* The same by its owner, who has it as fd, and with no further descriptor. */
int brood__doorbell_ring_own(int fd, uint64_t number, uint32_t name);
void brood__doorbell_drain(int fd);
uint64_t brood__random(void);	/* not 0 */
/* A set of descriptors, which is readable as long as one of them is. */
int brood__set_make(void);
int brood__set_add(int set, int fd);
void brood__set_remove(int set, int fd);
/* poll(2) until a brood_now() time: how many; 0 = none; -EINTR. */
int brood__poll(struct pollfd *fds, size_t n, int64_t deadline);

/* ---- memory.c ---- */

/* A nameless file without pages, CLOEXEC, its size sealed. The descriptor or -errno. */
int brood__memory_file(const char *label, size_t size);
/* Reserve `size` bytes of addresses for a shared file mapping of fd. NULL and errno. */
void *brood__memory_map(int fd, size_t size);
int brood__memory_unmap(void *base, size_t size);
/*
 * Make [offset, offset + length) of the file real: -ENOSPC now rather than SIGBUS later.
 * Repeatable.
 */
int brood__memory_commit(int fd, size_t offset, size_t length);
/* Give the pages of [offset, offset + length) back; they read as zeros once committed again. */
int brood__memory_decommit(int fd, size_t offset, size_t length);
/* One private page of this process, zeroed in a forked child. NULL and errno. */
void *brood__memory_wiped_on_fork(void);
void brood__memory_wiped_free(void *page);
size_t brood__page_size(void);
/* Give private memory its pages now; where the kernel cannot, they come with the first store. */
void brood__memory_touch(void *from, size_t size);
/*
 * The heavy half of an asymmetric fence: after it, the stores that threads of registered
 * processes made before are visible to us, and what we stored before is visible to what they load
 * from now on. The light half is a compiler fence. -ENOSYS on kernels before 4.16. Every process
 * that has members registers.
 */
int brood__fence_all_cpus(void);
int brood__fence_register(void);

/* ---- descriptor.c: descriptors on their way to other processes ---- */

/* A copy that exec leaves open; one that it closes. The descriptor or -errno. */
int brood__fd_copy_for_exec(int fd);
int brood__fd_copy(int fd);
int brood__fd_close_on_exec(int fd);
/*
 * The same file under a number above those of standard input, output and error, which are free where
 * the user has closed those: what is printed later must not land in a file of ours. fd is closed then.
 * What is below 0 stays so; -errno, in errno as well.
 */
int brood__fd_lift(int fd);
void brood__fd_close(int fd);
/* If there is one; there is none then. */
void brood__fd_drop(int *fd);
/* Whether nobody can change the size of the file. */
bool brood__fd_size_is_sealed(int fd);
/* Send one over a UNIX socket, with some data. 0 or -errno. */
int brood__fd_send(int socket, int fd, const void *data, size_t size);
/* Receive one, CLOEXEC: the descriptor, -EPIPE at the end, -EPROTO when something else came. */
int brood__fd_recv(int socket, void *data, size_t size);

/* ---- shmfile.c: files of POSIX shared memory ---- */

/* Create a file that nobody else has, under a temporary name that is written to `temporary`. */
int brood__shm_create(char temporary[64]);
/* Give it its name, which must not exist; the temporary name goes. */
int brood__shm_publish(const char *temporary, const char *name);
void brood__shm_discard(const char *temporary);
int brood__shm_open(const char *name);
int brood__shm_check_name(const char *name);
int brood__shm_unlink(const char *name);
/* Remove the temporary files of creators that are dead. */
void brood__shm_reclaim(void);
struct brood__file_id {		/* tells whether a descriptor still is the file that we opened */
	uint64_t device;
	uint64_t inode;
	uint64_t size;
	uint32_t mode;		/* permission bits */
	uint32_t owner;		/* user id */
	uint64_t committed;	/* bytes of memory behind it */
	bool regular;
};
/* The caller's own, and nobody else may read or write it. */
bool brood__file_is_mine(const struct brood__file_id *id);
bool brood__file_is_private(const struct brood__file_id *id);
int brood__file_identify(int fd, struct brood__file_id *id);
int brood__file_resize(int fd, size_t size);
int brood__file_read(int fd, void *start, size_t size);	/* from its beginning; -EPROTO if shorter */
/* -ENOSPC if the process may not make files of this size: trying would bring SIGXFSZ. */
int brood__file_size_allowed(size_t size);

/* ---- robust.c: words that the kernel marks when their thread dies ---- */

#define BROOD__LIFE_DEAD    0x40000000u	/* FUTEX_OWNER_DIED: set by the kernel, tid bits cleared */
#define BROOD__LIFE_WATCHED 0x80000000u	/* FUTEX_WAITERS: the kernel wakes one sleeper at death;
					 * brood sets it from the start and never clears it */
#define BROOD__LIFE_TID     0x3fffffffu	/* the thread that lives; 0 = nobody */

struct brood__life {		/* 64 bytes of shared memory that are never used for anything else */
	_Alignas(8) _Atomic uint32_t word;
	_Atomic uint32_t incarnation;	/* how often the word has been freed */
	void *links[7];		/* the robust list's, laid out as the C library does */
};

/*
 * If life->word is 0, make it the calling thread's and put it on the thread's robust list. From the
 * instruction on at which the word has our tid, the kernel marks it when we die. -EBUSY when it is
 * not 0; -ENOTSUP when the C library keeps no robust list that we understand.
 */
int brood__life_begin(struct brood__life *life);
/* Take it off the list again and free the word. Only by the thread that began it. */
void brood__life_end(struct brood__life *life);
/* Free the word of a dead thread if it still is this incarnation's, in one step. */
bool brood__life_free(struct brood__life *life, uint32_t incarnation);

static inline bool brood__life_dead(uint32_t word)
{
	return word & BROOD__LIFE_DEAD;
}

/* ---- process.c ---- */

int32_t brood__thread_id(void);
uint64_t brood__pid_namespace(void);	/* its inode; 0 when /proc is absent */
unsigned int brood__cpus_allowed(void);	/* CPUs this thread may run on, at least 1 */
int brood__pidfd_open(pid_t pid);	/* CLOEXEC */
int brood__pidfd_signal(int pidfd, int signal);
/* 0 when the process behind the pidfd has ended, -EAGAIN, -ETIMEDOUT, -EINTR. */
int brood__pidfd_wait(int pidfd, int64_t deadline);
/*
 * The same in a loop until it can be reaped, *ended false at first: a process that is traced has
 * ended before, as its tracer is told first. Then sleeps for a moment and returns 0.
 */
int brood__pidfd_wait_again(int pidfd, int64_t deadline, bool *ended);
/* SIGKILL for the caller when the thread that forked it ends. */
int brood__die_with_parent(void);
void brood__yield(void);

/* ---- guard.c ---- */

struct brood__guard {
	pthread_mutex_t mutex;
	int cancel; /* whether who has it could be cancelled before */
};

#define BROOD__GUARD_INITIALIZER { .mutex = PTHREAD_MUTEX_INITIALIZER }

/* Who has it cannot be cancelled. */
void brood__guard_lock(struct brood__guard *guard);
void brood__guard_unlock(struct brood__guard *guard);

/* ---- ending.c ---- */

struct rusage;
/*
 * Reap it: 0, *exit_code as Python folds it (0 to 255, or -N for signal N), and what it used, if
 * usage is not NULL. Of one that somebody else has reaped the code is told where the kernel knows
 * it (6.15), and usage is zero. -EAGAIN while it runs; -ECHILD when nobody knows.
 */
int brood__pidfd_reap(int pidfd, int *exit_code, struct rusage *usage);

static inline void brood__relax(void)
{
	caa_cpu_relax();
}

/* The line will be written soon: ask the core that has it for it, and do not wait. */
static inline void brood__prefetch_write(const void *line)
{
#if defined(__x86_64__)
	/* __builtin_prefetch is a prefetch for reading on x86-64 without -mprfchw. */
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)line));
#else
	__builtin_prefetch(line, 1);
#endif
}

#endif
