/* SPDX-License-Identifier: MIT
 *
 * Names to addresses, by the system's own resolver (getaddrinfo(3): nsswitch.conf, /etc/hosts, DNS), which
 * blocks, and so on threads of its own.  What was found is kept for a little while; who asks for what is being
 * looked up waits for the same answer.  Nothing here ever waits on a loop's thread.
 */
#ifndef TAKO_CORE_RESOLVE_H
#define TAKO_CORE_RESOLVE_H

#include <netinet/in.h>
#include <stdint.h>
#include <tako/server.h>

struct tako__lookup;
struct tako__query;
struct tako__resolver;
struct tako__worker;

/* An address of the Internet, with a port or without. */
union tako__ip {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

enum { TAKO__RESOLVED_MAX = 8, TAKO__RESOLVED_WHY_BYTES = 96 };

/* What a name has of one family, in the system's order (RFC 6724), without ports. */
struct tako__resolved {
	unsigned count; /* not 0 unless err */
	/* 0, or TAKO_ENOENT: it has none, TAKO_EBUSY: not to be found out now, TAKO_ENOMEM, TAKO_ESYS */
	int err;
	union tako__ip ips[TAKO__RESOLVED_MAX];
	char why[TAKO__RESOLVED_WHY_BYTES]; /* of err, as the system puts it */
};

typedef void (*tako__resolved_fn)(const struct tako__resolved *r, void *arg);

/* One a server, by its resolve_* settings; starts no thread yet.  NULL without memory. */
struct tako__resolver *tako__resolver_new(const tako_server_config *cfg);
/* Nobody waits any more.  Waits for what is being looked up just now, as that cannot be called back.  NULL is
 * fine. */
void tako__resolver_free(struct tako__resolver *r);

/* Which addresses of `family` (AF_INET or AF_INET6) does the name have?  1: *hit says; 0: fn() will, once,
 * from mail to this worker, unless it is cancelled, for which *ret is; or a negative code:
 *   TAKO_EBUSY   resolve_queue_count names wait already, or resolve_cache_count are being looked up
 *   TAKO_ENOMEM
 *   TAKO_ESYS    there is no thread to be had */
int tako__resolve(struct tako__query **ret, struct tako__resolved *hit, struct tako__worker *w,
                  const char *name, int family, tako__resolved_fn fn, void *arg);
/* fn() is not called.  Not from fn(), whose query is over. */
void tako__resolve_cancel(struct tako__query *q);

/* ---- For tests ------------------------------------------------------------------------------------ */

/* In place of the threads and the system: set before the server is made.  Called without any lock, and to be
 * answered once, from whatever thread, now or later, by tako__lookup_answer(). */
struct tako__resolver_hook {
	void (*begin)(struct tako__lookup *l, const char *name, int family, void *arg);
	void *arg;
};
extern const struct tako__resolver_hook *tako__resolver_hook;
void tako__lookup_answer(struct tako__lookup *l, const struct tako__resolved *answer);

#endif /* TAKO_CORE_RESOLVE_H */
