/* SPDX-License-Identifier: MIT
 *
 * A transport that only tests speak (tests/integration/framedwire.py), written on <tako/sys/transport.h> as any
 * user would: exchanges side by side on one connection, in frames of a type, a flag, an exchange's number (two
 * bytes) and a length (four; both little-endian).
 *
 *   to the server    'H' method, target, authority, length or "-", then names and values, each ended by a NUL
 *                    'D' content, the last of it with the flag; 'T' trailers, names and values; 'C' cancels
 *   from the server  'h' and 'i' (interim): status, length or "-", "1" if there is content, names and values;
 *                    'd' content, 'e' the end, with trailers; 's' it stops, 'o' it is over, 'x' refused: a code
 */
#ifndef TESTS_FRAMED_H
#define TESTS_FRAMED_H

#include "program.h"

#include <tako/sys/transport.h>

enum { FRAME_HEAD = 8, FRAMED_KEPT_MAX = 4 << 20, FRAMED_FIELDS = 200, FRAMED_EXCHANGES = 256 };

struct framed {
	char *kept; /* what came and was not taken yet */
	size_t n;
	tako_exchange *by_number[FRAMED_EXCHANGES];
	bool held; /* somebody has to take something first */
};

static inline int framed_send(tako_raw *c, char type, uintptr_t number, tako_str a, tako_str b)
{
	size_t n = a.n + b.n;
	char head[FRAME_HEAD] = {type,
	                         0,
	                         (char)(number & 255),
	                         (char)(number >> 8),
	                         (char)(n & 255),
	                         (char)(n >> 8 & 255),
	                         (char)(n >> 16 & 255),
	                         (char)(n >> 24)};

	tako_raw_send(c, (tako_str){head, sizeof(head)});
	tako_raw_send(c, a);
	return tako_raw_send(c, b) < 0 ? TAKO_ECLOSED : 0;
}

/* Names and values behind `text`, of which *n bytes are used. */
static inline int framed_fields(char *text, size_t *n, size_t room, const tako_field *f,
                                size_t count)
{
	for (size_t i = 0; i < count; i++) {
		tako_str part[] = {f[i].name, f[i].value};

		for (int k = 0; k < 2; k++) {
			if (part[k].n + 1 > room - *n)
				return TAKO_ETOOBIG;
			memcpy(text + *n, part[k].p, part[k].n);
			text[*n + part[k].n] = '\0';
			*n += part[k].n + 1;
		}
	}
	return 0;
}

static inline int framed_say(tako_exchange *e, char type, const tako_response_head *h)
{
	static char text[65536];
	char length[24] = "-";
	size_t n;
	int rc;

	if (h->content_length != TAKO_OFF64)
		snprintf(length, sizeof(length), "%" PRIu64, h->content_length);
	n = (size_t)snprintf(text, sizeof(text), "%d%c%s%c%d%c", (int)h->status, 0, length, 0,
	                     h->has_content, 0);
	rc = framed_fields(text, &n, sizeof(text), h->fields, h->field_count);
	return rc < 0 ? rc
	              : framed_send(tako_exchange_raw(e), type, (uintptr_t)tako_exchange_arg(e),
	                            (tako_str){text, n}, TAKO_STR(""));
}

static inline int framed_head(tako_exchange *e, const tako_response_head *h)
{
	return framed_say(e, 'h', h);
}

static inline int framed_inform(tako_exchange *e, const tako_response_head *h)
{
	return framed_say(e, 'i', h);
}

static inline int framed_content(tako_exchange *e, tako_str data)
{
	return framed_send(tako_exchange_raw(e), 'd', (uintptr_t)tako_exchange_arg(e), data,
	                   TAKO_STR(""));
}

static inline int framed_end(tako_exchange *e, const tako_field *trailers, size_t count)
{
	char text[4096];
	size_t n = 0;
	int rc = framed_fields(text, &n, sizeof(text), trailers, count);

	return rc < 0 ? rc
	              : framed_send(tako_exchange_raw(e), 'e', (uintptr_t)tako_exchange_arg(e),
	                            (tako_str){text, n}, TAKO_STR(""));
}

static inline void framed_stop(tako_exchange *e, int why)
{
	framed_send(tako_exchange_raw(e), 's', (uintptr_t)tako_exchange_arg(e),
	            tako_str_z(program_code(why)), TAKO_STR(""));
}

static int framed_go_on(tako_raw *c);

static inline void framed_more(tako_exchange *e)
{
	tako_raw *c = tako_exchange_raw(e);
	struct framed *f = tako_raw_user(c);

	f->held = false;
	if (framed_go_on(c) < 0)
		tako_raw_abort(c);
	else if (!f->held)
		tako_raw_resume(c);
}

static inline void framed_over(tako_exchange *e)
{
	tako_raw *c = tako_exchange_raw(e);
	struct framed *f = tako_raw_user(c);
	uintptr_t number = (uintptr_t)tako_exchange_arg(e);

	f->by_number[number] = NULL;
	framed_send(c, 'o', number, TAKO_STR(""), TAKO_STR(""));
}

static const tako_exchange_ops framed_ops = {
	.size = sizeof(framed_ops),
	.head = framed_head,
	.inform = framed_inform,
	.content = framed_content,
	.end = framed_end,
	.stop = framed_stop,
	.more = framed_more,
	.over = framed_over,
};

/* The next of what is each ended by a NUL. */
static inline tako_str framed_part(tako_str *rest)
{
	const char *nul = rest->n ? memchr(rest->p, '\0', rest->n) : NULL;
	tako_str part = {rest->p, nul ? (size_t)(nul - rest->p) : rest->n};

	rest->p += nul ? part.n + 1 : part.n;
	rest->n -= nul ? part.n + 1 : part.n;
	return part;
}

static inline size_t framed_list(tako_field *to, tako_str rest)
{
	size_t n = 0;

	while (rest.n && n < FRAMED_FIELDS) {
		to[n].name = framed_part(&rest);
		to[n].value = framed_part(&rest);
		n++;
	}
	return n;
}

static inline int framed_begin(tako_raw *c, uintptr_t number, tako_str data)
{
	struct framed *f = tako_raw_user(c);
	tako_field fields[FRAMED_FIELDS];
	tako_request_head h = {.size = sizeof(h), .fields = fields};
	tako_str length;
	int rc;

	h.method = framed_part(&data);
	h.target = framed_part(&data);
	h.authority = framed_part(&data);
	length = framed_part(&data);
	h.content_length = length.n && length.p[0] == '-' ? TAKO_OFF64
	                                                  : strtoull(length.p, NULL, 10);
	h.field_count = framed_list(fields, data);
	rc = tako_exchange_begin(&f->by_number[number], c, &h, &framed_ops, (void *)number);
	return rc < 0 ? framed_send(c, 'x', number, tako_str_z(program_code(rc)), TAKO_STR("")) : 0;
}

/* 0, or TAKO_EBUSY: the frame is to come again. */
static inline int framed_take(tako_raw *c, const char *p, tako_str data)
{
	struct framed *f = tako_raw_user(c);
	uintptr_t number = (unsigned char)p[2];
	tako_exchange *e = f->by_number[number];
	tako_field fields[FRAMED_FIELDS];
	int rc = 0;

	if (p[0] == 'H')
		return e ? TAKO_EPROTO : framed_begin(c, number, data);
	if (!e)
		return 0; /* it crossed the end on its way */
	if (p[0] == 'D')
		rc = tako_exchange_data(e, data, p[1]);
	else if (p[0] == 'T')
		rc = tako_exchange_trailers(e, fields, framed_list(fields, data));
	else if (p[0] == 'C')
		tako_exchange_cancel(e);
	if (rc < 0 && rc != TAKO_EBUSY)
		return framed_send(c, 'x', number, tako_str_z(program_code(rc)), TAKO_STR(""));
	return rc;
}

static int framed_go_on(tako_raw *c)
{
	struct framed *f = tako_raw_user(c);
	size_t at = 0;
	int rc = 0;

	while (rc == 0 && f->n - at >= FRAME_HEAD) {
		const unsigned char *p = (const unsigned char *)f->kept + at;
		size_t n = p[4] | (size_t)p[5] << 8 | (size_t)p[6] << 16 | (size_t)p[7] << 24;

		if (n > FRAMED_KEPT_MAX)
			return TAKO_ETOOBIG;
		if (f->n - at < FRAME_HEAD + n)
			break;
		rc = framed_take(c, f->kept + at, (tako_str){f->kept + at + FRAME_HEAD, n});
		if (rc == 0)
			at += FRAME_HEAD + n;
	}
	f->n -= at;
	memmove(f->kept, f->kept + at, f->n);
	f->held = rc == TAKO_EBUSY;
	return f->held ? 0 : rc;
}

static inline int framed_data(tako_raw *c, tako_str data, void *arg)
{
	struct framed *f = tako_raw_user(c);
	char *grown = data.n <= FRAMED_KEPT_MAX - f->n ? realloc(f->kept, f->n + data.n) : NULL;
	int rc;

	(void)arg;
	if (!grown)
		return TAKO_ENOMEM;
	f->kept = grown;
	memcpy(f->kept + f->n, data.p, data.n);
	f->n += data.n;
	if (f->held)
		return 0;
	rc = framed_go_on(c);
	if (f->held)
		tako_raw_pause(c);
	return rc;
}

static inline void framed_close(tako_raw *c, int why, void *arg)
{
	struct framed *f = tako_raw_user(c);

	(void)why, (void)arg;
	free(f->kept);
}

static inline int framed_listen(tako_server *srv, const char *addr)
{
	return tako_server_listen(
		srv, tako_raw_tcp(), addr,
		TAKO_LISTEN_CONFIG(.raw = TAKO_RAW_CONFIG(.on_data = framed_data,
	                                                  .on_close = framed_close,
	                                                  .user_bytes = sizeof(struct framed),
	                                                  .write_high_bytes = 65536)));
}

#endif /* TESTS_FRAMED_H */
