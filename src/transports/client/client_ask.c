/* SPDX-License-Identifier: MIT
 *
 * What is asked for: checked as a whole and copied, before anything happens.  Nothing that could end a
 * line, a head or a body for one reader and not for another gets past here (RFC 9112 section 11).
 */
#include <string.h>

#include "core/base.h"
#include "core/exchange.h"
#include "core/method.h"
#include "core/str.h"
#include "transports/client/client_int.h"
#include "transports/client/client_url.h"

enum { FIELD_NAME_BYTES_MAX = 1024, CONNECT_BYTES_MAX = 512 };

/* ---- Checks ---------------------------------------------------------------------------- */

static int check_numbers(const tako_fetch_config *c)
{
	if (c->stream > 1 || c->expect_continue > 1 || c->no_retry > 1 || c->redirect_to_http > 1)
		return tako__fail(TAKO_EINVAL, "fetch: a switch that is neither 0 nor 1");
	if (c->total_timeout_ms > INT32_MAX && c->total_timeout_ms != TAKO_OFF)
		return tako__fail(TAKO_EINVAL, "fetch: total_timeout_ms is over %d", INT32_MAX);
	if (c->max_redirects > TAKO__FETCH_REDIRECTS_MAX)
		return tako__fail(TAKO_EINVAL, "fetch: max_redirects is over %d",
		                  TAKO__FETCH_REDIRECTS_MAX);
	if (c->redirect_to_http && !c->max_redirects)
		return tako__fail(TAKO_EINVAL, "fetch: redirect_to_http without max_redirects");
	if (c->body.n && !c->body.p)
		return tako__fail(TAKO_EINVAL, "fetch: a body of %zu bytes that are nowhere",
		                  c->body.n);
	if (c->stream && c->body.p)
		return tako__fail(TAKO_EINVAL, "fetch: both a body and a stream");
	if (c->stream_bytes && !c->stream)
		return tako__fail(TAKO_EINVAL, "fetch: stream_bytes without stream");
	if (c->on_writable && !c->stream)
		return tako__fail(TAKO_EINVAL, "fetch: on_writable without stream");
	if (c->expect_continue && !c->stream && !c->body.n)
		return tako__fail(TAKO_EINVAL, "fetch: expect_continue without a body");
	if (c->field_count > TAKO__FETCH_FIELDS_MAX)
		return tako__fail(TAKO_EINVAL, "fetch: more than %d fields",
		                  TAKO__FETCH_FIELDS_MAX);
	return 0;
}

static int check_method(const char *method)
{
	size_t n = strnlen(method, TAKO__METHOD_MAX_BYTES + 1);

	if (!n || n > TAKO__METHOD_MAX_BYTES || !tako__is_token(method, n))
		return tako__fail(TAKO_EINVAL, "fetch: the method is not a token of 1 to %d bytes",
		                  TAKO__METHOD_MAX_BYTES);
	if (tako__method_id(method, n) == TAKO__CONNECT)
		return tako__fail(TAKO_ENOTSUP, "fetch: there are no tunnels (CONNECT)");
	return 0;
}

/* What the client writes itself, or would have to understand: RFC 9110 sections 7.2, 7.6.1, 7.8, 10.1. */
static bool is_ours(tako_str name)
{
	static const char *const names[] = {
		"connection",     "content-length",    "expect",           "host",
		"http2-settings", "keep-alive",        "proxy-connection", "te",
		"trailer",        "transfer-encoding", "upgrade",
	};

	for (size_t i = 0; i < TAKO__COUNT(names); i++) {
		if (tako_str_ieq(name, tako_str_z(names[i])))
			return true;
	}
	return false;
}

static int check_field(tako_str name, tako_str value)
{
	if (!name.n || name.n > FIELD_NAME_BYTES_MAX || !tako__is_token(name.p, name.n))
		return tako__fail(TAKO_EINVAL, "fetch: a field name is not a token");
	if (!tako__field_value_ok(value))
		return tako__fail(TAKO_EINVAL, "fetch: control characters in the value of %.*s",
		                  TAKO_FMT(name));
	if (is_ours(name))
		return tako__fail(TAKO_EINVAL, "fetch: %.*s is the client's to send",
		                  TAKO_FMT(name));
	return 0;
}

static int check_fields(const tako_fetch_config *c)
{
	size_t bytes = 0;

	if (c->field_count && !c->fields)
		return tako__fail(TAKO_EINVAL, "fetch: field_count without fields");
	for (size_t i = 0; i < c->field_count; i++) {
		int rc = check_field(c->fields[i].name, c->fields[i].value);

		if (rc < 0)
			return rc;
		bytes += c->fields[i].name.n + c->fields[i].value.n + 4;
		if (bytes > TAKO__FETCH_HEAD_BYTES)
			return tako__fail(TAKO_EINVAL, "fetch: over %d bytes of fields",
			                  TAKO__FETCH_HEAD_BYTES);
	}
	return 0;
}

/* ---- Copies ------------------------------------------------------------------------------ */

/* *ret is set as well when it is absent.  False: no memory. */
static bool copy(tako_str *ret, struct tako__arena *a, tako_str s)
{
	*ret = (tako_str){NULL, 0};
	if (!s.p)
		return true;
	*ret = (tako_str){tako__arena_strndup(a, s.p, s.n), s.n};
	return ret->p != NULL;
}

static bool add_field(struct tako_fetch *f, tako_str name, tako_str value)
{
	tako_str n;
	tako_str v;

	value = tako__str_trim(value);
	if (!copy(&n, &f->arena, name) || !copy(&v, &f->arena, value.p ? value : (tako_str){"", 0}))
		return false;
	f->fields[f->field_count++] = (struct tako__field){n.p, v.p, (uint32_t)n.n, (uint32_t)v.n};
	return true;
}

static bool copy_fields(struct tako_fetch *f, const tako_fetch_config *c)
{
	const char *agent = f->client->user_agent;

	/* One more for User-Agent. */
	f->fields = tako__arena_alloc(&f->arena, (c->field_count + 1) * sizeof *f->fields);
	if (!f->fields)
		return false;
	for (size_t i = 0; i < c->field_count; i++) {
		if (tako_str_ieq(c->fields[i].name, TAKO_STR("user-agent")))
			agent = NULL;
		if (!add_field(f, c->fields[i].name, c->fields[i].value))
			return false;
	}
	return !agent || add_field(f, TAKO_STR("User-Agent"), tako_str_z(agent));
}

static bool copy_line(struct tako_fetch *f, const tako_fetch_config *c, const struct tako__url *u)
{
	bool posts = c->stream || c->body.p;
	const char *method = c->method ? c->method : posts ? "POST" : "GET";

	f->method = tako__method_id(method, strlen(method));
	return copy(&f->method_text, &f->arena, tako_str_z(method)) &&
	       copy(&f->path, &f->arena, u->path) && copy(&f->query, &f->arena, u->query) &&
	       copy(&f->authority, &f->arena, u->authority);
}

/* With TLS, whose certificate it has to be, wherever the connection goes to. */
static bool copy_server_name(struct tako_fetch *f, const struct tako__url *u)
{
	tako_str name;

	f->server_name = NULL;
	if (!u->tls)
		return true;
	if (!copy(&name, &f->arena, u->host))
		return false;
	f->server_name = name.p;
	return true;
}

/* Where it goes, and the text by which that is found again.  A place of one's own is part of it: other
 * servers may have the same name there. */
static int copy_origin(struct tako_fetch *f, const char *connect, const struct tako__url *u)
{
	struct tako__target *t = tako__arena_alloc(&f->arena, sizeof *t);
	tako_str at = connect ? tako_str_z(connect) : (tako_str){"", 0};
	size_t n = 1 + u->authority.n + 1 + at.n;
	char *key = tako__arena_alloc(&f->arena, n);
	tako_str host = u->host;
	int rc;

	if (!t || !key)
		return TAKO_ENOMEM;
	/* As it is in the URL, with its brackets. */
	if (host.p != u->authority.p)
		host = (tako_str){host.p - 1, host.n + 2};
	rc = connect ? tako__target_parse(t, at) : tako__target_host(t, host, u->port);
	if (rc < 0)
		return rc;
	key[0] = u->tls ? 's' : ' ';
	if (u->authority.n)
		memcpy(key + 1, u->authority.p, u->authority.n);
	key[u->authority.n + 1] = '\n';
	memcpy(key + u->authority.n + 2, at.p, at.n);
	/* RFC 9110 section 4.2.3: hosts are the same in any case. */
	for (size_t i = 1; i <= u->authority.n; i++)
		key[i] = (char)(key[i] >= 'A' && key[i] <= 'Z' ? key[i] | 0x20 : key[i]);
	f->target = t;
	f->key = (tako_str){key, n};
	return 0;
}

int tako__fetch_aim(struct tako_fetch *f, const struct tako__url *u)
{
	int rc = copy_origin(f, NULL, u);

	if (rc == 0 && (!copy(&f->authority, &f->arena, u->authority) || !copy_server_name(f, u)))
		rc = TAKO_ENOMEM;
	return rc == TAKO_ENOMEM ? tako__fail(rc, "fetch: out of memory") : rc;
}

static int copy_body(struct tako_fetch *f, const tako_fetch_config *c)
{
	f->has_body = c->stream || c->body.p;
	f->chunked = c->stream && c->stream_bytes == TAKO_OFF64;
	f->body_left = c->stream ? c->stream_bytes : c->body.n;
	f->finished = !c->stream;
	return tako__client_buf_add(&f->held, c->body.p, c->body.n);
}

/* ---- What that comes to -------------------------------------------------------------------- */

bool tako__fetch_says_length(const struct tako_fetch *f)
{
	return f->has_body || f->method == TAKO__POST || f->method == TAKO__PUT ||
	       f->method == TAKO__PATCH;
}

uint64_t tako__fetch_length(const struct tako_fetch *f)
{
	return f->cfg.stream ? f->cfg.stream_bytes : f->held.n;
}

bool tako__fetch_is_idempotent(const struct tako_fetch *f)
{
	return f->method == TAKO__GET || f->method == TAKO__HEAD || f->method == TAKO__OPTIONS ||
	       f->method == TAKO__TRACE || f->method == TAKO__PUT || f->method == TAKO__DELETE;
}

/* ---- A new one ----------------------------------------------------------------------------- */

static int check(const tako_fetch_config *c)
{
	int rc = check_numbers(c);

	if (rc == 0 && c->method)
		rc = check_method(c->method);
	if (rc == 0 && c->connect && strnlen(c->connect, CONNECT_BYTES_MAX) >= CONNECT_BYTES_MAX)
		rc = tako__fail(TAKO_EINVAL, "fetch: connect has over %d bytes",
		                CONNECT_BYTES_MAX - 1);
	return rc < 0 ? rc : check_fields(c);
}

static int fill(struct tako_fetch *f, const tako_fetch_config *c, const struct tako__url *u)
{
	int rc = copy_origin(f, c->connect, u);

	if (rc == 0)
		rc = copy_body(f, c);
	if (rc == 0 && (!copy_line(f, c, u) || !copy_fields(f, c) || !copy_server_name(f, u)))
		rc = TAKO_ENOMEM;
	if (rc == TAKO_ENOMEM)
		tako__fail(rc, "fetch: out of memory");
	return rc;
}

static void set_limits(struct tako_fetch *f, const tako_fetch_config *c)
{
	f->cfg = *c;
	f->cfg.method = f->cfg.url = f->cfg.connect = NULL;
	f->cfg.fields = NULL;
	f->cfg.body = (tako_str){NULL, 0};
	if (!f->cfg.total_timeout_ms)
		f->cfg.total_timeout_ms = f->client->cfg.total_timeout_ms;
	if (!f->cfg.max_body_bytes)
		f->cfg.max_body_bytes = c->on_data ? TAKO_OFF64 : 8u << 20;
}

int tako__fetch_new(struct tako_fetch **ret, struct tako_client *client,
                    const tako_fetch_config *cfg)
{
	tako_fetch_config c = {.size = sizeof c};
	struct tako__url u = {0};
	struct tako_fetch *f;
	int rc = client && cfg ? tako__import(&c, sizeof c, cfg,
	                                      offsetof(tako_fetch_config, max_redirects),
	                                      "tako_fetch_config")
	                       : tako__fail(TAKO_EINVAL, "fetch: no client, or no settings");

	if (rc == 0)
		rc = check(&c);
	if (rc == 0)
		rc = tako__url_parse(&u, tako_str_z(c.url));
	if (rc == 0 && u.tls && !client->cfg.tls)
		rc = tako__fail(TAKO_ENOTSUP, "fetch: https, and tls of the client is not set");
	if (rc < 0)
		return rc;
	f = tako__zalloc(sizeof *f);
	if (!f)
		return tako__fail(TAKO_ENOMEM, "fetch: out of memory");
	f->client = tako__client_ref(client);
	tako__list_init(&f->link);
	tako__arena_init(&f->arena, NULL, 0);
	tako__arena_init(&f->reply_arena, NULL, 0);
	set_limits(f, &c);
	rc = fill(f, &c, &u);
	if (rc < 0)
		tako__fetch_free(f);
	else
		*ret = f;
	return rc;
}
