/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many CPUs there are. */
#include <stdio.h>
#include <unistd.h>

#include <brood.h>

int main(void)
{
	unsigned int cpu_amount = brood_cpu_count_all();

	printf("%u\n", cpu_amount);

	cpu_amount = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);
	printf("%u\n", cpu_amount);
	return 0;
}
