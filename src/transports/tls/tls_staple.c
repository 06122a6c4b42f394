/* SPDX-License-Identifier: MIT
 *
 * See tls_staple.h.  wolfSSL checks a response itself before it passes one on, and where it does not like
 * it sends none and says nothing.  So all that it looks at is looked at when the response is loaded,
 * by our own eyes as far as its dates and names go, because wolfSSL has one error for all of them.
 */
#include "transports/tls/tls_staple.h"

#include <string.h>
#include <time.h>

#include <wolfssl/ocsp.h>

#include "transports/tls/tls_layer.h"

enum {
	LEAKS = 0x05005004, /* with each TLS 1.3 client that asks, as seen with it; older ones are
			     * not in use */
	SERIAL_BYTES = 64,
	EARLY_S = 300, /* clocks differ */
};

/* ---- DER, as much as it takes ------------------------------------------------------------------ */

enum {
	TAG_INTEGER = 0x02,
	TAG_OCTETS = 0x04,
	TAG_OID = 0x06,
	TAG_ENUMERATED = 0x0a,
	TAG_TIME = 0x18,
	TAG_SEQUENCE = 0x30,
	TAG_0 = 0xa0, /* context-specific, constructed */
	TAG_1 = 0xa1,
	TAG_2 = 0xa2,
	TAG_GOOD = 0x80,
	TAG_UNKNOWN = 0x82,
};

struct span {
	const unsigned char *p;
	size_t n;
};

/* The first element of `in`, which is moved past it; 0: there is none, or it is broken. */
static unsigned next(struct span *in, struct span *out)
{
	struct span content;
	unsigned tag;
	size_t n, head = 2;

	if (in->n < 2)
		return 0;
	tag = in->p[0];
	n = in->p[1];
	if (n & 0x80) {
		size_t more = n & 0x7f;

		if (more < 1 || more > 3 || in->n < 2 + more)
			return 0;
		n = 0;
		while (head < 2 + more)
			n = n << 8 | in->p[head++];
	}
	if (n > in->n - head)
		return 0;
	content = (struct span){in->p + head, n};
	in->p += head + n;
	in->n -= head + n;
	*out = content; /* which may be `in` */
	return tag;
}

static bool expect(struct span *in, unsigned tag, struct span *out)
{
	return next(in, out) == tag;
}

/* YYYYMMDDHHMMSSZ (RFC 5280 section 4.1.2.5.2); negative: none of these. */
static int64_t seconds(struct span s)
{
	static const int widths[] = {4, 2, 2, 2, 2, 2};
	int v[6] = {0};
	size_t at = 0;

	if (s.n != 15 || s.p[14] != 'Z')
		return -1;
	for (int i = 0; i < 6; i++) {
		for (int k = 0; k < widths[i]; k++, at++) {
			if (s.p[at] < '0' || s.p[at] > '9')
				return -1;
			v[i] = v[i] * 10 + (s.p[at] - '0');
		}
	}
	return (int64_t)timegm(&(struct tm){.tm_year = v[0] - 1900,
	                                    .tm_mon = v[1] - 1,
	                                    .tm_mday = v[2],
	                                    .tm_hour = v[3],
	                                    .tm_min = v[4],
	                                    .tm_sec = v[5]});
}

/* ---- The response -------------------------------------------------------------------------------- */

static bool same_number(struct span a, struct span b)
{
	while (a.n && !a.p[0])
		a.p++, a.n--;
	while (b.n && !b.p[0])
		b.p++, b.n--;
	return a.n == b.n && (!a.n || memcmp(a.p, b.p, a.n) == 0);
}

/* One certificate's: CertID, status, thisUpdate, nextUpdate. */
static enum tako__tls_staple_verdict read_single(struct tako__tls_staple *out, struct span in,
                                                 struct span serial)
{
	struct span id, skipped, number, when;
	unsigned status;

	if (!expect(&in, TAG_SEQUENCE, &id) || !expect(&id, TAG_SEQUENCE, &skipped) ||
	    !expect(&id, TAG_OCTETS, &skipped) || !expect(&id, TAG_OCTETS, &skipped) ||
	    !expect(&id, TAG_INTEGER, &number))
		return TAKO__TLS_STAPLE_MALFORMED;
	if (!same_number(number, serial))
		return TAKO__TLS_STAPLE_OTHER;
	status = next(&in, &skipped);
	if (status == TAG_1)
		return TAKO__TLS_STAPLE_REVOKED;
	if (status == TAG_UNKNOWN)
		return TAKO__TLS_STAPLE_UNKNOWN;
	if (status != TAG_GOOD || !expect(&in, TAG_TIME, &when) ||
	    (out->from_s = seconds(when)) < 0)
		return TAKO__TLS_STAPLE_MALFORMED;
	out->until_s = INT64_MAX;
	if (next(&in, &skipped) == TAG_0 &&
	    (!expect(&skipped, TAG_TIME, &when) || (out->until_s = seconds(when)) < 0))
		return TAKO__TLS_STAPLE_MALFORMED;
	return TAKO__TLS_STAPLE_GOOD;
}

/* ResponseData: version, who, when, and what of each certificate. */
static enum tako__tls_staple_verdict read_data(struct tako__tls_staple *out, struct span in,
                                               struct span serial)
{
	enum tako__tls_staple_verdict verdict = TAKO__TLS_STAPLE_OTHER;
	struct span skipped, all, one;
	unsigned tag = next(&in, &skipped);

	if (tag == TAG_0)
		tag = next(&in, &skipped);
	if ((tag != TAG_1 && tag != TAG_2) || !expect(&in, TAG_TIME, &skipped) ||
	    !expect(&in, TAG_SEQUENCE, &all))
		return TAKO__TLS_STAPLE_MALFORMED;
	while (verdict == TAKO__TLS_STAPLE_OTHER && all.n)
		verdict = expect(&all, TAG_SEQUENCE, &one) ? read_single(out, one, serial)
		                                           : TAKO__TLS_STAPLE_MALFORMED;
	return verdict;
}

enum tako__tls_staple_verdict tako__tls_staple_read(struct tako__tls_staple *out,
                                                    const unsigned char *p, size_t n,
                                                    const unsigned char *serial, size_t serial_n)
{
	struct span in = {p, n}, response, status, bytes, basic, data;

	if (!expect(&in, TAG_SEQUENCE, &response) || in.n ||
	    !expect(&response, TAG_ENUMERATED, &status) || status.n != 1)
		return TAKO__TLS_STAPLE_MALFORMED;
	if (status.p[0])
		return TAKO__TLS_STAPLE_ERROR;
	if (!expect(&response, TAG_0, &bytes) || !expect(&bytes, TAG_SEQUENCE, &bytes) ||
	    !expect(&bytes, TAG_OID, &basic) || !expect(&bytes, TAG_OCTETS, &basic) ||
	    !expect(&basic, TAG_SEQUENCE, &basic) || !expect(&basic, TAG_SEQUENCE, &data))
		return TAKO__TLS_STAPLE_MALFORMED;
	return read_data(out, data, (struct span){serial, serial_n});
}

/* ---- Is it good? ----------------------------------------------------------------------------------- */

static int refuse(enum tako__tls_staple_verdict verdict)
{
	static const char *const words[] = {
		[TAKO__TLS_STAPLE_GOOD] = "",
		[TAKO__TLS_STAPLE_MALFORMED] = "it is no OCSP response in DER",
		[TAKO__TLS_STAPLE_ERROR] = "the responder had no answer",
		[TAKO__TLS_STAPLE_OTHER] = "it is for another certificate",
		[TAKO__TLS_STAPLE_REVOKED] = "it says that the certificate is revoked",
		[TAKO__TLS_STAPLE_UNKNOWN] = "its signer does not know the certificate",
	};

	return tako__fail(TAKO_ETLS, "ocsp_file: %s", words[verdict]);
}

static int check_dates(const struct tako__tls_staple *s)
{
	int64_t now = (int64_t)time(NULL);
	bool expired = s->until_s < now;
	time_t t = (time_t)(expired ? s->until_s : s->from_s);
	char when[32];
	struct tm tm;

	if (!expired && s->from_s <= now + EARLY_S)
		return 0;
	strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", gmtime_r(&t, &tm));
	return tako__fail(TAKO_ETLS, "ocsp_file: it is good %s %s UTC only",
	                  expired ? "until" : "from", when);
}

static int check_words(const struct tako__cert_version *v)
{
	unsigned char serial[SERIAL_BYTES];
	int n = sizeof serial;
	struct tako__tls_staple s;
	enum tako__tls_staple_verdict verdict;
	WOLFSSL_X509 *x = wolfSSL_X509_load_certificate_buffer(
		(const unsigned char *)v->chain.p, (int)v->chain.n, tako__tls_format(&v->chain));
	bool ok = x && wolfSSL_X509_get_serial_number(x, serial, &n) == WOLFSSL_SUCCESS;

	if (x)
		wolfSSL_X509_free(x);
	if (!ok)
		return tako__fail(TAKO_ETLS, "ocsp_file: the certificate has no serial number");
	verdict = tako__tls_staple_read(&s, (const unsigned char *)v->ocsp.p, v->ocsp.n, serial,
	                                (size_t)n);
	return verdict == TAKO__TLS_STAPLE_GOOD ? check_dates(&s) : refuse(verdict);
}

/* What stands behind the certificate in its chain; n is 0 where nothing does. */
static struct span signers(const struct tako__cert_version *v)
{
	static const char end[] = "-----END CERTIFICATE-----";
	const char *rest = memmem(v->chain.p, v->chain.n, end, sizeof end - 1);
	struct span s = {NULL, 0};

	if (rest) {
		rest += sizeof end - 1;
		s.p = (const unsigned char *)rest;
		s.n = (size_t)(v->chain.p + v->chain.n - rest);
		s.n = memmem(s.p, s.n, end, sizeof end - 1) ? s.n : 0;
	}
	return s;
}

/* By whom it has to be signed, or a delegate of his. */
static int check_signature(const struct tako__cert_version *v, struct span by)
{
	WOLFSSL_CERT_MANAGER *cm = wolfSSL_CertManagerNew();
	CertStatus status;
	OcspEntry entry;
	int rc = MEMORY_E;

	memset(&status, 0, sizeof status);
	memset(&entry, 0, sizeof entry);
	if (cm)
		rc = wolfSSL_CertManagerLoadCABuffer(cm, by.p, (long)by.n, WOLFSSL_FILETYPE_PEM);
	if (rc == WOLFSSL_SUCCESS)
		rc = wolfSSL_CertManagerEnableOCSP(cm, 0);
	if (rc == WOLFSSL_SUCCESS)
		rc = wolfSSL_CertManagerCheckOCSPResponse(cm, (unsigned char *)(uintptr_t)v->ocsp.p,
		                                          (int)v->ocsp.n, NULL, &status, &entry,
		                                          NULL);
	if (cm)
		wolfSSL_CertManagerFree(cm);
	if (tako__tls_lib_short() || rc == MEMORY_E)
		return tako__fail(TAKO_ENOMEM, "ocsp_file: out of memory");
	return rc == WOLFSSL_SUCCESS ? 0
	                             : tako__fail(TAKO_ETLS, "ocsp_file: it is not signed by the "
	                                                     "certificate's signer");
}

/* Later ones do not. */
bool tako__tls_staple_leaks(uint32_t version, bool is_mended)
{
	return version <= LEAKS && !is_mended;
}

int tako__tls_staple_check(const struct tako__cert_version *v)
{
#ifdef TAKO__WOLFSSL_MENDED
	const bool mended = true;
#else
	const bool mended = false;
#endif
	struct span by = signers(v);
	int rc;

	if (tako__tls_staple_leaks(wolfSSL_lib_version_hex(), mended))
		return tako__fail(TAKO_ENOTSUP,
		                  "ocsp_file: wolfSSL %s loses memory with each TLS 1.3 "
		                  "handshake that asks for a staple",
		                  wolfSSL_lib_version());
	if (!by.n)
		return tako__fail(TAKO_ETLS, "ocsp_file needs a chain that holds the certificate's "
		                             "signer");
	rc = check_words(v);
	if (tako__tls_lib_short())
		return tako__fail(TAKO_ENOMEM, "ocsp_file: out of memory");
	return rc == 0 ? check_signature(v, by) : rc;
}

int tako__tls_staple_apply(WOLFSSL_CTX *ctx, const struct tako__cert_version *v)
{
	struct span by = signers(v);

	if (wolfSSL_CTX_load_verify_buffer(ctx, by.p, (long)by.n, WOLFSSL_FILETYPE_PEM) !=
	            WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_set_tlsext_status_cb(ctx, tako__tls_status_cb) != WOLFSSL_SUCCESS)
		return tako__fail(TAKO_ETLS, "ocsp_file: the certificate's signer is not usable");
	return 0;
}
