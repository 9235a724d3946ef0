/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which peers this build has, and opening a queue of one of them. */
#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "handoff.h"
#include "peer.h"

const struct peer *const peers[] = {
	&peer_brood,
	&peer_brood_spsc,
	&peer_broadcast,
	&peer_ring,
	&peer_conn,
	&peer_futex,
	&peer_pipe,
	&peer_seqpacket,
#ifdef HAVE_MQ
	&peer_mq,
#endif
	&peer_mutex,
#ifdef HAVE_BOOST
	&peer_boost,
#endif
#ifdef HAVE_CK
	&peer_ck,
	&peer_ck_spsc,
#endif
#ifdef HAVE_RTE_RING
	&peer_rte,
	&peer_rte_hts,
	&peer_rte_rts,
	&peer_rte_spsc,
#endif
	&peer_wfcqueue,
	&peer_many[0], &peer_many[1], &peer_many[2], &peer_many[3], &peer_many[4],
	&peer_many[5], &peer_many[6], &peer_many[7], &peer_many[8], &peer_many[9], &peer_many[10],
	&peer_process[0], &peer_process[1], &peer_process[2], &peer_process[3], &peer_process[4],
	&peer_process[5], &peer_process[6], &peer_process[7], &peer_process[8],
	NULL,
};

const struct peer *const peers_of_one[] = {
	peer_sync, peer_pool, peer_subprocess, peer_capture, NULL,
};

const char peers_missing[] = ""
#ifndef HAVE_MQ
	" mq"
#endif
#ifndef HAVE_BOOST
	" boost"
#endif
#ifndef HAVE_CK
	" ck ck_spsc"
#endif
#ifndef HAVE_RTE_RING
	" rte_ring rte_ring_hts rte_ring_rts rte_ring_spsc"
#endif
;

int port_open(struct port *port, const struct peer *peer, const struct shape *shape)
{
	bool handed = peer->element_max && shape->size > peer->element_max;

	port->ops = handed ? &handoff : peer;
	port->queue = handed ? handoff_create(peer, shape) : peer->create(shape);
	return port->queue ? 0 : -errno;
}

void port_close(struct port *port)
{
	if (port->queue)
		port->ops->destroy(port->queue);
	port->queue = NULL;
}

void *shared_alloc(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

void shared_free(void *memory, size_t bytes)
{
	if (memory)
		munmap(memory, bytes);
}
