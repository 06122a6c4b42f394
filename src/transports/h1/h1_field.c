/* SPDX-License-Identifier: MIT
 *
 * The fields that decide where a request ends and what becomes of its connection: their
 * values, and the verdict over all of them.  Everything here is what request smuggling is
 * made of, so whatever two parsers could read differently is refused.
 */
#include <string.h>

#include "core/base.h"
#include "transports/h1/h1_parse.h"
#include "transports/h1/h1_scan.h"

#define LENGTH(n) (1u << (n))

/* Host is found by the loop itself, the others come to tako__h1_field(). */
const uint32_t tako__h1_special[32] = {
	['H' & 31] = LENGTH(4),               /* Host */
	['C' & 31] = LENGTH(10) | LENGTH(14), /* Connection, Content-Length */
	['T' & 31] = LENGTH(2) | LENGTH(17),  /* TE, Transfer-Encoding */
	['E' & 31] = LENGTH(6),               /* Expect */
	['U' & 31] = LENGTH(7),               /* Upgrade */
};

/* Whether p[0..n) is `lower`, which is in lower case.  Setting bit 5 maps only control
 * characters onto '-' and digits, and those are in no name or value. */
static inline bool same(const char *p, size_t n, tako_str lower)
{
	size_t i = 0;

	if (n != lower.n)
		return false;
	for (; n - i >= 8; i += 8) {
		if ((tako__h1_load64(p + i) | 0x2020202020202020u) != tako__h1_load64(lower.p + i))
			return false;
	}
	for (; i < n; i++) {
		if ((p[i] | 0x20) != lower.p[i])
			return false;
	}
	return true;
}

/* The next element of a comma-separated list, trimmed, possibly empty; false at its end. */
static bool next_item(tako_str *list, tako_str *item)
{
	const char *comma;
	size_t n;

	if (!list->p)
		return false;
	comma = memchr(list->p, ',', list->n);
	n = comma ? (size_t)(comma - list->p) : list->n;
	*item = (tako_str){list->p, n};
	*list = comma ? (tako_str){comma + 1, list->n - n - 1} : (tako_str){NULL, 0};
	while (item->n && (*item->p == ' ' || *item->p == '\t')) {
		item->p++;
		item->n--;
	}
	while (item->n && (item->p[item->n - 1] == ' ' || item->p[item->n - 1] == '\t'))
		item->n--;
	return true;
}

static int content_length(struct tako__h1_head *h, tako_str v)
{
	uint64_t length = 0;

	if (h->seen & TAKO__H1_SEEN_LENGTH)
		return tako__h1_fail(h, 400, "more than one Content-Length field");
	h->seen |= TAKO__H1_SEEN_LENGTH;
	if (!v.n)
		return tako__h1_fail(h, 400, "empty Content-Length");
	for (size_t i = 0; i < v.n; i++) {
		unsigned digit = (unsigned)(unsigned char)v.p[i] - '0';

		if (digit > 9)
			return tako__h1_fail(h, 400, "Content-Length is not a number");
		/* Kept within a signed 64-bit number, as file offsets are. */
		if (length > (uint64_t)(INT64_MAX - 9) / 10)
			return tako__h1_fail(h, 400, "Content-Length too large");
		length = length * 10 + digit;
	}
	h->content_length = length;
	h->framing = TAKO__H1_LENGTH;
	return 0;
}

static int transfer_encoding(struct tako__h1_head *h, tako_str list)
{
	tako_str item;

	h->seen |= TAKO__H1_SEEN_CODING;
	/* RFC 9112 6.1: 1.0 has no transfer codings, whoever sends one is confused or lying. */
	if (!h->minor)
		return tako__h1_fail(h, 400, "Transfer-Encoding in HTTP/1.0");
	while (next_item(&list, &item)) {
		if (!item.n)
			return tako__h1_fail(h, 400, "empty transfer coding");
		if (h->framing == TAKO__H1_CHUNKED)
			return tako__h1_fail(h, 400, "transfer coding after chunked");
		if (same(item.p, item.n, TAKO_STR("chunked")))
			h->framing = TAKO__H1_CHUNKED;
		else if (item.n > 7 && same(item.p, 7, TAKO_STR("chunked")) &&
		         !tako__h1_is(item.p[7], TAKO__H1_TOKEN))
			return tako__h1_fail(h, 400, "chunked with parameters"); /* RFC 9112 7.1 */
		else
			return tako__h1_fail(h, 501, "unknown transfer coding");
	}
	return 0;
}

static void connection(struct tako__h1_head *h, tako_str list)
{
	tako_str item;

	if (same(list.p, list.n, TAKO_STR("keep-alive"))) {
		h->seen |= TAKO__H1_SEEN_KEEP;
		return;
	}
	while (next_item(&list, &item)) {
		if (same(item.p, item.n, TAKO_STR("keep-alive")))
			h->seen |= TAKO__H1_SEEN_KEEP;
		else if (same(item.p, item.n, TAKO_STR("close")))
			h->seen |= TAKO__H1_SEEN_CLOSE;
		else if (same(item.p, item.n, TAKO_STR("upgrade")))
			h->seen |= TAKO__H1_SEEN_SWITCH;
	}
}

static int expect(struct tako__h1_head *h, tako_str list)
{
	tako_str item;

	/* RFC 9110 10.1.1: 100-continue from HTTP/1.0 MUST be ignored. */
	if (!h->minor)
		return 0;
	while (next_item(&list, &item)) {
		if (same(item.p, item.n, TAKO_STR("100-continue")))
			h->expect_continue = true;
		else if (item.n)
			return tako__h1_fail(h, 417, "unknown expectation");
	}
	return 0;
}

static void te(struct tako__h1_head *h, tako_str list)
{
	tako_str item;

	while (next_item(&list, &item)) {
		if (same(item.p, item.n, TAKO_STR("trailers")))
			h->te_trailers = true;
	}
}

int tako__h1_field(struct tako__h1_head *h, const struct tako__field *f)
{
	tako_str v = {f->value, f->value_n};

	if (same(f->name, f->name_n, TAKO_STR("connection")))
		connection(h, v);
	else if (same(f->name, f->name_n, TAKO_STR("content-length")))
		return content_length(h, v);
	else if (same(f->name, f->name_n, TAKO_STR("transfer-encoding")))
		return transfer_encoding(h, v);
	else if (same(f->name, f->name_n, TAKO_STR("expect")))
		return expect(h, v);
	else if (same(f->name, f->name_n, TAKO_STR("te")))
		te(h, v);
	else if (!h->upgrade.n && same(f->name, f->name_n, TAKO_STR("upgrade")))
		h->upgrade = v;
	return 0;
}

int tako__h1_finish(struct tako__h1_head *h)
{
	const unsigned both = TAKO__H1_SEEN_LENGTH | TAKO__H1_SEEN_CODING;

	if (h->minor && !(h->seen & TAKO__H1_SEEN_HOST))
		return tako__h1_fail(h, 400, "no Host field"); /* RFC 9112 3.2 */
	/* RFC 9112 3.2.2: a host in the target beats the field. */
	if (h->form == TAKO__H1_ABSOLUTE || h->form == TAKO__H1_AUTHORITY)
		h->host = h->authority;
	/* RFC 9110 4.2.1: an http URI without a host MUST be rejected. */
	if (h->form == TAKO__H1_ORIGIN && (h->seen & TAKO__H1_SEEN_HOST) && !h->host.n)
		return tako__h1_fail(h, 400, "empty Host field");
	if ((h->seen & both) == both)
		return tako__h1_fail(h, 400, "Content-Length beside Transfer-Encoding");
	/* RFC 9112 9.3: close wins over keep-alive; 1.1 persists unless told not to. */
	h->keep_alive = !(h->seen & TAKO__H1_SEEN_CLOSE) &&
	                (h->minor || (h->seen & TAKO__H1_SEEN_KEEP));
	/* RFC 9110 7.8: Upgrade from HTTP/1.0 MUST be ignored. */
	h->switching = h->minor && (h->seen & TAKO__H1_SEEN_SWITCH) && h->upgrade.n;
	return 0;
}
