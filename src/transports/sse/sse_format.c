/* SPDX-License-Identifier: MIT
 *
 * An event is lines of "name: value" and an empty one.  A field's value is the rest of its line, so
 * what ends a line must not be in it: text is cut into lines, names and ids with one are refused.
 */
#include "transports/sse/sse_format.h"

#include <string.h>

#include "core/base.h"
#include "core/str.h"

/* A client takes one space after the colon away, and only one. */
#define DATA "data: "
#define EVENT "event: "
#define ID "id: "
#define RETRY "retry: "
#define COMMENT ": "

static char *put(char *to, const char *p, size_t n)
{
	memcpy(to, p, n);
	return to + n;
}

#define PUT(to, lit) put(to, lit, sizeof(lit) - 1)

/* ---- What may be sent ---------------------------------------------------------------- */

/* CR and LF end a line; an id with a NUL is ignored by clients, silently. */
static bool one_line(tako_str s)
{
	return !s.n || (!memchr(s.p, '\n', s.n) && !memchr(s.p, '\r', s.n) && !memchr(s.p, 0, s.n));
}

bool tako__sse_id_ok(tako_str id)
{
	return id.n <= TAKO_SSE_ID_MAX_BYTES && one_line(id);
}

int tako__sse_event_import(tako_sse_event *ret, const tako_sse_event *event)
{
	int rc = tako__import(ret, sizeof *ret, event, sizeof *ret, "event");

	if (rc < 0)
		return rc;
	if (ret->reserved)
		return tako__fail(TAKO_EINVAL, "event: reserved is not 0");
	if (!one_line(ret->event))
		return tako__fail(TAKO_EINVAL, "event: CR, LF or NUL in its type");
	if (!one_line(ret->id))
		return tako__fail(TAKO_EINVAL, "event: CR, LF or NUL in its id");
	if (ret->id.n > TAKO_SSE_ID_MAX_BYTES)
		return tako__fail(TAKO_EINVAL, "event: an id of %zu bytes, over %d", ret->id.n,
		                  TAKO_SSE_ID_MAX_BYTES);
	if (!ret->data.p && !ret->event.n && !ret->id.p && !ret->retry_ms)
		return tako__fail(TAKO_EINVAL, "event: nothing in it");
	return 0;
}

/* ---- Lines --------------------------------------------------------------------------- */

/* Cut the first line off; what ended it goes with it.  False: it was the last, without an end. */
static bool next_line(tako_str *rest, tako_str *ret)
{
	size_t n = 0;
	size_t end;

	while (n < rest->n && rest->p[n] != '\n' && rest->p[n] != '\r')
		n++;
	*ret = (tako_str){rest->p, n};
	if (n == rest->n)
		return false;
	end = rest->p[n] == '\r' && n + 1 < rest->n && rest->p[n + 1] == '\n' ? 2 : 1;
	*rest = (tako_str){rest->p + n + end, rest->n - n - end};
	return true;
}

/* CR LF is counted twice, which is why this is a bound. */
static size_t lines_bound(tako_str text, size_t name_n)
{
	size_t lines = 1;

	for (size_t i = 0; i < text.n; i++)
		lines += text.p[i] == '\n' || text.p[i] == '\r';
	return text.n + lines * (name_n + 1);
}

static char *put_line(char *to, const char *name, size_t name_n, tako_str value)
{
	to = put(to, name, name_n);
	if (value.n)
		to = put(to, value.p, value.n);
	*to++ = '\n';
	return to;
}

static char *put_lines(char *to, const char *name, size_t name_n, tako_str text)
{
	tako_str line;
	bool more;

	do {
		more = next_line(&text, &line);
		to = put_line(to, name, name_n, line);
	} while (more);
	return to;
}

/* ---- Events -------------------------------------------------------------------------- */

size_t tako__sse_event_bound(const tako_sse_event *event)
{
	size_t n = 1;

	if (event->event.n)
		n += sizeof(EVENT) + event->event.n;
	if (event->id.p)
		n += sizeof(ID) + event->id.n;
	if (event->retry_ms)
		n += sizeof(RETRY) + TAKO__U64_CHARS;
	if (event->data.p)
		n += lines_bound(event->data, sizeof(DATA) - 1);
	return n;
}

size_t tako__sse_event_write(char *to, const tako_sse_event *event)
{
	const char *start = to;

	if (event->event.n)
		to = put_line(to, EVENT, sizeof(EVENT) - 1, event->event);
	if (event->id.p)
		to = put_line(to, ID, sizeof(ID) - 1, event->id);
	if (event->retry_ms) {
		to = PUT(to, RETRY);
		to += tako__format_u64(to, event->retry_ms);
		*to++ = '\n';
	}
	if (event->data.p)
		to = put_lines(to, DATA, sizeof(DATA) - 1, event->data);
	*to++ = '\n';
	return (size_t)(to - start);
}

size_t tako__sse_comment_bound(tako_str text)
{
	return lines_bound(text, sizeof(COMMENT) - 1) + 1;
}

size_t tako__sse_comment_write(char *to, tako_str text)
{
	char *end = put_lines(to, COMMENT, sizeof(COMMENT) - 1, text);

	*end++ = '\n';
	return (size_t)(end - to);
}
