/* SPDX-License-Identifier: MIT
 *
 * See dial_rig.h.
 */
#include "unit/dial_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/local.h"

enum { TURNS_MAX = 3000 };

/* ---- Listeners --------------------------------------------------------------------------------- */

/* False: somebody else has that port. */
static bool open_place(struct place *p, const struct sockaddr *sa, socklen_t n, int backlog)
{
	bool taken;
	struct sockaddr_storage bound;
	socklen_t bound_n = sizeof bound;

	p->fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(p->fd >= 0);
	setsockopt(p->fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	taken = bind(p->fd, sa, n) < 0;
	if (taken) {
		assert_int_equal(errno, EADDRINUSE);
		close(p->fd);
		return false;
	}
	if (backlog >= 0)
		assert_int_equal(listen(p->fd, backlog), 0);
	assert_int_equal(getsockname(p->fd, (struct sockaddr *)&bound, &bound_n), 0);
	tako__local_format((struct sockaddr *)&bound, bound_n, p->text, sizeof p->text);
	assert_int_equal(tako__target_parse(&p->target, tako_str_z(p->text)), 0);
	return true;
}

bool place_tcp_at(struct place *p, const char *ip, uint16_t port, int backlog)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};

	if (inet_pton(AF_INET6, ip, &in6.sin6_addr) == 1)
		return open_place(p, (struct sockaddr *)&in6, sizeof in6, backlog);
	if (inet_pton(AF_INET, ip, &in.sin_addr) == 1)
		return open_place(p, (struct sockaddr *)&in, sizeof in, backlog);
	fail_msg("%s is no address", ip);
	return false;
}

void place_tcp(struct place *p, int backlog)
{
	assert_true(place_tcp_at(p, "127.0.0.1", 0, backlog));
}

void place_unix(struct place *p, int backlog)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	/* A name that the kernel chooses. */
	assert_true(open_place(p, (struct sockaddr *)&un, sizeof(sa_family_t), backlog));
}

int place_accept(const struct place *p, struct stepped *s)
{
	int fd = -1;

	for (unsigned i = 0; i < TURNS_MAX && fd < 0; i++) {
		fd = accept4(p->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			stepped_turn(s, 1);
	}
	return fd;
}

/* ---- A client's protocol ------------------------------------------------------------------------- */

struct state {
	struct called *call;
};

static struct state *state_of(struct tako__conn *c)
{
	return (struct state *)(void *)c->proto_state;
}

static struct called *call_of(struct tako__conn *c)
{
	return state_of(c)->call;
}

static int talk_open(struct tako__conn *c)
{
	return tako__conn_write(c, "hello", 5);
}

static void talk_recv(struct tako__conn *c, char *p, ssize_t res)
{
	struct called *k = call_of(c);

	if (res <= 0) {
		k->ends++;
		tako__conn_close(c);
		return;
	}
	assert_true(k->got_n + (size_t)res <= sizeof k->got);
	memcpy(k->got + k->got_n, p, (size_t)res);
	k->got_n += (size_t)res;
}

static void talk_nothing(struct tako__conn *c)
{
	(void)c;
}

static void talk_drain(struct tako__conn *c)
{
	call_of(c)->drains++;
	tako__conn_finish(c, false);
}

static void talk_fini(struct tako__conn *c)
{
	struct called *k = call_of(c);

	k->finis++;
	k->conn = NULL;
}

static const struct tako__proto_ops talk_ops = {
	.name = "talk",
	.open = talk_open,
	.recv = talk_recv,
	.written = talk_nothing,
	.tick = talk_nothing,
	.drain = talk_drain,
	.fini = talk_fini,
};

/* ---- Calling -------------------------------------------------------------------------------------- */

static void on_dialed(const struct tako__dialed *r, void *arg)
{
	struct called *k = arg;

	assert_false(k->inside);
	assert_int_equal(!r->conn, r->err < 0);
	k->done++;
	k->err = r->err;
	k->sys_errno = r->sys_errno;
	k->dial = NULL;
	snprintf(k->why, sizeof k->why, "%s", r->err < 0 ? tako_last_error() : "");
	snprintf(k->alpn, sizeof k->alpn, "%.*s", TAKO_FMT(r->alpn));
	if (r->err < 0 || k->leave_it)
		return;
	k->was_alone = !r->conn->listener && !(r->conn->flags & TAKO__CONN_DRAINING);
	k->conn = r->conn;
	if (tako__conn_become(r->conn, &talk_ops) < 0)
		tako__conn_close(r->conn);
	state_of(r->conn)->call = k;
}

int dial_rig_start(struct stepped *s, const tako_server_config *cfg)
{
	tako_router *r = tako_router_new();
	int rc = r ? stepped_start(s, r, cfg, NULL) : TAKO_ENOMEM;

	tako_router_free(r);
	return rc;
}

struct tako__worker *dial_rig_worker(struct stepped *s)
{
	return &s->srv->workers[0];
}

int dial_rig_call(struct called *c, struct stepped *s, const struct tako__target *t,
                  const struct tako__dial_options *o)
{
	static const struct tako__dial_options none;
	int rc;

	c->inside = true;
	rc = tako__dial(&c->dial, dial_rig_worker(s), t, o ? o : &none, on_dialed, c);
	c->inside = false;
	return rc;
}

int dial_rig_call_text(struct called *c, struct stepped *s, const char *text)
{
	struct tako__target t;
	int rc = tako__target_parse(&t, tako_str_z(text));

	return rc < 0 ? rc : dial_rig_call(c, s, &t, NULL);
}

void dial_rig_await(struct called *c, struct stepped *s)
{
	for (unsigned i = 0; i < TURNS_MAX && !c->done; i++)
		stepped_turn(s, 1);
}

void dial_rig_hear(struct called *c, struct stepped *s, size_t n)
{
	for (unsigned i = 0; i < TURNS_MAX && c->got_n < n && !c->ends && !c->finis; i++)
		stepped_turn(s, 1);
}

tako_stats dial_rig_stats(struct stepped *s)
{
	tako_stats stats = {.size = sizeof stats};

	assert_int_equal(tako_server_stats(s->srv, &stats), 0);
	return stats;
}
