/* SPDX-License-Identifier: MIT
 *
 * What a PROXY header said, for handlers.
 */
#include <stdio.h>
#include <string.h>
#include <tako/proxy.h>

#include "core/conn.h"
#include "core/exchange.h"
#include "core/mem.h"
#include "core/proxied.h"
#include "transports/proxy/proxy_parse.h"

bool tako_proxy_next_tlv(tako_str *rest, uint32_t *type, tako_str *value)
{
	uint8_t byte;

	if (!tako__proxy_next_tlv(rest, &byte, value))
		return false;
	*type = byte;
	return true;
}

/* A path of AF_UNIX: an abstract one is shown as "@name", as others do. */
static const char *unix_text(struct tako__arena *arena, const char *path, size_t n)
{
	char *text = tako__arena_alloc(arena, sizeof "unix:" + n);

	if (!text)
		return NULL;
	memcpy(text, "unix:", 5);
	if (n)
		memcpy(text + 5, path, n);
	if (n && !path[0])
		text[5] = '@';
	text[5 + n] = '\0';
	return text;
}

static const char *addr_text(struct tako__arena *arena, const union tako__proxy_addr *a,
                             const char *path, size_t path_n)
{
	char text[80];
	size_t n;

	if (a->any.sa_family == AF_UNIX)
		return unix_text(arena, path, path_n);
	n = tako__addr_format(&a->any, text, sizeof text);
	return tako__arena_strndup(arena, text, n);
}

/* The first one counts: what a balancer adds is behind what was there. */
static void set_once(tako_str *field, tako_str value)
{
	if (!field->p)
		*field = value;
}

static void set_ssl(tako_proxy_info *info, tako_str value)
{
	tako_str rest = {value.p + 5, value.n - 5};
	tako_str inner;
	uint32_t type;

	if (info->ssl_client || info->ssl_version.p)
		return;
	info->ssl_client = (unsigned char)value.p[0];
	for (int i = 1; i < 5; i++)
		info->ssl_verify = info->ssl_verify << 8 | (unsigned char)value.p[i];
	while (tako_proxy_next_tlv(&rest, &type, &inner)) {
		if (type == TAKO_PROXY_TLV_SSL_VERSION)
			set_once(&info->ssl_version, inner);
		else if (type == TAKO_PROXY_TLV_SSL_CN)
			set_once(&info->ssl_cn, inner);
		else if (type == TAKO_PROXY_TLV_SSL_CIPHER)
			set_once(&info->ssl_cipher, inner);
		else if (type == TAKO_PROXY_TLV_SSL_SIG_ALG)
			set_once(&info->ssl_sig_alg, inner);
		else if (type == TAKO_PROXY_TLV_SSL_KEY_ALG)
			set_once(&info->ssl_key_alg, inner);
	}
}

static void set_tlvs(tako_proxy_info *info)
{
	tako_str rest = info->tlvs;
	tako_str value;
	uint32_t type;

	while (tako_proxy_next_tlv(&rest, &type, &value)) {
		if (type == TAKO_PROXY_TLV_ALPN)
			set_once(&info->alpn, value);
		else if (type == TAKO_PROXY_TLV_AUTHORITY)
			set_once(&info->authority, value);
		else if (type == TAKO_PROXY_TLV_UNIQUE_ID)
			set_once(&info->unique_id, value);
		else if (type == TAKO_PROXY_TLV_NETNS)
			set_once(&info->netns, value);
		else if (type == TAKO_PROXY_TLV_SSL)
			set_ssl(info, value);
	}
}

static int fill(tako_proxy_info *info, struct tako__arena *arena, const struct tako__conn *c)
{
	const struct tako__proxied *d = c->proxied;
	const char *tlvs = d->data + d->src_path_n + d->dst_path_n;
	union tako__proxy_addr peer;

	memcpy(&peer, &c->peer, sizeof peer);
	info->version = d->version;
	info->local = d->local;
	info->datagram = d->dgram;
	if (!d->local) {
		info->source = addr_text(arena, &peer, d->data, d->src_path_n);
		info->destination = addr_text(arena, &d->dst, d->data + d->src_path_n,
		                              d->dst_path_n);
		if (!info->source || !info->destination)
			return TAKO_ENOMEM;
	}
	/* An exchange may outlive the connection. */
	info->tlvs.p = tako__arena_strndup(arena, tlvs, d->tlv_n);
	info->tlvs.n = d->tlv_n;
	if (!info->tlvs.p)
		return TAKO_ENOMEM;
	set_tlvs(info);
	return 0;
}

int tako__proxied_info(struct tako__conn *c, struct tako__arena *arena, tako_proxy_info *out)
{
	tako_proxy_info info = {.size = sizeof info};

	if (!out || out->size < sizeof(size_t) || out->size > sizeof info)
		return tako__fail(TAKO_EINVAL, "tako_proxy_info: size is not set");
	if (!c || !c->proxied)
		return tako__fail(TAKO_ENOENT, "the connection began without a PROXY header");
	if (fill(&info, arena, c) < 0)
		return tako__fail(TAKO_ENOMEM, "PROXY info: out of memory");
	info.size = out->size;
	memcpy(out, &info, out->size);
	return 0;
}

int tako_req_proxy_info(tako_req *req, tako_proxy_info *out)
{
	struct tako__exchange *x = tako__x(req);

	return tako__proxied_info(x->conn, &x->arena, out);
}
