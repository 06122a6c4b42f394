/* SPDX-License-Identifier: MIT
 *
 * Compiled and run by wolfssl.sh: does this wolfSSL have what tako needs?  Headers tell what they
 * were configured with, the link whether the library was too: Debian ships wolfssl/quic.h with a
 * library that has none of it.
 */
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#ifdef WOLFSSL_QUIC
#include <wolfssl/quic.h>
#endif

#define NEED(macro) "needs " #macro

#ifndef WOLFSSL_TLS13
#error NEED(WOLFSSL_TLS13)
#endif
#ifndef OPENSSL_EXTRA
#error NEED(OPENSSL_EXTRA)
#endif
#ifndef HAVE_ALPN
#error NEED(HAVE_ALPN)
#endif
#ifndef HAVE_SNI
#error NEED(HAVE_SNI)
#endif
#ifndef HAVE_SESSION_TICKET
#error NEED(HAVE_SESSION_TICKET)
#endif
#ifndef HAVE_CERTIFICATE_STATUS_REQUEST
#error NEED(HAVE_CERTIFICATE_STATUS_REQUEST)
#endif
#ifndef HAVE_CRL
#error NEED(HAVE_CRL)
#endif
#ifndef HAVE_CURVE25519
#error NEED(HAVE_CURVE25519)
#endif
#ifndef HAVE_ED25519
#error NEED(HAVE_ED25519)
#endif
#ifndef HAVE_SERVER_RENEGOTIATION_INFO
#error NEED(HAVE_SERVER_RENEGOTIATION_INFO)
#endif
#ifndef WOLFSSL_EARLY_DATA
#error NEED(WOLFSSL_EARLY_DATA)
#endif
#ifndef WOLFSSL_CERT_GEN
#error NEED(WOLFSSL_CERT_GEN)
#endif
#ifndef WOLFSSL_QUIC
#error NEED(WOLFSSL_QUIC)
#endif

/* Does it see that a QUIC packet is forged?  Until 5.9.1 it did not look at the tag (CVE-2026-5479). */
static int sees_forgery(void)
{
	static const uint8_t key[32], iv[16];
	uint8_t packet[1 + 16] = {1}; /* a byte, and what cannot be its tag */
	WOLFSSL_EVP_CIPHER_CTX *ctx =
		wolfSSL_quic_crypt_new(wolfSSL_EVP_chacha20_poly1305(), key, iv, 0);
	int ok = ctx && wolfSSL_quic_aead_decrypt(packet, ctx, packet, sizeof packet, iv, key, 1) !=
	                        WOLFSSL_SUCCESS;

	wolfSSL_EVP_CIPHER_CTX_free(ctx);
	return ok;
}

int main(void)
{
	WOLFSSL_CTX *ctx;
	int ok;

	if (wolfSSL_Init() != WOLFSSL_SUCCESS)
		return 1;
	ctx = wolfSSL_CTX_new(wolfTLS_server_method());
	ok = ctx && wolfSSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == WOLFSSL_SUCCESS &&
	     wolfSSL_CTX_set_cipher_list(ctx, "TLS13-AES128-GCM-SHA256:"
	                                      "ECDHE-ECDSA-AES128-GCM-SHA256:"
	                                      "ECDHE-RSA-AES128-GCM-SHA256") == WOLFSSL_SUCCESS;
	ok = ok && (void *)wolfSSL_CTX_set_alpn_select_cb && (void *)wolfSSL_CTX_set_TicketEncCb &&
	     (void *)wolfSSL_CTX_set_servername_callback && (void *)wolfSSL_set_SSL_CTX &&
	     (void *)wolfSSL_CTX_set_quic_method && (void *)wolfSSL_CTX_LoadCRLBuffer;
	wolfSSL_CTX_free(ctx);
	ok = ok && sees_forgery();
	wolfSSL_Cleanup();
	return !ok;
}
