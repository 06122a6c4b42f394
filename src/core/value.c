/* SPDX-License-Identifier: MIT
 *
 * Lists, parameters, quoted strings and qualities of field values.
 */
#include "core/value.h"

#include "core/str.h"

static tako_str from(tako_str s, size_t at)
{
	return at ? (tako_str){s.p + at, s.n - at} : s; /* NULL + 0 is undefined in C */
}

/* Where the quoted string that begins at `at` ends: behind its second quote, or 0 if there
 * is none. */
static size_t quoted_end(tako_str s, size_t at)
{
	for (size_t i = at + 1; i < s.n; i++) {
		if (s.p[i] == '"')
			return i + 1;
		if (s.p[i] == '\\')
			i++;
	}
	return 0;
}

/* The first place of `stop` outside quoted strings, or the end. */
static size_t find_unquoted(tako_str s, char stop)
{
	size_t i = 0;

	while (i < s.n && s.p[i] != stop) {
		size_t end = s.p[i] == '"' ? quoted_end(s, i) : i + 1;

		if (!end)
			return s.n;
		i = end;
	}
	return i;
}

bool tako__element_next(tako_str *rest, tako_str *ret)
{
	while (rest->n) {
		size_t end = find_unquoted(*rest, ',');
		tako_str element = tako__str_trim((tako_str){rest->p, end});

		*rest = from(*rest, end < rest->n ? end + 1 : end);
		if (element.n) {
			*ret = element;
			return true;
		}
	}
	return false;
}

tako_str tako__value_head(tako_str element, tako_str *rest)
{
	size_t end = find_unquoted(element, ';');

	*rest = from(element, end);
	return tako__str_trim((tako_str){element.p, end});
}

/* ---- Parameters --------------------------------------------------------------- */

static size_t token_length(tako_str s)
{
	size_t n = 0;

	while (n < s.n && tako__is(s.p[n], TAKO__C_TOKEN))
		n++;
	return n;
}

static size_t value_length(tako_str s)
{
	size_t n = 0;

	if (s.n && s.p[0] == '"')
		return quoted_end(s, 0);
	while (n < s.n && s.p[n] > ' ' && s.p[n] < 0x7f && s.p[n] != ';' && s.p[n] != ',' &&
	       s.p[n] != '"')
		n++;
	return n;
}

/* OWS ";" OWS, any number of times: parameters may be empty. */
static bool skip_separators(tako_str *rest)
{
	bool any = false;

	for (*rest = tako__str_trim(*rest); rest->n && rest->p[0] == ';';
	     *rest = tako__str_trim(from(*rest, 1)))
		any = true;
	return any;
}

int tako__param_next(tako_str *rest, tako_str *name, tako_str *value)
{
	bool separated = skip_separators(rest);

	if (!rest->n)
		return 0;
	*name = (tako_str){rest->p, token_length(*rest)};
	if (!separated || !name->n || name->n == rest->n || rest->p[name->n] != '=')
		return TAKO_EINVAL;
	*rest = from(*rest, name->n + 1);
	*value = (tako_str){rest->p, value_length(*rest)};
	*rest = from(*rest, value->n);
	return value->n ? 1 : TAKO_EINVAL;
}

size_t tako__unquote(char *to, tako_str v)
{
	bool quoted = v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"';
	size_t end = quoted ? v.n - 1 : v.n;
	size_t n = 0;

	for (size_t i = quoted ? 1 : 0; i < end; i++) {
		if (quoted && v.p[i] == '\\' && i + 1 < end)
			i++;
		to[n++] = v.p[i];
	}
	return n;
}

/* ---- Qualities ------------------------------------------------------------------ */

/* qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] ), RFC 9110 section 12.4.2 */
int tako__parse_q(tako_str v)
{
	int q;
	int place = 100;

	if (!v.n || v.n > 5 || (v.p[0] != '0' && v.p[0] != '1') || (v.n > 1 && v.p[1] != '.'))
		return TAKO_EINVAL;
	q = v.p[0] == '1' ? 1000 : 0;
	for (size_t i = 2; i < v.n; i++, place /= 10) {
		if (!tako__is(v.p[i], TAKO__C_DIGIT))
			return TAKO_EINVAL;
		q += (v.p[i] - '0') * place;
	}
	return q <= 1000 ? q : TAKO_EINVAL;
}

static int quality_of(tako_str params)
{
	tako_str name;
	tako_str value;
	int more;

	while ((more = tako__param_next(&params, &name, &value)) > 0) {
		if (tako_str_ieq(name, TAKO_STR("q")))
			return tako__parse_q(value);
	}
	return more < 0 ? more : 1000;
}

int tako__list_quality(tako_str list, tako_str token)
{
	int any = TAKO_ENOENT;
	tako_str element;

	while (tako__element_next(&list, &element)) {
		tako_str params;
		tako_str head = tako__value_head(element, &params);
		int q = quality_of(params);

		if (q < 0)
			continue;
		if (tako_str_ieq(head, token))
			return q;
		if (tako_str_eq(head, TAKO_STR("*")))
			any = q;
	}
	return any;
}
