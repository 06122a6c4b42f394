/* SPDX-License-Identifier: MIT
 *
 * sd_notify(3) without its library: datagrams to a Unix socket that the environment names.  A loop never
 * waits for a supervisor.
 */
#include "core/notify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/inherit.h"
#include "core/server.h"

enum { PATIENCE_S = 1 };

/* ---- One message ------------------------------------------------------------------------------------- */

/* 1: *ret is where to; 0: nobody wants to know. */
static int find_socket(struct sockaddr_un *ret, socklen_t *ret_n)
{
	const char *name = getenv("NOTIFY_SOCKET");
	size_t n = name ? strlen(name) : 0;

	if (!n)
		return 0;
	if (strncmp(name, "vsock", 5) == 0)
		return tako__fail(TAKO_ENOTSUP,
		                  "NOTIFY_SOCKET is \"%.60s\": only Unix sockets are "
		                  "told",
		                  name);
	if ((name[0] != '/' && name[0] != '@') || n < 2 || n >= sizeof ret->sun_path)
		return tako__fail(TAKO_EINVAL, "NOTIFY_SOCKET is \"%.60s\", which is no address",
		                  name);
	memset(ret, 0, sizeof *ret);
	ret->sun_family = AF_UNIX;
	memcpy(ret->sun_path, name, n);
	if (name[0] == '@')
		ret->sun_path[0] = '\0';
	*ret_n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (name[0] == '/'));
	return 1;
}

/* With SO_SNDTIMEO a signal interrupts whatever its handler says (signal(7)), and who is never told READY takes
 * us for one that does not start.  Signals must not keep us here, either: the last try waits for nothing. */
static ssize_t send_patiently(int fd, const char *state, int flags, const struct sockaddr_un *sa,
                              socklen_t sa_n)
{
	uint64_t until = tako__clock_ns() + PATIENCE_S * UINT64_C(1000000000);
	bool late;
	ssize_t sent;

	do {
		late = tako__clock_ns() >= until;
		sent = sendto(fd, state, strlen(state),
		              flags | MSG_NOSIGNAL | (late ? MSG_DONTWAIT : 0),
		              (const struct sockaddr *)sa, sa_n);
	} while (sent < 0 && errno == EINTR && !late);
	return sent;
}

static int send_state(const char *state, int flags)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	struct sockaddr_un sa;
	socklen_t sa_n = 0;
	int rc = find_socket(&sa, &sa_n);
	int fd;

	if (rc <= 0)
		return rc;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return tako__fail_errno("socket for NOTIFY_SOCKET");
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (send_patiently(fd, state, flags, &sa, sa_n) < 0)
		rc = tako__fail_errno("NOTIFY_SOCKET");
	close(fd);
	return rc;
}

int tako_notify(const char *state)
{
	if (!state || !state[0])
		return tako__fail(TAKO_EINVAL, "tako_notify: nothing to say");
	return send_state(state, 0);
}

int tako_notify_reloading(void)
{
	struct timespec now;
	char text[64];

	/* The supervisor takes the READY that follows for this one's by the time. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu",
	         (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
	return send_state(text, 0);
}

/* ---- A server's life ------------------------------------------------------------------------------------ */

bool tako__notify_is_watched(void)
{
	const char *pid = getenv("WATCHDOG_PID");

	return getenv("WATCHDOG_USEC") && (!pid || strtol(pid, NULL, 10) == getpid());
}

static int find_watchdog(uint64_t *ret_ns)
{
	const char *usec = getenv("WATCHDOG_USEC");
	unsigned long long value;
	char *end;

	*ret_ns = 0;
	if (!usec || !tako__notify_is_watched())
		return 0;
	errno = 0;
	value = strtoull(usec, &end, 10);
	if (usec[0] < '0' || usec[0] > '9' || *end || errno || !value ||
	    value > UINT64_MAX / 1000000)
		return tako__fail(TAKO_EINVAL, "WATCHDOG_USEC is \"%.32s\", which is no time",
		                  usec);
	*ret_ns = value * 1000;
	return 0;
}

int tako__notify_prepare(struct tako_server *srv)
{
	struct sockaddr_un sa;
	socklen_t sa_n;
	int rc = srv->cfg.notify ? find_socket(&sa, &sa_n) : 0;

	return rc > 0 ? find_watchdog(&srv->watchdog_ns) : rc;
}

/* What cannot be sent is for the supervisor to miss: it has its own timeouts, and we our peers. */
static void tell(const struct tako_server *srv, const char *state, int flags)
{
	if (srv->cfg.notify)
		(void)send_state(state, flags);
}

void tako__notify_started(struct tako_server *srv)
{
	tell(srv, "READY=1", 0);
}

void tako__notify_stopping(struct tako_server *srv)
{
	if (!atomic_exchange(&srv->told_stopping, true))
		tell(srv, "STOPPING=1", MSG_DONTWAIT);
}

/* ---- The watchdog -------------------------------------------------------------------------------------------- */

/* Has every loop turned since the last time that we said so?  Those that have ended count. */
static bool all_alive(struct tako_server *srv, uint64_t since_ns)
{
	for (unsigned i = 0; i < srv->worker_count; i++) {
		if (atomic_load(&srv->workers[i].beat_ns) <= since_ns)
			return false;
	}
	return true;
}

/* Four times in what the supervisor allows, each worker says that it lives; whoever is the last of a round
 * says it for all, which is twice in that time at least.  So one that hangs silences the server. */
static void on_beat(struct tako__timer *t, uint64_t now_ns)
{
	struct tako__worker *w = TAKO__CONTAINER(t, struct tako__worker, watchdog);
	struct tako_server *srv = w->srv;
	uint64_t last = atomic_load(&srv->watchdog_last_ns);

	atomic_store(&w->beat_ns, now_ns);
	if (all_alive(srv, last) &&
	    atomic_compare_exchange_strong(&srv->watchdog_last_ns, &last, now_ns))
		tell(srv, "WATCHDOG=1", MSG_DONTWAIT);
	tako__timer_set(&w->wheel, t, now_ns + srv->watchdog_ns / 4);
}

void tako__notify_watch(struct tako__worker *w)
{
	tako__timer_init(&w->watchdog, on_beat);
	if (w->srv->watchdog_ns)
		tako__timer_set(&w->wheel, &w->watchdog, tako__now_ns(w) + w->srv->watchdog_ns / 4);
}

void tako__notify_unwatch(struct tako__worker *w)
{
	tako__timer_clear(&w->wheel, &w->watchdog);
	atomic_store(&w->beat_ns, UINT64_MAX);
}
