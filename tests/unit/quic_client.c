/* SPDX-License-Identifier: MIT
 *
 * See quic_client.h.
 */
#include "transports/tls/tls_lib.h"

#include "unit/quic_client.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <wolfssl/quic.h>

#include <ngtcp2/ngtcp2_crypto_wolfssl.h>

enum { CID_BYTES = 9, PACKET_MAX = 1452, INJECT_MAX = 1200 };

static uint16_t next_port = 20000;

/* ---- TLS ------------------------------------------------------------------------------------ */

static struct quic_client *client_of(WOLFSSL *ssl)
{
	ngtcp2_crypto_conn_ref *ref = wolfSSL_get_app_data(ssl);

	return ref->user_data;
}

static int set_secrets(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL wolfssl_level, const uint8_t *rx,
                       const uint8_t *tx, size_t n)
{
	struct quic_client *c = client_of(ssl);
	ngtcp2_encryption_level level = ngtcp2_crypto_wolfssl_from_wolfssl_encryption_level(
		wolfssl_level);

	return (!rx || ngtcp2_crypto_derive_and_install_rx_key(c->conn, NULL, NULL, NULL, level, rx,
	                                                       n) == 0) &&
	       (!tx || ngtcp2_crypto_derive_and_install_tx_key(c->conn, NULL, NULL, NULL, level, tx,
	                                                       n) == 0);
}

static int add_data(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL level, const uint8_t *p, size_t n)
{
	return ngtcp2_conn_submit_crypto_data(
		       client_of(ssl)->conn,
		       ngtcp2_crypto_wolfssl_from_wolfssl_encryption_level(level), p, n) == 0;
}

static int flush_flight(WOLFSSL *ssl)
{
	(void)ssl;
	return 1;
}

static int send_alert(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL level, uint8_t alert)
{
	(void)level;
	ngtcp2_conn_set_tls_alert(client_of(ssl)->conn, alert);
	return 1;
}

static const WOLFSSL_QUIC_METHOD method = {set_secrets, add_data, flush_flight, send_alert};

static ngtcp2_conn *get_conn(ngtcp2_crypto_conn_ref *ref)
{
	return ((struct quic_client *)ref->user_data)->conn;
}

static void set_alpn(WOLFSSL *ssl, const char *name)
{
	char list[64];

	if (!name[0])
		return;
	strncpy(list, name, sizeof list - 1);
	list[sizeof list - 1] = '\0';
	assert_int_equal(wolfSSL_UseALPN(ssl, list, (unsigned)strlen(list),
	                                 WOLFSSL_ALPN_CONTINUE_ON_MISMATCH),
	                 WOLFSSL_SUCCESS);
}

static void start_tls(struct quic_client *c)
{
	const char *name = c->cfg.server_name ? c->cfg.server_name : "localhost";
	WOLFSSL_CTX *ctx = wolfSSL_CTX_new(wolfTLSv1_3_client_method());
	WOLFSSL *ssl;

	assert_non_null(ctx);
	wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_NONE, NULL);
	wolfSSL_CTX_UseSessionTicket(ctx);
	assert_int_equal(wolfSSL_CTX_set_quic_method(ctx, &method), WOLFSSL_SUCCESS);
	if (c->cfg.cert_file) {
		assert_int_equal(wolfSSL_CTX_use_certificate_chain_file(ctx, c->cfg.cert_file),
		                 WOLFSSL_SUCCESS);
		assert_int_equal(
			wolfSSL_CTX_use_PrivateKey_file(ctx, c->cfg.key_file, WOLFSSL_FILETYPE_PEM),
			WOLFSSL_SUCCESS);
	}
	ssl = wolfSSL_new(ctx);
	assert_non_null(ssl);
	c->ref = (ngtcp2_crypto_conn_ref){get_conn, c};
	wolfSSL_set_app_data(ssl, &c->ref);
	wolfSSL_set_connect_state(ssl);
	wolfSSL_UseSNI(ssl, WOLFSSL_SNI_HOST_NAME, name, (unsigned short)strlen(name));
	set_alpn(ssl, c->cfg.alpn ? c->cfg.alpn : "echo");
	if (c->cfg.session)
		wolfSSL_set_session(ssl, c->cfg.session);
	c->ctx = ctx;
	c->ssl = ssl;
}

/* ---- Streams ------------------------------------------------------------------------------------- */

struct quic_client_stream *quic_client_stream(struct quic_client *c, int64_t id)
{
	for (unsigned i = 0; i < QUIC_CLIENT_STREAMS; i++) {
		if (c->streams[i].id == id)
			return &c->streams[i];
	}
	return NULL;
}

struct quic_client_stream *quic_client_stream_make(struct quic_client *c, int64_t id)
{
	struct quic_client_stream *s = quic_client_stream(c, id);

	if (s)
		return s;
	s = quic_client_stream(c, -1);
	/* The oldest that is over gives its place. */
	for (unsigned i = 0; !s && i < QUIC_CLIENT_STREAMS; i++) {
		if (c->streams[i].closed) {
			s = &c->streams[i];
			free(s->in);
			free(s->out);
		}
	}
	if (!s)
		abort();
	memset(s, 0, sizeof *s);
	s->id = id;
	return s;
}

void quic_client_consume(struct quic_client *c, int64_t id, size_t n)
{
	(void)ngtcp2_conn_extend_max_stream_offset(c->conn, id, n);
	ngtcp2_conn_extend_max_offset(c->conn, n);
}

static void record(struct quic_client *c, int64_t id, const uint8_t *p, size_t n, bool fin)
{
	struct quic_client_stream *s = quic_client_stream_make(c, id);

	assert_false(s->in_fin);
	s->in = realloc(s->in, s->in_n + n + 1);
	assert_non_null(s->in);
	if (n)
		memcpy(s->in + s->in_n, p, n);
	s->in_n += n;
	s->in[s->in_n] = '\0';
	s->in_fin = fin;
	if (!c->cfg.no_window_growth)
		quic_client_consume(c, id, n);
}

static int on_data(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t offset, const uint8_t *p,
                   size_t n, void *arg, void *stream)
{
	struct quic_client *c = arg;
	bool fin = flags & NGTCP2_STREAM_DATA_FLAG_FIN;

	(void)conn;
	(void)offset;
	(void)stream;
	if (c->cfg.ops && c->cfg.ops->data)
		c->cfg.ops->data(c, id, p, n, fin);
	else
		record(c, id, p, n, fin);
	return 0;
}

static int on_acked(ngtcp2_conn *conn, int64_t id, uint64_t offset, uint64_t n, void *arg,
                    void *stream)
{
	struct quic_client *c = arg;
	struct quic_client_stream *s = quic_client_stream(c, id);

	(void)conn;
	(void)offset;
	(void)stream;
	if (c->cfg.ops && c->cfg.ops->acked)
		c->cfg.ops->acked(c, id, n);
	else if (s)
		s->acked += n;
	return 0;
}

static int on_close(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t code, void *arg,
                    void *stream)
{
	struct quic_client *c = arg;
	struct quic_client_stream *s = quic_client_stream(c, id);

	(void)conn;
	(void)flags;
	(void)stream;
	if (s) {
		s->closed = true;
		s->close_code = code;
	}
	if (c->cfg.ops && c->cfg.ops->closed)
		c->cfg.ops->closed(c, id, code);
	if (id & 1)
		(id & 2 ? ngtcp2_conn_extend_max_streams_uni
		        : ngtcp2_conn_extend_max_streams_bidi)(c->conn, 1);
	return 0;
}

static int on_reset(ngtcp2_conn *conn, int64_t id, uint64_t size, uint64_t code, void *arg,
                    void *stream)
{
	struct quic_client *c = arg;
	struct quic_client_stream *s = quic_client_stream_make(c, id);

	(void)conn;
	(void)size;
	(void)stream;
	s->reset = true;
	s->reset_code = code;
	if (c->cfg.ops && c->cfg.ops->reset)
		c->cfg.ops->reset(c, id, code);
	return 0;
}

static int on_window(ngtcp2_conn *conn, int64_t id, uint64_t max, void *arg, void *stream)
{
	struct quic_client *c = arg;
	struct quic_client_stream *s = quic_client_stream(c, id);

	(void)conn;
	(void)max;
	(void)stream;
	if (s)
		s->blocked = false;
	if (c->cfg.ops && c->cfg.ops->unblocked)
		c->cfg.ops->unblocked(c, id);
	return 0;
}

static int on_datagram(ngtcp2_conn *conn, uint32_t flags, const uint8_t *p, size_t n, void *arg)
{
	struct quic_client *c = arg;

	(void)conn;
	(void)flags;
	if (c->datagram_count == QUIC_CLIENT_DATAGRAMS)
		return 0;
	assert_true(n <= sizeof c->datagrams[0]);
	if (n)
		memcpy(c->datagrams[c->datagram_count], p, n);
	c->datagram_n[c->datagram_count++] = n;
	return 0;
}

/* ---- The connection's ------------------------------------------------------------------------------- */

static int on_handshake(ngtcp2_conn *conn, void *arg)
{
	struct quic_client *c = arg;

	(void)conn;
	c->ready = true;
	if (c->cfg.ops && c->cfg.ops->ready)
		c->cfg.ops->ready(c);
	return 0;
}

static int on_retry(ngtcp2_conn *conn, const ngtcp2_pkt_hd *hd, void *arg)
{
	struct quic_client *c = arg;

	c->retried = true;
	return ngtcp2_crypto_recv_retry_cb(conn, hd, arg);
}

static int on_version(ngtcp2_conn *conn, const ngtcp2_pkt_hd *hd, const uint32_t *sv, size_t nsv,
                      void *arg)
{
	(void)conn;
	(void)hd;
	(void)sv;
	(void)nsv;
	((struct quic_client *)arg)->negotiated = true;
	return 0;
}

static int on_stateless_reset(ngtcp2_conn *conn, const ngtcp2_pkt_stateless_reset *sr, void *arg)
{
	(void)conn;
	(void)sr;
	((struct quic_client *)arg)->was_reset = true;
	return 0;
}

static int keep_token(struct quic_client *c, const uint8_t *p, size_t n)
{
	assert_true(n <= sizeof c->new_token);
	memcpy(c->new_token, p, n);
	c->new_token_n = n;
	return 0;
}

#if TAKO__NGTCP2_OLD
static int on_token(ngtcp2_conn *conn, const ngtcp2_vec *token, void *arg)
{
	(void)conn;
	return keep_token(arg, token->base, token->len);
}
#else
static int on_token(ngtcp2_conn *conn, const uint8_t *p, size_t n, void *arg)
{
	(void)conn;
	return keep_token(arg, p, n);
}
#endif

static void random_bytes(uint8_t *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)(quic_net_random() >> 24);
}

static void on_random(uint8_t *to, size_t n, const ngtcp2_rand_ctx *ctx)
{
	(void)ctx;
	random_bytes(to, n);
}

static int on_cid(ngtcp2_conn *conn, ngtcp2_cid *cid, uint8_t *token, size_t n, void *arg)
{
	(void)conn;
	(void)arg;
	random_bytes(cid->data, n);
	cid->datalen = n;
	random_bytes(token, NGTCP2_STATELESS_RESET_TOKENLEN);
	return 0;
}

/* Frames that take the place of those that the library wrote: see quic_client_inject(). */
static const uint8_t *injected;
static size_t injected_n;

static int on_encrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
                      const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *plain, size_t plain_n,
                      const uint8_t *nonce, size_t nonce_n, const uint8_t *aad, size_t aad_n)
{
	uint8_t frames[PACKET_MAX] = {0};

	if (injected && plain_n >= injected_n + 100) {
		memcpy(frames, injected, injected_n);
		injected = NULL;
		plain = frames;
	}
	return ngtcp2_crypto_encrypt_cb(dest, aead, ctx, plain, plain_n, nonce, nonce_n, aad,
	                                aad_n);
}

/* As the library's own; what that would say of us comes too late, when we have said something else. */
static int on_initial(ngtcp2_conn *conn, void *arg)
{
	enum { INITIAL_SCID = 0x0f };
	struct quic_client *c = arg;
	uint8_t params[256] = {INITIAL_SCID, CID_BYTES};
	size_t n = c->cfg.params_bare ? 0 : 2 + c->scid.datalen;

	if (c->cfg.params) {
		memcpy(params + 2, c->scid.data, c->scid.datalen);
		assert_true(n + c->cfg.params_n <= sizeof params);
		memcpy(params + n, c->cfg.params, c->cfg.params_n);
		assert_true(wolfSSL_set_quic_transport_params(c->ssl, params, n + c->cfg.params_n));
		assert_true(wolfSSL_quic_do_handshake(c->ssl) != WOLFSSL_SUCCESS);
	}
	return ngtcp2_crypto_client_initial_cb(conn, arg);
}

static const ngtcp2_callbacks callbacks = {
	.client_initial = on_initial,
	.recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,
	.handshake_completed = on_handshake,
	.recv_version_negotiation = on_version,
	.encrypt = on_encrypt,
	.decrypt = ngtcp2_crypto_decrypt_cb,
	.hp_mask = ngtcp2_crypto_hp_mask_cb,
	.recv_stream_data = on_data,
	.acked_stream_data_offset = on_acked,
	.stream_close = on_close,
	.recv_stateless_reset = on_stateless_reset,
	.recv_retry = on_retry,
	.rand = on_random,
	.get_new_connection_id = on_cid,
	.update_key = ngtcp2_crypto_update_key_cb,
	.stream_reset = on_reset,
	.extend_max_stream_data = on_window,
	.recv_new_token = on_token,
	.delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
	.delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
	.recv_datagram = on_datagram,
	.get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
	.version_negotiation = ngtcp2_crypto_version_negotiation_cb,
};

static ngtcp2_path path_of(struct quic_client *c)
{
	return (ngtcp2_path){
		.local = {(struct sockaddr *)&c->addr, sizeof c->addr},
		.remote = {(struct sockaddr *)(uintptr_t)&quic_net_server, sizeof quic_net_server},
	};
}

static void new_address(struct quic_client *c)
{
	c->addr = (struct sockaddr_in){.sin_family = AF_INET,
	                               .sin_port = htons(next_port++),
	                               .sin_addr = {htonl(0xc6336401)}};
}

static void start_quic(struct quic_client *c)
{
	const struct quic_client_config *cfg = &c->cfg;
	ngtcp2_path path = path_of(c);
	ngtcp2_transport_params params;
	ngtcp2_settings settings;
	ngtcp2_cid dcid, scid;
	uint64_t window = cfg->stream_window ? cfg->stream_window : 256u << 10;

	ngtcp2_settings_default(&settings);
	settings.initial_ts = quic_net.now_ns;
	if (cfg->token)
		tako__ngtcp2_set_token(&settings, cfg->token, cfg->token_n, false);
	ngtcp2_transport_params_default(&params);
	params.initial_max_stream_data_bidi_local = window;
	params.initial_max_stream_data_bidi_remote = window;
	params.initial_max_stream_data_uni = window;
	params.initial_max_data = cfg->window ? cfg->window : 1u << 20;
	params.initial_max_streams_bidi = cfg->streams ? cfg->streams : 100;
	params.initial_max_streams_uni = params.initial_max_streams_bidi;
	params.max_idle_timeout = cfg->idle_ns;
	params.max_datagram_frame_size = cfg->no_datagrams ? 0 : 65535;
	params.active_connection_id_limit = 7;
	random_bytes(dcid.data, dcid.datalen = 16);
	random_bytes(scid.data, scid.datalen = CID_BYTES);
	c->scid = scid;
	assert_int_equal(ngtcp2_conn_client_new(&c->conn, &dcid, &scid, &path,
	                                        cfg->version ? cfg->version : NGTCP2_PROTO_VER_V1,
	                                        &callbacks, &settings, &params, NULL, c),
	                 0);
}

struct quic_client *quic_client_new(const struct quic_client_config *cfg)
{
	struct quic_client *c = calloc(1, sizeof *c);

	assert_non_null(c);
	if (cfg)
		c->cfg = *cfg;
	for (unsigned i = 0; i < QUIC_CLIENT_STREAMS; i++)
		c->streams[i].id = -1;
	ngtcp2_ccerr_default(&c->end);
	new_address(c);
	start_quic(c);
	start_tls(c);
	ngtcp2_conn_set_tls_native_handle(c->conn, c->ssl);
	return c;
}

void quic_client_free(struct quic_client *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < QUIC_CLIENT_STREAMS; i++) {
		free(c->streams[i].in);
		free(c->streams[i].out);
	}
	free(c->dgram_out);
	ngtcp2_conn_del(c->conn);
	wolfSSL_free(c->ssl);
	wolfSSL_CTX_free(c->ctx);
	free(c);
}

/* ---- Steps --------------------------------------------------------------------------------------------- */

static void end(struct quic_client *c, int err)
{
	c->closed = true;
	c->error = err;
	c->end = tako__ngtcp2_ccerr(c->conn);
	if (err == NGTCP2_ERR_IDLE_CLOSE || err == NGTCP2_ERR_HANDSHAKE_TIMEOUT)
		c->lost = true;
}

static void receive(struct quic_client *c)
{
	struct quic_net_packet *k;

	while ((k = quic_net_take(&c->addr))) {
		ngtcp2_path path = path_of(c);
		ngtcp2_pkt_info pi = {.ecn = k->ecn};
		int rc = 0;

		c->ecn_seen += k->ecn != 0;
		if (k->n > c->largest)
			c->largest = k->n;
		if (!c->closed)
			rc = ngtcp2_conn_read_pkt(c->conn, &path, &pi, k->data, k->n,
			                          quic_net.now_ns);
		free(k);
		if (rc == NGTCP2_ERR_RETRY)
			rc = 0;
		if (rc != 0)
			end(c, rc);
	}
}

static unsigned own_next(struct quic_client *c, int64_t *id, bool *fin, struct iovec *vec)
{
	for (unsigned i = 0; i < QUIC_CLIENT_STREAMS; i++) {
		struct quic_client_stream *s = &c->streams[i];
		size_t left = s->out_n - s->out_sent;

		if (s->id < 0 || s->blocked || s->closed || s->shut ||
		    (!left && (!s->out_fin || s->fin_sent)))
			continue;
		*id = s->id;
		*fin = s->out_fin;
		vec[0] = (struct iovec){s->out + s->out_sent, left};
		return left ? 1 : 0;
	}
	return 0;
}

static void own_wrote(struct quic_client *c, int64_t id, size_t n, bool fin)
{
	struct quic_client_stream *s = quic_client_stream(c, id);

	s->out_sent += n;
	s->fin_sent = s->fin_sent || fin;
}

static void tell_wrote(struct quic_client *c, int64_t id, size_t n, bool fin)
{
	if (c->cfg.ops && c->cfg.ops->wrote)
		c->cfg.ops->wrote(c, id, n, fin);
	else
		own_wrote(c, id, n, fin);
}

static void tell_blocked(struct quic_client *c, int64_t id)
{
	struct quic_client_stream *s = quic_client_stream_make(c, id);

	s->blocked = true;
	if (c->cfg.ops && c->cfg.ops->blocked)
		c->cfg.ops->blocked(c, id);
}

/* As tako's own write_packet(). */
static ngtcp2_ssize write_packet(struct quic_client *c, uint8_t *to, ngtcp2_path *path,
                                 ngtcp2_pkt_info *pi)
{
	for (;;) {
		struct iovec vec[16];
		int64_t id = -1;
		bool fin = false;
		unsigned count = 0;
		ngtcp2_ssize taken = -1, n;
		size_t all = 0;

		if (c->ready && ngtcp2_conn_get_max_data_left(c->conn))
			count = c->cfg.ops && c->cfg.ops->next
			                ? c->cfg.ops->next(c, &id, &fin, vec, 16)
			                : own_next(c, &id, &fin, vec);
		for (unsigned i = 0; i < count; i++)
			all += vec[i].iov_len;
		n = ngtcp2_conn_writev_stream(
			c->conn, path, pi, to, PACKET_MAX, &taken,
			NGTCP2_WRITE_STREAM_FLAG_MORE | (fin ? NGTCP2_WRITE_STREAM_FLAG_FIN : 0),
			id, (const ngtcp2_vec *)(const void *)vec, count, quic_net.now_ns);
		if (n == NGTCP2_ERR_STREAM_DATA_BLOCKED) {
			tell_blocked(c, id);
		} else if (n == NGTCP2_ERR_STREAM_SHUT_WR || n == NGTCP2_ERR_STREAM_NOT_FOUND) {
			quic_client_stream_make(c, id)->shut = true;
		} else {
			if (taken >= 0)
				tell_wrote(c, id, (size_t)taken, fin && (size_t)taken == all);
			if (n != NGTCP2_ERR_WRITE_MORE)
				return n;
		}
	}
}

static void send_packet(struct quic_client *c, const uint8_t *p, size_t n, unsigned ecn)
{
	quic_net_send(&c->addr, &quic_net_server, ecn, p, n);
}

static void write_dgram(struct quic_client *c)
{
	uint8_t packet[PACKET_MAX];
	ngtcp2_vec vec = {(uint8_t *)c->dgram_out, c->dgram_out_n};
	ngtcp2_path_storage ps;
	ngtcp2_pkt_info pi;
	ngtcp2_ssize n;
	int accepted = 0;

	if (!c->dgram_out || !c->ready)
		return;
	ngtcp2_path_storage_zero(&ps);
	n = ngtcp2_conn_writev_datagram(c->conn, &ps.path, &pi, packet, sizeof packet, &accepted,
	                                NGTCP2_WRITE_DATAGRAM_FLAG_NONE, 0, &vec,
	                                c->dgram_out_n > 0, quic_net.now_ns);
	if (n > 0)
		send_packet(c, packet, (size_t)n, pi.ecn);
	if (accepted || n < 0) {
		free(c->dgram_out);
		c->dgram_out = NULL;
	}
}

static void write_all(struct quic_client *c)
{
	uint8_t packet[PACKET_MAX];

	write_dgram(c);
	for (unsigned i = 0; i < 64; i++) {
		ngtcp2_path_storage ps;
		ngtcp2_pkt_info pi;
		ngtcp2_ssize n;

		ngtcp2_path_storage_zero(&ps);
		n = write_packet(c, packet, &ps.path, &pi);
		if (n < 0) {
			end(c, (int)n);
			return;
		}
		if (n == 0)
			break;
		send_packet(c, packet, (size_t)n, pi.ecn);
	}
	/* Not paced: what is waited for is the server. */
}

void quic_client_step(struct quic_client *c)
{
	receive(c);
	if (c->closed)
		return;
	if (ngtcp2_conn_get_expiry(c->conn) <= quic_net.now_ns) {
		int rc = ngtcp2_conn_handle_expiry(c->conn, quic_net.now_ns);

		if (rc != 0) {
			end(c, rc);
			return;
		}
	}
	write_all(c);
	(void)tako__tls_lib_short();
}

uint64_t quic_client_next(struct quic_client *c)
{
	return c->closed ? UINT64_MAX : ngtcp2_conn_get_expiry(c->conn);
}

/* ---- What a test says -------------------------------------------------------------------------------------- */

int64_t quic_client_open(struct quic_client *c, bool uni)
{
	int64_t id = -1;
	int rc = uni ? ngtcp2_conn_open_uni_stream(c->conn, &id, NULL)
	             : ngtcp2_conn_open_bidi_stream(c->conn, &id, NULL);

	if (rc != 0)
		return -1;
	quic_client_stream_make(c, id);
	return id;
}

void quic_client_send(struct quic_client *c, int64_t id, const void *p, size_t n, bool fin)
{
	struct quic_client_stream *s = quic_client_stream_make(c, id);
	char *out;

	/* What is on its way is pointed to. */
	assert_true(s->out_sent == s->acked || n == 0);
	out = realloc(s->out, s->out_n + n + 1);
	assert_non_null(out);
	s->out = out;
	if (n)
		memcpy(s->out + s->out_n, p, n);
	s->out_n += n;
	s->out_fin = s->out_fin || fin;
}

void quic_client_reset(struct quic_client *c, int64_t id, uint64_t code)
{
	assert_int_equal(tako__ngtcp2_shutdown_write(c->conn, id, code), 0);
}

void quic_client_stop(struct quic_client *c, int64_t id, uint64_t code)
{
	assert_int_equal(tako__ngtcp2_shutdown_read(c->conn, id, code), 0);
}

void quic_client_datagram(struct quic_client *c, const void *p, size_t n)
{
	free(c->dgram_out);
	c->dgram_out = malloc(n + 1);
	assert_non_null(c->dgram_out);
	memcpy(c->dgram_out, p, n);
	c->dgram_out_n = n;
	write_dgram(c);
}

void quic_client_close(struct quic_client *c, uint64_t code)
{
	uint8_t packet[PACKET_MAX];
	ngtcp2_path_storage ps;
	ngtcp2_pkt_info pi;
	ngtcp2_ccerr e;
	ngtcp2_ssize n;

	ngtcp2_ccerr_default(&e);
	ngtcp2_ccerr_set_application_error(&e, code, NULL, 0);
	ngtcp2_path_storage_zero(&ps);
	n = ngtcp2_conn_write_connection_close(c->conn, &ps.path, &pi, packet, sizeof packet, &e,
	                                       quic_net.now_ns);
	assert_true(n > 0);
	send_packet(c, packet, (size_t)n, 0);
	c->closed = true;
}

void quic_client_move(struct quic_client *c, bool tell)
{
	ngtcp2_path path;
	ngtcp2_addr local;

	new_address(c);
	path = path_of(c);
	if (tell) {
		assert_int_equal(
			ngtcp2_conn_initiate_immediate_migration(c->conn, &path, quic_net.now_ns),
			0);
		return;
	}
	/* It does not know itself. */
	ngtcp2_addr_init(&local, (struct sockaddr *)&c->addr, sizeof c->addr);
	ngtcp2_conn_set_local_addr(c->conn, &local);
}

/* ---- What none should -------------------------------------------------------------------------------------- */

void quic_client_inject(struct quic_client *c, const void *frames, size_t n)
{
	static uint8_t filler[INJECT_MAX];
	uint8_t packet[PACKET_MAX];
	ngtcp2_vec vec = {filler, n + 200};
	ngtcp2_path_storage ps;
	ngtcp2_pkt_info pi;
	ngtcp2_ssize written;
	int64_t id;

	assert_true(n + 200 <= sizeof filler);
	/* A packet that is large enough, whose frames are others when it is sealed. */
	assert_int_equal(ngtcp2_conn_open_bidi_stream(c->conn, &id, NULL), 0);
	ngtcp2_path_storage_zero(&ps);
	injected = frames;
	injected_n = n;
	written = ngtcp2_conn_writev_stream(c->conn, &ps.path, &pi, packet, sizeof packet, NULL,
	                                    NGTCP2_WRITE_STREAM_FLAG_NONE, id, &vec, 1,
	                                    quic_net.now_ns);
	assert_null(injected);
	assert_true(written > 0);
	send_packet(c, packet, (size_t)written, pi.ecn);
}

void quic_client_inject_next(const void *frames, size_t n)
{
	injected = frames;
	injected_n = n;
}

void quic_client_inject_crypto(struct quic_client *c, const void *message, size_t n)
{
	uint8_t frame[256] = {0x06, 0x00}; /* at offset 0 of its level (RFC 9000 section 19.6) */

	assert_true(n < 64);
	frame[2] = (uint8_t)n;
	memcpy(frame + 3, message, n);
	quic_client_inject(c, frame, 3 + n);
}
