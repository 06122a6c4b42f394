/* SPDX-License-Identifier: MIT
 *
 * What ngtcp2 tells, in the words of the seam (quic_app.h).  Nothing is decided here but what a failure
 * of the application's means to the library: that it is to return at once.
 */
#include "transports/quic/quic.h"

#include "core/random.h"
#include "transports/quic/quic_keys.h"
#include "transports/tls/tls_early.h"

/* An application's callback has returned `rc`.  The library is not told: it shall finish what it is at,
 * and is asked no more than for the last word afterwards; who is ended is not called meanwhile. */
static int result(struct tako__quic *q, int rc)
{
	if (rc >= 0 || tako__quic_ended(q))
		return 0;
	tako__quic_code(q, q->app->internal_error);
	tako__quic_cut(q, rc);
	return 0;
}

/* ---- Handshake ------------------------------------------------------------------------------------ */

static int open_app(struct tako__quic *q)
{
	if (q->app || tako__quic_ended(q))
		return 0;
	q->app = tako__quic_tls_agreed(q);
	if (!q->app)
		return NGTCP2_ERR_CRYPTO;
	q->c->proto = q->app->proto;
	q->flags |= TAKO__QUIC_OPENED;
	/* Whatever of the client's comes before its Finished is early. */
	if (q->tls.early)
		q->c->flags |= TAKO__CONN_EARLY;
	return result(q, q->app->open(q->c));
}

struct messages {
	ngtcp2_conn *conn;
	ngtcp2_encryption_level level;
	uint64_t offset;
	struct tako__quic *q;
};

static int on_messages(void *arg, const uint8_t *p, size_t n)
{
	const struct messages *m = arg;

	return tako__quic_tls_recv(m->conn, m->level, m->offset, p, n, m->q);
}

static int on_crypto_data(ngtcp2_conn *conn, ngtcp2_encryption_level level, uint64_t offset,
                          const uint8_t *p, size_t n, void *arg)
{
	enum { ALERT_UNEXPECTED_MESSAGE = 10, ALERT_DECODE_ERROR = 50 };
	struct tako__quic *q = arg;
	struct messages m = {conn, level, offset, q};
	int rc;

	/* Not across a change of keys (RFC 8446 section 5.1): anybody can write the first packets. */
	if (q->message.n && level != q->message_level) {
		ngtcp2_conn_set_tls_alert(conn, ALERT_UNEXPECTED_MESSAGE);
		return NGTCP2_ERR_CRYPTO;
	}
	q->message_level = level;
	rc = tako__quic_whole_feed(&q->message, p, n, on_messages, &m);
	if (rc == TAKO_ENOMEM)
		return NGTCP2_ERR_NOMEM;
	if (rc != TAKO_ETOOBIG)
		return rc;
	ngtcp2_conn_set_tls_alert(conn, ALERT_DECODE_ERROR);
	return NGTCP2_ERR_CRYPTO;
}

/* From here on we may send.  Not before the client has shown who it is, where it has to. */
static int on_tx_key(ngtcp2_conn *conn, ngtcp2_encryption_level level, void *arg)
{
	struct tako__quic *q = arg;

	(void)conn;
	if (level != NGTCP2_ENCRYPTION_LEVEL_1RTT || q->tls.tls->options->client_auth)
		return 0;
	return open_app(q);
}

/* For the next connection from this address.  Who gets none proves it anew. */
static void give_token(struct tako__quic *q)
{
	uint8_t token[TAKO__QUIC_TOKEN_BYTES];
	const ngtcp2_path *path = ngtcp2_conn_get_path(q->conn);
	ngtcp2_ssize n = tako__quic_token_new(token, &q->qw->shared->secrets, path->remote.addr,
	                                      path->remote.addrlen, tako__now_ns(q->qw->worker));

	if (n > 0)
		(void)ngtcp2_conn_submit_new_token(q->conn, token, (size_t)n);
}

static int on_handshake_completed(ngtcp2_conn *conn, void *arg)
{
	struct tako__quic *q = arg;

	(void)conn;
	q->flags |= TAKO__QUIC_SHAKEN;
	q->qw->shaking--;
	tako__tls_ready(&q->tls);
	tako__tls_early_drop(&q->tls);
	tako__add(&tako__quic_counts(q->qw)->handshakes, 1);
	give_token(q);
	if (open_app(q) != 0)
		return NGTCP2_ERR_CRYPTO;
	if (q->app->ready && !tako__quic_ended(q))
		(void)result(q, q->app->ready(q->c));
	if ((q->c->flags & TAKO__CONN_DRAINING) && !tako__quic_ended(q))
		q->app->drain(q->c);
	return 0;
}

/* ---- Receiving --------------------------------------------------------------------------------------- */

static int on_stream_open(ngtcp2_conn *conn, int64_t id, void *arg)
{
	struct tako__quic *q = arg;

	(void)conn;
	return tako__quic_ended(q) ? 0 : result(q, q->app->stream_opened(q->c, id));
}

/* 0.12 waits on a stream that goes one way for the end of the other, which there is none of: it neither
 * tells that it is over nor frees it before its connection, some 300 bytes each.  So it is told here, once,
 * and after so many of them the peer gets no more. */
enum { ENDED_UNIS_MAX = 1000 };

/* What such a stream has instead of the application's. */
static char ended_uni;

static void end_uni(struct tako__quic *q, int64_t id, void *stream, bool has_code, uint64_t code)
{
	if (!TAKO__NGTCP2_OLD || tako__quic_ended(q) || !tako__quic_is_uni(id))
		return;
	/* Of one that was given up before anything of it came it knows nothing, and has made room itself. */
	if (ngtcp2_conn_set_stream_user_data(q->conn, id, &ended_uni) != 0)
		return;
	if (q->app->stream_closed(q->c, id, stream, has_code, code) &&
	    q->ended_unis < ENDED_UNIS_MAX)
		tako__quic_streams_more(q->c, true, 1);
	q->ended_unis++;
}

static int on_stream_data(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t offset,
                          const uint8_t *p, size_t n, void *arg, void *stream)
{
	struct tako__quic *q = arg;
	bool fin = flags & NGTCP2_STREAM_DATA_FLAG_FIN;

	(void)conn;
	(void)offset;
	if (tako__quic_ended(q))
		return 0;
	q->now_id = id;
	q->now_stream = stream;
	(void)result(q, q->app->stream_data(q->c, id, stream, n ? (const char *)p : "", n, fin));
	if (fin)
		end_uni(q, id, q->now_stream, false, 0);
	q->now_id = -1;
	return 0;
}

static int on_stream_reset(ngtcp2_conn *conn, int64_t id, uint64_t size, uint64_t code, void *arg,
                           void *stream)
{
	struct tako__quic *q = arg;

	(void)conn;
	(void)size;
	if (tako__quic_ended(q) || stream == &ended_uni)
		return 0;
	q->now_id = id;
	q->now_stream = stream;
	(void)result(q, q->app->stream_reset(q->c, id, stream, code));
	end_uni(q, id, q->now_stream, true, code);
	q->now_id = -1;
	return 0;
}

static int on_stream_close(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t code, void *arg,
                           void *stream)
{
	struct tako__quic *q = arg;
	bool has_code = flags & NGTCP2_STREAM_CLOSE_FLAG_APP_ERROR_CODE_SET;

	(void)conn;
	if (tako__quic_ended(q))
		return 0;
	if (q->app->stream_closed(q->c, id, stream, has_code, has_code ? code : 0) &&
	    !tako__quic_is_ours(id))
		tako__quic_streams_more(q->c, tako__quic_is_uni(id), 1);
	return 0;
}

static int on_datagram(ngtcp2_conn *conn, uint32_t flags, const uint8_t *p, size_t n, void *arg)
{
	struct tako__quic *q = arg;

	(void)conn;
	(void)flags;
	if (!q->app->datagram || tako__quic_ended(q))
		return 0;
	return result(q, q->app->datagram(q->c, n ? (const char *)p : "", n));
}

/* ---- Sending ---------------------------------------------------------------------------------------- */

static int on_acked(ngtcp2_conn *conn, int64_t id, uint64_t offset, uint64_t n, void *arg,
                    void *stream)
{
	struct tako__quic *q = arg;

	(void)conn;
	(void)offset;
	if (!n || tako__quic_ended(q))
		return 0;
	return result(q, q->app->stream_acked(q->c, id, stream, n));
}

static int on_stream_window(ngtcp2_conn *conn, int64_t id, uint64_t max, void *arg, void *stream)
{
	struct tako__quic *q = arg;

	(void)conn;
	(void)max;
	return tako__quic_ended(q) ? 0 : result(q, q->app->stream_unblocked(q->c, id, stream));
}

/* The first word of it comes with the transport parameters, before there is an application. */
static int allowed(struct tako__quic *q, bool uni)
{
	if (!q->app || !q->app->streams_allowed || tako__quic_ended(q))
		return 0;
	return result(q, q->app->streams_allowed(q->c, uni));
}

static int on_bidi_allowed(ngtcp2_conn *conn, uint64_t max, void *arg)
{
	(void)conn;
	(void)max;
	return allowed(arg, false);
}

static int on_uni_allowed(ngtcp2_conn *conn, uint64_t max, void *arg)
{
	(void)conn;
	(void)max;
	return allowed(arg, true);
}

/* ---- Connection ids and paths --------------------------------------------------------------------------- */

/* A peer that gives up ids as fast as it gets them would have us make them for ever: the numbers that it
 * gives them up by follow one another, so that it need not even wait for them. */
static bool too_many_cids(struct tako__quic *q)
{
	uint64_t age_s = (tako__now_ns(q->qw->worker) - q->born_ns) / NGTCP2_SECONDS;

	if (q->cid_count++ < TAKO__QUIC_CIDS_AT_ONCE + age_s)
		return false;
	ngtcp2_ccerr_set_transport_error(&q->error, NGTCP2_CONNECTION_ID_LIMIT_ERROR, NULL, 0);
	q->flags |= TAKO__QUIC_CODED;
	return true;
}

static int on_new_cid(ngtcp2_conn *conn, ngtcp2_cid *cid, uint8_t *token, size_t n, void *arg)
{
	struct tako__quic *q = arg;
	struct tako__quic_worker *qw = q->qw;

	(void)conn;
	(void)n;
	if (too_many_cids(q) || tako__quic_cid_new(cid, &qw->table.key, qw->worker->index) < 0 ||
	    tako__quic_token_reset(token, &qw->shared->secrets, cid) < 0 ||
	    tako__quic_table_add(&qw->table, &q->cids, q, cid->data, cid->datalen) < 0)
		return NGTCP2_ERR_CALLBACK_FAILURE;
	return 0;
}

static int on_old_cid(ngtcp2_conn *conn, const ngtcp2_cid *cid, void *arg)
{
	struct tako__quic *q = arg;

	(void)conn;
	tako__quic_table_remove(&q->qw->table, &q->cids, cid->data, cid->datalen);
	return 0;
}

/* One too many from there is one too many, however it came. */
static void take_path(struct tako__quic *q, const ngtcp2_path *path)
{
	struct tako__conn *c = q->c;
	struct tako_server *srv = c->worker->srv;
	bool counted = c->flags & TAKO__CONN_COUNTED_IP;

	if (path->remote.addrlen > sizeof c->peer ||
	    memcmp(&c->peer, path->remote.addr, path->remote.addrlen) == 0)
		return;
	tako__add(&tako__quic_counts(q->qw)->migrations, 1);
	if (counted)
		tako__ip_leave(srv->ips, &c->peer.any);
	memcpy(&c->peer, path->remote.addr, path->remote.addrlen);
	if (counted && !tako__ip_enter(srv->ips, &c->peer.any, srv->cfg.max_connections_per_ip)) {
		c->flags &= ~TAKO__CONN_COUNTED_IP;
		tako__quic_cut(q, TAKO_EBUSY);
	}
}

#if TAKO__NGTCP2_OLD
static int on_path(ngtcp2_conn *conn, uint32_t flags, const ngtcp2_path *path,
                   ngtcp2_path_validation_result res, void *arg)
{
#else
static int on_path(ngtcp2_conn *conn, uint32_t flags, const ngtcp2_path *path,
                   const ngtcp2_path *old, ngtcp2_path_validation_result res, void *arg)
{
	(void)old;
#endif
	(void)conn;
	(void)flags;
	if (res == NGTCP2_PATH_VALIDATION_RESULT_SUCCESS)
		take_path(arg, path);
	return 0;
}

/* For what nobody must guess the helper has its own; this fills paddings and bits that vary. */
static void on_random(uint8_t *to, size_t n, const ngtcp2_rand_ctx *ctx)
{
	(void)ctx;
	if (tako__random(to, n) < 0)
		memset(to, 0, n);
}

const ngtcp2_callbacks tako__quic_callbacks = {
	.recv_client_initial = ngtcp2_crypto_recv_client_initial_cb,
	.recv_crypto_data = on_crypto_data,
	.handshake_completed = on_handshake_completed,
	.encrypt = tako__quic_key_seal,
	.decrypt = tako__quic_key_open,
	.hp_mask = ngtcp2_crypto_hp_mask_cb,
	.recv_stream_data = on_stream_data,
	.acked_stream_data_offset = on_acked,
	.stream_open = on_stream_open,
	.stream_close = on_stream_close,
	.extend_max_local_streams_bidi = on_bidi_allowed,
	.extend_max_local_streams_uni = on_uni_allowed,
	.rand = on_random,
	.get_new_connection_id = on_new_cid,
	.remove_connection_id = on_old_cid,
	.update_key = tako__quic_key_update,
	.path_validation = on_path,
	.stream_reset = on_stream_reset,
	.extend_max_stream_data = on_stream_window,
	.delete_crypto_aead_ctx = tako__quic_key_drop,
	.delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
	.recv_datagram = on_datagram,
	.get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
	.version_negotiation = ngtcp2_crypto_version_negotiation_cb,
	.recv_tx_key = on_tx_key,
};
