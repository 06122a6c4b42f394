/* SPDX-License-Identifier: MIT
 *
 * See quic_peer.h.  Messages are read and sent as trains (GRO, GSO) where the kernel has those, so that
 * whoever measures with it is not the slower side.
 */
#include "peer/quic_peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum {
	CID_BYTES = 8,
	MESSAGE_BYTES = 65536,
	TRAIN_BYTES = 60000,
	TRAIN_MAX = 40,  /* datagrams of one; with 64 some kernels refuse */
	READS_MAX = 64,  /* messages before what they say is answered */
	TRAINS_MAX = 32, /* … and the other way round */
	SOCKET_BYTES = 4 << 20,
	HANDSHAKE_S = 10,
	DATAGRAM_BYTES = 65535,
};

static uint8_t buffer[MESSAGE_BYTES];

uint64_t quic_peer_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

bool quic_peer_init(const char *alpn)
{
	return quic_peer_tls_init(alpn);
}

void quic_peer_fini(void)
{
	quic_peer_tls_fini();
}

/* ---- Ends ------------------------------------------------------------------------------------- */

static void note_end(struct quic_peer *p, bool by_peer, const ngtcp2_ccerr *e, const char *why)
{
	size_t n = e->reasonlen < sizeof p->end.reason ? e->reasonlen : sizeof p->end.reason - 1;

	if (p->ended)
		return;
	p->ended = true;
	p->end.by_peer = by_peer;
	p->end.app = e->type == NGTCP2_CCERR_TYPE_APPLICATION;
	p->end.code = e->error_code;
	p->end.why = why;
	if (n)
		memcpy(p->end.reason, e->reason, n);
}

static void say_close(struct quic_peer *p, const ngtcp2_ccerr *e)
{
	ngtcp2_path_storage ps;
	ngtcp2_pkt_info pi;
	ngtcp2_ssize n;

	ngtcp2_path_storage_zero(&ps);
	n = ngtcp2_conn_write_connection_close(p->conn, &ps.path, &pi, buffer, 1200, e,
	                                       quic_peer_now());
	if (n > 0)
		(void)!send(p->fd, buffer, (size_t)n, 0);
}

/* One of the library's functions has failed. */
static void failed(struct quic_peer *p, int rc)
{
	ngtcp2_ccerr e;

	if (rc == NGTCP2_ERR_DRAINING) {
		e = tako__ngtcp2_ccerr(p->conn);
		note_end(p, true, &e, NULL);
		return;
	}
	ngtcp2_ccerr_default(&e);
	if (p->app_failed)
		ngtcp2_ccerr_set_application_error(&e, p->app_error, NULL, 0);
	else if (rc == NGTCP2_ERR_CRYPTO)
		ngtcp2_ccerr_set_tls_alert(&e, ngtcp2_conn_get_tls_alert(p->conn), NULL, 0);
	else
		ngtcp2_ccerr_set_liberr(&e, rc, NULL, 0);
	if (rc != NGTCP2_ERR_IDLE_CLOSE && rc != NGTCP2_ERR_CLOSING && rc != NGTCP2_ERR_DROP_CONN)
		say_close(p, &e);
	note_end(p, false, &e, p->end.why ? p->end.why : ngtcp2_strerror(rc));
}

int quic_peer_fail(struct quic_peer *p, uint64_t code, const char *why)
{
	p->app_failed = true;
	p->app_error = code;
	p->end.why = why;
	return -1;
}

void quic_peer_close(struct quic_peer *p, uint64_t code)
{
	quic_peer_close_saying(p, code, NULL, 0);
}

void quic_peer_close_saying(struct quic_peer *p, uint64_t code, const char *reason, size_t n)
{
	ngtcp2_ccerr e;

	if (p->ended)
		return;
	ngtcp2_ccerr_default(&e);
	ngtcp2_ccerr_set_application_error(&e, code, (const uint8_t *)reason, n);
	say_close(p, &e);
	note_end(p, false, &e, NULL);
}

/* ---- Callbacks ------------------------------------------------------------------------------------ */

static int verdict(int rc)
{
	return rc < 0 ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_handshake(ngtcp2_conn *conn, void *arg)
{
	struct quic_peer *p = arg;

	(void)conn;
	p->ready = true;
	return verdict(p->ops->ready(p));
}

static int on_data(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t offset, const uint8_t *b,
                   size_t n, void *arg, void *stream)
{
	struct quic_peer *p = arg;

	(void)conn, (void)offset;
	return verdict(p->ops->data(p, id, stream, b, n, flags & NGTCP2_STREAM_DATA_FLAG_FIN));
}

static int on_acked(ngtcp2_conn *conn, int64_t id, uint64_t offset, uint64_t n, void *arg,
                    void *stream)
{
	struct quic_peer *p = arg;

	(void)conn, (void)offset;
	return verdict(p->ops->acked ? p->ops->acked(p, id, stream, n) : 0);
}

static int on_close(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t code, void *arg,
                    void *stream)
{
	struct quic_peer *p = arg;

	(void)flags;
	if (id & 1)
		(id & 2 ? ngtcp2_conn_extend_max_streams_uni
		        : ngtcp2_conn_extend_max_streams_bidi)(conn, 1);
	return verdict(p->ops->closed(p, id, stream, code));
}

static int on_reset(ngtcp2_conn *conn, int64_t id, uint64_t size, uint64_t code, void *arg,
                    void *stream)
{
	struct quic_peer *p = arg;

	(void)conn, (void)size;
	return verdict(p->ops->reset ? p->ops->reset(p, id, stream, code) : 0);
}

static int on_window(ngtcp2_conn *conn, int64_t id, uint64_t max, void *arg, void *stream)
{
	struct quic_peer *p = arg;

	(void)conn, (void)max;
	return verdict(p->ops->unblocked ? p->ops->unblocked(p, id, stream) : 0);
}

static int on_datagram(ngtcp2_conn *conn, uint32_t flags, const uint8_t *b, size_t n, void *arg)
{
	struct quic_peer *p = arg;

	(void)conn, (void)flags;
	return verdict(p->ops->datagram(p, b, n));
}

static void random_bytes(uint8_t *to, size_t n)
{
	if (getrandom(to, n, 0) != (ssize_t)n)
		abort();
}

static void on_random(uint8_t *to, size_t n, const ngtcp2_rand_ctx *ctx)
{
	(void)ctx;
	random_bytes(to, n);
}

static int on_cid(ngtcp2_conn *conn, ngtcp2_cid *cid, uint8_t *token, size_t n, void *arg)
{
	(void)conn, (void)arg;
	random_bytes(cid->data, n);
	cid->datalen = n;
	random_bytes(token, NGTCP2_STATELESS_RESET_TOKENLEN);
	return 0;
}

static const ngtcp2_callbacks callbacks = {
	.client_initial = ngtcp2_crypto_client_initial_cb,
	.recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,
	.handshake_completed = on_handshake,
	.encrypt = ngtcp2_crypto_encrypt_cb,
	.decrypt = ngtcp2_crypto_decrypt_cb,
	.hp_mask = ngtcp2_crypto_hp_mask_cb,
	.recv_stream_data = on_data,
	.acked_stream_data_offset = on_acked,
	.stream_close = on_close,
	.recv_retry = ngtcp2_crypto_recv_retry_cb,
	.rand = on_random,
	.get_new_connection_id = on_cid,
	.update_key = ngtcp2_crypto_update_key_cb,
	.stream_reset = on_reset,
	.extend_max_stream_data = on_window,
	.delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
	.delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
	.recv_datagram = on_datagram,
	.get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
	.version_negotiation = ngtcp2_crypto_version_negotiation_cb,
};

/* ---- Beginning ------------------------------------------------------------------------------------- */

static ngtcp2_path path_of(struct quic_peer *p)
{
	return (ngtcp2_path){
		.local = {(struct sockaddr *)&p->local, p->local_n},
		.remote = {(struct sockaddr *)&p->remote, p->remote_n},
	};
}

static int new_socket(struct quic_peer *p)
{
	int fd = socket(p->remote.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int bytes = SOCKET_BYTES, one = 1;

	if (fd < 0)
		return -1;
	/* A full buffer is loss, and loss is not what is measured.  More than everybody may have is for root. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
	(void)setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof one);
	p->local_n = sizeof p->local;
	if (connect(fd, (struct sockaddr *)&p->remote, p->remote_n) < 0 ||
	    getsockname(fd, (struct sockaddr *)&p->local, &p->local_n) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool new_conn(struct quic_peer *p, const struct quic_peer_config *cfg)
{
	ngtcp2_path path = path_of(p);
	ngtcp2_transport_params params;
	ngtcp2_settings settings;
	ngtcp2_cid dcid, scid;

	ngtcp2_settings_default(&settings);
	settings.initial_ts = quic_peer_now();
	settings.handshake_timeout = HANDSHAKE_S * NGTCP2_SECONDS;
	settings.max_window = 0;
	settings.max_stream_window = 0;
	ngtcp2_transport_params_default(&params);
	params.initial_max_stream_data_bidi_local = cfg->stream_window;
	params.initial_max_stream_data_uni = cfg->stream_window;
	params.initial_max_data = cfg->window;
	params.initial_max_stream_data_bidi_remote = cfg->stream_window;
	params.initial_max_streams_uni = 8;
	params.initial_max_streams_bidi = cfg->bidi_streams;
	params.max_datagram_frame_size = cfg->ops->datagram ? DATAGRAM_BYTES : 0;
	params.max_idle_timeout = cfg->idle_ms * NGTCP2_MILLISECONDS;
	params.active_connection_id_limit = 7;
	random_bytes(dcid.data, dcid.datalen = 16);
	random_bytes(scid.data, scid.datalen = CID_BYTES);
	return ngtcp2_conn_client_new(&p->conn, &dcid, &scid, &path, NGTCP2_PROTO_VER_V1,
	                              &callbacks, &settings, &params, NULL, p) == 0;
}

bool quic_peer_open(struct quic_peer *p, const struct quic_peer_config *cfg)
{
	*p = (struct quic_peer){.user = cfg->user, .ops = cfg->ops, .remote_n = cfg->remote_n};
	memcpy(&p->remote, cfg->remote, cfg->remote_n);
	p->fd = new_socket(p);
	if (p->fd >= 0 && new_conn(p, cfg) && quic_peer_tls_open(p)) {
		ngtcp2_conn_set_tls_native_handle(p->conn, p->ssl);
		return true;
	}
	quic_peer_free(p);
	return false;
}

void quic_peer_free(struct quic_peer *p)
{
	ngtcp2_conn_del(p->conn);
	p->conn = NULL;
	quic_peer_tls_free(p);
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

bool quic_peer_move(struct quic_peer *p)
{
	struct sockaddr_storage before = p->local;
	socklen_t before_n = p->local_n;
	int fd = new_socket(p);
	ngtcp2_addr local;

	if (fd < 0) {
		p->local = before;
		p->local_n = before_n;
		return false;
	}
	close(p->fd);
	p->fd = fd;
	/* It does not know itself. */
	ngtcp2_addr_init(&local, (struct sockaddr *)&p->local, p->local_n);
	ngtcp2_conn_set_local_addr(p->conn, &local);
	return true;
}

/* ---- In ------------------------------------------------------------------------------------------------ */

/* The length of a train's pieces; all of it, if it is none. */
static size_t segment_of(struct msghdr *m, size_t n)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		int size;

		if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&size, CMSG_DATA(c), sizeof size);
		if (size > 0)
			return (size_t)size;
	}
	return n;
}

static void take(struct quic_peer *p, size_t n, size_t segment)
{
	uint64_t now = quic_peer_now();
	ngtcp2_path path = path_of(p);
	ngtcp2_pkt_info pi = {0};

	for (size_t at = 0; at < n && !p->ended; at += segment) {
		size_t len = n - at < segment ? n - at : segment;
		int rc = ngtcp2_conn_read_pkt(p->conn, &path, &pi, buffer + at, len, now);

		if (rc != 0 && rc != NGTCP2_ERR_RETRY)
			failed(p, rc);
	}
}

/* False: there is none. */
static bool read_message(struct quic_peer *p)
{
	_Alignas(struct cmsghdr) char control[64];
	struct iovec vec = {buffer, sizeof buffer};
	struct msghdr m = {.msg_iov = &vec,
	                   .msg_iovlen = 1,
	                   .msg_control = control,
	                   .msg_controllen = sizeof control};
	ssize_t n = recvmsg(p->fd, &m, 0);

	/* Nobody listens there (any more): that is for the timers to find out. */
	if (n < 0)
		return errno == ECONNREFUSED || errno == EINTR;
	take(p, (size_t)n, segment_of(&m, (size_t)n));
	return true;
}

void quic_peer_read(struct quic_peer *p)
{
	for (unsigned i = 0; i < READS_MAX && !p->ended; i++) {
		if (!read_message(p))
			break;
	}
	if (!p->ended && ngtcp2_conn_get_expiry(p->conn) <= quic_peer_now()) {
		int rc = ngtcp2_conn_handle_expiry(p->conn, quic_peer_now());

		if (rc != 0)
			failed(p, rc);
	}
}

uint64_t quic_peer_next(const struct quic_peer *p)
{
	return p->ended ? UINT64_MAX : p->more ? 0 : ngtcp2_conn_get_expiry(p->conn);
}

/* ---- Out ----------------------------------------------------------------------------------------------- */

/* What waits of them, and maybe more in the same packet: NGTCP2_ERR_WRITE_MORE. */
static ngtcp2_ssize write_datagram(struct quic_peer *p, ngtcp2_path_storage *ps, uint8_t *to,
                                   size_t room, uint64_t now)
{
	ngtcp2_vec vec = {p->dgram, p->dgram_n};
	ngtcp2_pkt_info pi;
	int accepted = 0;
	ngtcp2_ssize n = ngtcp2_conn_writev_datagram(p->conn, &ps->path, &pi, to, room, &accepted,
	                                             NGTCP2_WRITE_DATAGRAM_FLAG_MORE, 0, &vec,
	                                             p->dgram_n > 0, now);

	if (accepted)
		p->dgram_waits = false;
	return n;
}

/* One packet; 0: nothing may leave now; negative: it has failed. */
static ngtcp2_ssize write_packet(struct quic_peer *p, uint8_t *to, size_t room, uint64_t now)
{
	ngtcp2_path_storage ps;
	ngtcp2_pkt_info pi;

	ngtcp2_path_storage_zero(&ps);
	if (p->ready && p->dgram_waits) {
		ngtcp2_ssize n = write_datagram(p, &ps, to, room, now);

		if (n != NGTCP2_ERR_WRITE_MORE)
			return n;
	}
	for (;;) {
		struct iovec vec[QUIC_PEER_VEC];
		int64_t id = -1;
		bool fin = false;
		int count = 0;
		ngtcp2_ssize taken = -1, n;
		size_t all = 0;

		if (p->ready && ngtcp2_conn_get_max_data_left(p->conn))
			count = p->ops->next(p, &id, &fin, vec);
		if (count < 0)
			return NGTCP2_ERR_CALLBACK_FAILURE;
		for (int i = 0; i < count; i++)
			all += vec[i].iov_len;
		n = ngtcp2_conn_writev_stream(
			p->conn, &ps.path, &pi, to, room, &taken,
			NGTCP2_WRITE_STREAM_FLAG_MORE | (fin ? NGTCP2_WRITE_STREAM_FLAG_FIN : 0),
			id, (const ngtcp2_vec *)(const void *)vec, (size_t)count, now);
		if (taken >= 0)
			p->ops->wrote(p, id, (size_t)taken, fin && (size_t)taken == all);
		if (n == NGTCP2_ERR_STREAM_DATA_BLOCKED)
			p->ops->blocked(p, id, false);
		else if (n == NGTCP2_ERR_STREAM_SHUT_WR || n == NGTCP2_ERR_STREAM_NOT_FOUND)
			p->ops->blocked(p, id, true);
		else if (n != NGTCP2_ERR_WRITE_MORE)
			return n;
	}
}

/* What the kernel has no room for is lost, as on any network. */
static void send_train(struct quic_peer *p, const uint8_t *bytes, size_t n, size_t segment)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(uint16_t))] = {0};
	struct iovec vec = {(void *)(uintptr_t)bytes, n};
	struct msghdr m = {.msg_iov = &vec, .msg_iovlen = 1};
	uint16_t size = (uint16_t)segment;

	if (n > segment) {
		struct cmsghdr *c;

		m.msg_control = control;
		m.msg_controllen = sizeof control;
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = IPPROTO_UDP;
		c->cmsg_type = UDP_SEGMENT;
		c->cmsg_len = CMSG_LEN(sizeof size);
		memcpy(CMSG_DATA(c), &size, sizeof size);
	}
	if (n)
		(void)!sendmsg(p->fd, &m, 0);
}

/* As write_packet(): of as many packets as make a train, of which only the last may be shorter. */
static ngtcp2_ssize write_train(struct quic_peer *p, uint64_t now)
{
	size_t packet_max = ngtcp2_conn_get_max_tx_udp_payload_size(p->conn);
	size_t n = 0, segment = 0;

	for (unsigned i = 0; i < TRAIN_MAX && n + packet_max <= TRAIN_BYTES; i++) {
		ngtcp2_ssize len = write_packet(p, buffer + n, packet_max, now);

		if (len <= 0) {
			send_train(p, buffer, n, segment);
			return len;
		}
		if (i > 0 && (size_t)len > segment) {
			send_train(p, buffer, n, segment);
			send_train(p, buffer + n, (size_t)len, (size_t)len);
			return 1;
		}
		if (i == 0)
			segment = (size_t)len;
		n += (size_t)len;
		if ((size_t)len < segment)
			break;
	}
	send_train(p, buffer, n, segment);
	return 1;
}

/* Before that, the library paces as for a third of a second: 20 ms for a ClientHello. */
static bool has_rtt(struct quic_peer *p)
{
	uint64_t figures[4];

	tako__ngtcp2_figures(p->conn, figures);
	return figures[1] != 0;
}

void quic_peer_write(struct quic_peer *p)
{
	uint64_t now = quic_peer_now();
	ngtcp2_ssize rc = 1;

	for (unsigned i = 0; i < TRAINS_MAX && rc > 0 && !p->ended; i++)
		rc = write_train(p, now);
	p->more = rc > 0;
	if (p->ended)
		return;
	if (rc < 0)
		failed(p, (int)rc);
	else if (has_rtt(p))
		ngtcp2_conn_update_pkt_tx_time(p->conn, now);
}

/* ---- Streams ------------------------------------------------------------------------------------------- */

int64_t quic_peer_stream(struct quic_peer *p, bool uni, void *stream)
{
	int64_t id = -1;
	int rc = uni ? ngtcp2_conn_open_uni_stream(p->conn, &id, stream)
	             : ngtcp2_conn_open_bidi_stream(p->conn, &id, stream);

	return rc == 0 ? id : -1;
}

bool quic_peer_datagram(struct quic_peer *p, const void *bytes, size_t n)
{
	const ngtcp2_transport_params *params = ngtcp2_conn_get_remote_transport_params(p->conn);

	if (p->ended || n > sizeof p->dgram || !params || params->max_datagram_frame_size < n + 3)
		return false;
	memcpy(p->dgram, bytes, n);
	p->dgram_n = n;
	p->dgram_waits = true;
	return true;
}

void quic_peer_consumed(struct quic_peer *p, int64_t id, uint64_t n)
{
	if (p->ended)
		return;
	(void)ngtcp2_conn_extend_max_stream_offset(p->conn, id, n);
	ngtcp2_conn_extend_max_offset(p->conn, n);
}

void quic_peer_cancel(struct quic_peer *p, int64_t id, uint64_t code)
{
	if (p->ended)
		return;
	(void)tako__ngtcp2_shutdown_read(p->conn, id, code);
	(void)tako__ngtcp2_shutdown_write(p->conn, id, code);
}
