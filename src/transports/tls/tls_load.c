/* SPDX-License-Identifier: MIT
 *
 * Loads certificates: read, decrypted, checked against their key and the clock.  What comes out
 * of here can be served; what cannot is refused with a sentence that says why.
 */
#include "transports/tls/tls_load.h"

#include <string.h>
#include <time.h>

#include "core/str.h"
#include "transports/tls/tls_ctx.h"
#include "transports/tls/tls_lib.h"
#include "transports/tls/tls_staple.h"

enum {
	PASSWORD_BYTES = 1024,
	KEY_BYTES_MAX = 64 << 10,
	NAMES_BYTES_MAX = 64 << 10, /* of all names that one certificate may have */
	SPKI_BYTES = 256,           /* of a key on a curve; an RSA key does not fit */
};

/* ---- The key ------------------------------------------------------------------------------ */

static bool has_text(const struct tako__tls_blob *b, const char *text)
{
	return memmem(b->p, b->n, text, strlen(text)) != NULL;
}

static bool is_encrypted(const struct tako__tls_blob *key)
{
	return has_text(key, "-----BEGIN ENCRYPTED PRIVATE KEY-----") ||
	       has_text(key, "Proc-Type: 4,ENCRYPTED");
}

static int ask_password(char *buf, const tako_cert_config *cfg)
{
	int n;

	if (!cfg->password_fn)
		return tako__fail(TAKO_ETLS, "the private key is encrypted, and no password_fn is "
		                             "set");
	n = cfg->password_fn(buf, PASSWORD_BYTES - 1, cfg->password_arg);
	if (n < 0 || n >= PASSWORD_BYTES)
		return tako__fail(TAKO_ETLS, "the private key is encrypted, and password_fn gave "
		                             "no password");
	buf[n] = '\0';
	return 0;
}

/* To DER, which is what is kept: the password is not. */
static int open_key(struct tako__tls_blob *out, const struct tako__tls_blob *key,
                    const tako_cert_config *cfg)
{
	bool encrypted = is_encrypted(key);
	char password[PASSWORD_BYTES] = "";
	unsigned char *der;
	int rc = encrypted ? ask_password(password, cfg) : 0;
	int n;

	if (rc < 0)
		return rc;
	if (key->n > KEY_BYTES_MAX)
		return tako__fail(TAKO_ETLS, "the private key is larger than %d bytes",
		                  KEY_BYTES_MAX);
	der = tako__alloc(key->n);
	if (!der)
		return tako__fail(TAKO_ENOMEM, "private key: out of memory");
	n = wc_KeyPemToDer((const unsigned char *)key->p, (int)key->n, der, (int)key->n, password);
	explicit_bzero(password, sizeof password);
	if (tako__tls_lib_short())
		rc = tako__fail(TAKO_ENOMEM, "private key: out of memory");
	else if (n > 0)
		rc = tako__tls_copy(out, der, (size_t)n);
	else if (encrypted && n != MEMORY_E)
		rc = tako__fail(TAKO_ETLS, "the private key does not open with this password");
	else
		rc = tako__tls_fail(n, "the private key is not one");
	explicit_bzero(der, key->n);
	tako__free(der, key->n);
	return rc;
}

/* wolfSSL (5.5.4) writes a scalar that is longer than its curve's in front of its buffer when it
 * compares key and certificate, which it does on the certificate's curve.  Our own build of it is
 * mended, others may not be.  `curve_bytes`: the certificate's; 0: its key is of another kind. */
static int check_key(const struct tako__tls_blob *key, int curve_bytes)
{
	const char *whose = NULL;
	ecc_key ec;
	word32 at = 0;

	if (wc_ecc_init(&ec) != 0)
		return tako__fail(TAKO_ENOMEM, "private key: out of memory");
	if (wc_EccPrivateKeyDecode((const unsigned char *)key->p, &at, &ec, (word32)key->n) == 0) {
		int n = mp_unsigned_bin_size(&ec.k);

		if (n > wc_ecc_size(&ec))
			whose = "its";
		else if (curve_bytes && n > curve_bytes)
			whose = "the certificate's";
	}
	wc_ecc_free(&ec);
	if (tako__tls_lib_short())
		return tako__fail(TAKO_ENOMEM, "private key: out of memory");
	return whose ? tako__fail(TAKO_ETLS, "the private key is larger than %s curve", whose) : 0;
}

static int load_key(struct tako__tls_blob *out, const tako_cert_config *cfg)
{
	struct tako__tls_blob raw = {NULL, 0};
	int rc = cfg->key_file ? tako__tls_read_file(&raw, cfg->key_file, "private key")
	                       : tako__tls_copy(&raw, cfg->key.p, cfg->key.n);

	if (rc < 0)
		return rc;
	if (tako__tls_format(&raw) != WOLFSSL_FILETYPE_PEM) {
		*out = raw;
		return 0;
	}
	rc = open_key(out, &raw, cfg);
	tako__tls_wipe(&raw);
	return rc;
}

/* ---- The certificate ------------------------------------------------------------------------ */

static int64_t seconds(const WOLFSSL_ASN1_TIME *t)
{
	struct tm tm;

	if (!t || wolfSSL_ASN1_TIME_to_tm(t, &tm) != WOLFSSL_SUCCESS)
		return -1;
	return (int64_t)timegm(&tm);
}

static void add_name(struct tako__tls_blob *names, const char *p, size_t n)
{
	/* A NUL inside would end it early for whoever compares. */
	if (n == 0 || memchr(p, '\0', n) || names->n + n + 1 > NAMES_BYTES_MAX)
		return;
	for (size_t i = 0; i < n; i++)
		names->p[names->n++] = p[i] >= 'A' && p[i] <= 'Z' ? (char)(p[i] | 0x20) : p[i];
	names->p[names->n++] = '\0';
}

static void collect_alt_names(struct tako__tls_blob *names, WOLFSSL_X509 *x)
{
	WOLF_STACK_OF(WOLFSSL_GENERAL_NAME) *all = wolfSSL_X509_get_ext_d2i(x, NID_subject_alt_name,
	                                                                    NULL, NULL);
	int count = all ? wolfSSL_sk_GENERAL_NAME_num(all) : 0;

	for (int i = 0; i < count; i++) {
		WOLFSSL_GENERAL_NAME *name = wolfSSL_sk_GENERAL_NAME_value(all, i);

		if (name && name->type == TAKO__TLS_NAME_DNS && name->d.dNSName)
			add_name(names,
			         (const char *)wolfSSL_ASN1_STRING_get0_data(name->d.dNSName),
			         (size_t)wolfSSL_ASN1_STRING_length(name->d.dNSName));
	}
	if (all)
		wolfSSL_sk_GENERAL_NAME_pop_free(all, NULL);
}

static int collect_names(struct tako__tls_blob *out, WOLFSSL_X509 *x)
{
	struct tako__tls_blob names = {tako__alloc(NAMES_BYTES_MAX), 0};
	const char *cn;
	int rc;

	if (!names.p)
		return tako__fail(TAKO_ENOMEM, "certificate: out of memory");
	collect_alt_names(&names, x);
	/* The common name is a host's only where there are no others (RFC 6125 section 6.4.4). */
	cn = wolfSSL_X509_get_subjectCN(x);
	if (names.n == 0 && cn)
		add_name(&names, cn, strlen(cn));
	rc = tako__tls_copy(out, names.p, names.n);
	tako__free(names.p, NAMES_BYTES_MAX);
	return rc;
}

static int describe(struct tako__cert_version *v, WOLFSSL_X509 *x)
{
	int der_n = 0;
	const unsigned char *der = wolfSSL_X509_get_der(x, &der_n);
	int64_t now = (int64_t)time(NULL);
	int rc = der ? wc_Sha256Hash(der, (word32)der_n, v->sha256) : MEMORY_E;

	if (rc != 0)
		return tako__tls_fail(rc, "certificate");
	v->not_before_s = seconds(wolfSSL_X509_get_notBefore(x));
	v->not_after_s = seconds(wolfSSL_X509_get_notAfter(x));
	if (v->not_after_s < now) {
		char when[32];
		struct tm tm;
		time_t t = (time_t)v->not_after_s;

		strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", gmtime_r(&t, &tm));
		return tako__fail(TAKO_ETLS,
		                  "the certificate has expired: it was good until %s UTC", when);
	}
	return collect_names(&v->names, x);
}

/* What can be decoded is as large as the largest curve's. */
static int curve_bytes_of(WOLFSSL_X509 *x)
{
	unsigned char spki[SPKI_BYTES];
	int n = sizeof spki;
	word32 at = 0;
	ecc_key ec;
	int bytes = 0;

	if (wolfSSL_X509_get_pubkey_buffer(x, spki, &n) != WOLFSSL_SUCCESS || wc_ecc_init(&ec) != 0)
		return 0;
	if (wc_EccPublicKeyDecode(spki, &at, &ec, (word32)n) == 0)
		bytes = wc_ecc_size(&ec);
	wc_ecc_free(&ec);
	return bytes;
}

static int load_chain(struct tako__cert_version *v, const tako_cert_config *cfg,
                      int *ret_curve_bytes)
{
	WOLFSSL_X509 *x;
	int rc = cfg->cert_file ? tako__tls_read_file(&v->chain, cfg->cert_file, "certificate")
	                        : tako__tls_copy(&v->chain, cfg->cert.p, cfg->cert.n);

	if (rc < 0)
		return rc;
	x = wolfSSL_X509_load_certificate_buffer((const unsigned char *)v->chain.p, (int)v->chain.n,
	                                         tako__tls_format(&v->chain));
	if (!x)
		return tako__fail(TAKO_ETLS, "%.200s is not a certificate",
		                  cfg->cert_file ? cfg->cert_file : "what was given");
	rc = describe(v, x);
	*ret_curve_bytes = curve_bytes_of(x);
	wolfSSL_X509_free(x);
	return tako__tls_lib_short() ? tako__fail(TAKO_ENOMEM, "certificate: out of memory") : rc;
}

/* wolfSSL itself tells whether it can serve what was read. */
static int try_out(const struct tako__cert_version *v)
{
	WOLFSSL_CTX *ctx = NULL;
	int rc = tako__tls_ctx_new(&ctx, NULL, v);

	wolfSSL_CTX_free(ctx);
	return rc;
}

int tako__cert_load(struct tako__cert_version **out, const tako_cert_config *cfg)
{
	struct tako__cert_version *v = tako__zalloc(sizeof *v);
	int curve_bytes = 0;
	int rc;

	if (!v)
		return tako__fail(TAKO_ENOMEM, "certificate: out of memory");
	atomic_init(&v->refs, 1);
	rc = load_chain(v, cfg, &curve_bytes);
	if (rc == 0)
		rc = load_key(&v->key, cfg);
	if (rc == 0)
		rc = check_key(&v->key, curve_bytes);
	if (rc == 0 && cfg->ocsp_file)
		rc = tako__tls_read_file(&v->ocsp, cfg->ocsp_file, "OCSP response");
	if (rc == 0 && cfg->ocsp_file)
		rc = tako__tls_staple_check(v);
	if (rc == 0)
		rc = try_out(v);
	if (rc < 0)
		tako__cert_drop(v);
	else
		*out = v;
	return rc;
}
