/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pseudo-terminals, for programs that write line by line to a terminal only. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "platform/spawn.h"

/* The end of the program, with nothing changed on the way, as wide as programs expect it. */
static int open_other_end(int ours)
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	struct termios how;
	char name[40];
	int fd, r;

	if (grantpt(ours) || unlockpt(ours))
		return -errno;
	r = ptsname_r(ours, name, sizeof name);
	if (r)
		return -r;
	fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = tcgetattr(fd, &how);
	cfmakeraw(&how);
	if (r || tcsetattr(fd, TCSANOW, &how) || ioctl(fd, TIOCSWINSZ, &size)) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

int brood__pty_make(int ends[2])
{
	int fd;

	ends[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (ends[0] < 0)
		return -errno;
	fd = open_other_end(ends[0]);
	if (fd < 0) {
		close(ends[0]);
		ends[0] = -1;
		return fd;
	}
	ends[1] = fd;
	return 0;
}
