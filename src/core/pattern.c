/* SPDX-License-Identifier: MIT
 *
 * The pattern compiler, the order of parameters, and their constraints.  No allocation.
 */
#include "core/pattern.h"

#include <string.h>

#include "core/base.h"
#include "core/str.h"

static const char *const constraint_names[] = {
	[TAKO__PARAM_U64] = "u64", [TAKO__PARAM_I64] = "i64",     [TAKO__PARAM_UUID] = "uuid",
	[TAKO__PARAM_HEX] = "hex", [TAKO__PARAM_ALPHA] = "alpha", [TAKO__PARAM_ALNUM] = "alnum",
};

static bool is_name(char c)
{
	return tako__is(c, TAKO__C_DIGIT | TAKO__C_ALPHA) || c == '_';
}

/* ---- Compiling ------------------------------------------------------------- */

/* Each step returns what is wrong, or NULL. */
struct compiler {
	struct tako__pattern *out;
	const char *p;
	const char *end;
	size_t segment; /* where the segment begins in the code */
	bool has_param; /* … and whether it has one */
	bool has_rest;
};

static void put(struct compiler *c, char byte)
{
	c->out->code[c->out->n++] = byte;
}

static const char *end_segment(struct compiler *c)
{
	const char *p = c->out->code + c->segment;
	size_t n = c->out->n - c->segment;

	if ((n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
		return "has a dot segment, which no matched path has";
	return NULL;
}

static const char *add_name(struct compiler *c, const char *p, size_t n)
{
	struct tako__pattern *out = c->out;

	if (!n || tako__is(*p, TAKO__C_DIGIT))
		return "has a parameter without a proper name";
	for (unsigned i = 0; i < out->name_count; i++) {
		if (out->names[i].n == n && !memcmp(out->names[i].p, p, n))
			return "has two parameters of one name";
	}
	if (out->name_count == TAKO__PARAMS_MAX)
		return "has more than 16 parameters";
	out->names[out->name_count++] = (tako_str){p, n};
	return NULL;
}

static const char *constraint(struct compiler *c, enum tako__param *kind)
{
	const char *p = ++c->p;
	size_t n;

	while (c->p < c->end && is_name(*c->p))
		c->p++;
	n = (size_t)(c->p - p);
	for (size_t i = TAKO__PARAM_U64; i < TAKO__COUNT(constraint_names); i++) {
		if (strlen(constraint_names[i]) == n && !memcmp(constraint_names[i], p, n)) {
			*kind = (enum tako__param)i;
			return NULL;
		}
	}
	return "has an unknown constraint";
}

/* After its '{'. */
static const char *parameter(struct compiler *c)
{
	enum tako__param kind = TAKO__PARAM_BARE;
	const char *name;
	const char *why;

	if (c->has_param)
		return "has two parameters in one segment";
	if (c->p < c->end && *c->p == '*') {
		kind = TAKO__PARAM_REST;
		c->p++;
		if (c->out->n != c->segment)
			return "has text before {*} in its segment";
	}
	name = c->p;
	while (c->p < c->end && is_name(*c->p))
		c->p++;
	why = add_name(c, name, (size_t)(c->p - name));
	if (!why && c->p < c->end && *c->p == ':' && kind == TAKO__PARAM_BARE)
		why = constraint(c, &kind);
	if (why)
		return why;
	if (c->p == c->end || *c->p != '}')
		return "has '{' without its '}'";
	c->p++;
	c->has_param = true;
	c->has_rest = kind == TAKO__PARAM_REST;
	put(c, '\0');
	put(c, (char)kind);
	return NULL;
}

/* After its '%': paths are matched decoded, so the text they are compared with is, too. */
static const char *escape(struct compiler *c)
{
	int high = c->end - c->p < 2 ? -1 : tako__hex_value(c->p[0]);
	int low = high < 0 ? -1 : tako__hex_value(c->p[1]);

	if (low < 0)
		return "has '%' without two hexadecimal digits (\"%25\" is a literal one)";
	c->p += 2;
	if (!(high | low))
		return "has a zero byte";
	if (high * 16 + low == '/')
		return "has an encoded slash, which only a parameter's value can have";
	put(c, (char)(high * 16 + low));
	return NULL;
}

static const char *step(struct compiler *c)
{
	char byte = *c->p++;
	const char *why = NULL;

	if (c->has_rest)
		return "goes on after {*}";
	switch (byte) {
	case '{':
	case '}':
		if (c->p < c->end && *c->p == byte)
			put(c, *c->p++);
		else
			why = byte == '{' ? parameter(c) : "has '}' without its '{'";
		break;
	case '/':
		why = end_segment(c);
		put(c, '/');
		c->segment = c->out->n;
		c->has_param = false;
		break;
	case '%':
		why = escape(c);
		break;
	case '\0':
		why = "has a zero byte";
		break;
	default:
		put(c, byte);
	}
	return why;
}

static const char *compile(struct compiler *c, bool prefix)
{
	const char *why = NULL;

	if (c->p == c->end)
		return prefix ? NULL : "is empty";
	if (*c->p != '/')
		return "does not begin with '/'";
	while (!why && c->p < c->end)
		why = step(c);
	if (!why)
		why = end_segment(c);
	if (!why && prefix && c->has_rest)
		why = "has {*}, as a prefix";
	if (!why && prefix && c->segment == c->out->n)
		why = "ends with '/', as a prefix";
	return why;
}

int tako__pattern_compile(struct tako__pattern *out, const char *src, size_t n, bool prefix)
{
	struct compiler c = {.out = out, .p = src, .end = src + n};
	const char *why;

	out->n = 0;
	out->name_count = 0;
	why = n > sizeof(out->code) ? "is longer than 4096 bytes" : compile(&c, prefix);
	if (why)
		return tako__fail(TAKO_EINVAL, "pattern %s: %.*s", why, (int)(n < 128 ? n : 128),
		                  src);
	return TAKO_OK;
}

/* ---- The code -------------------------------------------------------------- */

size_t tako__pattern_segment(struct tako__param_spec *spec, bool *has_param, const char *code,
                             size_t n)
{
	const char *slash = n ? memchr(code, '/', n) : NULL;
	size_t len = slash ? (size_t)(slash - code) : n;
	const char *zero = len ? memchr(code, '\0', len) : NULL;

	*has_param = zero != NULL;
	if (zero) {
		spec->prefix = (tako_str){code, (size_t)(zero - code)};
		spec->suffix = (tako_str){zero + 2, len - spec->prefix.n - 2};
		spec->kind = (enum tako__param)zero[1];
	}
	return len;
}

static int param_class(const struct tako__param_spec *s)
{
	return s->kind == TAKO__PARAM_REST ? 2 : s->kind == TAKO__PARAM_BARE;
}

static int cmp_size(size_t a, size_t b)
{
	return (a > b) - (a < b);
}

static int cmp_text(tako_str a, tako_str b)
{
	return a.n == b.n ? memcmp(a.p, b.p, a.n) : cmp_size(a.n, b.n);
}

/* A bare parameter is the one with the shortest affixes, so it needs no class of its own.  Two
 * that take the same segment and have prefixes of one length have the same prefix, and
 * so for suffixes: after the kind, the bytes only make the order total. */
int tako__param_cmp(const struct tako__param_spec *a, const struct tako__param_spec *b)
{
	int cmp = param_class(a) - param_class(b);

	if (!cmp)
		cmp = cmp_size(b->prefix.n + b->suffix.n, a->prefix.n + a->suffix.n);
	if (!cmp)
		cmp = cmp_size(b->prefix.n, a->prefix.n);
	if (!cmp)
		cmp = (int)a->kind - (int)b->kind;
	if (!cmp)
		cmp = cmp_text(a->prefix, b->prefix);
	return cmp ? cmp : cmp_text(a->suffix, b->suffix);
}

/* ---- Constraints ----------------------------------------------------------- */

static bool is_u64(const char *p, size_t n)
{
	uint64_t v;

	return !tako__parse_u64(p, n, &v);
}

static bool is_i64(const char *p, size_t n)
{
	bool minus = n && *p == '-';
	uint64_t v;

	return !tako__parse_u64(p + minus, n - minus, &v) && v <= (uint64_t)INT64_MAX + minus;
}

static bool is_hex(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (tako__hex_value(p[i]) < 0)
			return false;
	}
	return n > 0;
}

/* RFC 9562 section 4. */
static bool is_uuid(const char *p, size_t n)
{
	if (n != 36)
		return false;
	for (size_t i = 0; i < n; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? p[i] != '-' : tako__hex_value(p[i]) < 0)
			return false;
	}
	return true;
}

bool tako__param_takes(enum tako__param kind, const char *p, size_t n)
{
	switch (kind) {
	case TAKO__PARAM_U64:
		return is_u64(p, n);
	case TAKO__PARAM_I64:
		return is_i64(p, n);
	case TAKO__PARAM_UUID:
		return is_uuid(p, n);
	case TAKO__PARAM_HEX:
		return is_hex(p, n);
	case TAKO__PARAM_ALPHA:
		return n > 0 && tako__all(p, n, TAKO__C_ALPHA);
	case TAKO__PARAM_ALNUM:
		return n > 0 && tako__all(p, n, TAKO__C_ALPHA | TAKO__C_DIGIT);
	case TAKO__PARAM_BARE:
		return n > 0;
	case TAKO__PARAM_REST:
		return true;
	}
	return false;
}
