/* SPDX-License-Identifier: MIT
 *
 * See tls_name.h.  Names are compared as they stand in the certificate: one with a NUL in it is nobody's, and an
 * address is four or sixteen bytes and no text, so that no DNS name can be taken for one.
 */
#include "transports/tls/tls_name.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

/* A wildcard is a whole label, the first, and stands for one (RFC 9525 section 6.3); what is behind it has to
 * be somebody's domain, and no top of one. */
bool tako__tls_name_fits(const char *pattern, size_t n, const char *host)
{
	size_t host_n = strlen(host);
	const char *rest;

	if (host_n && host[host_n - 1] == '.') /* absolute */
		host_n--;
	if (!n || memchr(pattern, '\0', n))
		return false;
	if (pattern[0] != '*')
		return n == host_n && strncasecmp(pattern, host, n) == 0;
	rest = memchr(host, '.', host_n);
	if (n < 3 || pattern[1] != '.' || !memchr(pattern + 2, '.', n - 2) || !rest || rest == host)
		return false;
	return n - 1 == (size_t)(host + host_n - rest) &&
	       strncasecmp(pattern + 1, rest, n - 1) == 0;
}

/* Its bytes; 0: it is no address. */
static size_t parse_ip(unsigned char ip[16], const char *host)
{
	if (inet_pton(AF_INET, host, ip) == 1)
		return 4;
	return inet_pton(AF_INET6, host, ip) == 1 ? 16 : 0;
}

static bool fits(const WOLFSSL_GENERAL_NAME *name, const char *host, const unsigned char *ip,
                 size_t ip_n)
{
	const WOLFSSL_ASN1_STRING *s = ip_n ? name->d.iPAddress : name->d.dNSName;
	const unsigned char *p;
	int n;

	if (name->type != (ip_n ? TAKO__TLS_NAME_IP : TAKO__TLS_NAME_DNS))
		return false;
	p = wolfSSL_ASN1_STRING_get0_data(s);
	n = wolfSSL_ASN1_STRING_length((WOLFSSL_ASN1_STRING *)(uintptr_t)s);
	if (!p || n <= 0)
		return false;
	if (ip_n)
		return (size_t)n == ip_n && memcmp(p, ip, ip_n) == 0;
	return tako__tls_name_fits((const char *)p, (size_t)n, host);
}

bool tako__tls_names_host(WOLFSSL_X509 *x, const char *host)
{
	WOLF_STACK_OF(WOLFSSL_GENERAL_NAME) *all = wolfSSL_X509_get_ext_d2i(x, NID_subject_alt_name,
	                                                                    NULL, NULL);
	int count = all ? wolfSSL_sk_GENERAL_NAME_num(all) : 0;
	unsigned char ip[16];
	size_t ip_n = parse_ip(ip, host);
	bool found = false;

	for (int i = 0; i < count && !found; i++) {
		const WOLFSSL_GENERAL_NAME *name = wolfSSL_sk_GENERAL_NAME_value(all, i);

		found = name && fits(name, host, ip, ip_n);
	}
	if (all)
		wolfSSL_sk_GENERAL_NAME_pop_free(all, NULL);
	return found;
}
