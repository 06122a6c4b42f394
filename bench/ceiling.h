/* SPDX-License-Identifier: MIT
 *
 * What the bare servers have in common: how they begin to listen and how they end.  Nothing that happens per
 * connection or request: that is what each of them is measured for.
 */
#ifndef BENCH_CEILING_H
#define BENCH_CEILING_H

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

_Noreturn static inline void die(const char *what)
{
	perror(what);
	exit(1);
}

static inline void on_term(int sig)
{
	(void)sig;
	_exit(0);
}

static inline void end_by_signal(void)
{
	signal(SIGTERM, on_term);
	signal(SIGINT, on_term);
	signal(SIGPIPE, SIG_IGN);
}

/* On loopback.  `flags`: of the socket. */
static inline int listen_on(uint16_t port, int flags)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
		die("socket");
	/* Accepted sockets inherit it: no setsockopt per connection. */
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
		die("TCP_NODELAY");
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 4096) < 0)
		die("listen");
	return fd;
}

/* For whoever has asked for any. */
static inline void say_port(int fd)
{
	struct sockaddr_in sa = {0};
	socklen_t n = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &n) < 0)
		die("getsockname");
	printf("%u\n", (unsigned)ntohs(sa.sin_port));
	fflush(stdout);
}

#endif
