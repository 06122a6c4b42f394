/* SPDX-License-Identifier: MIT
 *
 * See ws_offer.h.  The grammar is read strictly, and white space around "=" is not in it: what two
 * readers could understand differently is refused.
 */
#include "transports/ws/ws_offer.h"

#include "core/base.h"
#include "core/str.h"
#include "core/value.h"

/* ---- Grammar ------------------------------------------------------------------------ */

static void skip(tako_str *rest, size_t n)
{
	rest->p += n;
	rest->n -= n;
}

static void skip_white(tako_str *rest)
{
	while (rest->n && (rest->p[0] == ' ' || rest->p[0] == '\t'))
		skip(rest, 1);
}

static bool eat(tako_str *rest, char c)
{
	if (!rest->n || rest->p[0] != c)
		return false;
	skip(rest, 1);
	return true;
}

static bool eat_token(tako_str *rest, tako_str *ret)
{
	*ret = (tako_str){rest->p, 0};
	while (ret->n < rest->n && tako__is(rest->p[ret->n], TAKO__C_TOKEN))
		ret->n++;
	skip(rest, ret->n);
	return ret->n > 0;
}

/* With its quotes.  What is in them must be a token too (RFC 6455 section 9.1). */
static bool eat_quoted(tako_str *rest, tako_str *ret)
{
	size_t i = 1;
	size_t chars = 0;

	for (; i < rest->n && rest->p[i] != '"'; i++, chars++) {
		if (rest->p[i] == '\\' && ++i == rest->n)
			return false;
		if (!tako__is(rest->p[i], TAKO__C_TOKEN))
			return false;
	}
	if (i == rest->n || !chars)
		return false;
	*ret = (tako_str){rest->p, i + 1};
	skip(rest, i + 1);
	return true;
}

struct param {
	tako_str name;
	tako_str value; /* absent without one */
};

static bool eat_param(tako_str *rest, struct param *ret)
{
	ret->value = (tako_str){NULL, 0};
	if (!eat_token(rest, &ret->name))
		return false;
	if (!eat(rest, '='))
		return true;
	return rest->n && rest->p[0] == '"' ? eat_quoted(rest, &ret->value)
	                                    : eat_token(rest, &ret->value);
}

/* ---- One offer ------------------------------------------------------------------------ */

enum { SERVER_NO_CONTEXT, CLIENT_NO_CONTEXT, SERVER_BITS, CLIENT_BITS, KNOWN };
enum { VALUE_NONE, VALUE_NEEDED, VALUE_MAYBE };

/* RFC 7692 section 7.1. */
static const struct {
	tako_str name;
	int value;
} known[KNOWN] = {
	[SERVER_NO_CONTEXT] = {{"server_no_context_takeover", 26}, VALUE_NONE},
	[CLIENT_NO_CONTEXT] = {{"client_no_context_takeover", 26}, VALUE_NONE},
	[SERVER_BITS] = {{"server_max_window_bits", 22}, VALUE_NEEDED},
	[CLIENT_BITS] = {{"client_max_window_bits", 22}, VALUE_MAYBE},
};

struct offer {
	bool bad;
	bool seen[KNOWN];
	uint8_t bits[KNOWN];
};

/* "a decimal integer value without leading zeroes between 8 to 15": section 7.1.2.1.  0 for all else. */
static uint8_t parse_bits(tako_str v)
{
	char digits[8];
	size_t n = v.n <= sizeof(digits) ? tako__unquote(digits, v) : 0;

	if (n == 1 && (digits[0] == '8' || digits[0] == '9'))
		return (uint8_t)(digits[0] - '0');
	if (n == 2 && digits[0] == '1' && digits[1] >= '0' && digits[1] <= '5')
		return (uint8_t)(10 + digits[1] - '0');
	return 0;
}

static bool value_fits(struct offer *o, size_t which, tako_str v)
{
	o->bits[which] = TAKO__WS_Z_MAX_BITS;
	if (!v.p)
		return known[which].value != VALUE_NEEDED;
	if (known[which].value == VALUE_NONE)
		return false;
	o->bits[which] = parse_bits(v);
	return o->bits[which] != 0;
}

static void add_param(struct offer *o, const struct param *p)
{
	size_t which = 0;

	while (which < KNOWN && !tako_str_eq(p->name, known[which].name))
		which++;
	if (which == KNOWN || o->seen[which] || !value_fits(o, which, p->value)) {
		o->bad = true;
		return;
	}
	o->seen[which] = true;
}

/* False if it is not the grammar. */
static bool eat_offer(tako_str *rest, struct offer *o)
{
	tako_str name;
	struct param p;

	*o = (struct offer){
		.bits = {[SERVER_BITS] = TAKO__WS_Z_MAX_BITS, [CLIENT_BITS] = TAKO__WS_Z_MAX_BITS}};
	if (!eat_token(rest, &name))
		return false;
	o->bad = !tako_str_eq(name, TAKO_STR("permessage-deflate"));
	for (skip_white(rest); eat(rest, ';'); skip_white(rest)) {
		skip_white(rest);
		if (!eat_param(rest, &p))
			return false;
		add_param(o, &p);
	}
	return true;
}

/* ---- What we make of it ------------------------------------------------------------------ */

/* 8 with 15 bits, as zlib's defaults are. */
static uint8_t mem_level(uint8_t bits)
{
	return (uint8_t)(bits - 7);
}

static uint8_t smaller(uint8_t a, uint8_t b)
{
	return a < b ? a : b;
}

static bool ours_fits(struct tako__ws_deflate_params *p, size_t memory)
{
	for (; p->server_bits >= TAKO__WS_Z_MIN_BITS; p->server_bits--) {
		if (tako__ws_z_deflater_bytes(p->server_bits, mem_level(p->server_bits)) <= memory)
			return true;
	}
	return false;
}

/* Only the windows that are kept count: the others are the worker's.  The peer's gets up to a half of
 * the memory, if it may be told so, and ours the rest.  Which does not fit as small as it can be is not
 * kept, and may then as well be large. */
static void fit(struct tako__ws_deflate_params *p, size_t memory, bool tell)
{
	uint8_t server_bits = p->server_bits;
	uint8_t client_bits = p->client_bits;
	size_t theirs;

	while (tell && !p->client_no_context && client_bits > TAKO__WS_Z_MIN_BITS &&
	       tako__ws_z_inflater_bytes(client_bits) > memory / 2)
		client_bits--;
	theirs = p->client_no_context ? 0 : tako__ws_z_inflater_bytes(client_bits);
	if (theirs <= memory) {
		p->client_bits = client_bits;
		memory -= theirs;
	} else {
		p->client_no_context = true;
	}
	if (!p->server_no_context && !ours_fits(p, memory)) {
		p->server_no_context = true;
		p->server_bits = server_bits;
	}
	p->mem_level = mem_level(p->server_bits);
}

static bool keep(const struct offer *o, const struct tako__ws_offer_config *cfg,
                 struct tako__ws_deflate_params *ret)
{
	*ret = (struct tako__ws_deflate_params){
		.server_bits = smaller(o->bits[SERVER_BITS], cfg->server_bits),
		.client_bits = o->bits[CLIENT_BITS],
		.level = cfg->level,
		.server_no_context = o->seen[SERVER_NO_CONTEXT] || cfg->server_no_context,
		.client_no_context = o->seen[CLIENT_NO_CONTEXT] || cfg->client_no_context,
		.say_server_bits = o->seen[SERVER_BITS],
	};
	/* Only who offers to be told may be told (RFC 7692 section 7.1.2.2). */
	if (o->seen[CLIENT_BITS])
		ret->client_bits = smaller(ret->client_bits, cfg->client_bits);
	/* A window of 2^8 is what zlib cannot do, and what RFC 7692 section 7.1.2.1 lets us decline. */
	if (o->bad || ret->client_bits > cfg->client_bits || ret->server_bits < TAKO__WS_Z_MIN_BITS)
		return false;
	fit(ret, cfg->max_memory_bytes, o->seen[CLIENT_BITS]);
	ret->say_client_bits = o->seen[CLIENT_BITS] && ret->client_bits < TAKO__WS_Z_MAX_BITS;
	return true;
}

int tako__ws_offer_take(tako_str field, const struct tako__ws_offer_config *cfg,
                        struct tako__ws_deflate_params *ret, bool *taken)
{
	struct tako__ws_deflate_params params;
	bool any = false;
	struct offer o;

	do {
		skip_white(&field);
		/* Elements may be empty (RFC 9110 section 5.6.1.2), but not all of them. */
		if (!field.n || field.p[0] == ',')
			continue;
		any = true;
		if (!eat_offer(&field, &o))
			return TAKO_EINVAL;
		if (!*taken && keep(&o, cfg, &params)) {
			*taken = true;
			*ret = params;
		}
	} while (eat(&field, ','));
	return any && !field.n ? 0 : TAKO_EINVAL;
}

/* ---- The answer ------------------------------------------------------------------------- */

static size_t add(char *to, size_t n, tako_str s)
{
	memcpy(to + n, s.p, s.n);
	return n + s.n;
}

static size_t say(char *to, size_t n, size_t which, uint8_t bits)
{
	n = add(to, n, TAKO_STR("; "));
	n = add(to, n, known[which].name);
	if (known[which].value == VALUE_NONE)
		return n;
	to[n++] = '=';
	return n + tako__format_u64(to + n, bits);
}

size_t tako__ws_offer_answer(const struct tako__ws_deflate_params *p,
                             char to[TAKO__WS_ANSWER_BYTES])
{
	size_t n = add(to, 0, TAKO_STR("permessage-deflate"));

	if (p->server_no_context)
		n = say(to, n, SERVER_NO_CONTEXT, 0);
	if (p->client_no_context)
		n = say(to, n, CLIENT_NO_CONTEXT, 0);
	if (p->say_server_bits)
		n = say(to, n, SERVER_BITS, p->server_bits);
	if (p->say_client_bits)
		n = say(to, n, CLIENT_BITS, p->client_bits);
	return n;
}
