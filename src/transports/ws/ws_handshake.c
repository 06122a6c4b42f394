/* SPDX-License-Identifier: MIT
 *
 * See ws_handshake.h.
 */
#include "transports/ws/ws_handshake.h"

#include "core/exchange.h"
#include "core/str.h"
#include "core/value.h"
#include "transports/ws/ws_key.h"
#include "transports/ws/ws_origin.h"
#include "transports/ws/ws_pack.h"

enum { PROTOCOLS_MAX = 64 }; /* that a client may offer */

/* What to answer instead. */
struct refusal {
	int status;
	const char *why;
};
static const struct refusal none = {0, NULL};

/* ---- Fields ------------------------------------------------------------------------------ */

static bool is_named(tako_str name, const char *what)
{
	return tako_str_ieq(name, tako_str_z(what));
}

/* The value of a field that may be there once; absent also if it is there more often. */
static tako_str only(const tako_req *req, const char *what)
{
	tako_str name, value, found = {NULL, 0};
	unsigned count = 0;

	for (size_t i = 0; tako_req_header_at(req, i, &name, &value); i++) {
		if (is_named(name, what)) {
			found = value;
			count++;
		}
	}
	return count == 1 ? found : (tako_str){NULL, 0};
}

/* Is `token` one that the client offers?  Compared as it is: subprotocols have cases. */
static bool offers(const tako_req *req, tako_str token, tako_str *ret)
{
	tako_str name, value, item;

	for (size_t i = 0; tako_req_header_at(req, i, &name, &value); i++) {
		if (!is_named(name, "sec-websocket-protocol"))
			continue;
		while (tako__element_next(&value, &item)) {
			if (tako_str_eq(item, token)) {
				*ret = item;
				return true;
			}
		}
	}
	return false;
}

static tako_str choose_protocol(const tako_req *req, const char *const *list)
{
	tako_str found = {NULL, 0};

	for (; list && *list && !offers(req, tako_str_z(*list), &found); list++)
		;
	return found;
}

/* Tokens, each of them once (section 4.1).  The client's head is bounded, and so are they. */
static bool protocols_ok(const tako_req *req)
{
	tako_str seen[PROTOCOLS_MAX];
	tako_str name, value, item;
	unsigned count = 0;

	for (size_t i = 0; tako_req_header_at(req, i, &name, &value); i++) {
		if (!is_named(name, "sec-websocket-protocol"))
			continue;
		while (tako__element_next(&value, &item)) {
			if (count == PROTOCOLS_MAX || !tako__all(item.p, item.n, TAKO__C_TOKEN))
				return false;
			for (unsigned k = 0; k < count; k++) {
				if (tako_str_eq(seen[k], item))
					return false;
			}
			seen[count++] = item;
		}
	}
	return true;
}

/* ---- Checks -------------------------------------------------------------------------------- */

int tako__ws_lists_check(const tako_ws_config *cfg)
{
	for (const char *const *s = cfg->subprotocols; s && *s; s++) {
		size_t n = strlen(*s);

		if (!n || !tako__all(*s, n, TAKO__C_TOKEN))
			return tako__fail(TAKO_EINVAL, "subprotocol \"%s\" is no token", *s);
	}
	return tako__origins_check(cfg->origins);
}

static bool asks(const struct tako__exchange *x)
{
	tako_str list = x->upgrade;
	tako_str item;

	while (tako__element_next(&list, &item)) {
		if (tako_str_ieq(item, TAKO_STR("websocket")))
			return true;
	}
	return false;
}

static struct refusal check(const tako_req *req, const tako_ws_config *cfg)
{
	const struct tako__exchange *x = tako__x(req);
	tako_str version = only(req, "sec-websocket-version");
	bool h1 = x->version < 20;

	/* Later versions have a method for it, which is how it was asked for. */
	if (h1 && x->method_id != TAKO__GET)
		return (struct refusal){405, "a WebSocket begins with GET"};
	if (!asks(x))
		return (struct refusal){426, "this is a WebSocket"};
	if (!(x->flags & TAKO__X_BODY_DONE))
		return (struct refusal){400, "a WebSocket's request has no body"};
	if (!version.p)
		return (struct refusal){400, "no Sec-WebSocket-Version, or several"};
	if (!tako_str_eq(version, TAKO_STR("13")))
		return (struct refusal){426, "this is version 13 of WebSocket"};
	if (h1 && !tako__ws_key_ok(only(req, "sec-websocket-key")))
		return (struct refusal){400, "no Sec-WebSocket-Key of 16 bytes, or several"};
	if (!protocols_ok(req))
		return (struct refusal){400, "malformed Sec-WebSocket-Protocol, or one twice"};
	if (!tako__origin_allowed(only(req, "origin"), cfg->origins))
		return (struct refusal){403, "not from this origin"};
	return none;
}

/* ---- Answers ---------------------------------------------------------------------------------- */

/* Both are required of HTTP/1.1 (RFC 9110 sections 15.5.22 and 7.8), unknown to later versions, and not
 * for users to set. */
static int add_upgrade(struct tako__exchange *x)
{
	int rc;

	if (x->version >= 20)
		return 0;
	rc = tako__exchange_add_field(x, TAKO_STR("Upgrade"), TAKO_STR("websocket"));
	if (rc == 0)
		rc = tako__exchange_add_field(x, TAKO_STR("Connection"), TAKO_STR("Upgrade"));
	return rc;
}

static int refuse(tako_res *res, struct refusal r)
{
	int rc = 0;

	if (r.status == 405)
		rc = tako_res_set_header(res, "Allow", "GET");
	if (r.status == 426)
		rc = tako_res_set_header(res, "Sec-WebSocket-Version", "13");
	if (rc == 0 && r.status == 426)
		rc = add_upgrade(tako__x(res));
	if (rc == 0)
		rc = tako_res_text(res, r.status, "%s\n", r.why);
	return rc < 0 ? rc : tako__fail(TAKO_EINVAL, "%s", r.why);
}

static int add_accept(tako_req *req, tako_res *res)
{
	struct tako__exchange *x = tako__x(res);
	char *answer;

	if (x->version >= 20)
		return 0;
	answer = tako__arena_alloc(&x->arena, TAKO__WS_ACCEPT_BYTES);
	if (!answer)
		return TAKO_ENOMEM;
	tako__ws_key_answer(answer, only(req, "sec-websocket-key"));
	return tako__exchange_add_field(x, TAKO_STR("Sec-WebSocket-Accept"),
	                                (tako_str){answer, TAKO__WS_ACCEPT_BYTES});
}

static int add_extensions(tako_req *req, tako_res *res, const struct tako__ws_conf *conf,
                          struct tako__ws_agreed *ret)
{
	static const struct refusal malformed = {400, "malformed Sec-WebSocket-Extensions"};
	int rc;

	rc = tako__ws_pack_agree(req, res, &conf->deflate, &ret->deflate, &ret->deflates);
	return rc == TAKO_EINVAL ? refuse(res, malformed) : rc;
}

int tako__ws_handshake(tako_req *req, tako_res *res, const struct tako__ws_conf *conf,
                       struct tako__ws_agreed *ret)
{
	struct refusal r = check(req, &conf->cfg);
	int rc;

	if (r.status)
		return refuse(res, r);
	/* First: it may still be refused. */
	rc = add_extensions(req, res, conf, ret);
	if (rc == 0)
		rc = add_accept(req, res);
	ret->subprotocol = choose_protocol(req, conf->cfg.subprotocols);
	if (rc == 0 && ret->subprotocol.p)
		rc = tako_res_header_str(res, TAKO_STR("Sec-WebSocket-Protocol"), ret->subprotocol);
	return rc;
}
