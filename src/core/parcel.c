/* SPDX-License-Identifier: MIT
 *
 * Sockets on their way from one process to another over a Unix socket, by SCM_RIGHTS (unix(7)): how they are
 * sent, and what a server does that hands its own over so.  Whoever asks must be of our user.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/handover.h"
#include "core/server.h"

enum { LOOK_MS = 50, SEND_S = 5 };

/* ---- Messages ------------------------------------------------------------------------------------ */

static int send_message(int fd, const char *text, size_t n, const int *fds, unsigned count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(TAKO__PARCEL_FDS * sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {.iov_base = (void *)text, .iov_len = n};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *head;
	ssize_t sent;

	if (count) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
		head = CMSG_FIRSTHDR(&msg);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(head), fds, count * sizeof(int));
	}
	/* With SO_SNDTIMEO a signal interrupts whatever its handler says (signal(7)). */
	do {
		sent = sendmsg(fd, &msg, MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? tako__fail_errno("handing over") : 0;
}

static int send_piece(const struct tako__parcel *p, int fd, unsigned at, unsigned count)
{
	char text[TAKO__PARCEL_BYTES + 1] = {TAKO__PARCEL_PIECE};
	size_t n = 1;

	for (unsigned i = 0; i < count; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i ? ":" : "",
		                      p->names[at + i]);
	return send_message(fd, text, n, p->fds + at, count);
}

int tako__parcel_send(const struct tako__parcel *p, int fd)
{
	const char end = TAKO__PARCEL_END;
	int rc = 0;

	for (unsigned at = 0; rc == 0 && at < p->count; at += TAKO__PARCEL_FDS) {
		unsigned left = p->count - at;

		rc = send_piece(p, fd, at, left < TAKO__PARCEL_FDS ? left : TAKO__PARCEL_FDS);
	}
	return rc == 0 ? send_message(fd, &end, 1, NULL, 0) : rc;
}

/* ---- A server that is asked ------------------------------------------------------------------------ */

static bool is_ours(int fd)
{
	struct ucred who;
	socklen_t n = sizeof who;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 && n == sizeof who &&
	       who.uid == geteuid();
}

static int send_all(struct tako_server *srv, int fd)
{
	const struct timeval patience = {.tv_sec = SEND_S};
	struct tako__parcel *p = tako__zalloc(sizeof *p);
	int rc;

	if (!p)
		return tako__fail(TAKO_ENOMEM, "handing over: out of memory");
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	rc = tako__parcel_pack(p, srv, 0);
	if (rc == 0)
		rc = tako__parcel_send(p, fd);
	tako__parcel_free(p);
	tako__free(p, sizeof *p);
	return rc;
}

/* Something to read; false: the server was stopped, or it takes too long. */
static bool wait_for(struct tako_server *srv, int fd, uint64_t until_ns)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	while (!atomic_load(&srv->stop_calls) && tako__clock_ns() < until_ns) {
		if (poll(&p, 1, LOOK_MS) > 0)
			return true;
	}
	return false;
}

/* Does it serve in the end? */
static bool serve_peer(struct tako_server *srv, int fd, uint32_t timeout_ms)
{
	uint64_t until = tako__clock_ns() + (uint64_t)timeout_ms * 1000000;
	char said;

	return is_ours(fd) && send_all(srv, fd) == 0 && wait_for(srv, fd, until) &&
	       recv(fd, &said, 1, MSG_DONTWAIT) == 1 && said == '\n' &&
	       !atomic_load(&srv->stop_calls);
}

/* 1: it serves in our place. */
static int take_peer(struct tako_server *srv, int *listener, struct tako__local_sock *l,
                     const tako_restart_config *cfg)
{
	int fd = accept4(*listener, NULL, NULL, SOCK_CLOEXEC);
	bool done = false;

	if (fd < 0) {
		/* Whoever cannot be accepted for want of a descriptor stays in the backlog, and poll()
		 * would report him again at once, for as long as that lasts. */
		poll(NULL, 0, LOOK_MS);
		return 0;
	}
	if (!atomic_exchange(&srv->restarting, true)) {
		done = serve_peer(srv, fd, cfg->ready_timeout_ms);
		atomic_store(&srv->restarting, false);
	}
	if (done) {
		/* It may listen here itself, when it sees us let go: a name without a file is free
		 * only when its socket is closed. */
		tako__local_end(l, *listener);
		close(*listener);
		*listener = -1;
		tako__hand_over(srv, cfg->last_call_ms);
	}
	close(fd);
	return done;
}

static int check(struct tako_server *srv, const char *addr)
{
	if (!srv || !addr || strncmp(addr, "unix:", 5) != 0)
		return tako__fail(TAKO_EINVAL, "tako_server_hand_over: no server, or no "
		                               "unix:/path or unix:@name");
	if (!srv->threads || atomic_load(&srv->joined) || atomic_load(&srv->stop_calls))
		return tako__fail(TAKO_ESTATE, "only a server of tako_server_start() that serves "
		                               "can be handed over");
	return 0;
}

int tako_server_hand_over(tako_server *srv, const char *addr, const tako_restart_config *cfg)
{
	tako_listen_config listen = {.size = sizeof listen, .backlog = 8};
	struct tako__local_sock local = {.path = ""};
	tako_restart_config own;
	int rc = tako__restart_import(&own, cfg);
	int fd;

	if (rc == 0)
		rc = check(srv, addr);
	if (rc < 0)
		return rc;
	listen.unix_mode = addr[5] == '@' ? 0 : 0600;
	fd = tako__local_listen(&local, addr, SOCK_SEQPACKET, &listen);
	if (fd < 0)
		return fd;
	while (rc == 0 && wait_for(srv, fd, UINT64_MAX))
		rc = take_peer(srv, &fd, &local, &own);
	if (fd >= 0) {
		tako__local_end(&local, fd);
		close(fd);
	}
	return rc ? 0 : tako__fail(TAKO_ESTATE, "the server was stopped");
}
