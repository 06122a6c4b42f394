/* SPDX-License-Identifier: MIT
 *
 * ngtcp2 by the names that it has since 1.0, whichever version is there.  The only header through
 * which the files of this folder see it; it holds no logic but where two versions differ.
 */
#ifndef TAKO_QUIC_NGTCP2_H
#define TAKO_QUIC_NGTCP2_H

#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>

#if NGTCP2_VERSION_NUM < 0x010000
#define TAKO__NGTCP2_OLD 1
#else
#define TAKO__NGTCP2_OLD 0
#endif

#if TAKO__NGTCP2_OLD

#define ngtcp2_encryption_level ngtcp2_crypto_level
#define NGTCP2_ENCRYPTION_LEVEL_INITIAL NGTCP2_CRYPTO_LEVEL_INITIAL
#define NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE NGTCP2_CRYPTO_LEVEL_HANDSHAKE
#define NGTCP2_ENCRYPTION_LEVEL_1RTT NGTCP2_CRYPTO_LEVEL_APPLICATION
#define NGTCP2_ENCRYPTION_LEVEL_0RTT NGTCP2_CRYPTO_LEVEL_EARLY

#define ngtcp2_ccerr ngtcp2_connection_close_error
#define ngtcp2_ccerr_default ngtcp2_connection_close_error_default
#define ngtcp2_ccerr_set_liberr ngtcp2_connection_close_error_set_transport_error_liberr
#define ngtcp2_ccerr_set_tls_alert ngtcp2_connection_close_error_set_transport_error_tls_alert
#define ngtcp2_ccerr_set_transport_error ngtcp2_connection_close_error_set_transport_error
#define ngtcp2_ccerr_set_application_error ngtcp2_connection_close_error_set_application_error
#define NGTCP2_CCERR_TYPE_APPLICATION NGTCP2_CONNECTION_CLOSE_ERROR_CODE_TYPE_APPLICATION

#define ngtcp2_conn_in_closing_period ngtcp2_conn_is_in_closing_period
#define ngtcp2_conn_in_draining_period ngtcp2_conn_is_in_draining_period
#define ngtcp2_conn_tls_handshake_completed ngtcp2_conn_handshake_completed
#define ngtcp2_crypto_wolfssl_from_ngtcp2_encryption_level                                         \
	ngtcp2_crypto_wolfssl_from_ngtcp2_crypto_level

#endif

/* How the connection was closed, by either side. */
static inline ngtcp2_ccerr tako__ngtcp2_ccerr(ngtcp2_conn *conn)
{
#if TAKO__NGTCP2_OLD
	ngtcp2_ccerr e;

	ngtcp2_conn_get_connection_close_error(conn, &e);
	return e;
#else
	return *ngtcp2_conn_get_ccerr(conn);
#endif
}

static inline int tako__ngtcp2_shutdown_write(ngtcp2_conn *conn, int64_t id, uint64_t code)
{
#if TAKO__NGTCP2_OLD
	return ngtcp2_conn_shutdown_stream_write(conn, id, code);
#else
	return ngtcp2_conn_shutdown_stream_write(conn, 0, id, code);
#endif
}

static inline int tako__ngtcp2_shutdown_read(ngtcp2_conn *conn, int64_t id, uint64_t code)
{
#if TAKO__NGTCP2_OLD
	return ngtcp2_conn_shutdown_stream_read(conn, id, code);
#else
	return ngtcp2_conn_shutdown_stream_read(conn, 0, id, code);
#endif
}

/* A token that was found good; `retry`: by which kind of check. */
static inline void tako__ngtcp2_set_token(ngtcp2_settings *s, const uint8_t *p, size_t n,
                                          bool retry)
{
#if TAKO__NGTCP2_OLD
	(void)retry;
	s->token = (ngtcp2_vec){(uint8_t *)(uintptr_t)p, n};
#else
	s->token = p;
	s->tokenlen = n;
	s->token_type = retry ? NGTCP2_TOKEN_TYPE_RETRY : NGTCP2_TOKEN_TYPE_NEW_TOKEN;
#endif
}

static inline void tako__ngtcp2_token_of(const ngtcp2_pkt_hd *hd, const uint8_t **ret_p,
                                         size_t *ret_n)
{
#if TAKO__NGTCP2_OLD
	*ret_p = hd->token.base;
	*ret_n = hd->token.len;
#else
	*ret_p = hd->token;
	*ret_n = hd->tokenlen;
#endif
}

/* Each record is one call of `write`, with what ngtcp2_conn_server_new() gets for its callbacks. */
static inline void tako__ngtcp2_set_qlog(ngtcp2_settings *s, ngtcp2_qlog_write write,
                                         const ngtcp2_cid *odcid)
{
#if TAKO__NGTCP2_OLD
	s->qlog.write = write;
	s->qlog.odcid = *odcid;
#else
	(void)odcid;
	s->qlog_write = write;
#endif
}

/* Since 1.0 the library does not take it for set by itself. */
static inline void tako__ngtcp2_set_original(ngtcp2_transport_params *p, const ngtcp2_cid *cid)
{
	p->original_dcid = *cid;
#if !TAKO__NGTCP2_OLD
	p->original_dcid_present = 1;
#endif
}

/* What struct tako__quic_figures has. */
static inline void tako__ngtcp2_figures(ngtcp2_conn *conn, uint64_t ret[4])
{
#if TAKO__NGTCP2_OLD
	ngtcp2_conn_stat s;

	ngtcp2_conn_get_conn_stat(conn, &s);
	ret[0] = s.first_rtt_sample_ts == UINT64_MAX ? 0 : s.smoothed_rtt;
	ret[1] = s.first_rtt_sample_ts == UINT64_MAX ? 0 : s.min_rtt;
#else
	ngtcp2_conn_info s;

	ngtcp2_conn_get_conn_info(conn, &s);
	ret[0] = s.min_rtt == UINT64_MAX ? 0 : s.smoothed_rtt;
	ret[1] = s.min_rtt == UINT64_MAX ? 0 : s.min_rtt;
#endif
	ret[2] = s.cwnd;
	ret[3] = s.bytes_in_flight;
}

#ifdef TAKO__NGTCP2_MENDED
uint64_t ngtcp2_conn_get_lost_packets(const ngtcp2_conn *conn);
#endif

/* Packets of ours that were not acknowledged; 0 where it does not tell. */
static inline uint64_t tako__ngtcp2_lost(ngtcp2_conn *conn)
{
#ifdef TAKO__NGTCP2_MENDED
	return ngtcp2_conn_get_lost_packets(conn);
#elif defined(NGTCP2_CONN_INFO_V2)
	ngtcp2_conn_info s;

	ngtcp2_conn_get_conn_info(conn, &s);
	return s.pkt_lost;
#else
	(void)conn;
	return 0;
#endif
}

#endif /* TAKO_QUIC_NGTCP2_H */
