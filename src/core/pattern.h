/* SPDX-License-Identifier: MIT
 *
 * The syntax of route patterns: "/img-{id:u64}.png" to a canonical code, in which patterns
 * that match the same paths are the same bytes.  Knows neither routes nor trees.
 *
 * In the code, literal bytes stand for themselves, without doubled braces.  A parameter
 * is '\0' and its kind: no literal holds '\0', and no kind is '\0' or '/'.
 */
#ifndef TAKO_CORE_PATTERN_H
#define TAKO_CORE_PATTERN_H

#include <tako/base.h>

#include "core/router.h"

enum {
	/* Of a whole pattern, prefixes included. */
	TAKO__PATTERN_MAX_BYTES = 4096,
};

/* What a parameter takes.  Of two constrained ones that take the same text the first here
 * wins: what takes less comes before what takes more, and hex before alpha because its
 * words are the rarer ones. */
enum tako__param {
	TAKO__PARAM_U64 = 1,
	TAKO__PARAM_I64,
	TAKO__PARAM_UUID,
	TAKO__PARAM_HEX,
	TAKO__PARAM_ALPHA,
	TAKO__PARAM_ALNUM,
	TAKO__PARAM_BARE,
	TAKO__PARAM_REST,
};

struct tako__pattern {
	size_t n; /* of the code; never more than of the source */
	char code[TAKO__PATTERN_MAX_BYTES];
	tako_str names[TAKO__PARAMS_MAX]; /* into the source */
	unsigned name_count;
};

/* Compile src[0..n).  A prefix may be empty, does not end with '/' and has no {*rest}.
 * TAKO_EINVAL: malformed. */
int tako__pattern_compile(struct tako__pattern *out, const char *src, size_t n, bool prefix);

/* One segment of a code that holds a parameter. */
struct tako__param_spec {
	tako_str prefix;
	tako_str suffix;
	enum tako__param kind;
};

/* Split code[0..n) after a '/' up to the next one, or the end.  Returns its length; `spec` is
 * set and *has_param true if it holds a parameter. */
size_t tako__pattern_segment(struct tako__param_spec *spec, bool *has_param, const char *code,
                             size_t n);
/* < 0: `a` is tried before `b`; 0: they take the same segments.  Only segments that both can
 * take need an order, but it is total. */
int tako__param_cmp(const struct tako__param_spec *a, const struct tako__param_spec *b);
/* Whether p[0..n), affixes removed, is what the parameter takes. */
bool tako__param_takes(enum tako__param kind, const char *p, size_t n);

#endif /* TAKO_CORE_PATTERN_H */
