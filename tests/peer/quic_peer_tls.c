/* SPDX-License-Identifier: MIT
 *
 * The client's TLS: wolfSSL through ngtcp2's helper, trusting everybody.  See quic_peer.h.
 */
#include "transports/tls/tls_lib.h"

#include "peer/quic_peer.h"

#include <string.h>
#include <wolfssl/quic.h>

#include <ngtcp2/ngtcp2_crypto_wolfssl.h>

static WOLFSSL_CTX *ctx;
static char alpn_list[32];

static ngtcp2_conn *conn_of(WOLFSSL *ssl)
{
	ngtcp2_crypto_conn_ref *ref = wolfSSL_get_app_data(ssl);

	return ((struct quic_peer *)ref->user_data)->conn;
}

static int set_secrets(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL wolfssl_level, const uint8_t *rx,
                       const uint8_t *tx, size_t n)
{
	ngtcp2_conn *conn = conn_of(ssl);
	ngtcp2_encryption_level level = ngtcp2_crypto_wolfssl_from_wolfssl_encryption_level(
		wolfssl_level);

	return (!rx || ngtcp2_crypto_derive_and_install_rx_key(conn, NULL, NULL, NULL, level, rx,
	                                                       n) == 0) &&
	       (!tx ||
	        ngtcp2_crypto_derive_and_install_tx_key(conn, NULL, NULL, NULL, level, tx, n) == 0);
}

static int add_data(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL level, const uint8_t *p, size_t n)
{
	return ngtcp2_conn_submit_crypto_data(
		       conn_of(ssl), ngtcp2_crypto_wolfssl_from_wolfssl_encryption_level(level), p,
		       n) == 0;
}

static int flush_flight(WOLFSSL *ssl)
{
	(void)ssl;
	return 1;
}

static int send_alert(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL level, uint8_t alert)
{
	(void)level;
	ngtcp2_conn_set_tls_alert(conn_of(ssl), alert);
	return 1;
}

static const WOLFSSL_QUIC_METHOD method = {set_secrets, add_data, flush_flight, send_alert};

static ngtcp2_conn *get_conn(ngtcp2_crypto_conn_ref *ref)
{
	return ((struct quic_peer *)ref->user_data)->conn;
}

bool quic_peer_tls_init(const char *alpn)
{
	if (tako__tls_lib_enter() < 0)
		return false;
	strncpy(alpn_list, alpn, sizeof alpn_list - 1);
	ctx = wolfSSL_CTX_new(wolfTLSv1_3_client_method());
	if (!ctx)
		return false;
	wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_NONE, NULL);
	return wolfSSL_CTX_set_quic_method(ctx, &method) == WOLFSSL_SUCCESS &&
	       wolfSSL_CTX_set_cipher_list(ctx, "TLS13-AES128-GCM-SHA256") == WOLFSSL_SUCCESS;
}

void quic_peer_tls_fini(void)
{
	wolfSSL_CTX_free(ctx);
	ctx = NULL;
	tako__tls_lib_leave();
}

bool quic_peer_tls_open(struct quic_peer *p)
{
	static const char name[] = "localhost";
	/* X25519, as the other generators ask for. */
	int groups[] = {WOLFSSL_ECC_X25519};
	WOLFSSL *ssl = wolfSSL_new(ctx);

	if (!ssl)
		return false;
	p->ssl = ssl;
	p->ref = (ngtcp2_crypto_conn_ref){get_conn, p};
	wolfSSL_set_app_data(ssl, &p->ref);
	wolfSSL_set_connect_state(ssl);
	return wolfSSL_set_groups(ssl, groups, 1) == WOLFSSL_SUCCESS &&
	       wolfSSL_UseKeyShare(ssl, WOLFSSL_ECC_X25519) == WOLFSSL_SUCCESS &&
	       wolfSSL_UseSNI(ssl, WOLFSSL_SNI_HOST_NAME, name, sizeof name - 1) ==
	               WOLFSSL_SUCCESS &&
	       wolfSSL_UseALPN(ssl, alpn_list, (unsigned)strlen(alpn_list),
	                       WOLFSSL_ALPN_CONTINUE_ON_MISMATCH) == WOLFSSL_SUCCESS;
}

void quic_peer_tls_free(struct quic_peer *p)
{
	wolfSSL_free(p->ssl);
	p->ssl = NULL;
}
