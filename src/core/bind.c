/* SPDX-License-Identifier: MIT
 *
 * Addresses: bound, or taken over from whoever started us, once per worker before any thread starts,
 * so that errors surface where the caller is.  What happens on them is each worker's (listener.c).
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/dgram.h"
#include "core/local.h"
#include "core/server.h"

enum { DGRAM_QUEUE_BYTES = 2 << 20 }; /* the system may have a lower ceiling */

/* ---- Binding --------------------------------------------------------------------------- */

static int bad_addr(const char *addr, const char *why)
{
	return tako__fail(TAKO_EINVAL, "address \"%.60s\": %s", addr, why);
}

/* Split "host:port"; an IPv6 host stands in brackets. */
static int split(const char *addr, char *host, size_t host_n, const char **ret_port)
{
	const char *colon = addr ? strrchr(addr, ':') : NULL;
	size_t n;

	if (!colon || !colon[1])
		return bad_addr(addr ? addr : "", "no port; \"127.0.0.1:8080\" or \":8080\"");
	n = (size_t)(colon - addr);
	if (n && addr[0] == '[') {
		if (addr[n - 1] != ']')
			return bad_addr(addr, "']' is missing");
		/* Nothing would be every address, and a name another one than it looks like. */
		if (!memchr(addr, ':', n))
			return bad_addr(addr, "in brackets stands an IPv6 address");
		addr++;
		n -= 2;
	} else if (memchr(addr, ':', n)) {
		return bad_addr(addr, "an IPv6 address needs brackets");
	}
	if (n >= host_n)
		return bad_addr(addr, "too long");
	memcpy(host, addr, n);
	host[n] = '\0';
	*ret_port = colon + 1;
	return 0;
}

static int check_port(const char *addr, const char *port)
{
	char *end;
	unsigned long value = strtoul(port, &end, 10);

	if (*end || port[0] < '0' || port[0] > '9' || value > 65535)
		return bad_addr(addr, "the port is not 0 to 65535");
	return 0;
}

static int resolve(const char *addr, struct addrinfo **out)
{
	struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	                         .ai_socktype = SOCK_STREAM};
	char host[256];
	const char *port = NULL;
	int rc = split(addr, host, sizeof host, &port);

	if (rc == 0)
		rc = check_port(addr, port);
	if (rc < 0)
		return rc;
	/* What looks like an IPv4 address must be one: getaddrinfo() takes "1.2.3" for 1.2.0.3. */
	if (host[0] && host[strspn(host, "0123456789.")] == '\0' &&
	    inet_pton(AF_INET, host, &(struct in_addr){0}) != 1)
		return bad_addr(addr, "not an IPv4 address");
	/* The name is the loopback's whatever a machine's files say (RFC 6761 section 6.3). */
	if (tako_str_ieq(tako_str_z(host), TAKO_STR("localhost")))
		memcpy(host, "127.0.0.1", sizeof "127.0.0.1");
	/* Every address: one IPv6 socket takes both families, where the machine has IPv6. */
	if (!host[0]) {
		hints.ai_family = AF_INET6;
		if (getaddrinfo("::", port, &hints, out) == 0) {
			int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

			if (fd >= 0) {
				close(fd);
				return 0;
			}
			freeaddrinfo(*out);
		}
		hints.ai_family = AF_INET;
	}
	rc = getaddrinfo(host[0] ? host : "0.0.0.0", port, &hints, out);
	return rc ? tako__fail(TAKO_EINVAL, "address \"%.60s\": %s", addr, gai_strerror(rc)) : 0;
}

static int set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof value);
}

static void set_stream_options(int fd)
{
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	/* Accepted sockets inherit it on Linux: no call per connection. */
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

/* No SO_REUSEADDR, which would let a second program have the same port.  Datagrams are as long as
 * their sender wants them, who finds out himself what the path takes (RFC 9000 section 14).  One
 * socket is everybody's queue, and the system's default for it is meant for one conversation. */
static void set_dgram_options(int fd, int family)
{
	set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
	if (family == AF_INET6)
		set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
	set_option(fd, SOL_SOCKET, SO_RCVBUF, DGRAM_QUEUE_BYTES);
	set_option(fd, SOL_SOCKET, SO_SNDBUF, DGRAM_QUEUE_BYTES);
	tako__dgram_ask(fd, family);
}

static int open_socket(const struct sockaddr *sa, socklen_t n, int type, bool share,
                       const char *addr)
{
	int fd = socket(sa->sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0)
		return tako__fail_errno("socket for %.60s", addr);
	if (type == SOCK_STREAM)
		set_stream_options(fd);
	else
		set_dgram_options(fd, sa->sa_family);
	if (sa->sa_family == AF_INET6)
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY,
		           !IN6_IS_ADDR_UNSPECIFIED(
				   &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr));
	if ((share && set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0) || bind(fd, sa, n) < 0) {
		err = tako__fail_errno("bind %.60s", addr);
		close(fd);
		return err;
	}
	return fd;
}

static uint16_t port_of(const struct sockaddr *sa)
{
	return sa->sa_family == AF_INET6
	               ? ((const struct sockaddr_in6 *)(const void *)sa)->sin6_port
	               : ((const struct sockaddr_in *)(const void *)sa)->sin_port;
}

/* SO_REUSEPORT would let a second instance of a program share the port of the first without
 * a word.  A socket without it finds out. */
static int probe_taken(const struct addrinfo *ai, int type, const char *addr)
{
	int fd;

	if (port_of(ai->ai_addr) == 0)
		return 0;
	fd = open_socket(ai->ai_addr, ai->ai_addrlen, type, false, addr);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int bind_all(struct tako__address *a, unsigned count, const struct addrinfo *ai,
                    const char *addr, int type, int backlog)
{
	struct sockaddr_storage bound;
	socklen_t n = ai->ai_addrlen;

	memcpy(&bound, ai->ai_addr, n);
	for (unsigned i = 0; i < count; i++) {
		int fd = open_socket((struct sockaddr *)&bound, n, type, count > 1, addr);

		if (fd < 0)
			return fd;
		a->fds[i] = fd;
		/* The others join the port that the first one got. */
		n = sizeof bound;
		if (getsockname(fd, (struct sockaddr *)&bound, &n) < 0 ||
		    (type == SOCK_STREAM && listen(fd, backlog) < 0))
			return tako__fail_errno("listen on %.60s", addr);
	}
	tako__addr_format((struct sockaddr *)&bound, a->text, sizeof a->text);
	return 0;
}

/* ---- Inherited ------------------------------------------------------------------------- */

static void set_inherited_options(int fd, int type)
{
	int family = 0;
	socklen_t n = sizeof family;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &n) < 0 ||
	    (family != AF_INET && family != AF_INET6))
		return;
	if (type == SOCK_DGRAM)
		set_dgram_options(fd, family);
	else
		set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

static struct tako__address *address_new(const struct tako_server *srv);

/* Whoever connects to one that is taken and that nobody accepts from would wait for ever. */
static void close_rest(const struct tako__taken *got, unsigned at)
{
	while (at < got->count)
		close(got->fds[at++]);
}

/* One more for the sockets from the `at`th on. */
static int adopt_rest(struct tako__address *a, const struct tako_server *srv,
                      const struct tako__taken *got, unsigned at)
{
	struct tako__address *more = address_new(srv);

	if (!more) {
		close_rest(got, at);
		return tako__fail(TAKO_ENOMEM, "listener: out of memory");
	}
	more->extra = true;
	more->inherited = true;
	memcpy(more->text, a->text, sizeof more->text);
	memcpy(more->name, a->name, sizeof more->name);
	for (unsigned i = 0; i < srv->cfg.worker_count && at < got->count; i++)
		more->fds[i] = got->fds[at++];
	more->next = a->next;
	a->next = more;
	return at < got->count ? adopt_rest(a, srv, got, at) : 0;
}

/* As many as there are workers.  Workers beyond their number share. */
static int adopt_first(struct tako__address *a, const struct tako_server *srv,
                       const struct tako__taken *got, int type, const tako_listen_config *cfg)
{
	unsigned count = srv->cfg.worker_count;
	unsigned extra;

	assert(got->count > 0);
	extra = (got->count - 1) / count;
	a->inherited = true;
	memcpy(a->text, got->text, sizeof a->text);
	memcpy(a->name, got->name, sizeof a->name);
	if (strcmp(a->name, TAKO__INHERIT_OWN) == 0)
		tako__local_adopt(&a->local, a->text);
	for (unsigned i = 0; i < count; i++) {
		a->fds[i] = i < got->count ? got->fds[i]
		                           : fcntl(got->fds[i % got->count], F_DUPFD_CLOEXEC, 0);
		if (a->fds[i] < 0)
			return tako__fail_errno("listen on %.60s", got->text);
	}
	for (unsigned i = 0; i < got->count; i++) {
		set_inherited_options(got->fds[i], type);
		if (type != SOCK_DGRAM && listen(got->fds[i], (int)cfg->backlog) < 0)
			return tako__fail_errno("listen on %.60s", got->text);
	}
	if (srv->address_count + 1 + extra > TAKO__ADDRESSES_MAX)
		return tako__fail(TAKO_ETOOBIG,
		                  "%.60s: %u sockets are too many for this many workers", got->text,
		                  got->count);
	return 0;
}

/* Each of them is accepted from, however many workers there are: what has connected waits in the
 * backlog of one of them. */
static int adopt(struct tako__address *a, const struct tako_server *srv,
                 const struct tako__taken *got, int type, const tako_listen_config *cfg)
{
	unsigned count = srv->cfg.worker_count;
	int rc = adopt_first(a, srv, got, type, cfg);

	if (rc < 0)
		close_rest(got, count);
	return rc == 0 && got->count > count ? adopt_rest(a, srv, got, count) : rc;
}

/* By its number a descriptor can be had that no variable speaks of, so that nothing but this tells that it is
 * another listener's: both would close it, the second one whatever has its number by then. */
static bool has_fd(const struct tako_server *srv, int fd)
{
	for (unsigned i = 0; i < srv->address_count; i++) {
		for (unsigned k = 0; k < 2 * srv->cfg.worker_count; k++) {
			if (srv->addresses[i]->fds[k] == fd)
				return true;
		}
	}
	return false;
}

static int bind_named(struct tako__address *a, const struct tako_server *srv, const char *addr,
                      int type, const tako_listen_config *cfg)
{
	struct tako__taken got = {.count = 0};
	int rc = tako__local_refuse(addr, cfg);

	if (rc == 0)
		rc = tako__inherit_named(&got, addr, type);
	if (rc == 0 && has_fd(srv, got.fds[0]))
		rc = tako__fail(TAKO_ENOENT, "address \"%.60s\": another listener has it", addr);
	return rc == 0 ? adopt(a, srv, &got, type, cfg) : rc;
}

/* 1: whoever started us has left us this address; 0: we bind it ourselves. */
static int find_inherited(struct tako__address *a, const struct tako_server *srv, const char *text,
                          int type, const tako_listen_config *cfg)
{
	struct tako__taken got = {.count = 0};
	int rc = srv->cfg.inherit ? tako__inherit_bound(&got, text, type) : 0;

	if (rc <= 0)
		return rc;
	rc = adopt(a, srv, &got, type, cfg);
	return rc < 0 ? rc : 1;
}

/* ---- Addresses --------------------------------------------------------------------------- */

static size_t address_bytes(const struct tako_server *srv)
{
	return sizeof(struct tako__address) + 2 * srv->cfg.worker_count * sizeof(int);
}

/* A socket for each worker. */
static int bind_port(struct tako__address *a, const struct tako_server *srv, const char *addr,
                     int type, const tako_listen_config *cfg)
{
	char text[TAKO__LOCAL_TEXT_BYTES];
	struct addrinfo *ai;
	int rc = tako__local_refuse(addr, cfg);

	if (rc < 0)
		return rc;
	rc = resolve(addr, &ai);
	if (rc < 0)
		return rc;
	tako__addr_format(ai->ai_addr, text, sizeof text);
	rc = find_inherited(a, srv, text, type, cfg);
	if (rc == 0)
		rc = probe_taken(ai, type, addr);
	if (rc == 0)
		rc = bind_all(a, srv->cfg.worker_count, ai, addr, type, (int)cfg->backlog);
	freeaddrinfo(ai);
	return rc < 0 ? rc : 0;
}

/* One socket, of which each worker has a descriptor: whoever is awake first accepts. */
static int bind_local(struct tako__address *a, const struct tako_server *srv, const char *addr,
                      int type, const tako_listen_config *cfg)
{
	struct sockaddr_storage bound;
	socklen_t n = sizeof bound;
	int fd;

	if (type == SOCK_DGRAM)
		return bad_addr(addr, "datagrams need a port; over a Unix socket, records of "
		                      "tako_raw_unix() are kept apart");
	fd = find_inherited(a, srv, addr, type, cfg);
	if (fd != 0)
		return fd < 0 ? fd : 0;
	fd = tako__local_listen(&a->local, addr, type, cfg);
	if (fd < 0)
		return fd;
	a->fds[0] = fd;
	if (getsockname(fd, (struct sockaddr *)&bound, &n) < 0)
		return tako__fail_errno("listen on %.60s", addr);
	tako__local_format((struct sockaddr *)&bound, n, a->text, sizeof a->text);
	for (unsigned i = 1; i < srv->cfg.worker_count; i++) {
		a->fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (a->fds[i] < 0)
			return tako__fail_errno("listen on %.60s", addr);
	}
	return 0;
}

static struct tako__address *address_new(const struct tako_server *srv)
{
	struct tako__address *a = tako__zalloc(address_bytes(srv));

	for (unsigned i = 0; a && i < 2 * srv->cfg.worker_count; i++)
		a->fds[i] = -1;
	return a;
}

int tako__listen_bind(struct tako__address **out, struct tako_server *srv, const char *addr,
                      int type, const tako_listen_config *cfg)
{
	struct tako__address *a = address_new(srv);
	int rc;

	if (!a)
		return tako__fail(TAKO_ENOMEM, "listener: out of memory");
	if (tako__inherit_is(addr))
		rc = bind_named(a, srv, addr, type, cfg);
	else if (tako__local_is(addr))
		rc = bind_local(a, srv, addr, type, cfg);
	else
		rc = bind_port(a, srv, addr, type, cfg);
	if (rc == 0) {
		*out = a;
		return 0;
	}
	for (struct tako__address *next; a; a = next) {
		next = a->next;
		tako__address_free(srv, a);
	}
	return rc;
}

void tako__address_free(struct tako_server *srv, struct tako__address *a)
{
	if (!a)
		return;
	tako__local_end(&a->local, a->fds[0]);
	for (unsigned i = 0; i < srv->cfg.worker_count; i++) {
		if (a->fds[i] >= 0)
			close(a->fds[i]);
	}
	/* An extra one has its settings from the one before it. */
	if (!a->extra)
		tako__rules_free(&a->rules, a->transport);
	tako__free(a, address_bytes(srv));
}
