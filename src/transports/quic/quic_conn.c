/* SPDX-License-Identifier: MIT
 *
 * A QUIC connection's life: made of a first packet, fed, woken, ended.  It hangs on a tako__conn
 * that has no descriptor; whatever ends it only marks it, and its memory goes at the end of the turn,
 * when nobody is inside it.
 */
#include "transports/quic/quic.h"

#include <string.h>

enum {
	CIDS_OF_PEER_MAX = 4, /* that we keep: one in use, the others for paths to come */
	STREAM_BYTES = 4096,
	FLIGHT_BYTES = 8 << 20, /* enough for twenty thousand packets */
};

/* ---- Ending: marks --------------------------------------------------------------------------- */

void tako__quic_cut(struct tako__quic *q, int why)
{
	if (!q->why)
		q->why = why;
	tako__conn_close(q->c);
}

static void carrier_close(struct tako_sock *s)
{
	struct tako__conn *c = TAKO__CONTAINER(s, struct tako__conn, sock);

	s->next = c->worker->dead;
	c->worker->dead = s;
}

void tako__quic_code(struct tako__quic *q, uint64_t code)
{
	if (q->flags & TAKO__QUIC_CODED)
		return;
	ngtcp2_ccerr_set_application_error(&q->error, code, NULL, 0);
	q->flags |= TAKO__QUIC_CODED;
}

static void carrier_reset(struct tako_sock *s)
{
	struct tako__quic *q = tako__quic_of(TAKO__CONTAINER(s, struct tako__conn, sock));

	if (q->app)
		tako__quic_code(q, q->app->internal_error);
	carrier_close(s);
}

static void carrier_nothing(struct tako_sock *s)
{
	(void)s;
}

static bool carrier_waiting(struct tako_sock *s)
{
	(void)s;
	return false;
}

static size_t carrier_unacked(struct tako_sock *s)
{
	(void)s;
	return 0;
}

/* The part of a runtime that connections ask for things. */
const struct tako_runtime tako__quic_carrier = {
	.size = sizeof tako__quic_carrier,
	.name = "quic",
	.close = carrier_close,
	.reset = carrier_reset,
	.resume = carrier_nothing,
	.flush = carrier_nothing,
	.shut = carrier_nothing,
	.waiting = carrier_waiting,
	.unacked = carrier_unacked,
};

static void set_error(struct tako__quic *q, int err)
{
	if (q->flags & TAKO__QUIC_CODED)
		return;
	if (err == NGTCP2_ERR_CRYPTO)
		ngtcp2_ccerr_set_tls_alert(&q->error, ngtcp2_conn_get_tls_alert(q->conn), NULL, 0);
	else
		ngtcp2_ccerr_set_liberr(&q->error, err, NULL, 0);
	q->flags |= TAKO__QUIC_CODED;
}

/* The peer has said goodbye: nothing is answered (RFC 9000 section 10.2.2). */
static void closed_by_peer(struct tako__quic *q)
{
	ngtcp2_ccerr e = tako__ngtcp2_ccerr(q->conn);
	size_t n = e.reasonlen < TAKO__QUIC_REASON_BYTES ? e.reasonlen : TAKO__QUIC_REASON_BYTES;

	q->flags |= TAKO__QUIC_SILENT;
	if (q->flags & TAKO__QUIC_CODED)
		return;
	q->error = e;
	q->flags |= TAKO__QUIC_CODED | TAKO__QUIC_BY_PEER;
	for (size_t i = 0; i < n; i++)
		q->reason[i] = e.reason[i] ? (char)e.reason[i] : '?';
	q->reason[n] = '\0';
}

void tako__quic_failed(struct tako__quic *q, int err)
{
	switch (err) {
	case NGTCP2_ERR_DRAINING:
		closed_by_peer(q);
		tako__quic_cut(q, TAKO_ECLOSED);
		return;
	case NGTCP2_ERR_IDLE_CLOSE:
	case NGTCP2_ERR_HANDSHAKE_TIMEOUT:
		q->flags |= TAKO__QUIC_SILENT;
		tako__add(&q->qw->worker->stats.timeouts, 1);
		tako__quic_cut(q, TAKO_ETIMEDOUT);
		return;
	case NGTCP2_ERR_DROP_CONN:
	case NGTCP2_ERR_RETRY:
		q->flags |= TAKO__QUIC_SILENT;
		tako__quic_cut(q, TAKO_EPROTO);
		return;
	case NGTCP2_ERR_CLOSING:
		return;
	default:
		set_error(q, err);
		tako__quic_cut(q, err == NGTCP2_ERR_NOMEM    ? TAKO_ENOMEM
		                  : err == NGTCP2_ERR_CRYPTO ? TAKO_ETLS
		                                             : TAKO_EPROTO);
	}
}

/* ---- Ending: for good ---------------------------------------------------------------------------- */

/* What is said when nothing has been (RFC 9000 section 10.2): before the handshake is through there is
 * no application to say it for. */
static void default_error(struct tako__quic *q)
{
	if (q->app)
		tako__quic_code(q, q->app->no_error);
	else if (!(q->flags & TAKO__QUIC_CODED))
		ngtcp2_ccerr_set_transport_error(&q->error, NGTCP2_CONNECTION_REFUSED, NULL, 0);
}

/* ngtcp2 (0.12) asserts that it has noticed the end of the handshake when it is asked for the last word
 * of an application; it has not where a packet behind it in the same datagram is bad.  What may not be
 * said has a code of its own (section 10.2.3). */
static ngtcp2_ccerr sayable(const struct tako__quic *q)
{
	ngtcp2_ccerr e = q->error;

	if (e.type == NGTCP2_CCERR_TYPE_APPLICATION &&
	    (q->flags & (TAKO__QUIC_SHAKEN | TAKO__QUIC_SETTLED)) == TAKO__QUIC_SHAKEN)
		ngtcp2_ccerr_set_transport_error(&e, NGTCP2_APPLICATION_ERROR, NULL, 0);
	return e;
}

/* CONNECTION_CLOSE, once now and again for each packet that comes in spite of it. */
static void say_goodbye(struct tako__quic *q)
{
	uint8_t packet[NGTCP2_MAX_UDP_PAYLOAD_SIZE];
	ngtcp2_path_storage ps;
	ngtcp2_pkt_info pi;
	ngtcp2_ssize n;
	struct tako__quic_path path;
	ngtcp2_ccerr e;

	if ((q->flags & TAKO__QUIC_SILENT) || ngtcp2_conn_in_draining_period(q->conn)) {
		tako__quic_bury(q, NULL, 0);
		return;
	}
	default_error(q);
	e = sayable(q);
	ngtcp2_path_storage_zero(&ps);
	n = ngtcp2_conn_write_connection_close(q->conn, &ps.path, &pi, packet, sizeof packet, &e,
	                                       tako__now_ns(q->qw->worker));
	if (n > 0) {
		path = (struct tako__quic_path){ps.path.remote.addr, ps.path.local.addr,
		                                ps.path.remote.addrlen, ps.path.local.addrlen};
		tako__quic_tx_copy(&q->qw->tx, packet, (size_t)n, &path);
	}
	tako__quic_bury(q, packet, n > 0 ? (size_t)n : 0);
}

static void count_failure(struct tako__quic *q)
{
	if (q->flags & TAKO__QUIC_SHAKEN)
		return;
	q->qw->shaking--;
	tako__add(&q->qw->worker->stats.tls_failures, 1);
	tako__add(&tako__quic_counts(q->qw)->handshake_failures, 1);
}

static void count_losses(struct tako__quic *q)
{
	uint64_t lost = tako__ngtcp2_lost(q->conn);

	tako__add(&tako__quic_counts(q->qw)->packets_lost, lost - q->lost);
	q->lost = lost;
}

void tako__quic_fini(struct tako__conn *c)
{
	struct tako__quic *q = tako__quic_of(c);

	if (!q)
		return;
	count_failure(q);
	count_losses(q);
	say_goodbye(q);
	if (q->flags & TAKO__QUIC_OPENED)
		q->app->fini(c, q->why ? q->why : TAKO_ECLOSED);
	tako__quic_tx_unwait(&q->qw->tx, &q->wait);
	tako__quic_drop_dgrams(q);
	tako__alarm_fini(&c->worker->alarms, &q->alarm);
	tako__list_remove(&q->link);
	ngtcp2_conn_del(q->conn);
	q->conn = NULL;
	tako__quic_qlog_free(q->qlog);
	tako__quic_heap_fini(&q->heap);
}

/* The last that goes: see conn.c. */
static void layer_fini(struct tako__layer *l)
{
	struct tako__tls_layer *t = tako__tls_of(l);
	struct tako__quic *q = TAKO__CONTAINER(t, struct tako__quic, tls);
	struct tako__quic_worker *qw = q->qw;

	tako__quic_tls_fini(q);
	tako__quic_whole_fini(&q->message);
	tako__pool_put(&qw->conns, q);
	if (qw->draining)
		tako__quic_dgram.stop(qw->ls);
}

const struct tako__layer_ops tako__quic_layer_ops = {
	.name = "quic",
	.query = tako__quic_tls_query,
	.fini = layer_fini,
};

/* ---- Going on --------------------------------------------------------------------------------------- */

void tako__quic_read(struct tako__quic *q, const struct tako__quic_arrival *a)
{
	/* The library reads what it takes as mutable. */
	ngtcp2_path path = {.local = {(struct sockaddr *)(uintptr_t)a->to, a->to_n},
	                    .remote = {(struct sockaddr *)(uintptr_t)a->from, a->from_n}};
	ngtcp2_pkt_info pi = {.ecn = a->ecn};
	int rc;

	if (tako__quic_ended(q))
		return;
	rc = ngtcp2_conn_read_pkt(q->conn, &path, &pi, a->p, a->n, tako__now_ns(q->qw->worker));
	if (rc == 0 && (q->flags & (TAKO__QUIC_SHAKEN | TAKO__QUIC_SETTLED)) == TAKO__QUIC_SHAKEN) {
		q->flags |= TAKO__QUIC_SETTLED;
		tako__quic_tls_done(q);
	}
	count_losses(q);
	if (rc != 0)
		tako__quic_failed(q, rc);
	else
		tako__conn_touch(q->c);
}

static void on_alarm(struct tako__alarm *alarm, uint64_t now_ns)
{
	struct tako__quic *q = TAKO__CONTAINER(alarm, struct tako__quic, alarm);
	int rc;

	if (tako__quic_ended(q))
		return;
	rc = ngtcp2_conn_handle_expiry(q->conn, now_ns);
	count_losses(q);
	if (rc != 0)
		tako__quic_failed(q, rc);
	else
		tako__conn_touch(q->c);
}

static void on_room(struct tako__quic_wait *w)
{
	tako__conn_touch(TAKO__CONTAINER(w, struct tako__quic, wait)->c);
}

void tako__quic_written(struct tako__conn *c)
{
	struct tako__quic *q = tako__quic_of(c);

	if (tako__quic_ended(q))
		return;
	if (q->app && q->app->look)
		q->app->look(c);
	if (!tako__quic_ended(q))
		tako__quic_write(q);
}

void tako__quic_tick(struct tako__conn *c)
{
	struct tako__quic *q = tako__quic_of(c);

	if (tako__quic_ended(q))
		return;
	if (q->app && q->app->tick)
		q->app->tick(c);
	/* What was asked for within a look waits for the next one, for which there may be no other reason. */
	if (!tako__quic_ended(q) && q->app && q->app->look)
		q->app->look(c);
	if (!tako__quic_ended(q))
		tako__quic_write(q);
}

/* Who has begun may finish its handshake, in the handshake's own time, and drains then. */
void tako__quic_drain(struct tako__conn *c)
{
	struct tako__quic *q = tako__quic_of(c);

	if (c->worker->state != TAKO__SERVING)
		c->flags |= TAKO__CONN_DRAINING;
	if (!tako__quic_ended(q) && (q->flags & TAKO__QUIC_SHAKEN))
		q->app->drain(c);
}

const struct tako__proto_ops tako__quic_handshake_ops = {.name = "quic", TAKO__QUIC_PROTO_OPS};

/* ---- Beginning ---------------------------------------------------------------------------------------- */

static ngtcp2_cc_algo congestion(uint32_t which)
{
	switch (which) {
	case TAKO_H3_RENO:
		return NGTCP2_CC_ALGO_RENO;
	case TAKO_H3_BBR:
		return NGTCP2_CC_ALGO_BBR;
	default:
		return NGTCP2_CC_ALGO_CUBIC;
	}
}

static void on_qlog(void *arg, uint32_t flags, const void *p, size_t n)
{
	struct tako__quic *q = arg;

	(void)flags;
	if (n)
		tako__quic_qlog_write(q->qlog, p, n);
}

static const ngtcp2_cid *original_of(const struct tako__quic_birth *b)
{
	return b->original ? b->original : &b->hd->dcid;
}

static void fill_settings(ngtcp2_settings *s, const struct tako__quic_worker *qw,
                          const struct tako__quic_birth *b)
{
	const tako_server_config *cfg = &qw->worker->srv->cfg;

	ngtcp2_settings_default(s);
	s->initial_ts = tako__now_ns(qw->worker);
	s->cc_algo = congestion(cfg->h3_congestion);
	/* It has none by itself since 1.0. */
	s->handshake_timeout = tako__ms_ns(cfg->tls_handshake_timeout_ms);
	if (b->token)
		tako__ngtcp2_set_token(s, b->token, b->token_n, b->original != NULL);
}

/* Which of the applications it will be is not known yet. */
static bool takes_datagrams(const struct tako__quic_worker *qw)
{
	const tako_server_config *cfg = &qw->worker->srv->cfg;
	const struct tako__quic_app *const *app = qw->shared->apps;

	if (cfg->h3_datagrams)
		return true;
	while (*app && !((*app)->wants_datagrams && (*app)->wants_datagrams(cfg)))
		app++;
	return *app;
}

static int fill_params(ngtcp2_transport_params *p, const struct tako__quic_worker *qw,
                       const struct tako__quic_birth *b, const ngtcp2_cid *scid)
{
	const tako_server_config *cfg = &qw->worker->srv->cfg;

	ngtcp2_transport_params_default(p);
	p->initial_max_stream_data_bidi_local = cfg->h3_stream_window_bytes;
	p->initial_max_stream_data_bidi_remote = cfg->h3_stream_window_bytes;
	p->initial_max_stream_data_uni = cfg->h3_stream_window_bytes;
	p->initial_max_data = cfg->h3_connection_window_bytes;
	p->initial_max_streams_bidi = cfg->h3_max_bidi_streams;
	p->initial_max_streams_uni = cfg->h3_max_uni_streams;
	p->max_idle_timeout = cfg->h3_idle_timeout_ms == TAKO_OFF
	                              ? 0
	                              : tako__ms_ns(cfg->h3_idle_timeout_ms);
	p->max_datagram_frame_size = takes_datagrams(qw) ? TAKO_DGRAM_BYTES_MAX : 0;
	p->active_connection_id_limit = CIDS_OF_PEER_MAX;
	tako__ngtcp2_set_original(p, original_of(b));
	if (b->original) {
		p->retry_scid = b->hd->dcid;
		p->retry_scid_present = 1;
	}
	p->stateless_reset_token_present = 1;
	return tako__quic_token_reset(p->stateless_reset_token, &qw->shared->secrets, scid);
}

static int make_conn(struct tako__quic *q, const struct tako__quic_birth *b, const ngtcp2_cid *scid)
{
	struct tako__quic_worker *qw = q->qw;
	ngtcp2_path path = {
		.local = {(struct sockaddr *)(uintptr_t)b->a->to, b->a->to_n},
		.remote = {(struct sockaddr *)(uintptr_t)b->a->from, b->a->from_n},
	};
	ngtcp2_transport_params params;
	ngtcp2_settings settings;

	fill_settings(&settings, qw, b);
	q->qlog = tako__quic_qlog_new(qw->shared->qlogs, original_of(b));
	if (q->qlog)
		tako__ngtcp2_set_qlog(&settings, on_qlog, original_of(b));
	if (fill_params(&params, qw, b, scid) < 0)
		return TAKO_ENOMEM;
	if (ngtcp2_conn_server_new(&q->conn, &b->hd->scid, scid, &path, b->hd->version,
	                           &tako__quic_callbacks, &settings, &params, &q->heap.mem,
	                           q) != 0) {
		/* It leaves behind where one was. */
		q->conn = NULL;
		return TAKO_ENOMEM;
	}
	return 0;
}

/* What the client calls it until it knows better, and what we do. */
static int name_it(struct tako__quic *q, const struct tako__quic_birth *b, ngtcp2_cid *scid)
{
	struct tako__quic_table *t = &q->qw->table;

	if (tako__quic_cid_new(scid, &t->key, q->qw->worker->index) < 0 ||
	    tako__quic_table_add(t, &q->cids, q, scid->data, scid->datalen) < 0 ||
	    tako__quic_table_add(t, &q->cids, q, b->hd->dcid.data, b->hd->dcid.datalen) < 0)
		return TAKO_ENOMEM;
	return 0;
}

/* Twice what the windows let in, as pieces out of order are kept in larger ones; a few KiB for each
 * stream; and what is kept of packets on their way. */
static uint64_t heap_bytes(const tako_server_config *cfg)
{
	uint64_t streams = (uint64_t)cfg->h3_max_bidi_streams + cfg->h3_max_uni_streams;

	return 2 * (uint64_t)cfg->h3_connection_window_bytes + streams * STREAM_BYTES +
	       FLIGHT_BYTES;
}

static void init(struct tako__quic *q, struct tako__quic_worker *qw)
{
	memset(q, 0, sizeof *q);
	q->qw = qw;
	q->granted = qw->worker->srv->cfg.h3_max_bidi_streams;
	q->born_ns = tako__now_ns(qw->worker);
	tako__quic_heap_init(&q->heap, &qw->mem, heap_bytes(&qw->worker->srv->cfg));
	q->dgrams_last = &q->dgrams;
	q->wait.fn = on_room;
	ngtcp2_ccerr_default(&q->error);
}

/* Of one that no tako__conn knows yet. */
static struct tako__quic *give_up(struct tako__quic *q)
{
	if (q->conn)
		ngtcp2_conn_del(q->conn);
	tako__quic_qlog_free(q->qlog);
	tako__quic_heap_fini(&q->heap);
	tako__alarm_fini(&q->qw->worker->alarms, &q->alarm);
	tako__quic_table_clear(&q->qw->table, &q->cids);
	tako__pool_put(&q->qw->conns, q);
	return NULL;
}

struct tako__quic *tako__quic_new(struct tako__quic_worker *qw, const struct tako__quic_birth *b)
{
	struct tako__quic *q = tako__pool_get(&qw->conns);
	struct tako__worker *w = qw->worker;
	ngtcp2_cid scid;
	bool ready = false;

	if (q) {
		init(q, qw);
		ready = name_it(q, b, &scid) == 0 && make_conn(q, b, &scid) == 0 &&
		        tako__alarm_init(&w->alarms, &q->alarm, on_alarm) == 0;
	}
	if (!ready) {
		atomic_fetch_sub(&w->srv->conn_count, 1);
		return q ? give_up(q) : NULL;
	}
	q->c = tako__conn_carry(qw->ls, &qw->carrier, b->a->from, b->a->from_n);
	if (!q->c)
		return give_up(q);
	memcpy(q->c->proto_state, &q, sizeof(void *));
	tako__list_push_back(&qw->live, &q->link);
	qw->shaking++;
	tako__add(&tako__quic_counts(qw)->connections, 1);
	tako__quic_tls_init(q);
	return q;
}
