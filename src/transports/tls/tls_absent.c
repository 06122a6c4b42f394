/* SPDX-License-Identifier: MIT
 *
 * TLS's public face in a build without it (TLS=0): a transport that speaks no protocol, which
 * tako_server_listen() refuses, and certificates that cannot be made.
 */
#include <tako/connect.h>
#include <tako/raw.h>

#include "core/server.h"

const tako_transport *tako_tls(void)
{
	static const tako_transport transport = {.name = "TLS"};

	return &transport;
}

const tako_transport *tako_raw_tls(void)
{
	static const tako_transport transport = {.name = "raw TLS", .raw = true};

	return &transport;
}

static int refuse(void)
{
	return tako__fail(TAKO_ENOTSUP, "TLS is not in this build");
}

int tako_cert_new(tako_cert **out, const tako_cert_config *cfg)
{
	(void)out, (void)cfg;
	return refuse();
}

int tako_cert_reload(tako_cert *cert, const tako_cert_config *cfg)
{
	(void)cert, (void)cfg;
	return refuse();
}

tako_cert *tako_cert_ref(tako_cert *cert)
{
	return cert;
}

void tako_cert_free(tako_cert *cert)
{
	(void)cert;
}

int tako_cert_get_info(tako_cert *cert, tako_cert_info *out)
{
	(void)cert, (void)out;
	return refuse();
}

bool tako_cert_matches(tako_cert *cert, tako_str name)
{
	(void)cert, (void)name;
	return false;
}

int tako_cert_self_signed(const char *cert_file, const char *key_file, const char *const *names,
                          uint32_t days)
{
	(void)cert_file, (void)key_file, (void)names, (void)days;
	return refuse();
}

tako_cert_set *tako_cert_set_new(void)
{
	(void)refuse();
	return NULL;
}

int tako_cert_set_put(tako_cert_set *set, const char *name, tako_cert *cert)
{
	(void)set, (void)name, (void)cert;
	return refuse();
}

tako_cert *tako_cert_set_find(tako_str name, void *set)
{
	(void)name, (void)set;
	return NULL;
}

void tako_cert_set_free(tako_cert_set *set)
{
	(void)set;
}

int tako_ticket_keys_new(tako_ticket_keys **out, tako_str keys)
{
	(void)out, (void)keys;
	return refuse();
}

int tako_ticket_keys_set(tako_ticket_keys *k, tako_str keys)
{
	(void)k, (void)keys;
	return refuse();
}

void tako_ticket_keys_free(tako_ticket_keys *k)
{
	(void)k;
}

int tako_tls_client_new(tako_tls_client **out, const tako_tls_client_config *cfg)
{
	(void)out, (void)cfg;
	return refuse();
}

tako_tls_client *tako_tls_client_ref(tako_tls_client *tls)
{
	return tls;
}

void tako_tls_client_free(tako_tls_client *tls)
{
	(void)tls;
}
