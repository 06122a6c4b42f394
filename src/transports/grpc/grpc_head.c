/* SPDX-License-Identifier: MIT
 *
 * See grpc_head.h.
 */
#include "transports/grpc/grpc_head.h"

#include "core/base.h"
#include "core/str.h"
#include "core/value.h"
#include "transports/grpc/grpc_timeout.h"
#include "transports/grpc/grpc_zip.h"

/* ---- The content type ------------------------------------------------------------------ */

#define PREFIX "application/grpc"

const char tako__grpc_plain_type[] = PREFIX;

static bool has_prefix(tako_str s, const char *prefix, size_t n)
{
	return s.n >= n && tako__str_ieq(s.p, prefix, n);
}

static tako_str from(tako_str s, size_t n)
{
	return (tako_str){s.p + n, s.n - n};
}

/* Of a media type (RFC 9110 section 8.3.1), what is before its parameters. */
static tako_str bare(tako_str value)
{
	tako_str rest;

	if (!value.n || !memchr(value.p, ';', value.n))
		return value;
	return tako__value_head(value, &rest);
}

/* Nothing, or "+" and the name of a format. */
static bool is_format(tako_str s)
{
	return !s.n || (s.n > 1 && s.p[0] == '+' && tako__all(s.p + 1, s.n - 1, TAKO__C_TOKEN));
}

enum tako__grpc_form tako__grpc_form(tako_str type)
{
	enum tako__grpc_form form = TAKO__GRPC_PLAIN;
	tako_str rest = bare(type);

	if (!has_prefix(rest, PREFIX, sizeof(PREFIX) - 1))
		return TAKO__GRPC_NOT;
	rest = from(rest, sizeof(PREFIX) - 1);
	if (has_prefix(rest, "-web-text", 9)) {
		form = TAKO__GRPC_WEB_TEXT;
		rest = from(rest, 9);
		if (has_prefix(rest, "-base64", 7))
			rest = from(rest, 7);
	} else if (has_prefix(rest, "-web", 4)) {
		form = TAKO__GRPC_WEB;
		rest = from(rest, 4);
	}
	return is_format(rest) ? form : TAKO__GRPC_NOT;
}

/* ---- Fields ---------------------------------------------------------------------------- */

static bool is(const struct tako__field *f, const char *name)
{
	return tako__str_ieq(f->name, name, f->name_n);
}

static uint8_t accepted(tako_str list)
{
	unsigned bits = 0;
	tako_str item;

	while (tako__element_next(&list, &item)) {
		unsigned coding = tako__grpc_coding(item);

		if (coding != TAKO__GRPC_UNKNOWN_CODING)
			bits |= coding;
	}
	return (uint8_t)bits;
}

static void take_type(struct tako__grpc_request *r, tako_str value)
{
	if (TAKO__LIKELY(value.n == sizeof(PREFIX) - 1 && !memcmp(value.p, PREFIX, value.n))) {
		r->form = TAKO__GRPC_PLAIN;
		r->type = (tako_str){tako__grpc_plain_type, value.n};
		return;
	}
	r->form = tako__grpc_form(value);
	r->type = bare(value);
}

static void take_timeout(struct tako__grpc_request *r, tako_str value)
{
	if (r->has_timeout)
		r->bad = "more than one grpc-timeout";
	else if (tako__grpc_timeout(value, &r->timeout_ns) < 0)
		r->bad = "malformed grpc-timeout";
	r->has_timeout = true;
}

static void take_coding(struct tako__grpc_request *r, tako_str value)
{
	if (r->has_coding)
		r->bad = "more than one grpc-encoding";
	r->has_coding = true;
	r->coding = (uint8_t)tako__grpc_coding(value);
}

/* PROTOCOL-WEB.md, "Text-encoded (response) streams": the client says by Accept whether it takes bytes or
 * text, which need not be what it sends. */
static void choose_answer(struct tako__grpc_request *r, tako_str accept)
{
	tako_str item;

	r->answer = r->form;
	if (r->form <= TAKO__GRPC_PLAIN)
		return;
	while (tako__element_next(&accept, &item)) {
		enum tako__grpc_form form = tako__grpc_form(item);

		if (form <= TAKO__GRPC_PLAIN)
			continue;
		r->answer = form;
		r->type = bare(item);
		return;
	}
}

/* Most names differ in their lengths already. */
void tako__grpc_request(struct tako__grpc_request *ret, const struct tako__field *fields,
                        unsigned count)
{
	tako_str accept = {NULL, 0};

	*ret = (struct tako__grpc_request){.form = TAKO__GRPC_NOT};
	for (unsigned i = 0; i < count; i++) {
		const struct tako__field *f = &fields[i];
		tako_str value = {f->value, f->value_n};

		switch (f->name_n) {
		case 6:
			if (is(f, "origin"))
				ret->origin = value;
			else if (is(f, "accept"))
				accept = value;
			break;
		case 12:
			if (is(f, "content-type"))
				take_type(ret, value);
			else if (is(f, "grpc-timeout"))
				take_timeout(ret, value);
			break;
		case 13:
			if (is(f, "grpc-encoding"))
				take_coding(ret, value);
			break;
		case 20:
			if (is(f, "grpc-accept-encoding"))
				ret->accepts |= accepted(value);
			break;
		default:
			break;
		}
	}
	choose_answer(ret, accept);
}
