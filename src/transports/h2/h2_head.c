/* SPDX-License-Identifier: MIT
 *
 * See h2_head.h.
 */
#include "transports/h2/h2_head.h"

#include <string.h>

#include "core/base.h"
#include "core/exchange.h"
#include "core/method.h"
#include "core/str.h"
#include "transports/h1/h1_scan.h"
#include "transports/h1/h1_target.h"
#include "transports/h2/h2_field.h"

enum pseudo { METHOD = 1, SCHEME = 2, PATH = 4, AUTHORITY = 8, PROTOCOL = 16 };

enum {
	FIELDS_FIRST = 16,
	TEXT_BYTES = 512 /* asked of the arena at a time */
};

#define IS TAKO__H2_IS

/* Where an empty value points before there is any room: it is empty, not absent. */
static char nothing[1];

void tako__h2_head_init(struct tako__h2_head *h, struct tako__arena *arena, bool trailers)
{
	tako__clear(h, sizeof *h);
	h->arena = arena;
	h->pos = nothing;
	h->end = nothing;
	h->trailers = trailers;
}

/* ---- Storing ------------------------------------------------------------------------ */

static void refuse(struct tako__h2_head *h, int status)
{
	if (!h->status)
		h->status = status;
}

static char *room(struct tako__h2_head *h, size_t n)
{
	char *p = h->pos;

	if ((size_t)(h->end - h->pos) < n) {
		size_t bytes = n < TEXT_BYTES ? (size_t)TEXT_BYTES : n;

		p = tako__arena_alloc(h->arena, bytes);
		if (!p) {
			refuse(h, 500);
			return NULL;
		}
		h->end = p + bytes;
	}
	h->pos = p + n;
	return p;
}

static bool keep(struct tako__h2_head *h, tako_str *to, const char *value, size_t n)
{
	char *p = room(h, n);

	if (!p)
		return false;
	memcpy(p, value, n);
	*to = (tako_str){p, n};
	return true;
}

static bool grow(struct tako__h2_head *h)
{
	uint32_t cap = h->field_cap ? h->field_cap * 2 : FIELDS_FIRST;
	struct tako__field *f = tako__arena_alloc(h->arena, cap * sizeof *f);

	if (!f) {
		refuse(h, 500);
		return false;
	}
	if (h->field_count)
		memcpy(f, h->fields, h->field_count * sizeof *f);
	h->fields = f;
	h->field_cap = cap;
	return true;
}

static struct tako__field *add(struct tako__h2_head *h, tako_str name, tako_str value)
{
	struct tako__field *f;

	if (h->field_count == h->field_cap && !grow(h))
		return NULL;
	f = &h->fields[h->field_count++];
	*f = (struct tako__field){name.p, value.p, (uint32_t)name.n, (uint32_t)value.n};
	return f;
}

/* ---- Pseudo-header fields ----------------------------------------------------------------- */

static enum pseudo pseudo_of(const char *p, size_t n)
{
	if (IS(p, n, ":path"))
		return PATH;
	if (IS(p, n, ":method"))
		return METHOD;
	if (IS(p, n, ":scheme"))
		return SCHEME;
	if (IS(p, n, ":authority"))
		return AUTHORITY;
	return IS(p, n, ":protocol") ? PROTOCOL : (enum pseudo)0;
}

static void take_method(struct tako__h2_head *h, const char *p, size_t n)
{
	h->method_id = (uint8_t)tako__method_id(p, n);
	if (h->method_id != TAKO__METHOD_OTHER) {
		h->method = (tako_str){tako__method_name(h->method_id), n};
		return;
	}
	if (!tako__is_token(p, n))
		h->malformed = true;
	else if (n > TAKO__METHOD_MAX_BYTES)
		refuse(h, 501);
	(void)keep(h, &h->method, p, n);
}

static void take_scheme(struct tako__h2_head *h, const char *p, size_t n)
{
	if (IS(p, n, "http"))
		h->scheme = TAKO_STR("http");
	else if (IS(p, n, "https"))
		h->scheme = TAKO_STR("https");
	else
		(void)keep(h, &h->scheme, p, n);
}

static void take_pseudo(struct tako__h2_head *h, const char *name, size_t name_n, const char *p,
                        size_t n)
{
	enum pseudo which = pseudo_of(name, name_n);

	/* Each once, before all others, and none that we do not know (RFC 9113 section 8.3). */
	if (h->trailers || h->regular || !which || (h->seen & which) ||
	    /* The others are looked at by narrower classes anyway. */
	    ((which & (SCHEME | PROTOCOL)) && !tako__h2_value_ok(p, n))) {
		h->malformed = true;
		return;
	}
	h->seen |= (uint8_t)which;
	switch (which) {
	case METHOD:
		take_method(h, p, n);
		return;
	case SCHEME:
		take_scheme(h, p, n);
		return;
	case PATH:
		if (n > h->target_bytes_max)
			refuse(h, 414);
		(void)keep(h, &h->target, p, n);
		return;
	case AUTHORITY:
		(void)keep(h, &h->authority, p, n);
		return;
	case PROTOCOL:
		(void)keep(h, &h->protocol, p, n);
	}
}

/* ---- Regular fields ------------------------------------------------------------------------- */

static void take_length(struct tako__h2_head *h, tako_str value)
{
	/* Twice, even the same, is what proxies in a row come to disagree about. */
	if (h->has_length || tako__parse_u64(value.p, value.n, &h->content_length) < 0)
		h->malformed = true;
	h->has_length = true;
}

static void take_host(struct tako__h2_head *h, tako_str value)
{
	if (h->has_host)
		h->malformed = true;
	h->has_host = true;
	h->host = value;
}

/* Those that mean something to us. */
static void look_at(struct tako__h2_head *h, const char *name, size_t n, tako_str value)
{
	switch (n) {
	case 2:
		if (IS(name, n, "te") && !tako_str_ieq(value, TAKO_STR("trailers")))
			h->malformed = true;
		return;
	case 4:
		if (IS(name, n, "host"))
			take_host(h, value);
		return;
	case 6:
		if (IS(name, n, "cookie"))
			h->cookie_count++;
		else if (IS(name, n, "expect") && tako_str_ieq(value, TAKO_STR("100-continue")))
			h->expects = true;
		else if (IS(name, n, "expect"))
			refuse(h, 417);
		return;
	case 8:
		if (IS(name, n, "priority"))
			h->priority = value;
		return;
	case 14:
		if (IS(name, n, "content-length"))
			take_length(h, value);
		return;
	default:
		return;
	}
}

static void take_regular(struct tako__h2_head *h, const char *name, size_t name_n,
                         const char *value, size_t value_n)
{
	struct tako__field *f;
	tako_str text;
	char *p;

	h->regular = true;
	if (!tako__h2_name_ok(name, name_n) || !tako__h2_value_ok(value, value_n) ||
	    tako__h2_is_of_connection(name, name_n)) {
		h->malformed = true;
		return;
	}
	if (h->field_count >= h->field_count_max) {
		refuse(h, 431);
		return;
	}
	p = room(h, name_n + value_n);
	if (!p)
		return;
	memcpy(p, name, name_n);
	memcpy(p + name_n, value, value_n);
	text = (tako_str){p + name_n, value_n};
	f = add(h, (tako_str){p, name_n}, text);
	if (f && !h->trailers)
		look_at(h, name, name_n, text);
}

void tako__h2_head_field(struct tako__h2_head *h, const char *name, size_t name_n,
                         const char *value, size_t value_n)
{
	size_t bytes = name_n + value_n + TAKO__H2_FIELD_OVERHEAD;

	/* Too large is too large: the rest is only decompressed, to keep the table in step. */
	if (bytes > h->list_bytes_max - h->list_bytes) {
		h->list_bytes = h->list_bytes_max;
		refuse(h, 431);
		return;
	}
	h->list_bytes += (uint32_t)bytes;
	if (TAKO__UNLIKELY(h->malformed))
		return;
	if (name_n && name[0] == ':')
		take_pseudo(h, name, name_n, value, value_n);
	else
		take_regular(h, name, name_n, value, value_n);
}

/* ---- The whole ---------------------------------------------------------------------------- */

static bool split_target(struct tako__h2_head *h)
{
	tako_str t = h->target;
	size_t i = 0;

	while (i < t.n && tako__h1_is(t.p[i], TAKO__H1_PLAIN))
		i++;
	h->path = t;
	if (TAKO__LIKELY(i == t.n))
		return true;
	for (size_t at = i; at < t.n; at++) {
		if (!tako__h1_is(t.p[at], TAKO__H1_TARGET))
			return false;
	}
	for (; i < t.n && t.p[i] != '?'; i++) {
		if (t.p[i] == '%')
			h->path_flags |= TAKO__PATH_ESCAPED;
		else if (t.p[i] == '.' && i && t.p[i - 1] == '/')
			h->path_flags |= TAKO__PATH_DOTS;
	}
	h->path.n = i;
	if (i < t.n)
		h->query = (tako_str){t.p + i + 1, t.n - i - 1};
	return true;
}

/* RFC 9113 section 8.3.1.  0, a status, or malformed. */
static int check_target(struct tako__h2_head *h)
{
	if (!h->target.n)
		return TAKO__H2_MALFORMED;
	if (h->target.p[0] == '/' && split_target(h))
		return 0;
	if (h->target.p[0] == '/')
		return tako__h2_value_ok(h->target.p, h->target.n) ? 400 : TAKO__H2_MALFORMED;
	h->path = h->target;
	return h->target.n == 1 && h->target.p[0] == '*' && h->method_id == TAKO__OPTIONS
	               ? 0
	               : TAKO__H2_MALFORMED;
}

static int check_authority(tako_str a)
{
	/* Userinfo is deprecated and must not be there (RFC 9113 section 8.3.1). */
	if (!a.n || !tako__h2_value_ok(a.p, a.n) || memchr(a.p, '@', a.n))
		return TAKO__H2_MALFORMED;
	return tako__h1_host_ok(a.p, a.n) ? 0 : 400;
}

static bool is_known(const struct tako__h2_head *h)
{
	const struct tako__h2_known *k = h->known;

	return k && h->authority.n && k->n == h->authority.n &&
	       !memcmp(k->text, h->authority.p, k->n);
}

static void remember(struct tako__h2_head *h)
{
	if (!h->known || h->authority.n > sizeof h->known->text)
		return;
	memcpy(h->known->text, h->authority.p, h->authority.n);
	h->known->n = (uint32_t)h->authority.n;
}

/* Whom the request is for: in the one field or in the other, and never two different ones. */
static int check_host(struct tako__h2_head *h)
{
	if (!(h->seen & AUTHORITY))
		h->authority = h->host;
	else if (h->has_host && !tako_str_ieq(h->host, h->authority))
		return TAKO__H2_MALFORMED;
	if (!is_known(h)) {
		int rc = check_authority(h->authority);

		if (rc)
			return rc;
		remember(h);
	}
	/* Who looks for the field finds it, as over HTTP/1.1. */
	if (!h->has_host)
		(void)add(h, TAKO_STR("host"), h->authority);
	return 0;
}

/* RFC 9113 section 8.5. */
static int check_connect(struct tako__h2_head *h)
{
	h->target = h->authority;
	h->path = (tako_str){"", 0};
	return h->seen & (SCHEME | PATH) ? TAKO__H2_MALFORMED : 0;
}

/* One name, maybe with a version: what Upgrade lists (RFC 9110 section 7.8). */
static bool protocol_ok(tako_str p)
{
	const char *slash = p.n ? memchr(p.p, '/', p.n) : NULL;
	size_t name_n = slash ? (size_t)(slash - p.p) : p.n;

	return tako__is_token(p.p, name_n) &&
	       (!slash || tako__is_token(slash + 1, p.n - name_n - 1));
}

/* RFC 8441 section 4: a CONNECT with everything that a GET has.  It is what HTTP/1.1 asks by a GET
 * with Upgrade, and is one to everybody above, so that one route serves both. */
static bool take_switch(struct tako__h2_head *h)
{
	if (h->method_id != TAKO__CONNECT || !protocol_ok(h->protocol))
		return false;
	h->method_id = TAKO__GET;
	h->method = TAKO_STR("GET");
	h->switching = true;
	/* What follows is the other protocol's, all of it. */
	if (h->content_length)
		refuse(h, 400);
	return true;
}

static int check_request(struct tako__h2_head *h)
{
	if (h->method_id == TAKO__CONNECT && !(h->seen & PROTOCOL))
		return check_connect(h);
	if ((h->seen & (SCHEME | PATH)) != (SCHEME | PATH))
		return TAKO__H2_MALFORMED;
	if (TAKO__UNLIKELY(h->seen & PROTOCOL) && !take_switch(h))
		return TAKO__H2_MALFORMED;
	/* The two that this server's origins can have. */
	if (!tako_str_ieq(h->scheme, TAKO_STR("http")) &&
	    !tako_str_ieq(h->scheme, TAKO_STR("https")))
		refuse(h, 400);
	return check_target(h);
}

/* Split for the sake of compression, one field for everybody else (RFC 9113 section 8.2.3). */
static void join_cookies(struct tako__h2_head *h)
{
	struct tako__field *first = NULL;
	uint32_t kept = 0;
	size_t bytes = 0;
	char *to;

	for (uint32_t i = 0; i < h->field_count; i++) {
		if (IS(h->fields[i].name, h->fields[i].name_n, "cookie"))
			bytes += h->fields[i].value_n + 2;
	}
	to = room(h, bytes);
	if (!to)
		return;
	for (uint32_t i = 0; i < h->field_count; i++) {
		struct tako__field f = h->fields[i];

		if (!IS(f.name, f.name_n, "cookie")) {
			h->fields[kept++] = f;
			continue;
		}
		if (first)
			to = (char *)memcpy(to, "; ", 2) + 2;
		else
			h->fields[kept] = (struct tako__field){f.name, to, f.name_n, 0};
		memcpy(to, f.value, f.value_n);
		to += f.value_n;
		first = first ? first : &h->fields[kept++];
		first->value_n = (uint32_t)(to - first->value);
	}
	h->field_count = kept;
}

int tako__h2_head_end(struct tako__h2_head *h)
{
	int target;
	int host;

	if (h->malformed)
		return TAKO__H2_MALFORMED;
	/* What is cut off cannot be judged. */
	if (h->trailers || h->status == 431 || h->status == 500)
		return h->status;
	if (!h->method.n)
		return TAKO__H2_MALFORMED;
	host = check_host(h);
	target = host == TAKO__H2_MALFORMED ? 0 : check_request(h);
	if (host == TAKO__H2_MALFORMED || target == TAKO__H2_MALFORMED)
		return TAKO__H2_MALFORMED;
	refuse(h, host ? host : target);
	if (h->cookie_count > 1)
		join_cookies(h);
	return h->status;
}
