/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One waits for an event as long as it takes, another for two seconds. */
#include <stdio.h>
#include <unistd.h>

#include <brood.h>

static const char *is_set(struct brood_event *e)
{
	return brood_event_is_set(e) == 1 ? "True" : "False";
}

static int wait_for_event(void *e)
{
	printf("wait_for_event: starting\n");
	brood_event_wait(e, BROOD_FOREVER);
	printf("wairt_for_event: e.is_set()->%s\n", is_set(e));
	return 0;
}

static int wait_for_event_timeout(void *e)
{
	printf("wait_for_event_timeout:starting\n");
	brood_event_wait(e, brood_ms(2000));
	printf("wait_for_event_timeout:e.is_set->%s\n", is_set(e));
	return 0;
}

int main(void)
{
	struct brood_process_opts block = { .name = "block" }, non_block = { .name = "non-block" };
	struct brood_event *e = brood_event_create(NULL);

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!e || !brood_process_start_opts(wait_for_event, e, &block) ||
	    !brood_process_start_opts(wait_for_event_timeout, e, &non_block))
		return 1;
	sleep(3);
	brood_event_set(e);
	printf("main: event is set\n");
	return 0;
}
