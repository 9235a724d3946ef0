/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "job.h"

void job_wrong(struct job *job, uint64_t id, const char *what)
{
	job_fail(job, "consumer %u: message %" PRIu64 " of producer %" PRIu64 " %s", job->index,
		 id & ((UINT64_C(1) << MESSAGE_SEQUENCE_BITS) - 1), id >> MESSAGE_SEQUENCE_BITS,
		 what);
}

void job_error(struct job *job, const char *call, ssize_t error)
{
	job_fail(job, "%s: %s", call, strerror((int)-error));
}

bool job_last_producer(struct job *job)
{
	return atomic_fetch_sub(&job->team->producers_left[job->phase], 1) == 1;
}
