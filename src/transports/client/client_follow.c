/* SPDX-License-Identifier: MIT
 *
 * Redirects (RFC 9110 section 15.4): whether one may be followed, and what the request is then.  Decided when the head of
 * the response is there; what is not followed stays a response.  Sends nothing.
 */
#include <stdio.h>
#include <string.h>

#include "core/base.h"
#include "core/method.h"
#include "core/str.h"
#include "transports/client/client_int.h"
#include "transports/client/client_url.h"

struct tako__redirect {
	struct tako__url url;
	bool same_origin; /* RFC 9110 section 4.3.1 */
	bool to_get;      /* without a body */
};

/* ---- Whether ------------------------------------------------------------------------------- */

static int stay(struct tako_fetch *f, const char *why)
{
	snprintf(f->why, sizeof f->why, "not followed: %s", why);
	return 0;
}

static bool is_redirect(unsigned status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* RFC 9110 sections 15.4.2 to 15.4.4: what everybody has always made of POST. */
static bool becomes_get(const struct tako_fetch *f)
{
	if (f->reply.status == 303)
		return f->method != TAKO__GET && f->method != TAKO__HEAD;
	return f->reply.status <= 302 && f->method == TAKO__POST;
}

/* Of a stream that flows somebody else decides how much there will be; what has left cannot be had again. */
static bool body_allows(const struct tako_fetch *f, bool to_get)
{
	if (!f->cfg.stream)
		return true;
	return to_get ? f->finished : !f->flowing;
}

/* RFC 9110 section 10.2.2: one; which of several was meant, nobody knows. */
static const char *find_location(const struct tako_fetch *f, tako_str *ret)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < f->reply.field_count; i++) {
		const struct tako__field *at = &f->reply.fields[i];

		if (!tako_str_ieq((tako_str){at->name, at->name_n}, TAKO_STR("location")))
			continue;
		*ret = (tako_str){at->value, at->value_n};
		count++;
	}
	if (count == 1)
		return NULL;
	return count ? "more than one Location" : "no Location";
}

static bool was_tls(const struct tako_fetch *f)
{
	return f->server_name != NULL;
}

/* A `connect` stands behind the line end of the key, and says where that origin is, not where others are. */
static bool has_connect(const struct tako_fetch *f)
{
	return f->key.p[f->key.n - 1] != '\n';
}

static const char *forbids(const struct tako_fetch *f, const struct tako__redirect *r)
{
	if (was_tls(f) && !r->url.tls && !f->cfg.redirect_to_http)
		return "it leads from https to http";
	if (r->url.tls && !f->client->cfg.tls)
		return "it leads to https, and tls of the client is not set";
	if (!r->same_origin && has_connect(f))
		return "it leads to another origin, and connect is set";
	return body_allows(f, r->to_get) ? NULL : "the body cannot be sent again";
}

static int resolve(struct tako_fetch *f, struct tako__redirect *r, tako_str location)
{
	const struct tako__url base = {
		.authority = f->authority,
		.path = f->path,
		.query = f->query,
		.tls = was_tls(f),
	};
	char *buf;

	if (location.n > TAKO__URL_BYTES_MAX)
		return tako__fail(TAKO_EINVAL, "url: longer than 8192 bytes");
	buf = tako__arena_alloc(&f->arena, tako__url_resolve_bytes(&base, location));
	return buf ? tako__url_resolve(&r->url, buf, &base, location) : TAKO_ENOMEM;
}

int tako__redirect_look(struct tako_fetch *f)
{
	struct tako__redirect *r;
	tako_str location = {NULL, 0};
	const char *why;
	int rc;

	if (!f->cfg.max_redirects || !is_redirect(f->reply.status))
		return 0;
	if (f->redirect_count == f->cfg.max_redirects)
		return stay(f, "more than max_redirects");
	why = find_location(f, &location);
	if (why)
		return stay(f, why);
	r = tako__arena_alloc(&f->arena, sizeof *r);
	rc = r ? resolve(f, r, location) : TAKO_ENOMEM;
	if (rc < 0)
		return rc == TAKO_ENOMEM ? rc : stay(f, tako_last_error());
	r->same_origin = r->url.tls == was_tls(f) && tako_str_ieq(r->url.authority, f->authority);
	r->to_get = becomes_get(f);
	why = forbids(f, r);
	if (why)
		return stay(f, why);
	f->redirect = r;
	return 0;
}

/* ---- What then ------------------------------------------------------------------------------- */

static bool is_any_of(const struct tako__field *f, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (tako_str_ieq((tako_str){f->name, f->name_n}, tako_str_z(names[i])))
			return true;
	}
	return false;
}

/* RFC 9110 section 15.4: what was said to somebody in confidence, and what a body is that is gone. */
static void drop_fields(struct tako_fetch *f, const struct tako__redirect *r)
{
	static const char *const secrets[] = {"authorization", "cookie", "proxy-authorization"};
	static const char *const about_body[] = {
		"content-type",   "content-encoding", "content-language", "content-location",
		"content-digest", "repr-digest",      "digest",           "last-modified",
	};
	uint32_t kept = 0;

	for (uint32_t i = 0; i < f->field_count; i++) {
		const struct tako__field *at = &f->fields[i];

		if ((!r->same_origin && is_any_of(at, secrets, TAKO__COUNT(secrets))) ||
		    (r->to_get && is_any_of(at, about_body, TAKO__COUNT(about_body))))
			continue;
		f->fields[kept++] = *at;
	}
	f->field_count = kept;
}

static void make_get(struct tako_fetch *f)
{
	f->method = TAKO__GET;
	f->method_text = TAKO_STR("GET");
	f->has_body = f->chunked = false;
	f->cfg.expect_continue = 0;
	f->handed = false;
	tako__client_buf_free(&f->held);
}

/* What the response before has left. */
static void start_anew(struct tako_fetch *f)
{
	f->redirect = NULL;
	f->redirect_count++;
	f->retry_count = 0;
	f->unprocessed_count = 0;
	f->flowing = false;
	f->awaits_continue = false;
	f->scanned = 0;
	f->interim_count = 0;
	f->received_bytes = 0;
	f->trailers = NULL; /* its memory is the next response's */
	f->trailer_count = 0;
}

/* For tako_fetch_redirected(). */
static int note_url(struct tako_fetch *f)
{
	const tako_str parts[] = {was_tls(f) ? TAKO_STR("https://") : TAKO_STR("http://"),
	                          f->authority, f->path, f->query};
	size_t n = 0;
	char *to;

	for (size_t i = 0; i < TAKO__COUNT(parts); i++)
		n += parts[i].n;
	to = tako__arena_alloc(&f->arena, n);
	if (!to)
		return tako__fail(TAKO_ENOMEM, "fetch: out of memory");
	f->redirected = (tako_str){to, n};
	for (size_t i = 0; i < TAKO__COUNT(parts); i++) {
		if (parts[i].n)
			memcpy(to, parts[i].p, parts[i].n);
		to += parts[i].n;
	}
	return 0;
}

int tako__redirect_take(struct tako_fetch *f)
{
	const struct tako__redirect *r = f->redirect;
	int rc;

	drop_fields(f, r);
	if (r->to_get)
		make_get(f);
	f->path = r->url.path;
	f->query = r->url.query;
	start_anew(f);
	rc = r->same_origin ? 0 : tako__fetch_aim(f, &r->url);
	return rc == 0 ? note_url(f) : rc;
}
