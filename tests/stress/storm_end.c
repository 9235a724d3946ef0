/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define _GNU_SOURCE
#include "storm_end.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>

#include "arena/arena.h"

static unsigned int descriptors(void)
{
	DIR *fds = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (fds && readdir(fds))
		n++;
	if (fds)
		closedir(fds);
	return n;
}

static unsigned int blocks_between(struct brood_segment *segment)
{
	unsigned int n = 0;

	for (struct brood__block *block = brood__block_first(segment); block;
	     block = brood__block_next(segment, block))
		n += brood__block_state(block) != BROOD__FREE &&
		     brood__block_state(block) != BROOD__LIVE;
	return n;
}

struct left end_look(struct brood_segment *segment, struct brood_queue *any)
{
	struct left left = { .fds = descriptors() };

	brood_queue_count(any);
	brood_segment_stat(segment, &left.info);
	left.blocks = blocks_between(segment ? segment : &brood__family);
	return left;
}

bool end_is_clean(struct brood_segment *segment, struct brood_queue *any,
		  const struct left *before)
{
	struct left now = end_look(segment, any);
	bool children = waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD;

	printf("left: members %u (%u), not swept %u, objects %u (%u), bytes %zu (%zu), "
	       "blocks between %u, descriptors %u (%u)%s\n",
	       now.info.members, before->info.members, now.info.dead, now.info.objects,
	       before->info.objects, now.info.bytes_used, before->info.bytes_used, now.blocks,
	       now.fds, before->fds, children ? ", children" : "");
	return now.info.members == before->info.members && now.info.dead == 0 &&
	       now.info.objects == before->info.objects &&
	       now.info.bytes_used == before->info.bytes_used && now.blocks == 0 &&
	       now.fds == before->fds && !children;
}
