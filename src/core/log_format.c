/* SPDX-License-Identifier: MIT
 *
 * Lines of the access log, in the combined format of NCSA httpd and in JSON.  Nothing that
 * a peer sent may end a field or a line, or reach a terminal as a control character.
 */
#include "core/log_format.h"

#include <assert.h>
#include <string.h>

#include "core/base.h"
#include "core/date.h"
#include "core/json.h"
#include "core/str.h"

/* What each field may take of a line, escapes included. */
enum {
	METHOD_MAX = 64,
	PATH_MAX_BYTES = 4096,
	PATTERN_MAX = 512,
	HOST_MAX = 512,
	AGENT_MAX = 1024,
	REFERER_MAX = 2048,
	ID_MAX = 512,
	PEER_MAX = 128, /* and as much of the client */
	/* Names, punctuation, date and the eight numbers. */
	FIXED_MAX = 640,
};

static_assert(METHOD_MAX + PATH_MAX_BYTES + PATTERN_MAX + HOST_MAX + AGENT_MAX + REFERER_MAX +
                              ID_MAX + 2 * PEER_MAX + FIXED_MAX <=
                      TAKO__LOG_LINE_MAX,
              "a line holds its longest fields");

/* ---- Pieces ------------------------------------------------------------------------ */

#define PUT(to, lit) put(to, lit, sizeof(lit) - 1)

static char *put(char *to, const char *p, size_t n)
{
	memcpy(to, p, n);
	return to + n;
}

static char *put_u64(char *to, uint64_t v)
{
	return to + tako__format_u64(to, v);
}

static char *text_escape_one(char *to, const char *p)
{
	if (*p == '"' || *p == '\\') {
		*to++ = '\\';
		*to++ = *p;
		return to;
	}
	to = PUT(to, "\\x");
	tako__hex_encode(to, p, 1);
	return to + 2;
}

/* All that is not plain as \xhh: a reader of this format expects no more than ASCII.  Moves
 * *text behind what fitted, as tako__json_escape() does. */
static size_t text_escape(char *buf, size_t room, tako_str *text)
{
	const char *end = buf + room;
	char *to = buf;

	for (;;) {
		size_t left = (size_t)(end - to);
		size_t plain = tako__plain_length(text->p, text->n < left ? text->n : left);

		to = put(to, text->p, plain);
		*text = (tako_str){text->p + plain, text->n - plain};
		if (!text->n || end - to < 4)
			return (size_t)(to - buf);
		to = text_escape_one(to, text->p);
		*text = (tako_str){text->p + 1, text->n - 1};
	}
}

typedef size_t (*escape_fn)(char *to, size_t room, tako_str *text);

static char *put_escaped(char *to, tako_str s, size_t max, escape_fn escape)
{
	to += escape(to, max - 3, &s);
	return s.n ? PUT(to, "...") : to;
}

/* ---- Dates ------------------------------------------------------------------------- */

static unsigned month_number(const char *name)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	unsigned i = 0;

	while (i < 11 && memcmp(months + i * 3, name, 3) != 0)
		i++;
	return i + 1;
}

/* Both formats are the parts of an HTTP date in another order:
 * "Sun, 06 Nov 1994 08:49:37 GMT". */
static void renew_date(struct tako__log_date *d, uint64_t second)
{
	char http[TAKO__DATE_BYTES];
	unsigned month;

	tako__date_format(http, (int64_t)second);
	month = month_number(http + 8);
	memcpy(d->clf, "00/---/0000:00:00:00 +0000", sizeof(d->clf));
	memcpy(d->clf, http + 5, 2);
	memcpy(d->clf + 3, http + 8, 3);
	memcpy(d->clf + 7, http + 12, 4);
	memcpy(d->clf + 12, http + 17, 8);
	memcpy(d->iso, "0000-00-00T00:00:00", sizeof(d->iso));
	memcpy(d->iso, http + 12, 4);
	d->iso[5] = (char)('0' + month / 10);
	d->iso[6] = (char)('0' + month % 10);
	memcpy(d->iso + 8, http + 5, 2);
	memcpy(d->iso + 11, http + 17, 8);
	d->second = second;
}

static void set_date(struct tako__log_date *d, uint64_t wall_time_ms)
{
	if (TAKO__UNLIKELY(d->second != wall_time_ms / 1000 || !d->clf[0]))
		renew_date(d, wall_time_ms / 1000);
}

/* ---- Text --------------------------------------------------------------------------- */

static char *put_text(char *to, tako_str s, size_t max)
{
	return s.n ? put_escaped(to, s, max, text_escape) : PUT(to, "-");
}

/* The address without its port, and without the brackets that IPv6 has for that port's sake:
 * the format's first field is a host. */
static tako_str host_of(const char *peer)
{
	tako_str s = tako_str_z(peer);
	size_t n = s.n;

	while (n && tako__is(s.p[n - 1], TAKO__C_DIGIT))
		n--;
	if (n < s.n && n && s.p[n - 1] == ':')
		s.n = n - 1;
	if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
		s = (tako_str){s.p + 1, s.n - 2};
	return s;
}

static char *put_request_line(char *to, const tako_access *a)
{
	if (!a->method.n)
		return PUT(to, "-");
	to = put_text(to, a->method, METHOD_MAX);
	*to++ = ' ';
	to = put_text(to, a->path, PATH_MAX_BYTES);
	if (a->version <= 0)
		return to;
	to = PUT(to, " HTTP/");
	to = put_u64(to, (uint64_t)a->version / 10);
	*to++ = '.';
	return put_u64(to, (uint64_t)a->version % 10);
}

static char *put_count(char *to, uint64_t v)
{
	return v ? put_u64(to, v) : PUT(to, "-");
}

/* host ident user [date] "request" status bytes "referer" "user agent" microseconds */
static char *put_text_line(char *to, const tako_access *a, const struct tako__log_date *d)
{
	to = put_text(to, host_of(a->client ? a->client : a->peer), PEER_MAX);
	to = PUT(to, " - - [");
	to = put(to, d->clf, sizeof(d->clf));
	to = PUT(to, "] \"");
	to = put_request_line(to, a);
	to = PUT(to, "\" ");
	to = put_count(to, a->status > 0 ? (uint64_t)a->status : 0);
	*to++ = ' ';
	to = put_count(to, a->sent_bytes);
	to = PUT(to, " \"");
	to = put_text(to, a->referer, REFERER_MAX);
	to = PUT(to, "\" \"");
	to = put_text(to, a->user_agent, AGENT_MAX);
	to = PUT(to, "\" ");
	return put_u64(to, a->duration_ns / 1000);
}

/* ---- JSON ------------------------------------------------------------------------------ */

/* The name comes with all that stands before the value. */
#define PUT_STR(to, name, s, max) put_str(PUT(to, ",\"" name "\":"), s, max)
#define PUT_NUM(to, name, v) put_i64(PUT(to, ",\"" name "\":"), v)
#define PUT_BIG(to, name, v) put_u64(PUT(to, ",\"" name "\":"), v)

static char *put_str(char *to, tako_str s, size_t max)
{
	if (!s.p)
		return PUT(to, "null");
	*to++ = '"';
	to = put_escaped(to, s, max, tako__json_escape);
	*to++ = '"';
	return to;
}

static char *put_i64(char *to, int64_t v)
{
	if (v < 0)
		*to++ = '-';
	return put_u64(to, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

static char *put_time(char *to, const struct tako__log_date *d, unsigned ms)
{
	to = PUT(to, "{\"time\":\"");
	to = put(to, d->iso, sizeof(d->iso));
	*to++ = '.';
	*to++ = (char)('0' + ms / 100);
	*to++ = (char)('0' + ms / 10 % 10);
	*to++ = (char)('0' + ms % 10);
	return PUT(to, "Z\"");
}

static char *put_json_line(char *to, const tako_access *a, const struct tako__log_date *d)
{
	to = put_time(to, d, (unsigned)(a->wall_time_ms % 1000));
	to = PUT_STR(to, "peer", tako_str_z(a->peer), PEER_MAX);
	if (a->client)
		to = PUT_STR(to, "client", tako_str_z(a->client), PEER_MAX);
	to = PUT_STR(to, "method", a->method, METHOD_MAX);
	to = PUT_STR(to, "path", a->path, PATH_MAX_BYTES);
	to = PUT_STR(to, "pattern", a->pattern, PATTERN_MAX);
	to = PUT_STR(to, "host", a->host, HOST_MAX);
	to = PUT_NUM(to, "version", a->version);
	to = PUT_NUM(to, "status", a->status);
	to = PUT_NUM(to, "error", a->error);
	to = PUT_BIG(to, "received_bytes", a->received_bytes);
	to = PUT_BIG(to, "sent_bytes", a->sent_bytes);
	to = PUT_BIG(to, "duration_ns", a->duration_ns);
	to = PUT_BIG(to, "connection_request", a->connection_request);
	to = PUT_STR(to, "user_agent", a->user_agent, AGENT_MAX);
	to = PUT_STR(to, "referer", a->referer, REFERER_MAX);
	to = PUT_STR(to, "request_id", a->request_id, ID_MAX);
	return PUT(to, "}");
}

/* ---- Lines -------------------------------------------------------------------------- */

size_t tako__log_line(char *to, const tako_access *a, uint32_t format, struct tako__log_date *date)
{
	char *end;

	set_date(date, a->wall_time_ms);
	end = format == TAKO_LOG_JSON ? put_json_line(to, a, date) : put_text_line(to, a, date);
	return (size_t)(end - to);
}

size_t tako__log_format(char *buf, size_t n, const tako_access *a, uint32_t format)
{
	struct tako__log_date date = {0};
	char line[TAKO__LOG_LINE_MAX];
	size_t line_n = tako__log_line(line, a, format, &date);

	if (line_n > n)
		return 0;
	memcpy(buf, line, line_n);
	return line_n;
}
