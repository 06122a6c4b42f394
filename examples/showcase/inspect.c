/* SPDX-License-Identifier: MIT
 *
 * /inspect: the request as the server understood it, as JSON.
 */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "showcase.h"

/* Being built.  The first failure sticks: cJSON fails only without memory. */
struct answer {
	tako_req *req;
	bool failed;
};

/* The bytes of a UTF-8 sequence (RFC 3629 section 4) at p, or 0 if there is none. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
	unsigned low = 0x80, high = 0xbf;
	size_t length = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	if (length == 0 || length > n || p[0] > 0xf4)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	if (p[0] == 0xf0)
		low = 0x90;
	if (p[0] == 0xed)
		high = 0x9f;
	if (p[0] == 0xf4)
		high = 0x8f;
	for (size_t i = 1; i < length; i++, low = 0x80, high = 0xbf) {
		if (p[i] < low || p[i] > high)
			return 0;
	}
	return length;
}

/* JSON is UTF-8, header fields need not be (RFC 9110 section 5.5): a byte that is part of no
 * character is shown as the one that ISO 8859-1 has there.  Two bytes for one, at most. */
static void to_utf8(char *out, tako_str in)
{
	const unsigned char *p = (const unsigned char *)in.p;

	for (size_t i = 0; i < in.n;) {
		size_t n = utf8_length(p + i, in.n - i);

		if (n == 0) {
			*out++ = (char)(0xc0 | p[i] >> 6);
			*out++ = (char)(0x80 | (p[i++] & 0x3f));
			continue;
		}
		memcpy(out, p + i, n);
		out += n;
		i += n;
	}
	*out = '\0';
}

static cJSON *text(struct answer *a, tako_str s)
{
	char *z;

	if (!s.p)
		return cJSON_CreateNull();
	z = tako_req_alloc(a->req, 2 * s.n + 1);
	if (!z)
		return NULL;
	to_utf8(z, s);
	return cJSON_CreateString(z);
}

static void put(struct answer *a, cJSON *object, const char *name, cJSON *item)
{
	bool ok = name ? cJSON_AddItemToObject(object, name, item)
	               : cJSON_AddItemToArray(object, item);

	if (!ok) {
		cJSON_Delete(item);
		a->failed = true;
	}
}

static cJSON *headers(struct answer *a)
{
	cJSON *list = cJSON_CreateArray();
	tako_str name, value;

	for (size_t i = 0; list && tako_req_header_at(a->req, i, &name, &value); i++) {
		cJSON *pair = cJSON_CreateArray();

		put(a, pair, NULL, text(a, name));
		put(a, pair, NULL, text(a, value));
		put(a, list, NULL, pair);
	}
	return list;
}

static const char *version_text(int version)
{
	switch (version) {
	case 10:
		return "1.0";
	case 11:
		return "1.1";
	case 20:
		return "2";
	default:
		return "3";
	}
}

static void put_connection(struct answer *a, cJSON *root)
{
	tako_conn_info info = {.size = sizeof info};

	if (tako_req_conn_info(a->req, &info) < 0) {
		a->failed = true;
		return;
	}
	put(a, root, "peer", text(a, tako_str_z(info.peer)));
	put(a, root, "local", text(a, tako_str_z(info.local)));
	put(a, root, "transport", text(a, tako_str_z(info.transport)));
	put(a, root, "tls", text(a, tako_str_z(info.tls)));
	put(a, root, "cipher", text(a, tako_str_z(info.cipher)));
	put(a, root, "alpn", text(a, tako_str_z(info.alpn)));
	put(a, root, "server_name", text(a, tako_str_z(info.server_name)));
	put(a, root, "resumed", cJSON_CreateBool((cJSON_bool)info.resumed));
	put(a, root, "connection", cJSON_CreateNumber((double)info.id));
	put(a, root, "connection_request", cJSON_CreateNumber((double)info.request_count));
}

static cJSON *content_length(tako_req *req)
{
	uint64_t n = tako_req_content_length(req);

	return n == TAKO_OFF64 ? cJSON_CreateNull() : cJSON_CreateNumber((double)n);
}

static void fill(struct answer *a, cJSON *root)
{
	tako_req *req = a->req;
	cJSON *params = cJSON_CreateObject();

	put(a, root, "method", text(a, tako_req_method(req)));
	put(a, root, "target", text(a, tako_req_target(req)));
	put(a, root, "raw_path", text(a, tako_req_raw_path(req)));
	put(a, root, "path", text(a, tako_req_path(req)));
	put(a, root, "query", text(a, tako_req_query(req)));
	put(a, root, "pattern", text(a, tako_req_pattern(req)));
	if (tako_req_param(req, "rest").p)
		put(a, params, "rest", text(a, tako_req_param(req, "rest")));
	put(a, root, "params", params);
	put(a, root, "host", text(a, tako_req_host(req)));
	put(a, root, "http_version", cJSON_CreateString(version_text(tako_req_version(req))));
	put(a, root, "content_length", content_length(req));
	put(a, root, "headers", headers(a));
	put(a, root, "id", text(a, tako_req_id(req)));
	put_connection(a, root);
}

int inspect(tako_req *req, tako_res *res, void *arg)
{
	struct answer a = {.req = req};
	cJSON *root = cJSON_CreateObject();
	char *json;
	int rc;

	(void)arg;
	fill(&a, root);
	json = a.failed ? NULL : cJSON_PrintUnformatted(root);
	cJSON_Delete(root);
	if (!json)
		return TAKO_ENOMEM;
	rc = tako_res_send(res, 200, "application/json", tako_str_z(json));
	cJSON_free(json);
	return rc;
}
