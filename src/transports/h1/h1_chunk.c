/* SPDX-License-Identifier: MIT
 *
 * The chunked coding and its trailers.  The machine advances byte by byte only through the
 * lines around the data; the data itself is skipped in one step.
 */
#include <string.h>

#include "core/base.h"
#include "transports/h1/h1_chunk.h"
#include "transports/h1/h1_parse.h"
#include "transports/h1/h1_scan.h"

enum state {
	SIZE,     /* hex digits */
	BLANK,    /* white space after them; an extension must follow (BWS, RFC 9112 7.1.1) */
	NAME_DUE, /* behind ';': BWS, then a name */
	NAME,
	NAME_PAST,   /* BWS behind a name: '=' or ';' must follow */
	VALUE_DUE,   /* behind '=': BWS, then a token or a quoted string */
	VALUE_TOKEN, /* inside the former */
	QUOTED,
	QUOTED_PAIR, /* behind a backslash */
	VALUE_PAST,  /* right behind a quoted string */
	SIZE_LF,     /* LF of the size line */
	DATA,        /* `left` bytes */
	DATA_CR,     /* CRLF behind them */
	DATA_LF,
	LAST, /* after the last chunk's line: CR, or a trailer */
	LAST_LF,
	TRAILERS,
	END,
	BROKEN
};

#define DIGITS_MAX 16

void tako__h1_chunked_init(struct tako__h1_chunked *c, uint32_t extension_bytes)
{
	*c = (struct tako__h1_chunked){.extension_left = extension_bytes, .state = SIZE};
}

static int refuse(struct tako__h1_chunked *c, const char *why)
{
	c->state = BROKEN;
	c->why = why;
	return -400;
}

static int hex_value(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	ch = (char)(ch | 0x20);
	return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

/* What may follow the digits of a size. */
static int after_size(struct tako__h1_chunked *c, char ch)
{
	if (c->state == SIZE && !c->digits)
		return refuse(c, "chunk without a size");
	if (c->state == SIZE && ch == '\r') {
		c->state = SIZE_LF;
		return 0;
	}
	if (ch != ';' && ch != ' ' && ch != '\t')
		return refuse(c, "invalid chunk size");
	if (!c->extension_left--)
		return refuse(c, "chunk extensions too long");
	c->state = ch == ';' ? NAME_DUE : BLANK;
	return 0;
}

static int size_byte(struct tako__h1_chunked *c, char ch)
{
	int value = hex_value(ch);

	if (value < 0)
		return after_size(c, ch);
	/* A limit on the digits and not only on the number: zeros are data, too. */
	if (++c->digits > DIGITS_MAX || c->left > (uint64_t)INT64_MAX >> 4)
		return refuse(c, "chunk size too large");
	c->left = c->left << 4 | (unsigned)value;
	return 0;
}

/* Inside a quoted string (RFC 9110 5.6.4) everything but controls may stand. */
static enum state after_quoted(const struct tako__h1_chunked *c, char ch)
{
	if (tako__h1_is(ch, TAKO__H1_CONTROL))
		return BROKEN;
	if (c->state == QUOTED_PAIR)
		return QUOTED;
	return ch == '"' ? VALUE_PAST : ch == '\\' ? QUOTED_PAIR : QUOTED;
}

/* chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ) */
static enum state after_extension_byte(const struct tako__h1_chunked *c, char ch)
{
	bool blank = ch == ' ' || ch == '\t';
	bool token = tako__h1_is(ch, TAKO__H1_TOKEN);

	switch (c->state) {
	case NAME_DUE:
		return token ? NAME : blank ? NAME_DUE : BROKEN;
	case NAME:
		if (token || blank)
			return token ? NAME : NAME_PAST;
		return ch == '\r' ? SIZE_LF : ch == '=' ? VALUE_DUE : ch == ';' ? NAME_DUE : BROKEN;
	case NAME_PAST:
		return blank ? NAME_PAST : ch == '=' ? VALUE_DUE : ch == ';' ? NAME_DUE : BROKEN;
	case VALUE_DUE:
		return token ? VALUE_TOKEN : ch == '"' ? QUOTED : blank ? VALUE_DUE : BROKEN;
	case VALUE_TOKEN:
		if (token)
			return VALUE_TOKEN;
		/* fall through */
	case VALUE_PAST:
		return ch == '\r' ? SIZE_LF : ch == ';' ? NAME_DUE : blank ? BLANK : BROKEN;
	default:
		return after_quoted(c, ch);
	}
}

static int extension_byte(struct tako__h1_chunked *c, char ch)
{
	enum state next = after_extension_byte(c, ch);

	if (next == BROKEN)
		return refuse(c, "malformed chunk extension");
	if (next != SIZE_LF && !c->extension_left--)
		return refuse(c, "chunk extensions too long");
	c->state = (uint8_t)next;
	return 0;
}

/* One byte of what is around the data. */
static int line_byte(struct tako__h1_chunked *c, char ch)
{
	/* What each of these states waits for, and what comes then. */
	static const struct {
		char want;
		uint8_t next;
	} fixed[] = {
		[SIZE_LF] = {'\n', DATA},
		[DATA_CR] = {'\r', DATA_LF},
		[DATA_LF] = {'\n', SIZE},
		[LAST_LF] = {'\n', END},
	};

	switch (c->state) {
	case SIZE:
		return size_byte(c, ch);
	case BLANK:
		return after_size(c, ch);
	case NAME_DUE:
	case NAME:
	case NAME_PAST:
	case VALUE_DUE:
	case VALUE_TOKEN:
	case QUOTED:
	case QUOTED_PAIR:
	case VALUE_PAST:
		return extension_byte(c, ch);
	case SIZE_LF:
	case DATA_CR:
	case DATA_LF:
	case LAST_LF:
		if (ch != fixed[c->state].want)
			return refuse(c, c->state == DATA_CR ? "chunk longer than its size"
			                                     : "bare CR");
		/* The size of the last chunk is 0. */
		c->state = c->state == SIZE_LF && !c->left ? LAST : fixed[c->state].next;
		c->digits = 0;
		return 0;
	default:
		return refuse(c, "fed after its end");
	}
}

uint64_t tako__h1_chunked_pending(const struct tako__h1_chunked *c)
{
	return c->state == DATA ? c->left : 0;
}

int tako__h1_chunked_feed(struct tako__h1_chunked *c, const char *p, size_t n, size_t *used,
                          tako_str *data)
{
	size_t i = 0;
	int res = 0;

	*data = (tako_str){NULL, 0};
	while (i < n && !res) {
		if (c->state == DATA) {
			size_t run = c->left < n - i ? (size_t)c->left : n - i;

			*data = (tako_str){p + i, run};
			c->left -= run;
			if (!c->left)
				c->state = DATA_CR;
			*used = i + run;
			return TAKO__H1_CHUNK_DATA;
		}
		if (c->state == LAST) {
			c->state = p[i] == '\r' ? LAST_LF : TRAILERS;
			i += c->state == LAST_LF;
		} else {
			res = line_byte(c, p[i++]);
		}
		if (c->state == TRAILERS || c->state == END)
			break;
	}
	*used = i;
	if (res)
		return res;
	if (c->state == END)
		return TAKO__H1_CHUNK_END;
	return c->state == TRAILERS ? TAKO__H1_CHUNK_TRAILERS : TAKO__H1_CHUNK_MORE;
}

/* ---- Trailers ------------------------------------------------------------------- */

/* RFC 9110 6.5.1 names the groups; these are their members among the fields of requests. */
bool tako__h1_is_forbidden_trailer(const struct tako__field *f)
{
	static const char *const names[] = {
		"authorization",
		"cache-control",
		"connection",
		"content-encoding",
		"content-length",
		"content-location",
		"content-range",
		"content-type",
		"cookie",
		"expect",
		"forwarded",
		"host",
		"if-match",
		"if-modified-since",
		"if-none-match",
		"if-range",
		"if-unmodified-since",
		"keep-alive",
		"max-forwards",
		"pragma",
		"proxy-authorization",
		"proxy-connection",
		"range",
		"set-cookie",
		"te",
		"trailer",
		"transfer-encoding",
		"upgrade",
		"x-forwarded-for",
		"x-forwarded-host",
		"x-forwarded-proto",
		"x-real-ip",
	};
	tako_str name = {f->name, f->name_n};

	for (size_t i = 0; i < TAKO__COUNT(names); i++) {
		if (tako_str_ieq(name, tako_str_z(names[i])))
			return true;
	}
	return false;
}

static int fields(struct tako__h1_trailers *out, const char *p, size_t n,
                  const struct tako__h1_limits *lim)
{
	struct tako__field f;
	uint32_t seen = 0;
	int i = 0;

	out->why = NULL;
	out->field_count = out->dropped_count = 0;
	for (;;) {
		size_t left = n - (size_t)i;

		if (!left || (left == 1 && p[i] == '\r'))
			return 0;
		if (p[i] == '\r' && p[i + 1] == '\n')
			return i + 2;
		/* Dropped ones count: they cost as much to read. */
		if (seen++ == lim->max_fields) {
			out->why = "too many trailer fields";
			return -431;
		}
		i = tako__h1_field_line(&f, p, (size_t)i, n, &out->why);
		if (i <= 0)
			return i;
		if (tako__h1_is_forbidden_trailer(&f))
			out->dropped_count++;
		else
			out->fields[out->field_count++] = f;
	}
}

int tako__h1_trailers_parse(struct tako__h1_trailers *out, const char *p, size_t n, size_t scanned,
                            const struct tako__h1_limits *lim)
{
	size_t max = tako__h1_max_head(lim);
	int res;

	if (scanned && n < max && !memchr(p + scanned, '\n', n - scanned))
		return 0;
	res = fields(out, p, n < max ? n : max, lim);
	if (!res && n >= max) {
		out->why = "trailers too large";
		return -431;
	}
	return res;
}

/* ---- Sending ---------------------------------------------------------------------- */

size_t tako__h1_chunk_head(char buf[TAKO__H1_CHUNK_HEAD_BYTES], uint64_t n)
{
	static const char hex[] = "0123456789ABCDEF";
	unsigned digits = n ? (unsigned)(67 - __builtin_clzll(n)) / 4 : 1;

	for (unsigned i = digits; i--; n >>= 4)
		buf[i] = hex[n & 15];
	buf[digits] = '\r';
	buf[digits + 1] = '\n';
	return digits + 2;
}
