/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Life words on the C library's robust list.
 *
 * Linux keeps, for each thread, the address of a list that the C library registered for robust
 * mutexes (set_robust_list(2)). When the thread ends in any way, exec included, the kernel walks
 * it, and every word on it that holds the thread's id gets FUTEX_OWNER_DIED; one sleeper is
 * woken. We add a node of our own to that list and never replace it, so robust mutexes go on to
 * work.
 *
 * A node is a pointer to the next one, with the pointer to the previous one just before it: glibc
 * and musl agree on that, because they unlink in constant time. The word lies at node +
 * futex_offset, which the list's head tells. The C library changes the list only in the thread
 * that owns it, and so do we.
 *
 * Dying inside. list_op_pending names the node before the word gets our id and until the node is
 * linked: the kernel looks there too. If we die before the CAS, the word is not ours and stays as
 * it is; after it, it is marked. In brood__life_end the word is freed while the node is still
 * named as pending: an unmarked free word is what a clean end leaves.
 *
 * The word and the incarnation beside it are freed together, by one 64-bit CAS, so that nobody
 * who was stopped in the middle of freeing can free a later owner's word. The kernel and
 * brood__life_begin change the 32-bit half alone; overlapping atomics of two sizes are coherent
 * on every CPU that Linux runs on.
 */
#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/platform.h"

_Static_assert(sizeof(struct brood__life) == BROOD__LINE, "a life is a line");

static struct robust_list_head *own_list(void)
{
	struct robust_list_head *head = NULL;
	size_t size = 0;

	if (syscall(SYS_get_robust_list, 0, &head, &size) || size != sizeof(*head))
		return NULL;
	return head;
}

/* The node of a life: within its line, the previous pointer before it included; else NULL. */
static struct robust_list *node_of(struct brood__life *life, const struct robust_list_head *head)
{
	long at = -head->futex_offset;

	if (at < (long)(2 * sizeof(void *)) || at > (long)(sizeof(*life) - sizeof(void *)) ||
	    at % (long)sizeof(void *))
		return NULL;
	return (struct robust_list *)((char *)life + at);
}

static struct robust_list **previous_of(struct robust_list *node)
{
	return (struct robust_list **)node - 1;
}

/* The lowest bit of a link marks priority-inheritance mutexes. */
static struct robust_list *without_mark(struct robust_list *link)
{
	return (struct robust_list *)((uintptr_t)link & ~(uintptr_t)1);
}

static void link_first(struct robust_list_head *head, struct robust_list *node)
{
	struct robust_list *first = head->list.next;

	node->next = first;
	*previous_of(node) = &head->list;
	if (without_mark(first) != &head->list)
		*previous_of(without_mark(first)) = node;
	atomic_signal_fence(memory_order_seq_cst);
	head->list.next = node;
}

static void unlink_node(struct robust_list_head *head, struct robust_list *node)
{
	struct robust_list *previous = *previous_of(node), *next = node->next;

	previous->next = next;
	if (without_mark(next) != &head->list)
		*previous_of(without_mark(next)) = previous;
}

/* The compiler may not move stores across: the kernel may look at any instruction. */
static void set_pending(struct robust_list_head *head, struct robust_list *node)
{
	atomic_signal_fence(memory_order_seq_cst);
	*(struct robust_list *volatile *)&head->list_op_pending = node;
	atomic_signal_fence(memory_order_seq_cst);
}

int brood__life_begin(struct brood__life *life)
{
	struct robust_list_head *head = own_list();
	struct robust_list *node = head ? node_of(life, head) : NULL;
	uint32_t nobody = 0;
	uint32_t me = (uint32_t)brood__thread_id() | BROOD__LIFE_WATCHED;

	if (!node)
		return -ENOTSUP;
	set_pending(head, node);
	/* M2: acquires what the sweep of the last owner stored */
	if (!atomic_compare_exchange_strong_explicit(&life->word, &nobody, me,
						     memory_order_acq_rel, memory_order_relaxed)) {
		set_pending(head, NULL);
		return -EBUSY;
	}
	link_first(head, node);
	set_pending(head, NULL);
	return 0;
}

static uint64_t both(uint32_t word, uint32_t incarnation)
{
	uint32_t halves[2] = { word, incarnation };
	uint64_t value;

	memcpy(&value, halves, sizeof(value));
	return value;
}

static bool free_from(struct brood__life *life, uint32_t word, uint32_t incarnation)
{
	uint64_t expected = both(word, incarnation);

	/* M2 */
	return __atomic_compare_exchange_n((uint64_t *)(void *)life, &expected,
					   both(0, incarnation + 1), false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

bool brood__life_free(struct brood__life *life, uint32_t incarnation)
{
	return free_from(life, BROOD__LIFE_DEAD | BROOD__LIFE_WATCHED, incarnation) ||
	       free_from(life, BROOD__LIFE_DEAD, incarnation);
}

void brood__life_end(struct brood__life *life)
{
	struct robust_list_head *head = own_list();
	struct robust_list *node = head ? node_of(life, head) : NULL;
	uint32_t word = atomic_load_explicit(&life->word, memory_order_relaxed);

	if (!node)
		return;
	set_pending(head, node);
	unlink_node(head, node);
	free_from(life, word, atomic_load_explicit(&life->incarnation, memory_order_relaxed));
	set_pending(head, NULL);
}
