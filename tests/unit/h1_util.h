/* SPDX-License-Identifier: MIT
 *
 * What the tests of the HTTP/1.1 parsers share: input that ends where an unmapped page begins,
 * so that reading one byte too many is a crash, and a head written out as one line of text.
 */
#ifndef TAKO_TEST_H1_UTIL_H
#define TAKO_TEST_H1_UTIL_H

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "transports/h1/h1_head.h"
#include "transports/h1/h1_scan.h"

#define GUARDED_BYTES (128u * 1024)
#define FIELDS_MAX 128

static const struct tako__h1_limits usual_limits = {TAKO__H1_HEAD_BYTES, TAKO__H1_LINE_BYTES,
                                                    TAKO__H1_FIELDS};

/* Copy n bytes to right before an unmapped page. */
static const char *guarded(const char *bytes, size_t n)
{
	static char *end;

	if (!end) {
		size_t page = (size_t)sysconf(_SC_PAGESIZE);
		char *p = mmap(NULL, GUARDED_BYTES + page, PROT_READ | PROT_WRITE,
		               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		assert_true(p != MAP_FAILED);
		assert_int_equal(mprotect(p + GUARDED_BYTES, page, PROT_NONE), 0);
		end = p + GUARDED_BYTES;
	}
	assert_true(n <= GUARDED_BYTES);
	if (n)
		memcpy(end - n, bytes, n);
	return end - n;
}

static inline size_t put_str(char *out, size_t at, size_t size, const char *label, tako_str s)
{
	int n;

	if (!s.p)
		n = snprintf(out + at, size - at, "%s-", label);
	else
		n = snprintf(out + at, size - at, "%s%.*s", label, TAKO_FMT(s));
	assert_true(n >= 0 && (size_t)n < size - at);
	return at + (size_t)n;
}

static inline size_t put(char *out, size_t at, size_t size, const char *text)
{
	return put_str(out, at, size, "", tako_str_z(text));
}

/* Every member of a head, as text; absent strings are "-". */
static inline void show_head(const struct tako__h1_head *h, char *out, size_t size)
{
	static const char *const forms[] = {"origin", "absolute", "authority", "asterisk"};
	const char *id = tako__method_name(h->method_id);
	char length[32];
	size_t at = put_str(out, 0, size, "", h->method);

	at = put(out, at, size, id ? "" : "(other)");
	at = put(out, at, size, h->minor ? " 1.1 " : " 1.0 ");
	at = put_str(out, at, size, "", h->target);
	at = put(out, at, size, " ");
	at = put(out, at, size, forms[h->form]);
	at = put_str(out, at, size, " path=", h->path);
	at = put_str(out, at, size, " query=", h->query);
	at = put_str(out, at, size, " auth=", h->authority);
	at = put_str(out, at, size, " host=", h->host);
	if (h->path_flags & TAKO__PATH_ESCAPED)
		at = put(out, at, size, " escaped");
	if (h->path_flags & TAKO__PATH_DOTS)
		at = put(out, at, size, " dots");
	snprintf(length, sizeof(length), " length=%llu", (unsigned long long)h->content_length);
	if (h->framing == TAKO__H1_LENGTH || h->content_length)
		at = put(out, at, size, length);
	at = put(out, at, size, h->framing == TAKO__H1_CHUNKED ? " chunked" : "");
	at = put(out, at, size, h->keep_alive ? " keep" : " close");
	at = put(out, at, size, h->seen & TAKO__H1_SEEN_CLOSE ? " asked" : "");
	at = put(out, at, size, h->expect_continue ? " expect" : "");
	at = put(out, at, size, h->te_trailers ? " te" : "");
	at = put(out, at, size, h->switching ? " switch" : "");
	at = put_str(out, at, size, " upgrade=", h->upgrade);
	if (!h->got_line)
		at = put(out, at, size, " no-line");
	for (uint32_t i = 0; i < h->field_count; i++) {
		at = put_str(out, at, size, "|",
		             (tako_str){h->fields[i].name, h->fields[i].name_n});
		at = put_str(out, at, size, "=",
		             (tako_str){h->fields[i].value, h->fields[i].value_n});
	}
}

#endif /* TAKO_TEST_H1_UTIL_H */
