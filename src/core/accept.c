/* SPDX-License-Identifier: MIT
 *
 * Which failures of accept4(2) are the listener's and which are a peer's own.  When it is called
 * is the runtime's to know.
 */
#include "core/accept.h"

#include <errno.h>

enum {
	ACCEPT_BUDGET = 64, /* a burst of connections must not starve those that are there */
	BACKLOG_MAX = 65536,
};

/* False: errno says why not. */
static bool accept_once(struct tako_sock *ls)
{
	struct sockaddr_storage from;
	socklen_t n = sizeof from;
	int fd = accept4(ls->fd, (struct sockaddr *)&from, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		ls->cb->on_accept(ls, fd, (struct sockaddr *)&from, n);
		return true;
	}
	/* The peer's own failure says nothing about the next one (accept(2)). */
	return errno == EINTR || errno == ECONNABORTED || errno == EPROTO;
}

bool tako__accept_some(struct tako_sock *ls)
{
	for (unsigned i = 0; i < ACCEPT_BUDGET; i++) {
		if (ls->flags & (TAKO_SOCK_PAUSED | TAKO_SOCK_CLOSING))
			return true;
		if (accept_once(ls))
			continue;
		if (errno == EAGAIN)
			return false;
		ls->flags |= TAKO_SOCK_PAUSED;
		ls->cb->on_accept_error(ls, errno);
	}
	return true;
}

/* They have connected and perhaps sent their request already. */
void tako__accept_last(struct tako_sock *ls)
{
	for (unsigned i = 0; i < BACKLOG_MAX && accept_once(ls); i++)
		;
}
