/* SPDX-License-Identifier: MIT
 *
 * Certificates and keys as somebody's disk may have them: a good pair in DER, with bytes changed,
 * cut off or put in its place altogether.  Whatever comes of it, it is a certificate or an error
 * with a sentence.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transports/tls/tls_lib.h"
#include "transports/tls/tls_self.h"

enum { EDIT_BYTES = 3 };

static struct tako__tls_blob good_cert;
static struct tako__tls_blob good_key;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char *const names[] = {"localhost", "*.example.org", "127.0.0.1", NULL};

	(void)argc;
	(void)argv;
	if (tako__tls_lib_enter() < 0 || tako__self_signed(&good_cert, &good_key, names, 30) < 0)
		abort();
	return 0;
}

/* Where, of which the high bit says to cut there instead, and what. */
static size_t edit(char *p, size_t n, const uint8_t *data)
{
	size_t at = ((size_t)data[0] << 8 | data[1]) & 0x7fff;

	if (n == 0)
		return 0;
	at %= n;
	if (data[0] & 0x80)
		return at;
	p[at] = (char)data[2];
	return n;
}

/* The first byte: bit 0, the key instead of the certificate; bit 1, all of it as it comes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	tako_cert_config c = {.size = sizeof c};
	tako_str *target;
	tako_cert *cert = NULL;
	char changed[8192];

	if (n < 1 || n > sizeof changed)
		return 0;
	c.cert = (tako_str){good_cert.p, good_cert.n};
	c.key = (tako_str){good_key.p, good_key.n};
	target = data[0] & 1 ? &c.key : &c.cert;
	if (data[0] & 2) {
		memcpy(changed, data + 1, n - 1);
		target->n = n - 1;
	} else {
		memcpy(changed, target->p, target->n);
		for (size_t i = 1; i + EDIT_BYTES <= n; i += EDIT_BYTES)
			target->n = edit(changed, target->n, data + i);
	}
	target->p = changed;
	if (tako_cert_new(&cert, &c) == 0) {
		tako_cert_info info = {.size = sizeof info};

		if (tako_cert_get_info(cert, &info) < 0 || info.generation != 1)
			abort();
		(void)tako_cert_matches(cert, TAKO_STR("a.example.org"));
		tako_cert_free(cert);
	} else if (!tako_last_error()[0]) {
		abort();
	}
	return 0;
}
