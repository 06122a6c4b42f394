/* SPDX-License-Identifier: MIT
 *
 * See inherit.h and sd_listen_fds(3).  Nothing that was inherited is trusted to be what it is called: each
 * is looked at before a listener gets it.  What the variables say is taken whole or not at all.
 */
#include "core/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base.h"
#include "core/clock.h"
#include "core/mem.h"

enum { PATIENCE_S = 5 };

uint32_t tako__inherit_patience_ms = PATIENCE_S * 1000;

struct entry {
	int fd;
	bool taken;
	char name[TAKO__INHERIT_NAME_BYTES];
};

static struct {
	struct entry *v;
	unsigned count;
} table;

/* Where a server that hands its sockets to us waits to be told that we serve; -1: there is none.  It may be 0
 * in a process that was started without its standard input. */
static int ready_fd = -1;

static int option(int fd, int name)
{
	int value = -1;
	socklen_t n = sizeof value;

	return getsockopt(fd, SOL_SOCKET, name, &value, &n) < 0 ? -1 : value;
}

/* ---- The environment ------------------------------------------------------------------------------ */

static bool parse_number(const char *text, long max, long *ret)
{
	char *end;

	errno = 0;
	*ret = strtol(text, &end, 10);
	return text[0] >= '0' && text[0] <= '9' && !*end && errno == 0 && *ret <= max;
}

/* How many are ours. */
static int count_fds(const char *fds, const char *pid)
{
	long owner;
	long n;

	if (!fds || !pid)
		return 0;
	if (!parse_number(pid, INT32_MAX, &owner) || owner == 0)
		return tako__fail(TAKO_EINVAL, "LISTEN_PID is \"%.32s\", which is no process", pid);
	if (owner != getpid())
		return 0;
	if (!parse_number(fds, INT32_MAX, &n))
		return tako__fail(TAKO_EINVAL, "LISTEN_FDS is \"%.32s\", which is no number", fds);
	if (n > TAKO__INHERIT_MAX)
		return tako__fail(TAKO_ETOOBIG, "LISTEN_FDS is %ld, more than %d", n,
		                  TAKO__INHERIT_MAX);
	return (int)n;
}

/* One for each, divided by colons; NULL: they have none. */
static int cut_names(struct entry *v, unsigned count, const char *names)
{
	unsigned n = 0;

	for (const char *at = names; at; n++) {
		size_t len = strcspn(at, ":");

		if (len >= TAKO__INHERIT_NAME_BYTES)
			return tako__fail(TAKO_EINVAL, "LISTEN_FDNAMES: a name is longer than %d",
			                  TAKO__INHERIT_NAME_BYTES - 1);
		if (n < count) {
			memcpy(v[n].name, at, len);
			v[n].name[len] = '\0';
		}
		at = at[len] ? at + len + 1 : NULL;
	}
	return !names || n == count
	               ? 0
	               : tako__fail(TAKO_EINVAL, "LISTEN_FDNAMES has %u names for %u descriptors",
	                            n, count);
}

static void forget(void)
{
	tako__free(table.v, table.count * sizeof *table.v);
	table.v = NULL;
	table.count = 0;
}

/* `count` more.  Nothing is changed on failure. */
static int append(const int *fds, unsigned count, const char *names)
{
	unsigned n = table.count + count;
	struct entry *v = n > TAKO__INHERIT_MAX ? NULL : tako__zalloc(n * sizeof *v);
	int rc;

	if (n > TAKO__INHERIT_MAX)
		return tako__fail(TAKO_ETOOBIG, "more than %d descriptors", TAKO__INHERIT_MAX);
	if (!v)
		return tako__fail(TAKO_ENOMEM, "inherited descriptors: out of memory");
	for (unsigned i = 0; i < count; i++)
		v[table.count + i] = (struct entry){.fd = fds[i], .name = "unknown"};
	rc = cut_names(v + table.count, count, names);
	if (rc < 0) {
		tako__free(v, n * sizeof *v);
		return rc;
	}
	if (table.count)
		memcpy(v, table.v, table.count * sizeof *v);
	forget();
	table.v = v;
	table.count = n;
	return 0;
}

static int append_first(unsigned count, const char *names)
{
	int fds[TAKO__INHERIT_MAX];

	for (unsigned i = 0; i < count; i++) {
		fds[i] = TAKO__INHERIT_FIRST + (int)i;
		if (fcntl(fds[i], F_GETFD) < 0)
			return tako__fail(TAKO_EINVAL, "LISTEN_FDS is %u, but %d is not open",
			                  count, fds[i]);
	}
	return append(fds, count, names);
}

static void find_ready(void)
{
	const char *text = getenv(TAKO__INHERIT_READY);
	long fd;

	if (!text)
		return;
	if (parse_number(text, INT32_MAX, &fd) && fd > 2 &&
	    fcntl((int)fd, F_SETFD, FD_CLOEXEC) == 0)
		ready_fd = (int)fd;
	unsetenv(TAKO__INHERIT_READY);
}

/* Whoever we start is not whom this was said to. */
static void keep(void)
{
	for (unsigned i = 0; i < table.count; i++)
		fcntl(table.v[i].fd, F_SETFD, FD_CLOEXEC);
	find_ready();
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDNAMES");
}

int tako_listen_fds(void)
{
	int count;
	int rc;

	if (table.count)
		return (int)table.count;
	count = count_fds(getenv("LISTEN_FDS"), getenv("LISTEN_PID"));
	if (count <= 0)
		return count;
	rc = append_first((unsigned)count, getenv("LISTEN_FDNAMES"));
	if (rc < 0)
		return rc;
	keep();
	return count;
}

/* ---- From another process ----------------------------------------------------------------------------- */

static int connect_to(const char *addr)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	const char *name = strncmp(addr, "unix:", 5) == 0 ? addr + 5 : "";
	size_t n = strlen(name);
	socklen_t sa_n;
	int rc;
	int fd;

	if ((name[0] != '/' && name[0] != '@') || n < 2 || n >= sizeof un.sun_path)
		return tako__fail(TAKO_EINVAL, "address \"%.60s\": not unix:/path or unix:@name",
		                  addr);
	memcpy(un.sun_path, name, n);
	sa_n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (name[0] == '/'));
	if (name[0] == '@')
		un.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return tako__fail_errno("socket for %.60s", addr);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (connect(fd, (struct sockaddr *)&un, sa_n) == 0)
		return fd;
	rc = errno == ENOENT || errno == ECONNREFUSED
	             ? tako__fail(TAKO_ENOENT, "nobody waits at %.60s", addr)
	             : tako__fail_errno("%.60s", addr);
	close(fd);
	return rc;
}

/* Whoever gives us a socket decides who our peers are. */
static int check_giver(int fd)
{
	struct ucred who;
	socklen_t n = sizeof who;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0 || n != sizeof who ||
	    who.uid != geteuid())
		return tako__fail(TAKO_EPROTO, "who hands over is another user's process");
	return 0;
}

/* The descriptors of a message; how many, or -1: too many, or none where there should be some. */
static int take_fds(struct msghdr *msg, int *fds)
{
	struct cmsghdr *head = CMSG_FIRSTHDR(msg);
	size_t n = 0;

	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS) {
		n = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(head), n * sizeof(int));
	}
	return (int)n;
}

/* However many messages it takes, and whatever signals there are. */
static int await(int from, uint64_t until_ns)
{
	uint64_t now;

	while ((now = tako__clock_ns()) < until_ns) {
		struct pollfd p = {.fd = from, .events = POLLIN};
		int n = poll(&p, 1, (int)((until_ns - now) / 1000000) + 1);

		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return tako__fail_errno("receiving sockets");
	}
	return tako__fail(TAKO_ETIMEDOUT, "who hands over takes too long");
}

/* One message: descriptors behind those that there are.  1: it was the last. */
static int receive_piece(int from, uint64_t until_ns)
{
	char text[TAKO__PARCEL_BYTES + 1];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(TAKO__PARCEL_FDS * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = text, .iov_len = sizeof text - 1};
	struct msghdr msg = {.msg_iov = &iov,
	                     .msg_iovlen = 1,
	                     .msg_control = control.bytes,
	                     .msg_controllen = sizeof control.bytes};
	int fds[TAKO__PARCEL_FDS];
	ssize_t n;
	int count;
	int rc = await(from, until_ns);

	if (rc < 0)
		return rc;
	/* With SO_RCVTIMEO a signal interrupts whatever its handler says (signal(7)). */
	do {
		n = recvmsg(from, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	count = n < 0 ? 0 : take_fds(&msg, fds);
	if (n < 0)
		return tako__fail_errno("receiving sockets");
	text[n] = '\0';
	if (n == 1 && text[0] == TAKO__PARCEL_END && !count)
		return 1;
	if (n < 2 || text[0] != TAKO__PARCEL_PIECE || !count ||
	    (msg.msg_flags & (MSG_CTRUNC | MSG_TRUNC)))
		rc = tako__fail(TAKO_EPROTO, "who hands over says what is not understood");
	if (rc == 0)
		rc = append(fds, (unsigned)count, text + 1);
	for (int i = 0; rc < 0 && i < count; i++)
		close(fds[i]);
	return rc;
}

int tako_inherit_from(const char *addr)
{
	uint64_t until_ns = tako__clock_ns() + (uint64_t)tako__inherit_patience_ms * 1000000;
	int fd;
	int rc;

	if (!addr)
		return tako__fail(TAKO_EINVAL, "tako_inherit_from: no address");
	rc = tako_listen_fds();
	if (rc != 0)
		return rc < 0 ? rc : tako__fail(TAKO_ESTATE, "sockets were inherited already");
	fd = connect_to(addr);
	if (fd < 0)
		return fd;
	rc = check_giver(fd);
	while (rc == 0)
		rc = receive_piece(fd, until_ns);
	if (rc > 0) {
		ready_fd = fd;
		return (int)table.count;
	}
	tako__inherit_end();
	close(fd);
	return rc;
}

/* ---- For programs ------------------------------------------------------------------------------------ */

const char *tako_listen_fd_name(size_t index)
{
	if (tako_listen_fds() <= 0 || index >= table.count || table.v[index].taken)
		return NULL;
	return table.v[index].name;
}

int tako_listen_fd(size_t index)
{
	if (!tako_listen_fd_name(index))
		return tako__fail(TAKO_ENOENT, "no descriptor %zu was inherited, or it is taken",
		                  index);
	table.v[index].taken = true;
	return table.v[index].fd;
}

/* Should nobody wait any more, there is nobody who would have to know.  A server that we have asked for its
 * sockets closes the connection when it has let go of the address that we asked it at, which may be
 * ours to listen on next. */
static void tell_ready(int fd)
{
	bool is_socket = option(fd, SO_TYPE) == SOCK_SEQPACKET;
	char none;

	if (is_socket && send(fd, "\n", 1, MSG_NOSIGNAL) == 1) {
		while (recv(fd, &none, 1, 0) < 0 && errno == EINTR)
			;
	}
	while (!is_socket && write(fd, "\n", 1) < 0 && errno == EINTR)
		;
}

void tako__inherit_end(void)
{
	for (unsigned i = 0; i < table.count; i++) {
		if (!table.v[i].taken)
			close(table.v[i].fd);
	}
	forget();
	if (ready_fd < 0)
		return;
	tell_ready(ready_fd);
	close(ready_fd);
	ready_fd = -1;
}

/* ---- What it is ------------------------------------------------------------------------------------------ */

static const char *type_name(int type)
{
	switch (type) {
	case SOCK_STREAM:
		return "a stream";
	case SOCK_DGRAM:
		return "datagrams";
	case SOCK_SEQPACKET:
		return "sequenced packets";
	default:
		return "something else";
	}
}

/* Why a listener cannot have it; NULL: it can. */
static const char *family_wrong(int fd, int type)
{
	int family = option(fd, SO_DOMAIN);

	if (family == AF_INET || family == AF_INET6)
		return NULL;
	if (family != AF_UNIX && family != AF_VSOCK)
		return "is of another family than IP, Unix and vsock";
	return type == SOCK_DGRAM ? "is not UDP" : NULL;
}

static int check(int fd, int type)
{
	struct stat st;
	const char *wrong;
	int its;

	if (fstat(fd, &st) < 0)
		return tako__fail(TAKO_EINVAL, "inherited descriptor %d is not open", fd);
	if (!S_ISSOCK(st.st_mode))
		return tako__fail(TAKO_EINVAL, "inherited descriptor %d is no socket", fd);
	its = option(fd, SO_TYPE);
	if (its != type)
		return tako__fail(TAKO_EINVAL, "inherited socket %d is for %s, needed is %s", fd,
		                  type_name(its), type_name(type));
	wrong = family_wrong(fd, type);
	if (!wrong && type != SOCK_DGRAM && option(fd, SO_ACCEPTCONN) != 1)
		wrong = "does not listen";
	return wrong ? tako__fail(TAKO_EINVAL, "inherited socket %d %s", fd, wrong) : 0;
}

static bool address_of(int fd, char *text, size_t n)
{
	struct sockaddr_storage sa;
	socklen_t sa_n = sizeof sa;

	if (getsockname(fd, (struct sockaddr *)&sa, &sa_n) < 0)
		return false;
	tako__local_format((struct sockaddr *)&sa, sa_n, text, n);
	return true;
}

/* ---- Taking --------------------------------------------------------------------------------------------------- */

static void add(struct tako__taken *ret, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	/* The flag is the socket's, not the descriptor's: others who have it see it as well. */
	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	ret->fds[ret->count++] = fd;
}

/* Everything that can be had of one address, whose text is in *ret; `name` NULL: whatever it is
 * called. */
static void collect(struct tako__taken *ret, const char *name, int type)
{
	char text[TAKO__LOCAL_TEXT_BYTES];

	for (unsigned i = 0; i < table.count; i++) {
		struct entry *e = &table.v[i];

		if (e->taken || (name && strcmp(e->name, name) != 0) || check(e->fd, type) < 0 ||
		    !address_of(e->fd, text, sizeof text) || strcmp(text, ret->text) != 0)
			continue;
		if (!ret->count)
			memcpy(ret->name, e->name, strlen(e->name) + 1);
		e->taken = true;
		add(ret, e->fd);
	}
}

/* The first of that name that will do; where there are others, the last one's fault is told. */
static int by_name(struct tako__taken *ret, const char *name, int type)
{
	int rc = tako__fail(TAKO_ENOENT, "no socket with the name \"%.64s\" was inherited", name);

	for (unsigned i = 0; i < table.count; i++) {
		struct entry *e = &table.v[i];

		if (e->taken || strcmp(e->name, name) != 0)
			continue;
		rc = check(e->fd, type);
		if (rc == 0 && !address_of(e->fd, ret->text, sizeof ret->text))
			rc = tako__fail_errno("inherited socket %d", e->fd);
		if (rc < 0)
			continue;
		collect(ret, name, type);
		return ret->count ? 0 : tako__fail_errno("inherited socket %d", e->fd);
	}
	return rc;
}

static struct entry *entry_of(int fd)
{
	for (unsigned i = 0; i < table.count; i++) {
		if (table.v[i].fd == fd)
			return &table.v[i];
	}
	return NULL;
}

/* Whoever comes after a server that listens on "fd:5" has it elsewhere, but under this name. */
static bool has_name(const char *name)
{
	for (unsigned i = 0; i < table.count; i++) {
		if (!table.v[i].taken && strcmp(table.v[i].name, name) == 0)
			return true;
	}
	return false;
}

/* Whether the variables speak of it or not. */
static int by_number(struct tako__taken *ret, const char *addr, const char *number, int type)
{
	struct entry *e;
	long fd;
	int rc;

	if (!parse_number(number, INT32_MAX, &fd))
		return tako__fail(TAKO_EINVAL, "address \"%.60s\": not a descriptor's number",
		                  addr);
	snprintf(ret->name, sizeof ret->name, "fd-%ld", fd);
	if (has_name(ret->name))
		return by_name(ret, ret->name, type);
	e = entry_of((int)fd);
	if (e && e->taken)
		return tako__fail(TAKO_ENOENT, "address \"%.60s\": another listener has it", addr);
	rc = check((int)fd, type);
	if (rc < 0)
		return rc;
	if (!address_of((int)fd, ret->text, sizeof ret->text))
		return tako__fail_errno("address \"%.60s\"", addr);
	if (e)
		e->taken = true;
	add(ret, (int)fd);
	return 0;
}

static const char *behind(const char *addr, const char *scheme)
{
	size_t n = strlen(scheme);

	return strncmp(addr, scheme, n) == 0 ? addr + n : NULL;
}

bool tako__inherit_is(const char *addr)
{
	return behind(addr, "fd:") || behind(addr, "systemd:");
}

int tako__inherit_named(struct tako__taken *ret, const char *addr, int type)
{
	const char *name = behind(addr, "systemd:");
	int rc = tako_listen_fds();

	memset(ret, 0, offsetof(struct tako__taken, fds));
	if (rc < 0)
		return rc;
	if (!name)
		return by_number(ret, addr, behind(addr, "fd:"), type);
	if (!name[0])
		return tako__fail(TAKO_EINVAL, "address \"%.60s\": a name is missing", addr);
	return by_name(ret, name, type);
}

int tako__inherit_bound(struct tako__taken *ret, const char *text, int type)
{
	int rc = tako_listen_fds();

	memset(ret, 0, offsetof(struct tako__taken, fds));
	if (rc < 0)
		return rc;
	snprintf(ret->text, sizeof ret->text, "%s", text);
	collect(ret, NULL, type);
	return (int)ret->count;
}
