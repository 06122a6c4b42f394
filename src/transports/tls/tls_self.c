/* SPDX-License-Identifier: MIT
 *
 * Certificates that sign themselves, for development: one P-256 key, a handful of names.  Writes
 * files and nothing else; they are loaded as any others are.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "transports/tls/tls_lib.h"
#include "transports/tls/tls_self.h"

#include <wolfssl/wolfcrypt/random.h>

enum {
	DER_BYTES = 4096,
	NAMES_MAX = 16,
	DAYS_DEFAULT = 90,
	DAYS_MAX = 800, /* clients take no more than 825 */
	KEY_BYTES = 32,
};

/* ---- Files ---------------------------------------------------------------------------------- */

static int write_all(int fd, const unsigned char *p, size_t n)
{
	while (n) {
		ssize_t step = write(fd, p, n);

		if (step < 0 && errno == EINTR)
			continue;
		if (step < 0)
			return -1;
		p += step;
		n -= (size_t)step;
	}
	return fsync(fd);
}

/* Beside its place and then moved there: nobody reads half a key. */
static int write_file(const char *path, const unsigned char *p, size_t n, mode_t mode)
{
	char beside[4096];
	int fd;
	int rc = 0;

	if (snprintf(beside, sizeof beside, "%s.%d.new", path, (int)getpid()) >= (int)sizeof beside)
		return tako__fail(TAKO_EINVAL, "a path that is too long");
	unlink(beside);
	fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return tako__fail_errno("%.200s", beside);
	if (write_all(fd, p, n) < 0 || rename(beside, path) < 0) {
		rc = tako__fail_errno("%.200s", path);
		unlink(beside);
	}
	close(fd);
	return rc;
}

static int write_pem(const char *path, const struct tako__tls_blob *der, int type, mode_t mode)
{
	unsigned char *pem = tako__alloc(2 * DER_BYTES);
	int n = pem ? wc_DerToPem((const unsigned char *)der->p, (word32)der->n, pem, 2 * DER_BYTES,
	                          type)
	            : MEMORY_E;
	int rc = n > 0 ? write_file(path, pem, (size_t)n, mode) : tako__tls_fail(n, "PEM");

	if (pem)
		explicit_bzero(pem, 2 * DER_BYTES);
	tako__free(pem, 2 * DER_BYTES);
	return rc;
}

/* ---- Names ------------------------------------------------------------------------------------ */

static int put_name(unsigned char *to, size_t room, const char *name)
{
	unsigned char address[16];
	size_t n = 0;

	if (inet_pton(AF_INET, name, address) == 1)
		n = 4;
	else if (inet_pton(AF_INET6, name, address) == 1)
		n = 16;
	if (n == 0)
		n = strlen(name);
	else
		name = (const char *)address;
	/* One byte of length is all that a host name needs (RFC 5280 section 4.2.1.6). */
	if (n == 0 || n > 127 || n + 2 > room)
		return tako__fail(TAKO_EINVAL, "a certificate's name is empty or too long");
	to[0] = (unsigned char)(0x80 | (name == (const char *)address ? TAKO__TLS_NAME_IP
	                                                              : TAKO__TLS_NAME_DNS));
	to[1] = (unsigned char)n;
	memcpy(to + 2, name, n);
	return (int)n + 2;
}

/* A SEQUENCE of them, whose length DER wants in as few bytes as will do. */
static int put_names(Cert *cert, const char *const *names)
{
	unsigned char list[sizeof cert->altNames - 4] = {0};
	size_t n = 0;
	size_t head;

	for (unsigned i = 0; names[i]; i++) {
		int step = i == NAMES_MAX ? tako__fail(TAKO_EINVAL, "more than %d names", NAMES_MAX)
		                          : put_name(list + n, sizeof list - n, names[i]);

		if (step < 0)
			return step;
		n += (size_t)step;
	}
	cert->altNames[0] = 0x30;
	head = n < 0x80 ? 2 : n < 0x100 ? 3 : 4;
	cert->altNames[1] = (unsigned char)(head == 2 ? n : 0x80 + head - 2);
	if (head == 3)
		cert->altNames[2] = (unsigned char)n;
	if (head == 4) {
		cert->altNames[2] = (unsigned char)(n >> 8);
		cert->altNames[3] = (unsigned char)n;
	}
	memcpy(cert->altNames + head, list, n);
	cert->altNamesSz = (int)(head + n);
	return 0;
}

/* ---- Making one --------------------------------------------------------------------------------- */

static int sign(unsigned char *der, const char *const *names, uint32_t days, ecc_key *key,
                WC_RNG *rng)
{
	Cert *cert = tako__zalloc(sizeof *cert);
	int rc;

	if (!cert)
		return tako__fail(TAKO_ENOMEM, "certificate: out of memory");
	rc = wc_InitCert(cert);
	if (rc == 0)
		rc = put_names(cert, names);
	if (rc == 0) {
		snprintf(cert->subject.commonName, sizeof cert->subject.commonName, "%.60s",
		         names[0]);
		snprintf(cert->subject.org, sizeof cert->subject.org, "tako development");
		cert->sigType = CTC_SHA256wECDSA;
		cert->daysValid = (int)days;
		cert->selfSigned = 1;
		/* A server's, and no authority's: a key that leaks signs for nobody else. */
		rc = wc_MakeCert(cert, der, DER_BYTES, NULL, key, rng);
		if (rc > 0)
			rc = wc_SignCert(cert->bodySz, cert->sigType, der, DER_BYTES, NULL, key,
			                 rng);
		if (rc < 0)
			rc = tako__tls_fail(rc, "certificate");
	}
	tako__free(cert, sizeof *cert);
	return rc;
}

static int make(struct tako__tls_blob *cert, struct tako__tls_blob *key_out,
                const char *const *names, uint32_t days, ecc_key *key, WC_RNG *rng)
{
	unsigned char *der = tako__alloc(DER_BYTES);
	int rc = der ? wc_ecc_make_key_ex(rng, KEY_BYTES, key, ECC_SECP256R1) : MEMORY_E;
	int n = rc == 0 ? wc_EccKeyToDer(key, der, DER_BYTES) : rc;

	rc = n > 0 ? tako__tls_copy(key_out, der, (size_t)n) : tako__tls_fail(n, "key");
	if (rc == 0)
		rc = sign(der, names, days, key, rng);
	if (rc > 0)
		rc = tako__tls_copy(cert, der, (size_t)rc);
	if (der)
		explicit_bzero(der, DER_BYTES);
	tako__free(der, DER_BYTES);
	return rc;
}

int tako__self_signed(struct tako__tls_blob *cert, struct tako__tls_blob *key_out,
                      const char *const *names, uint32_t days)
{
	ecc_key key;
	WC_RNG rng;
	int rc = wc_InitRng(&rng);

	if (rc != 0)
		return tako__tls_fail(rc, "random numbers");
	rc = wc_ecc_init(&key);
	if (rc == 0) {
		rc = make(cert, key_out, names, days, &key, &rng);
		wc_ecc_free(&key);
	}
	wc_FreeRng(&rng);
	return tako__tls_lib_short() ? tako__fail(TAKO_ENOMEM, "certificate: out of memory") : rc;
}

int tako_cert_self_signed(const char *cert_file, const char *key_file, const char *const *names,
                          uint32_t days)
{
	struct tako__tls_blob cert = {NULL, 0};
	struct tako__tls_blob key = {NULL, 0};
	int rc;

	if (!cert_file || !key_file || !names || !names[0] || days > DAYS_MAX)
		return tako__fail(TAKO_EINVAL,
		                  "tako_cert_self_signed: no file or no name, or over %d "
		                  "days",
		                  DAYS_MAX);
	rc = tako__tls_lib_enter();
	if (rc < 0)
		return rc;
	rc = tako__self_signed(&cert, &key, names, days ? days : DAYS_DEFAULT);
	if (rc == 0)
		rc = write_pem(key_file, &key, ECC_PRIVATEKEY_TYPE, 0600);
	if (rc == 0)
		rc = write_pem(cert_file, &cert, CERT_TYPE, 0644);
	tako__tls_wipe(&cert);
	tako__tls_wipe(&key);
	tako__tls_lib_leave();
	return rc;
}
