/* SPDX-License-Identifier: MIT
 *
 * Recognises response heads for the load generator. The first head is parsed in full; later ones are
 * compared with its shape (status, place and bytes of Content-Length, place of the end), which costs a
 * few instructions and still proves each of them. Anything that differs is parsed in full again.
 * It understands responses with Content-Length only: chunked ones are reported as errors.
 */
#ifndef BENCH_LOAD_RESPONSE_H
#define BENCH_LOAD_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { STATUS_LINE_BYTES = 12, LENGTH_LINE_MAX = 48, HEAD_MAX = 8192 };

struct shape {
	size_t head_bytes; /* 0: no head seen yet */
	size_t length_at;  /* where the "Content-Length: N\r\n" line is */
	size_t length_line_bytes;
	uint64_t body_bytes;
	char length_line[LENGTH_LINE_MAX];
};

enum head_result { HEAD_PARTIAL, HEAD_OK, HEAD_BAD_STATUS, HEAD_MALFORMED };

static inline bool shape_matches(const struct shape *s, const char *p, size_t n)
{
	return s->head_bytes != 0 && n >= s->head_bytes &&
	       memcmp(p, "HTTP/1.1 200", STATUS_LINE_BYTES) == 0 &&
	       memcmp(p + s->length_at, s->length_line, s->length_line_bytes) == 0 &&
	       memcmp(p + s->head_bytes - 4, "\r\n\r\n", 4) == 0;
}

static inline const char *find_length_line(const char *p, const char *end)
{
	static const char name[] = "\r\nContent-Length:";

	for (; p + sizeof(name) < end; p++) {
		if (*p == '\r' && strncasecmp(p, name, sizeof(name) - 1) == 0)
			return p + 2;
	}
	return NULL;
}

static inline enum head_result shape_parse(struct shape *s, const char *p, size_t n)
{
	const char *end = memmem(p, n, "\r\n\r\n", 4);
	const char *line;
	const char *line_end;

	if (!end)
		return n < HEAD_MAX ? HEAD_PARTIAL : HEAD_MALFORMED;
	if (end - p < STATUS_LINE_BYTES || memcmp(p, "HTTP/1.", 7) != 0)
		return HEAD_MALFORMED;
	if (memcmp(p + 8, " 200", 4) != 0)
		return HEAD_BAD_STATUS;
	line = find_length_line(p, end + 2);
	if (!line)
		return HEAD_MALFORMED;
	line_end = memchr(line, '\n', (size_t)(end + 2 - line));
	if (!line_end || line_end + 1 - line > LENGTH_LINE_MAX)
		return HEAD_MALFORMED;
	s->head_bytes = (size_t)(end + 4 - p);
	s->length_at = (size_t)(line - p);
	s->length_line_bytes = (size_t)(line_end + 1 - line);
	s->body_bytes = strtoull(line + sizeof("Content-Length:") - 1, NULL, 10);
	memcpy(s->length_line, line, s->length_line_bytes);
	return HEAD_OK;
}

static inline enum head_result head_check(struct shape *s, const char *p, size_t n)
{
	return shape_matches(s, p, n) ? HEAD_OK : shape_parse(s, p, n);
}

#endif
