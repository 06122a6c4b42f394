/* SPDX-License-Identifier: MIT
 *
 * See quic_echo.h.
 */
#include "unit/quic_echo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/server.h"

_Thread_local struct quic_echo quic_echo;

struct chunk {
	struct chunk *next;
	size_t n;
	size_t sent;
	size_t acked;
	char p[];
};

struct stream {
	struct tako__list link; /* of those with something to send, or alone */
	struct tako__list all;
	int64_t id;
	struct chunk *first; /* not acknowledged */
	struct chunk *unsent;
	struct chunk **last;
	bool fin;
	bool fin_sent;
	bool blocked;
};

struct echo {
	struct tako__list ready;
	struct tako__list all;
};

static struct echo *echo_of(struct tako__conn *c)
{
	return *tako__quic_state(c);
}

/* ---- Life ------------------------------------------------------------------------------ */

static int echo_open(struct tako__conn *c)
{
	struct echo *e = calloc(1, sizeof *e);

	quic_echo.opened++;
	quic_echo.last = c;
	*tako__quic_state(c) = e;
	if (e) {
		tako__list_init(&e->ready);
		tako__list_init(&e->all);
	}
	if (!e || quic_echo.fail_open)
		return TAKO_ENOMEM;
	return 0;
}

static int echo_ready(struct tako__conn *c)
{
	(void)c;
	quic_echo.ready++;
	return 0;
}

static void stream_free(struct stream *s)
{
	while (s->first) {
		struct chunk *k = s->first;

		s->first = k->next;
		free(k);
	}
	tako__list_remove(&s->link);
	tako__list_remove(&s->all);
	free(s);
}

static void echo_fini(struct tako__conn *c, int err)
{
	struct echo *e = echo_of(c);
	struct tako__quic_end end;

	tako__quic_end(c, &end);
	quic_echo.ended++;
	quic_echo.why = err;
	quic_echo.code = end.code;
	quic_echo.by_peer = end.by_peer;
	quic_echo.by_app = end.by_app;
	snprintf(quic_echo.reason, sizeof quic_echo.reason, "%s", end.reason);
	quic_echo.last = NULL;
	while (e && !tako__list_empty(&e->all))
		stream_free(TAKO__CONTAINER(e->all.next, struct stream, all));
	free(e);
}

static void echo_drain(struct tako__conn *c)
{
	quic_echo.drains++;
	if (!quic_echo.linger)
		tako__quic_close(c, quic_echo_app.no_error, "bye");
}

/* ---- Receiving ---------------------------------------------------------------------------- */

static struct stream *stream_new(struct echo *e, int64_t id)
{
	struct stream *s = calloc(1, sizeof *s);

	if (!s)
		abort();
	s->id = id;
	s->last = &s->first;
	tako__list_init(&s->link);
	tako__list_push_back(&e->all, &s->all);
	return s;
}

static int echo_stream_opened(struct tako__conn *c, int64_t id)
{
	struct stream *s = stream_new(echo_of(c), id);
	int64_t own;

	quic_echo.streams++;
	if (tako__quic_is_uni(id)) {
		int rc = tako__quic_stream_open(c, true, s, &own);

		if (rc < 0) {
			stream_free(s);
			return rc == TAKO_EBUSY ? 0 : rc;
		}
		s->id = own;
	}
	return tako__quic_stream_set(c, id, s);
}

static void make_ready(struct tako__conn *c, struct stream *s)
{
	if (!s->blocked && tako__list_empty(&s->link))
		tako__list_push_back(&echo_of(c)->ready, &s->link);
}

static void keep(struct stream *s, const char *p, size_t n)
{
	struct chunk *k = malloc(sizeof *k + n);

	if (!k)
		abort();
	*k = (struct chunk){.n = n};
	memcpy(k->p, p, n);
	*s->last = k;
	s->last = &k->next;
	if (!s->unsent)
		s->unsent = k;
}

static int echo_data(struct tako__conn *c, int64_t id, void *stream, const char *p, size_t n,
                     bool fin)
{
	struct stream *s = stream;

	if (quic_echo.fail_on_data)
		return TAKO_EPROTO;
	if (quic_echo.close_on_data)
		tako__quic_close(c, 77, "enough");
	if (!quic_echo.keep)
		tako__quic_consumed(c, id, n);
	if (!s)
		return 0;
	if (n)
		keep(s, p, n);
	s->fin = s->fin || fin;
	make_ready(c, s);
	return 0;
}

static int echo_reset(struct tako__conn *c, int64_t id, void *stream, uint64_t code)
{
	struct stream *s = stream;

	quic_echo.resets++;
	(void)id;
	if (!s)
		return 0;
	tako__list_remove(&s->link);
	return tako__quic_reset(c, s->id, code);
}

static bool echo_closed(struct tako__conn *c, int64_t id, void *stream, bool has_code,
                        uint64_t code)
{
	struct stream *s = stream;

	(void)c;
	(void)has_code;
	(void)code;
	quic_echo.closed++;
	/* Of a pair of one-way streams the answer owns the struct. */
	if (s && s->id == id)
		stream_free(s);
	return !quic_echo.hold_streams;
}

static int echo_datagram(struct tako__conn *c, const char *p, size_t n)
{
	struct iovec vec = {(void *)(uintptr_t)p, n};
	int rc;

	quic_echo.datagrams++;
	rc = tako__quic_datagram(c, &vec, 1);
	return rc == TAKO_EBUSY || rc == TAKO_ENOTSUP || rc == TAKO_ETOOBIG ? 0 : rc;
}

/* ---- Sending ------------------------------------------------------------------------------- */

static int echo_next(struct tako__conn *c, struct tako__quic_piece *piece)
{
	struct echo *e = echo_of(c);
	struct stream *s;

	if (tako__list_empty(&e->ready))
		return 0;
	s = TAKO__CONTAINER(e->ready.next, struct stream, link);
	piece->id = s->id;
	piece->stream = s;
	for (struct chunk *k = s->unsent; k && piece->count < TAKO__QUIC_VECS; k = k->next)
		piece->vec[piece->count++] = (struct iovec){k->p + k->sent, k->n - k->sent};
	piece->fin = s->fin && piece->count < TAKO__QUIC_VECS;
	return 0;
}

static int echo_wrote(struct tako__conn *c, int64_t id, void *stream, size_t n, bool fin)
{
	struct stream *s = stream;

	(void)id;
	while (n) {
		struct chunk *k = s->unsent;
		size_t step = k->n - k->sent < n ? k->n - k->sent : n;

		k->sent += step;
		n -= step;
		if (k->sent == k->n)
			s->unsent = k->next;
	}
	s->fin_sent = s->fin_sent || fin;
	/* Others' turn. */
	tako__list_remove(&s->link);
	if (s->unsent || (s->fin && !s->fin_sent))
		make_ready(c, s);
	return 0;
}

static int echo_blocked(struct tako__conn *c, int64_t id, void *stream)
{
	struct stream *s = stream;

	(void)c;
	(void)id;
	s->blocked = true;
	tako__list_remove(&s->link);
	return 0;
}

static int echo_shut(struct tako__conn *c, int64_t id, void *stream)
{
	struct stream *s = stream;

	(void)c;
	(void)id;
	quic_echo.shut++;
	tako__list_remove(&s->link);
	return 0;
}

static int echo_unblocked(struct tako__conn *c, int64_t id, void *stream)
{
	struct stream *s = stream;

	(void)id;
	if (s && s->blocked) {
		s->blocked = false;
		make_ready(c, s);
	}
	return 0;
}

static int echo_acked(struct tako__conn *c, int64_t id, void *stream, uint64_t n)
{
	struct stream *s = stream;

	(void)c;
	(void)id;
	quic_echo.acked += n;
	while (n && s->first) {
		struct chunk *k = s->first;
		size_t step = k->n - k->acked < n ? k->n - k->acked : (size_t)n;

		k->acked += step;
		n -= step;
		if (k->acked < k->n)
			break;
		s->first = k->next;
		if (!s->first)
			s->last = &s->first;
		free(k);
	}
	return 0;
}

static int echo_allowed(struct tako__conn *c, bool uni)
{
	(void)c;
	(void)uni;
	quic_echo.allowed++;
	return 0;
}

#define ECHO_APP(protocol)                                                                         \
	{                                                                                          \
		.proto = &(protocol), .no_error = 0x100, .internal_error = 0x102,                  \
		.open = echo_open, .ready = echo_ready, .fini = echo_fini, .drain = echo_drain,    \
		.stream_opened = echo_stream_opened, .stream_data = echo_data,                     \
		.stream_reset = echo_reset, .stream_closed = echo_closed,                          \
		.datagram = echo_datagram, .next = echo_next, .stream_wrote = echo_wrote,          \
		.stream_blocked = echo_blocked, .stream_shut = echo_shut,                          \
		.stream_unblocked = echo_unblocked, .stream_acked = echo_acked,                    \
		.streams_allowed = echo_allowed,                                                   \
	}

static const struct tako__proto_ops echo_proto = {.name = "echo", TAKO__QUIC_PROTO_OPS};
static const struct tako__proto_ops h3_proto = {.name = "h3", TAKO__QUIC_PROTO_OPS};
const struct tako__quic_app quic_echo_app = ECHO_APP(echo_proto);
static const struct tako__quic_app h3_app = ECHO_APP(h3_proto);
static const struct tako__quic_app *const apps[] = {&quic_echo_app, &h3_app, NULL};

static int prepare(void **ret_shared, const struct tako_server *srv, const tako_listen_config *cfg)
{
	return tako__quic_prepare(ret_shared, srv, cfg, apps);
}

const tako_transport *quic_echo_transport(void)
{
	static const tako_transport transport = {
		.name = "echo", .prepare = prepare, TAKO__QUIC_TRANSPORT};

	return &transport;
}
