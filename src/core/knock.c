/* SPDX-License-Identifier: MIT
 *
 * What the results of connect(2) mean.  When it is called is the runtime's to know.
 */
#include "core/knock.h"

#include <errno.h>

/* Interrupted it goes on by itself (connect(2)); asked again it would only say so. */
int tako__knock(int fd, const struct sockaddr *to, socklen_t n)
{
	if (connect(fd, to, n) == 0)
		return 0;
	return errno == EINTR ? EINPROGRESS : errno;
}

int tako__knock_outcome(int fd)
{
	int err = 0;
	socklen_t n = sizeof err;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n) < 0 ? errno : err;
}
