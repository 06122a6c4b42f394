/* SPDX-License-Identifier: MIT
 *
 * See client_h2_block.h.
 */
#include "transports/client/client_h2_block.h"

#include "core/base.h"
#include "transports/h2/h2_field.h"

enum { STATUS_BYTES = 3 };

void tako__client_h2_block_init(struct tako__client_h2_block *b, bool trailers)
{
	b->head = (struct tako__client_h2_head){.length = TAKO_OFF64, .trailers = trailers};
	b->text.n = 0;
	b->list_bytes = 0;
	b->err = 0;
	b->why = NULL;
	b->regular = false;
}

/* The first failure sticks, and nothing is looked at behind it. */
static void refuse(struct tako__client_h2_block *b, int err, const char *why)
{
	if (b->err)
		return;
	b->err = err;
	b->why = why;
}

static void keep(struct tako__client_h2_block *b, const char *name, size_t name_n,
                 const char *value, size_t value_n)
{
	const uint32_t sizes[2] = {(uint32_t)name_n, (uint32_t)value_n};

	if (b->head.field_count == b->field_count_max) {
		refuse(b, TAKO_ETOOBIG, "too many fields");
		return;
	}
	b->head.field_count++;
	if (tako__client_buf_add(&b->text, (const char *)sizes, sizeof sizes) < 0 ||
	    tako__client_buf_add(&b->text, name, name_n) < 0 ||
	    tako__client_buf_add(&b->text, value, value_n) < 0)
		refuse(b, TAKO_ENOMEM, NULL);
}

/* RFC 9113 section 8.3.2: there is one, before all fields, and RFC 9110 section 15: three digits. */
static void take_pseudo(struct tako__client_h2_block *b, const char *name, size_t name_n,
                        const char *p, size_t n)
{
	if (b->head.trailers)
		refuse(b, TAKO_EPROTO, "a pseudo-header field in trailers");
	else if (!TAKO__H2_IS(name, name_n, ":status"))
		refuse(b, TAKO_EPROTO, "a pseudo-header field that no response has");
	else if (b->regular)
		refuse(b, TAKO_EPROTO, ":status behind a field");
	else if (b->head.status)
		refuse(b, TAKO_EPROTO, "more than one :status");
	else if (n != STATUS_BYTES || p[0] < '1' || p[0] > '5' || !tako__is(p[1], TAKO__C_DIGIT) ||
	         !tako__is(p[2], TAKO__C_DIGIT))
		refuse(b, TAKO_EPROTO, "a status that is not 100 to 599");
	else
		b->head.status = (uint16_t)((p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0'));
}

/* Those that mean something to us. */
static void look_at(struct tako__client_h2_block *b, const char *name, size_t name_n,
                    const char *value, size_t value_n)
{
	uint64_t length;

	if (TAKO__H2_IS(name, name_n, "te") &&
	    !tako_str_ieq((tako_str){value, value_n}, TAKO_STR("trailers")))
		refuse(b, TAKO_EPROTO, "a field of an HTTP/1.1 connection");
	if (!TAKO__H2_IS(name, name_n, "content-length"))
		return;
	/* Twice, even the same, is what readers in a row come to disagree about. */
	if (b->head.length != TAKO_OFF64)
		refuse(b, TAKO_EPROTO, "more than one Content-Length");
	else if (tako__parse_u64(value, value_n, &length) < 0 || length == TAKO_OFF64)
		refuse(b, TAKO_EPROTO, "invalid Content-Length");
	else
		b->head.length = length;
}

static void take_regular(struct tako__client_h2_block *b, const char *name, size_t name_n,
                         const char *value, size_t value_n)
{
	b->regular = true;
	if (!tako__h2_name_ok(name, name_n))
		refuse(b, TAKO_EPROTO, "a field name that is no token in lower case");
	else if (!tako__h2_value_ok(value, value_n))
		refuse(b, TAKO_EPROTO,
		       "a field value with control characters, or white space around it");
	else if (tako__h2_is_of_connection(name, name_n))
		refuse(b, TAKO_EPROTO, "a field of an HTTP/1.1 connection");
	else
		keep(b, name, name_n, value, value_n);
	if (!b->head.trailers)
		look_at(b, name, name_n, value, value_n);
}

void tako__client_h2_block_field(struct tako__client_h2_block *b, const char *name, size_t name_n,
                                 const char *value, size_t value_n)
{
	size_t bytes = name_n + value_n + TAKO__H2_FIELD_OVERHEAD;

	/* The rest is decompressed only, to keep the table in step. */
	if (b->err)
		return;
	if (bytes > b->list_bytes_max - b->list_bytes) {
		refuse(b, TAKO_ETOOBIG, "response head too large");
		return;
	}
	b->list_bytes += (uint32_t)bytes;
	if (name_n && name[0] == ':')
		take_pseudo(b, name, name_n, value, value_n);
	else
		take_regular(b, name, name_n, value, value_n);
}

int tako__client_h2_block_end(struct tako__client_h2_block *b)
{
	if (!b->err && !b->head.trailers && !b->head.status)
		refuse(b, TAKO_EPROTO, "no :status");
	if (!b->err && b->head.status == 101)
		refuse(b, TAKO_EPROTO, "101, which HTTP/2 does not have");
	return b->err;
}

void tako__client_h2_views(struct tako__field *to, uint32_t count, const char *text)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t sizes[2];

		memcpy(sizes, text, sizeof sizes);
		text += sizeof sizes;
		to[i] = (struct tako__field){text, text + sizes[0], sizes[0], sizes[1]};
		text += (size_t)sizes[0] + sizes[1];
	}
}
