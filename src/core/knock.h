/* SPDX-License-Identifier: MIT
 *
 * Connecting by call, as runtimes do it that are told when a socket has something.
 */
#ifndef TAKO_CORE_KNOCK_H
#define TAKO_CORE_KNOCK_H

#include <sys/socket.h>

/* Begin to connect the non-blocking `fd`.  0: it is connected; EINPROGRESS: it polls writable when that is
 * decided; any other errno: it has failed. */
int tako__knock(int fd, const struct sockaddr *to, socklen_t n);
/* What was decided: 0, or an errno. */
int tako__knock_outcome(int fd);

#endif /* TAKO_CORE_KNOCK_H */
