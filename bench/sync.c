/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Objects of synchronisation: brood's, and what the C library has instead. A bench is rounds of one
 * thing; each peer's loop is its own, so that no call through a pointer is part of a figure.
 */
#include <config.h>

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <brood.h>

#include "backoff.h"
#include "job.h"

#define ROUNDS_PER_LOOK 256

/* What a lock guards: counted up inside, without any other protection. */
struct guarded {
	_Alignas(128) volatile uint64_t count;
};

static bool counted(void *object, uint64_t rounds, size_t guarded_at)
{
	return ((struct guarded *)((char *)object + guarded_at))->count == rounds;
}

static bool ends(struct job *job)
{
	_Atomic uint64_t *last = &job->team->last_batch;

	if (!(job_task(job)->ports[0].ops->traits & PEER_TOGETHER))
		return now_ns() >= job->until;
	return atomic_load(last) == job->sequence;
}

/* Before a batch that all make: worker 0 says that it is the last one. */
static void announce_end(struct job *job)
{
	if (job->index == 0 && now_ns() >= job->until)
		atomic_store(&job->team->last_batch, job->sequence);
}

void sync_rounds(struct job *job)
{
	const struct port *port = &job_task(job)->ports[0];
	uint64_t done = 0;

	do {
		job->sequence++;
		announce_end(job);
		job_must(job, port->ops->rounds(port->queue, job->index, ROUNDS_PER_LOOK), "a round");
		done += ROUNDS_PER_LOOK;
		job_count(job, done);
	} while (!ends(job));
	job->tally.count += done;
}

/* ---- locks ---- */

struct brood_locked {
	struct brood_lock lock;
	struct guarded guarded;
};

static void *brood_lock_new(const struct shape *shape)
{
	(void)shape;
	return brood_alloc(NULL, sizeof(struct brood_locked));
}

static void brood_lock_delete(void *object)
{
	brood_free(NULL, object);
}

static int brood_lock_rounds(void *object, unsigned int index, unsigned int n)
{
	struct brood_locked *locked = object;
	int result = 0;

	(void)index;
	for (; n && !result; n--) {
		result = brood_lock_acquire(&locked->lock, BROOD_FOREVER);
		locked->guarded.count++;
		result = result ? result : brood_lock_release(&locked->lock);
	}
	return result;
}

static bool brood_lock_right(void *object, uint64_t rounds)
{
	return counted(object, rounds, offsetof(struct brood_locked, guarded));
}

struct mutex_locked {
	_Alignas(64) pthread_mutex_t mutex;
	struct guarded guarded;
};

static void *mutex_new(int robust)
{
	struct mutex_locked *locked = shared_alloc(sizeof *locked);
	pthread_mutexattr_t attr;

	if (!locked)
		return NULL;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, robust);
	pthread_mutex_init(&locked->mutex, &attr);
	pthread_mutexattr_destroy(&attr);
	return locked;
}

static void *plain_mutex_new(const struct shape *shape)
{
	(void)shape;
	return mutex_new(PTHREAD_MUTEX_STALLED);
}

static void *robust_mutex_new(const struct shape *shape)
{
	(void)shape;
	return mutex_new(PTHREAD_MUTEX_ROBUST);
}

static void mutex_delete(void *object)
{
	shared_free(object, sizeof(struct mutex_locked));
}

static int mutex_rounds(void *object, unsigned int index, unsigned int n)
{
	struct mutex_locked *locked = object;
	int result = 0;

	(void)index;
	for (; n && !result; n--) {
		result = pthread_mutex_lock(&locked->mutex);
		locked->guarded.count++;
		result = result ? result : pthread_mutex_unlock(&locked->mutex);
	}
	return -result;
}

static bool mutex_right(void *object, uint64_t rounds)
{
	return counted(object, rounds, offsetof(struct mutex_locked, guarded));
}

/* ---- readers and writers ---- */

struct brood_rwlocked {
	struct brood_rwlock lock;
	struct guarded guarded;
};

static void *brood_rwlock_new(const struct shape *shape)
{
	(void)shape;
	return brood_alloc(NULL, sizeof(struct brood_rwlocked));
}

static int brood_read_rounds(void *object, unsigned int index, unsigned int n)
{
	struct brood_rwlocked *locked = object;
	int result = 0;

	(void)index;
	for (; n && !result; n--) {
		result = brood_rwlock_acquire_read(&locked->lock, BROOD_FOREVER);
		result = result ? result : brood_rwlock_release(&locked->lock);
	}
	return result;
}

static int brood_write_rounds(void *object, unsigned int index, unsigned int n)
{
	struct brood_rwlocked *locked = object;
	int result = 0;

	(void)index;
	for (; n && !result; n--) {
		result = brood_rwlock_acquire_write(&locked->lock, BROOD_FOREVER);
		locked->guarded.count++;
		result = result ? result : brood_rwlock_release(&locked->lock);
	}
	return result;
}

static bool brood_write_right(void *object, uint64_t rounds)
{
	return counted(object, rounds, offsetof(struct brood_rwlocked, guarded));
}

/* Readers change nothing that could be counted. */
static bool nothing_to_check(void *object, uint64_t rounds)
{
	(void)object;
	return rounds > 0;
}

struct rwlocked {
	_Alignas(64) pthread_rwlock_t lock;
	struct guarded guarded;
};

static void *rwlock_new(const struct shape *shape)
{
	struct rwlocked *locked = shared_alloc(sizeof *locked);
	pthread_rwlockattr_t attr;

	(void)shape;
	if (!locked)
		return NULL;
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_rwlock_init(&locked->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	return locked;
}

static void rwlock_delete(void *object)
{
	shared_free(object, sizeof(struct rwlocked));
}

static int read_rounds(void *object, unsigned int index, unsigned int n)
{
	struct rwlocked *locked = object;
	int result = 0;

	(void)index;
	for (; n && !result; n--) {
		result = pthread_rwlock_rdlock(&locked->lock);
		result = result ? result : pthread_rwlock_unlock(&locked->lock);
	}
	return -result;
}

static int write_rounds(void *object, unsigned int index, unsigned int n)
{
	struct rwlocked *locked = object;
	int result = 0;

	(void)index;
	for (; n && !result; n--) {
		result = pthread_rwlock_wrlock(&locked->lock);
		locked->guarded.count++;
		result = result ? result : pthread_rwlock_unlock(&locked->lock);
	}
	return -result;
}

static bool write_right(void *object, uint64_t rounds)
{
	return counted(object, rounds, offsetof(struct rwlocked, guarded));
}

/* ---- semaphores: one unit, which comes back ---- */

static void *brood_semaphore_new(const struct shape *shape)
{
	(void)shape;
	return brood_semaphore_create(1, NULL);
}

static void brood_semaphore_delete(void *object)
{
	brood_semaphore_destroy(object);
}

static int brood_semaphore_rounds(void *object, unsigned int index, unsigned int n)
{
	int result = 0;

	(void)index;
	for (; n && !result; n--) {
		result = brood_semaphore_release(object);
		result = result ? result : brood_semaphore_acquire(object, BROOD_FOREVER);
	}
	return result;
}

static bool brood_semaphore_right(void *object, uint64_t rounds)
{
	return rounds > 0 && brood_semaphore_value(object) == 1;
}

static void *sem_new(const struct shape *shape)
{
	sem_t *sem = shared_alloc(sizeof *sem);

	(void)shape;
	if (sem)
		sem_init(sem, 1, 1);
	return sem;
}

static void sem_delete(void *object)
{
	shared_free(object, sizeof(sem_t));
}

static int sem_rounds(void *object, unsigned int index, unsigned int n)
{
	int result = 0;

	(void)index;
	for (; n && !result; n--) {
		result = sem_post(object);
		result = result ? result : sem_wait(object);
	}
	return result;
}

static bool sem_right(void *object, uint64_t rounds)
{
	int value = 0;

	sem_getvalue(object, &value);
	return rounds > 0 && value == 1;
}

/* ---- events ---- */

static void *brood_event_new(const struct shape *shape)
{
	(void)shape;
	return brood_event_create(NULL);
}

static void brood_event_delete(void *object)
{
	brood_event_destroy(object);
}

static int brood_event_rounds(void *object, unsigned int index, unsigned int n)
{
	int result = 0;

	(void)index;
	for (; n && !result; n--)
		result = brood_event_set(object);
	return result;
}

static bool brood_event_right(void *object, uint64_t rounds)
{
	return rounds > 0 && brood_event_is_set(object) == 1;
}

static int brood_event_pair_rounds(void *object, unsigned int index, unsigned int n)
{
	int result = 0;

	(void)index;
	for (; n && !result; n--) {
		result = brood_event_set(object);
		result = result ? result : brood_event_clear(object);
	}
	return result;
}

static bool brood_event_pair_right(void *object, uint64_t rounds)
{
	return rounds > 0 && brood_event_is_set(object) == 0;
}

static void *eventfd_new(const struct shape *shape)
{
	int *fd = shared_alloc(sizeof *fd);

	(void)shape;
	if (fd)
		*fd = eventfd(0, EFD_CLOEXEC);
	return fd;
}

static void eventfd_delete(void *object)
{
	if (object)
		close(*(int *)object);
	shared_free(object, sizeof(int));
}

static int eventfd_rounds(void *object, unsigned int index, unsigned int n)
{
	uint64_t value = 1;

	(void)index;
	for (; n; n--)
		if (write(*(int *)object, &value, sizeof value) != sizeof value ||
		    read(*(int *)object, &value, sizeof value) != sizeof value || value != 1)
			return -EIO;
	return 0;
}

/* ---- room for one message, and something that tells the other side of it ---- */

struct mailbox {
	struct brood_event event;
	_Alignas(64) _Atomic uint32_t sent;
	_Alignas(64) _Atomic uint32_t taken;
	int fd;
	_Alignas(64) char data[256];
};

static void *mailbox_new(const struct shape *shape)
{
	struct mailbox *box;

	if (shape->size > sizeof(box->data)) {
		errno = EMSGSIZE;
		return NULL;
	}
	box = brood_alloc(NULL, sizeof(*box));
	if (box)
		box->fd = eventfd(0, EFD_CLOEXEC);
	return box;
}

static void mailbox_delete(void *object)
{
	close(((struct mailbox *)object)->fd);
	brood_free(NULL, object);
}

static void fill(struct mailbox *box, const void *data, size_t size)
{
	unsigned int tries = 0;

	while (atomic_load(&box->taken) != atomic_load(&box->sent))
		backoff(&tries);
	memcpy(box->data, data, size);
	atomic_fetch_add(&box->sent, 1);
}

static ssize_t empty(struct mailbox *box, void *data, size_t size)
{
	memcpy(data, box->data, size);
	atomic_fetch_add(&box->taken, 1);
	return (ssize_t)size;
}

static int event_put(void *object, const void *data, size_t size)
{
	struct mailbox *box = object;

	fill(box, data, size);
	return brood_event_set(&box->event);
}

static ssize_t event_get(void *object, void *data, size_t size)
{
	struct mailbox *box = object;
	int result = brood_event_wait(&box->event, BROOD_FOREVER);

	result = result ? result : brood_event_clear(&box->event);
	return result ? result : empty(box, data, size);
}

static int eventfd_put(void *object, const void *data, size_t size)
{
	struct mailbox *box = object;
	uint64_t value = 1;

	fill(box, data, size);
	return write(box->fd, &value, sizeof(value)) == sizeof(value) ? 0 : -errno;
}

static ssize_t eventfd_get(void *object, void *data, size_t size)
{
	struct mailbox *box = object;
	uint64_t value;

	return read(box->fd, &value, sizeof(value)) == sizeof(value) ? empty(box, data, size) : -errno;
}

static int futex_put(void *object, const void *data, size_t size)
{
	struct mailbox *box = object;

	fill(box, data, size);
	return syscall(SYS_futex, &box->sent, FUTEX_WAKE, 1, NULL, NULL, 0) < 0 ? -errno : 0;
}

static ssize_t futex_get(void *object, void *data, size_t size)
{
	struct mailbox *box = object;
	uint32_t taken = atomic_load(&box->taken);

	while (atomic_load(&box->sent) == taken)
		if (syscall(SYS_futex, &box->sent, FUTEX_WAIT, taken, NULL, NULL, 0) < 0 &&
		    errno != EAGAIN && errno != EINTR)
			return -errno;
	return empty(box, data, size);
}

/* ---- the limit: locked instructions on a line of one's own ---- */

static void *word_new(const struct shape *shape)
{
	(void)shape;
	return shared_alloc(sizeof(struct guarded));
}

static void word_delete(void *object)
{
	shared_free(object, sizeof(struct guarded));
}

static int one_rmw_rounds(void *object, unsigned int index, unsigned int n)
{
	_Atomic uint64_t *word = object;

	(void)index;
	for (; n; n--)
		atomic_fetch_or_explicit(word, 1, memory_order_seq_cst);
	return 0;
}

static int two_rmw_rounds(void *object, unsigned int index, unsigned int n)
{
	_Atomic uint64_t *word = object;

	(void)index;
	for (; n; n--) {
		uint64_t free = 0;

		if (!atomic_compare_exchange_strong_explicit(word, &free, 1, memory_order_seq_cst,
							     memory_order_seq_cst))
			return -EPROTO;
		atomic_exchange_explicit(word, 0, memory_order_seq_cst);
	}
	return 0;
}

/* ---- conditions: the turn goes round ---- */

struct brood_turns {
	struct brood_lock lock;
	struct brood_condition condition;
	uint64_t turns;
};

static void *brood_turns_new(const struct shape *shape)
{
	(void)shape;
	return brood_alloc(NULL, sizeof(struct brood_turns));
}

static int brood_turns_rounds(void *object, unsigned int index, unsigned int n)
{
	struct brood_turns *turns = object;
	int result = brood_lock_acquire(&turns->lock, BROOD_FOREVER);

	for (; n && !result; n--) {
		while (turns->turns % 2 != index && !result)
			result = brood_condition_wait(&turns->condition, &turns->lock,
						      BROOD_FOREVER);
		turns->turns++;
		result = result ? result : brood_condition_notify(&turns->condition, &turns->lock, 1);
	}
	return result ? result : brood_lock_release(&turns->lock);
}

static bool brood_turns_right(void *object, uint64_t rounds)
{
	return ((struct brood_turns *)object)->turns == rounds;
}

struct turns {
	_Alignas(64) pthread_mutex_t mutex;
	_Alignas(64) pthread_cond_t condition;
	uint64_t turns;
};

static void *turns_new(const struct shape *shape)
{
	struct turns *turns = shared_alloc(sizeof *turns);
	pthread_mutexattr_t mutex;
	pthread_condattr_t condition;

	(void)shape;
	if (!turns)
		return NULL;
	pthread_mutexattr_init(&mutex);
	pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&turns->mutex, &mutex);
	pthread_mutexattr_destroy(&mutex);
	pthread_condattr_init(&condition);
	pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED);
	pthread_cond_init(&turns->condition, &condition);
	pthread_condattr_destroy(&condition);
	return turns;
}

static void turns_delete(void *object)
{
	shared_free(object, sizeof(struct turns));
}

static int turns_rounds(void *object, unsigned int index, unsigned int n)
{
	struct turns *turns = object;
	int result = pthread_mutex_lock(&turns->mutex);

	for (; n && !result; n--) {
		while (turns->turns % 2 != index && !result)
			result = pthread_cond_wait(&turns->condition, &turns->mutex);
		turns->turns++;
		result = result ? result : pthread_cond_signal(&turns->condition);
	}
	return result ? -result : -pthread_mutex_unlock(&turns->mutex);
}

static bool turns_right(void *object, uint64_t rounds)
{
	return ((struct turns *)object)->turns == rounds;
}

/* ---- barriers: every process counts, and finds the others' counts equal to its own ---- */

struct brood_meeting {
	struct brood_barrier barrier;
	struct { _Alignas(64) _Atomic uint64_t rounds; } counts[MESSAGE_PRODUCERS];
};

static void *brood_barrier_new(const struct shape *shape)
{
	struct brood_meeting *meeting = brood_alloc(NULL, sizeof *meeting);

	if (meeting && brood_barrier_init(&meeting->barrier, (int)shape->producers))
		return NULL;
	return meeting;
}

static int brood_barrier_rounds(void *object, unsigned int index, unsigned int n)
{
	struct brood_meeting *meeting = object;
	int result = 0;

	for (; n && result >= 0; n--) {
		uint64_t mine = atomic_fetch_add_explicit(&meeting->counts[index].rounds, 1,
							  memory_order_relaxed) + 1;

		result = brood_barrier_wait(&meeting->barrier, BROOD_FOREVER);
		if (atomic_load_explicit(&meeting->counts[!index].rounds,
					 memory_order_relaxed) < mine)
			return -EPROTO;
	}
	return result < 0 ? result : 0;
}

static bool brood_barrier_right(void *object, uint64_t rounds)
{
	struct brood_meeting *meeting = object;
	uint64_t sum = 0;

	for (unsigned int i = 0; i < MESSAGE_PRODUCERS; i++)
		sum += meeting->counts[i].rounds;
	return sum == rounds;
}

struct meeting {
	_Alignas(64) pthread_barrier_t barrier;
	struct { _Alignas(64) _Atomic uint64_t rounds; } counts[MESSAGE_PRODUCERS];
};

static void *barrier_new(const struct shape *shape)
{
	struct meeting *meeting = shared_alloc(sizeof *meeting);
	pthread_barrierattr_t attr;

	if (!meeting)
		return NULL;
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&meeting->barrier, &attr, shape->producers);
	pthread_barrierattr_destroy(&attr);
	return meeting;
}

static void barrier_delete(void *object)
{
	shared_free(object, sizeof(struct meeting));
}

static int barrier_rounds(void *object, unsigned int index, unsigned int n)
{
	struct meeting *meeting = object;

	for (; n; n--) {
		uint64_t mine = atomic_fetch_add_explicit(&meeting->counts[index].rounds, 1,
							  memory_order_relaxed) + 1;

		pthread_barrier_wait(&meeting->barrier);
		if (atomic_load_explicit(&meeting->counts[!index].rounds,
					 memory_order_relaxed) < mine)
			return -EPROTO;
	}
	return 0;
}

static bool barrier_right(void *object, uint64_t rounds)
{
	struct meeting *meeting = object;
	uint64_t sum = 0;

	for (unsigned int i = 0; i < MESSAGE_PRODUCERS; i++)
		sum += meeting->counts[i].rounds;
	return sum == rounds;
}

const struct peer peer_sync[] = {
	{
		.name = "brood", .about = "brood_lock", .only = "sync.lock",
		.create = brood_lock_new, .destroy = brood_lock_delete,
		.rounds = brood_lock_rounds, .right = brood_lock_right,
	}, {
		.name = "pthread", .about = "process-shared mutex", .only = "sync.lock",
		.create = plain_mutex_new, .destroy = mutex_delete,
		.rounds = mutex_rounds, .right = mutex_right,
	}, {
		.name = "pthread_robust", .about = "the same, robust", .only = "sync.lock",
		.create = robust_mutex_new, .destroy = mutex_delete,
		.rounds = mutex_rounds, .right = mutex_right,
	}, {
		.name = "rmw", .about = "the limit: a bare CAS and exchange", .only = "sync.lock",
		.traits = PEER_ALONE, .create = word_new, .destroy = word_delete,
		.rounds = two_rmw_rounds, .right = nothing_to_check,
	}, {
		.name = "brood", .about = "brood_rwlock, reading", .only = "sync.rwlock",
		.create = brood_rwlock_new, .destroy = brood_lock_delete,
		.rounds = brood_read_rounds, .right = nothing_to_check,
	}, {
		.name = "brood_write", .about = "brood_rwlock, writing", .only = "sync.rwlock",
		.create = brood_rwlock_new, .destroy = brood_lock_delete,
		.rounds = brood_write_rounds, .right = brood_write_right,
	}, {
		.name = "pthread", .about = "process-shared rwlock, reading", .only = "sync.rwlock",
		.create = rwlock_new, .destroy = rwlock_delete,
		.rounds = read_rounds, .right = nothing_to_check,
	}, {
		.name = "pthread_write", .about = "the same, writing", .only = "sync.rwlock",
		.create = rwlock_new, .destroy = rwlock_delete,
		.rounds = write_rounds, .right = write_right,
	}, {
		.name = "brood", .about = "brood_semaphore", .only = "sync.sem",
		.create = brood_semaphore_new, .destroy = brood_semaphore_delete,
		.rounds = brood_semaphore_rounds, .right = brood_semaphore_right,
	}, {
		.name = "sem_t", .about = "process-shared", .only = "sync.sem",
		.create = sem_new, .destroy = sem_delete,
		.rounds = sem_rounds, .right = sem_right,
	}, {
		.name = "rmw", .about = "the limit: a bare CAS and exchange", .only = "sync.sem",
		.traits = PEER_ALONE, .create = word_new, .destroy = word_delete,
		.rounds = two_rmw_rounds, .right = nothing_to_check,
	}, {
		.name = "brood", .about = "brood_event", .only = "sync.event",
		.create = brood_event_new, .destroy = brood_event_delete,
		.rounds = brood_event_rounds, .right = brood_event_right,
	}, {
		.name = "brood_pair", .about = "set and clear", .only = "sync.event",
		.create = brood_event_new, .destroy = brood_event_delete,
		.rounds = brood_event_pair_rounds, .right = brood_event_pair_right,
	}, {
		.name = "sem_t", .about = "post and wait", .only = "sync.event",
		.create = sem_new, .destroy = sem_delete,
		.rounds = sem_rounds, .right = sem_right,
	}, {
		.name = "eventfd", .about = "write and read", .only = "sync.event",
		.create = eventfd_new, .destroy = eventfd_delete,
		.rounds = eventfd_rounds, .right = nothing_to_check,
	}, {
		.name = "rmw", .about = "the limit: a bare fetch-or", .only = "sync.event",
		.traits = PEER_ALONE, .create = word_new, .destroy = word_delete,
		.rounds = one_rmw_rounds, .right = nothing_to_check,
	}, {
		.name = "brood", .about = "brood_event", .only = "sync.event_wake",
		.create = mailbox_new, .destroy = mailbox_delete,
		.put = event_put, .get = event_get,
	}, {
		.name = "eventfd", .about = "write and read", .only = "sync.event_wake",
		.create = mailbox_new, .destroy = mailbox_delete,
		.put = eventfd_put, .get = eventfd_get,
	}, {
		.name = "futex", .about = "the limit: a raw wait and wake", .only = "sync.event_wake",
		.create = mailbox_new, .destroy = mailbox_delete,
		.put = futex_put, .get = futex_get,
	}, {
		.name = "brood", .about = "brood_condition", .only = "sync.cond",
		.traits = PEER_TOGETHER,
		.create = brood_turns_new, .destroy = brood_lock_delete,
		.rounds = brood_turns_rounds, .right = brood_turns_right,
	}, {
		.name = "pthread", .about = "process-shared condition", .only = "sync.cond",
		.traits = PEER_TOGETHER,
		.create = turns_new, .destroy = turns_delete,
		.rounds = turns_rounds, .right = turns_right,
	}, {
		.name = "brood", .about = "brood_barrier", .only = "sync.barrier",
		.traits = PEER_TOGETHER,
		.create = brood_barrier_new, .destroy = brood_lock_delete,
		.rounds = brood_barrier_rounds, .right = brood_barrier_right,
	}, {
		.name = "pthread", .about = "process-shared barrier", .only = "sync.barrier",
		.traits = PEER_TOGETHER,
		.create = barrier_new, .destroy = barrier_delete,
		.rounds = barrier_rounds, .right = barrier_right,
	}, {
		.name = NULL,
	},
};
