/* SPDX-License-Identifier: MIT
 *
 * TLS for QUIC (RFC 9001): wolfSSL makes handshake messages of what CRYPTO frames bring, and keys for
 * ngtcp2.  The session is a TLS layer without bytes: which certificate is presented, what is agreed on
 * and what a handler is told of it are the same code as over TCP.
 */
#include "transports/quic/quic.h"

#include <string.h>
#include <wolfssl/quic.h>

#include "transports/quic/quic_keys.h"
#include "transports/tls/tls_early.h"
#include "transports/tls/tls_keylog.h"
#include "transports/tls/tls_lib.h"
#include <ngtcp2/ngtcp2_crypto_wolfssl.h>

enum {
	RECORD_HEAD_BYTES = 5,
	PEEK_BYTES = 4096,             /* of a ClientHello that is looked through for a name */
	ALERT_UNEXPECTED_MESSAGE = 10, /* RFC 8446 section 6 */
	ALERT_INTERNAL_ERROR = 80,
	ALERT_NO_APPLICATION_PROTOCOL = 120,
};

static struct tako__quic *quic_of(WOLFSSL *ssl)
{
	ngtcp2_crypto_conn_ref *ref = wolfSSL_get_app_data(ssl);

	return ref->user_data;
}

/* ---- wolfSSL's callbacks ---------------------------------------------------------------------- */

/* A bit for each level and direction. */
static uint8_t key_bits(ngtcp2_encryption_level level, bool rx, bool tx)
{
	return (uint8_t)((rx | tx << 1) << 2 * (unsigned)level);
}

/* ngtcp2 asserts that a key is installed once.  wolfSSL does so again for a KeyUpdate, which has no
 * place here: "unexpected_message" (RFC 9001 section 6). */
static int set_secrets(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL wolfssl_level, const uint8_t *rx,
                       const uint8_t *tx, size_t n)
{
	struct tako__quic *q = quic_of(ssl);
	ngtcp2_encryption_level level = ngtcp2_crypto_wolfssl_from_wolfssl_encryption_level(
		wolfssl_level);
	uint8_t bits = key_bits(level, rx != NULL, tx != NULL);

	if (q->keys & bits) {
		ngtcp2_conn_set_tls_alert(q->conn, ALERT_UNEXPECTED_MESSAGE);
		return 0;
	}
	q->keys |= bits;
	if (rx && tako__quic_key_install_rx(q->conn, level, rx, n) != 0)
		return 0;
	return !tx || tako__quic_key_install_tx(q->conn, level, tx, n) == 0;
}

static int add_data(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL wolfssl_level, const uint8_t *p,
                    size_t n)
{
	struct tako__quic *q = quic_of(ssl);
	int rc = ngtcp2_conn_submit_crypto_data(
		q->conn, ngtcp2_crypto_wolfssl_from_wolfssl_encryption_level(wolfssl_level), p, n);

	if (rc != 0)
		ngtcp2_conn_set_tls_error(q->conn, rc);
	return rc == 0;
}

static int flush_flight(WOLFSSL *ssl)
{
	(void)ssl;
	return 1;
}

static int send_alert(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL level, uint8_t alert)
{
	(void)level;
	ngtcp2_conn_set_tls_alert(quic_of(ssl)->conn, alert);
	return 1;
}

static const WOLFSSL_QUIC_METHOD method = {set_secrets, add_data, flush_flight, send_alert};

void tako__quic_tls_apply(WOLFSSL_CTX *ctx)
{
	(void)wolfSSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	(void)wolfSSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION);
	(void)wolfSSL_CTX_set_quic_method(ctx, &method);
}

/* ---- The session ---------------------------------------------------------------------------------- */

static ngtcp2_conn *get_conn(ngtcp2_crypto_conn_ref *ref)
{
	const struct tako__quic *q = ref->user_data;

	return q->conn;
}

void tako__quic_tls_init(struct tako__quic *q)
{
	q->ref = (ngtcp2_crypto_conn_ref){get_conn, q};
	q->tls.l.ops = &tako__quic_layer_ops;
	q->tls.tls = &q->qw->tls;
	tako__layer_push(q->c, &q->tls.l);
}

static void end_session(struct tako__quic *q)
{
	if (q->tls.ssl)
		wolfSSL_free(q->tls.ssl);
	q->tls.ssl = NULL;
	(void)tako__tls_lib_short();
}

void tako__quic_tls_fini(struct tako__quic *q)
{
	tako__tls_early_drop(&q->tls);
	tako__cert_drop(q->tls.version);
	end_session(q);
	if (q->server_name)
		tako__free(q->server_name, strlen(q->server_name) + 1);
}

void tako__quic_tls_done(struct tako__quic *q)
{
	const char *name = wolfSSL_get_servername(q->tls.ssl, WOLFSSL_SNI_HOST_NAME);

	if (q->tls.tls->options->client_auth)
		return;
	if (name) {
		q->server_name = tako__strndup(name, strlen(name));
		if (!q->server_name)
			return;
	}
	/* A name of its tables, which stay. */
	q->cipher = wolfSSL_get_cipher_name(q->tls.ssl);
	q->resumed = wolfSSL_session_reused(q->tls.ssl);
	ngtcp2_conn_set_tls_native_handle(q->conn, NULL);
	end_session(q);
}

static int kept_facts(const struct tako__quic *q, const struct tako__info_query *ask)
{
	struct tako_conn_info *info = ask->info;

	info->tls = "TLSv1.3";
	info->cipher = q->cipher;
	info->resumed = q->resumed;
	info->alpn = q->app->proto->name;
	if (!q->server_name)
		return 0;
	info->server_name = tako__arena_strndup(ask->arena, q->server_name, strlen(q->server_name));
	return info->server_name ? 0 : TAKO_ENOMEM;
}

/* The socket is everybody's, and may be bound to no address: which one of ours it is the datagrams say. */
int tako__quic_tls_query(struct tako__layer *l, enum tako__fact what, void *out)
{
	struct tako__quic *q = TAKO__CONTAINER(tako__tls_of(l), struct tako__quic, tls);
	const struct tako__info_query *ask = out;
	struct tako__quic_figures figures;
	char text[80];

	if (what != TAKO__FACT_CONN_INFO || !q->conn)
		return TAKO_ENOTSUP;
	tako__addr_format(ngtcp2_conn_get_path(q->conn)->local.addr, text, sizeof text);
	ask->info->local = tako__arena_strndup(ask->arena, text, strlen(text));
	if (!ask->info->local)
		return TAKO_ENOMEM;
	tako__quic_figures(q->c, &figures);
	ask->info->rtt_us = figures.rtt_ns / 1000;
	return q->tls.ssl ? tako__tls_query(l, what, out) : kept_facts(q, ask);
}

/* Made when the ClientHello is there, so that its name decides what it is made from.  Who looks for
 * the name expects a record around the message, which QUIC has none of. */
static bool begin(struct tako__quic *q, const uint8_t *p, size_t n)
{
	static const char head[] = {22, 3, 1};
	char record[RECORD_HEAD_BYTES + PEEK_BYTES];
	bool ok;

	n = n < PEEK_BYTES ? n : PEEK_BYTES;
	memcpy(record, head, sizeof head);
	record[3] = (char)(n >> 8);
	record[4] = (char)(n & 0xff);
	memcpy(record + RECORD_HEAD_BYTES, p, n);
	q->tls.in = record;
	q->tls.in_n = RECORD_HEAD_BYTES + n;
	ok = tako__tls_begin(&q->tls);
	q->tls.in = NULL;
	q->tls.in_n = 0;
	if (!ok)
		return false;
	wolfSSL_set_app_data(q->tls.ssl, &q->ref);
	wolfSSL_set_accept_state(q->tls.ssl);
	ngtcp2_conn_set_tls_native_handle(q->conn, q->tls.ssl);
	return true;
}

/* Not every failure of wolfSSL's comes with an alert. */
static void name_failure(struct tako__quic *q)
{
	int err = wolfSSL_get_error(q->tls.ssl, WOLFSSL_FATAL_ERROR);

	if (ngtcp2_conn_get_tls_alert(q->conn) == 0)
		ngtcp2_conn_set_tls_alert(q->conn, err == UNKNOWN_ALPN_PROTOCOL_NAME_E
		                                           ? ALERT_NO_APPLICATION_PROTOCOL
		                                           : ALERT_INTERNAL_ERROR);
}

int tako__quic_tls_recv(ngtcp2_conn *conn, ngtcp2_encryption_level level, uint64_t offset,
                        const uint8_t *p, size_t n, void *arg)
{
	struct tako__quic *q = arg;
	int rc;

	/* A client has nothing more to say: RFC 9001 sections 4.4, 6 and 8.3. */
	if (q->flags & TAKO__QUIC_SHAKEN) {
		ngtcp2_conn_set_tls_alert(conn, ALERT_UNEXPECTED_MESSAGE);
		return NGTCP2_ERR_CRYPTO;
	}
	if (!q->tls.ssl && !begin(q, p, n))
		return NGTCP2_ERR_NOMEM;
	rc = ngtcp2_crypto_recv_crypto_data_cb(conn, level, offset, p, n, arg);
	if (tako__tls_lib_short())
		return NGTCP2_ERR_NOMEM;
	if (rc == NGTCP2_ERR_CRYPTO)
		name_failure(q);
	return rc;
}

const struct tako__quic_app *tako__quic_tls_agreed(struct tako__quic *q)
{
	const struct tako__quic_app *const *apps = q->qw->shared->apps;
	unsigned short n = 0;
	char *name = NULL;

	if (wolfSSL_ALPN_GetProtocol(q->tls.ssl, &name, &n) != WOLFSSL_SUCCESS)
		n = 0;
	while (*apps &&
	       (strlen((*apps)->proto->name) != n || memcmp((*apps)->proto->name, name, n) != 0))
		apps++;
	if (!*apps)
		ngtcp2_conn_set_tls_alert(q->conn, ALERT_NO_APPLICATION_PROTOCOL);
	return *apps;
}
