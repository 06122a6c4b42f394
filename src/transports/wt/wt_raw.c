/* SPDX-License-Identifier: MIT
 *
 * Sessions over QUIC without HTTP: the connection is the session, its streams begin with their first
 * byte, and codes are what they are.  An application of quic_app.h beside HTTP/3, of which each listener
 * has one of its own, as each has its protocol's name.
 */
#include "core/server.h"
#include "transports/wt/wt_int.h"

enum { ALPN_BYTES_MAX = 48 };

/* Of a listener. */
struct raw_app {
	struct tako__quic_app app;
	struct tako__proto_ops proto;
	const struct tako__quic_app *apps[2];
	tako_wt_config cfg;
	void *arg;
	char alpn[ALPN_BYTES_MAX + 1];
};

/* Of a connection. */
struct raw {
	struct tako__wt_conn *wc;
	struct tako__arena arena;
	tako_wt wt;
	bool opened;
};

static struct raw *raw_of(struct tako__conn *c)
{
	return *tako__quic_state(c);
}

/* ---- Life ------------------------------------------------------------------------------------ */

static int raw_open(struct tako__conn *c)
{
	struct raw *r = tako__zalloc(sizeof *r);

	if (!r)
		return TAKO_ENOMEM;
	*tako__quic_state(c) = r;
	tako__arena_init(&r->arena, NULL, 0);
	r->wc = tako__wt_conn_new(c);
	if (!r->wc)
		return TAKO_ENOMEM;
	r->wc->refused_code = r->wc->gone_code = 0;
	return 0;
}

/* Who it is has been shown: not before that does anybody hear of it. */
static int raw_ready(struct tako__conn *c)
{
	const struct raw_app *a = TAKO__CONTAINER(c->proto, struct raw_app, proto);
	struct raw *r = raw_of(c);

	tako__wt_init(&r->wt, r->wc, &a->cfg, a->arg);
	r->wt.arena = &r->arena;
	r->opened = true;
	tako__wt_opened(&r->wt);
	return 0;
}

/* What the peer has said. */
static void take_end(struct raw *r, int err)
{
	struct tako__quic_end e;
	size_t n;

	tako__quic_end(r->wc->c, &e);
	if (!e.by_peer || !e.by_app) {
		tako__wt_end(&r->wt, err, 0, (tako_str){"", 0});
		return;
	}
	n = strlen(e.reason);
	if (r->wt.state < TAKO__WT_ENDING)
		memcpy(r->wt.in.kept, e.reason, n);
	tako__wt_end(&r->wt, 0, e.code, (tako_str){r->wt.in.kept, n});
}

static void raw_fini(struct tako__conn *c, int err)
{
	struct raw *r = raw_of(c);

	if (!r)
		return;
	if (r->wc) {
		r->wc->over = true;
		if (r->opened)
			take_end(r, err);
	}
	tako__wt_conn_fini(r->wc, err);
	tako__arena_fini(&r->arena);
	*tako__quic_state(c) = NULL;
	tako__free(r, sizeof *r);
}

static void raw_look(struct tako__conn *c)
{
	tako__wt_look(raw_of(c)->wc);
}

static void raw_drain(struct tako__conn *c)
{
	struct raw *r = raw_of(c);

	if (r->opened)
		tako__wt_drain(&r->wt);
	else
		tako__quic_close(c, 0, NULL);
}

/* ---- Streams and datagrams -------------------------------------------------------------------- */

static int raw_stream_opened(struct tako__conn *c, int64_t id)
{
	struct raw *r = raw_of(c);
	tako_wt_stream *s = tako__wt_stream_new(r->wc, id);

	if (!s)
		return TAKO_ENOMEM;
	if (tako__quic_stream_set(c, id, tako__wt_mark(s)) < 0) {
		tako__wt_stream_free(s);
		return TAKO_ENOMEM;
	}
	(void)tako__wt_stream_join(s, &r->wt);
	return 0;
}

static int raw_stream_data(struct tako__conn *c, int64_t id, void *stream, const char *p, size_t n,
                           bool fin)
{
	if (stream)
		return tako__wt_data(stream, p, n, fin);
	tako__quic_consumed(c, id, n);
	return 0;
}

static int raw_stream_reset(struct tako__conn *c, int64_t id, void *stream, uint64_t code)
{
	(void)c, (void)id;
	return stream ? tako__wt_was_reset(stream, code) : 0;
}

static bool raw_stream_closed(struct tako__conn *c, int64_t id, void *stream, bool has_code,
                              uint64_t code)
{
	(void)c, (void)id;
	return stream ? tako__wt_closed(stream, has_code, code) : true;
}

static int raw_datagram(struct tako__conn *c, const char *p, size_t n)
{
	tako__wt_on_datagram(&raw_of(c)->wt, p, n);
	return 0;
}

static bool wants_datagrams(const tako_server_config *cfg)
{
	(void)cfg;
	return true;
}

static int raw_next(struct tako__conn *c, struct tako__quic_piece *piece)
{
	(void)tako__wt_next(raw_of(c)->wc, piece);
	return 0;
}

static int raw_wrote(struct tako__conn *c, int64_t id, void *stream, size_t n, bool fin)
{
	(void)c, (void)id;
	return tako__wt_wrote(stream, n, fin);
}

static int raw_blocked(struct tako__conn *c, int64_t id, void *stream)
{
	(void)c, (void)id;
	return tako__wt_blocked(stream);
}

static int raw_shut(struct tako__conn *c, int64_t id, void *stream)
{
	(void)c, (void)id;
	return stream ? tako__wt_shut(stream) : 0;
}

static int raw_unblocked(struct tako__conn *c, int64_t id, void *stream)
{
	(void)c, (void)id;
	return stream ? tako__wt_unblocked(stream) : 0;
}

static int raw_acked(struct tako__conn *c, int64_t id, void *stream, uint64_t n)
{
	(void)c, (void)id;
	return stream ? tako__wt_acked(stream, n) : 0;
}

static int raw_allowed(struct tako__conn *c, bool uni)
{
	(void)uni;
	tako__wt_allowed(raw_of(c)->wc);
	return 0;
}

static const struct tako__quic_app raw_app = {
	.no_error = 0,
	/* No code of an application that counts from 0. */
	.internal_error = TAKO__H3_VARINT_MAX,
	.open = raw_open,
	.ready = raw_ready,
	.fini = raw_fini,
	.look = raw_look,
	.drain = raw_drain,
	.stream_opened = raw_stream_opened,
	.stream_data = raw_stream_data,
	.stream_reset = raw_stream_reset,
	.stream_closed = raw_stream_closed,
	.datagram = raw_datagram,
	.wants_datagrams = wants_datagrams,
	.next = raw_next,
	.stream_wrote = raw_wrote,
	.stream_blocked = raw_blocked,
	.stream_shut = raw_shut,
	.stream_unblocked = raw_unblocked,
	.stream_acked = raw_acked,
	.streams_allowed = raw_allowed,
};

/* ---- The listener --------------------------------------------------------------------------------- */

static int check(const tako_listen_config *cfg, tako_wt_config *ret)
{
	size_t n = cfg->quic_alpn ? strlen(cfg->quic_alpn) : 0;

	if (!cfg->wt)
		return tako__fail(TAKO_EINVAL, "sessions over QUIC need .wt");
	/* Commas part the names where TLS is told them. */
	if (!n || n > ALPN_BYTES_MAX || strchr(cfg->quic_alpn, ','))
		return tako__fail(TAKO_EINVAL, "quic_alpn is not of 1 to %d bytes without commas",
		                  ALPN_BYTES_MAX);
	if (cfg->wt->origins)
		return tako__fail(TAKO_EINVAL, "origins is set, but QUIC knows of none");
	return tako__wt_config_import(ret, cfg->wt);
}

static int prepare(void **ret_shared, const struct tako_server *srv, const tako_listen_config *cfg)
{
	tako_wt_config mine;
	struct raw_app *a;
	int rc = check(cfg, &mine);

	if (rc < 0)
		return rc;
	a = tako__zalloc(sizeof *a);
	if (!a)
		return tako__fail(TAKO_ENOMEM, "QUIC: out of memory");
	a->cfg = mine;
	a->arg = cfg->wt_arg;
	memcpy(a->alpn, cfg->quic_alpn, strlen(cfg->quic_alpn));
	a->proto = (struct tako__proto_ops){.name = a->alpn, TAKO__QUIC_PROTO_OPS};
	a->app = raw_app;
	a->app.proto = &a->proto;
	a->apps[0] = &a->app;
	rc = tako__quic_prepare(ret_shared, srv, cfg, a->apps);
	if (rc < 0)
		tako__free(a, sizeof *a);
	return rc;
}

static void release(void *shared)
{
	const struct tako__quic_app *const *apps = tako__quic_apps(shared);

	tako__quic_release(shared);
	tako__free(TAKO__CONTAINER(apps[0], struct raw_app, app), sizeof(struct raw_app));
}

const tako_transport *tako_quic_raw(void)
{
	static const tako_transport transport = {.name = "QUIC",
	                                         .sessions = true,
	                                         .prepare = prepare,
	                                         .proto = &tako__quic_handshake_ops,
	                                         .dgram = &tako__quic_dgram,
	                                         .release = release,
	                                         .open = tako__quic_open,
	                                         .close = tako__quic_close_worker};

	return &transport;
}
