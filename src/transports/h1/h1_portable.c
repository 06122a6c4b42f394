/* SPDX-License-Identifier: MIT
 *
 * The head parser in plain C.  It is the one that defines what a head is: the SIMD walks
 * take the usual head and leave all else to this, so every refusal comes from here.
 * Functions on positions return a new one (> 0), 0 for "not complete" or -(status).
 */
#include "core/base.h"
#include "transports/h1/h1_parse.h"
#include "transports/h1/h1_scan.h"
#include "transports/h1/h1_target.h"

#define ONES 0x0101010101010101u
#define HIGH (ONES * 0x80)

/* ---- Scans: see h1_scan.h ------------------------------------------------------ */

static size_t skip(enum tako__h1_nibble class, const char *p, size_t i, size_t n)
{
	while (i < n && tako__h1_is(p[i], 1u << class))
		i++;
	return i;
}

static size_t line_end(const char *p, size_t i, size_t n)
{
	for (; n - i >= 8; i += 8) {
		uint64_t w = tako__h1_load64(p + i);

		/* The high bit of every control character, and now and then of a byte that is
		 * none or is next to one: then the table decides. */
		if (!(((w - ONES * 0x20) | (w + ONES)) & HIGH))
			continue;
		for (size_t k = i; k < i + 8; k++) {
			if (tako__h1_is(p[k], TAKO__H1_CONTROL))
				return k;
		}
	}
	while (i < n && !tako__h1_is(p[i], TAKO__H1_CONTROL))
		i++;
	return i;
}

static void target(const char *p, size_t i, size_t n, struct tako__h1_marks *out)
{
	size_t k;

	out->flags = 0;
	for (k = skip(TAKO__H1_NIB_PLAIN, p, i, n); k < n; k++) {
		if (p[k] == '%')
			out->flags |= TAKO__PATH_ESCAPED;
		else if (p[k] == '.' && k > i && p[k - 1] == '/')
			out->flags |= TAKO__PATH_DOTS;
		else if (p[k] == '?' || !tako__h1_is(p[k], TAKO__H1_TARGET))
			break;
	}
	out->query = k;
	out->end = skip(TAKO__H1_NIB_TARGET, p, k, n);
}

/* ---- Request line --------------------------------------------------------------- */

/* What the request line is parsed with. */
struct line {
	struct tako__h1_head *h;
	const char *p;
	size_t start;
	size_t n;
	size_t max; /* bytes from `start` within which the CRLF must end */
};

static int line_fail(const struct line *l, size_t at, int status, const char *why)
{
	/* A wrong byte beyond the limit is one too many first, as it would be had the line
	 * come in pieces. */
	if (at - l->start >= l->max)
		return tako__h1_fail(l->h, 414, "request line too long");
	return tako__h1_fail(l->h, status, why);
}

static int line_short(const struct line *l)
{
	return l->n - l->start >= l->max ? line_fail(l, l->n, 414, "") : 0;
}

static int empty_lines(struct tako__h1_head *h, const char *p, size_t n)
{
	size_t i = 0;

	/* RFC 9112 2.2: at least one SHOULD be ignored.  Two, for the client that ends each
	 * body with an extra line and starts each request with one. */
	for (int lines = 0; lines < 2 && i < n && p[i] == '\r'; lines++, i += 2) {
		if (i + 1 == n)
			return (int)n;
		if (p[i + 1] != '\n')
			return tako__h1_fail(h, 400, "bare CR");
	}
	return (int)i;
}

static int method(const struct line *l)
{
	const char *p = l->p + l->start;
	size_t have = l->n - l->start;
	size_t k = 0;

	while (k < have && k <= TAKO__METHOD_MAX_BYTES && tako__h1_is(p[k], TAKO__H1_TOKEN))
		k++;
	l->h->method = (tako_str){p, k};
	if (k > TAKO__METHOD_MAX_BYTES) /* RFC 9112 3 */
		return line_fail(l, l->start + k - 1, 501, "method too long");
	if (k == have)
		return line_short(l);
	if (p[k] != ' ' || !k)
		return line_fail(l, l->start + k, 400, k ? "invalid byte in method" : "no method");
	l->h->method_id = (uint8_t)tako__method_id(p, k);
	return (int)(l->start + k + 1);
}

static int bad_target(const struct line *l, size_t at)
{
	if (at == l->n)
		return line_short(l);
	if (l->p[at] == ' ')
		return line_fail(l, at, 400, "more than one space in request line");
	if (l->p[at] == '\r')
		return line_fail(l, at, 400, "no HTTP version");
	return line_fail(l, at, 400, "invalid byte in request-target");
}

static int request_target(const struct line *l, size_t i)
{
	struct tako__h1_head *h = l->h;
	const char *p = l->p;
	struct tako__h1_marks m;

	target(p, i, l->n, &m);
	if (m.end == l->n || m.end == i || p[m.end] != ' ')
		return bad_target(l, m.end);
	h->target = (tako_str){p + i, m.end - i};
	if (p[i] != '/' || h->method_id == TAKO__CONNECT)
		return (int)m.end + 1;
	h->path = (tako_str){p + i, m.query - i};
	h->path_flags = (uint8_t)m.flags;
	if (m.query != m.end)
		h->query = (tako_str){p + m.query + 1, m.end - m.query - 1};
	return (int)m.end + 1;
}

static int version(const struct line *l, size_t i)
{
	static const char form[] = "HTTP/#.#\r\n"; /* RFC 9112 2.3; # is a digit */
	const char *p = l->p;

	for (size_t k = 0; k < sizeof(form) - 1; k++, i++) {
		bool digit;

		if (i == l->n)
			return line_short(l);
		digit = p[i] >= '0' && p[i] <= '9';
		if (form[k] == '#' ? !digit : p[i] != form[k])
			return line_fail(l, i, 400, "invalid HTTP version");
		if (k == 7 && p[i - 2] != '1')
			return line_fail(l, i, 505, "HTTP version not supported");
	}
	if (i - l->start > l->max)
		return line_fail(l, i, 414, "");
	l->h->minor = p[i - 3] != '0';
	return (int)i;
}

static int request_line(struct tako__h1_head *h, const char *p, size_t n,
                        const struct tako__h1_limits *lim)
{
	struct line l = {h, p, 0, n, (size_t)lim->max_line_bytes + 2};
	int i = empty_lines(h, p, n);

	if (i < 0 || (size_t)i == n)
		return i < 0 ? i : 0;
	l.start = (size_t)i;
	i = method(&l);
	if (i > 0)
		i = request_target(&l, (size_t)i);
	if (i > 0)
		i = version(&l, (size_t)i);
	if (i <= 0)
		return i;
	/* Judged after the version, since another one may have other forms: the preface of
	 * HTTP/2, "PRI * HTTP/2.0", gets 505 like every request of that version. */
	if (!h->path.p && !tako__h1_target_split(h))
		return tako__h1_fail(h, 400, "invalid request-target");
	h->got_line = true;
	return i;
}

/* ---- Fields ---------------------------------------------------------------------- */

/* RFC 9112 5.1 and 5.2: what is wrong with a line that has no name and colon. */
static const char *bad_name(const char *p, size_t i, size_t colon)
{
	bool blank = p[colon] == ' ' || p[colon] == '\t';

	if (blank)
		return colon == i ? "white space before a field name, or a folded line"
		                  : "white space in or after a field name";
	if (p[colon] == '\r' || p[colon] == '\n')
		return "field line without a colon";
	return colon == i ? "no field name" : "invalid byte in field name";
}

int tako__h1_field_line(struct tako__field *f, const char *p, size_t i, size_t n, const char **why)
{
	size_t colon = skip(TAKO__H1_NIB_TOKEN, p, i, n);
	size_t eol = line_end(p, colon, n);
	size_t v = colon + 1;
	size_t end = eol;

	if (eol == n || (eol + 1 == n && p[eol] == '\r'))
		return 0;
	if (p[colon] != ':' || colon == i) {
		*why = bad_name(p, i, colon);
		return -400;
	}
	if (p[eol] != '\r' || p[eol + 1] != '\n') {
		*why = p[eol] == '\r' ? "bare CR" : "invalid byte in field value";
		return -400;
	}
	while (p[v] == ' ' || p[v] == '\t')
		v++;
	while (end > v && (p[end - 1] == ' ' || p[end - 1] == '\t'))
		end--;
	*f = (struct tako__field){p + i, p + v, (uint32_t)(colon - i), (uint32_t)(end - v)};
	return (int)eol + 2;
}

static int host(struct tako__h1_head *h, const struct tako__field *f)
{
	/* RFC 9112 3.2: both MUST be answered 400. */
	if (h->seen & TAKO__H1_SEEN_HOST)
		return tako__h1_fail(h, 400, "more than one Host field");
	if (!tako__h1_host_ok(f->value, f->value_n))
		return tako__h1_fail(h, 400, "invalid Host field");
	h->seen |= TAKO__H1_SEEN_HOST;
	h->host = (tako_str){f->value, f->value_n};
	return 0;
}

static int note_field(struct tako__h1_head *h, const struct tako__field *f)
{
	if (!(tako__h1_special[f->name[0] & 31] >> (f->name_n & 31) & 1))
		return 0;
	if (f->name_n == 4 && (tako__h1_load32(f->name) | 0x20202020u) == TAKO__H1_HOST_NAME)
		return host(h, f);
	return tako__h1_field(h, f);
}

static int parse(struct tako__h1_head *h, const char *p, size_t n,
                 const struct tako__h1_limits *lim)
{
	int i;
	int res;

	h->method = h->target = h->path = (tako_str){NULL, 0};
	h->method_id = TAKO__METHOD_OTHER;
	h->minor = h->path_flags = 0;
	h->field_count = 0;
	tako__h1_clear(h);
	if (!n)
		return 0;
	i = request_line(h, p, n, lim);
	while (i > 0) {
		struct tako__field *f = &h->fields[h->field_count];
		size_t left = n - (size_t)i;

		if (!left || (left == 1 && p[i] == '\r'))
			return 0;
		if (p[i] == '\r' && p[i + 1] == '\n')
			break;
		if (h->field_count == lim->max_fields)
			return tako__h1_fail(h, 431, "too many fields");
		i = tako__h1_field_line(f, p, (size_t)i, n, &h->why);
		if (i <= 0)
			return i;
		h->field_count++;
		res = note_field(h, f);
		if (res)
			return res;
	}
	if (i <= 0)
		return i;
	h->keep_alive = h->minor;
	res = tako__h1_unusual(h) ? tako__h1_finish(h) : 0;
	return res ? res : i + 2;
}

const struct tako__h1_isa tako__h1_isa_portable = {
	.name = "portable",
	.parse = parse,
	.span = skip,
	.target = target,
	.min_bytes = 1,
};
