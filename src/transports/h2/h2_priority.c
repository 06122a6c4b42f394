/* SPDX-License-Identifier: MIT
 *
 * See h2_priority.h.  A dictionary of structured fields (RFC 8941 section 3.2) of which two members
 * mean something; what is malformed is ignored as a whole (RFC 9218 section 4).
 */
#include "transports/h2/h2_priority.h"

#include "core/str.h"
#include "core/value.h"

enum { URGENCY_DEFAULT = 3, URGENCY_LAST = 7 };

static bool take(struct tako__priority *p, tako_str name, tako_str value)
{
	if (name.n != 1)
		return true;
	if (name.p[0] == 'u') {
		if (value.n != 1 || value.p[0] < '0' || value.p[0] > '0' + URGENCY_LAST)
			return false;
		p->urgency = (uint8_t)(value.p[0] - '0');
	} else if (name.p[0] == 'i') {
		if (value.p && !tako_str_eq(value, TAKO_STR("?1")) &&
		    !tako_str_eq(value, TAKO_STR("?0")))
			return false;
		p->incremental = !value.p || value.p[1] == '1';
	}
	return true;
}

struct tako__priority tako__priority_parse(tako_str value)
{
	const struct tako__priority none = {.urgency = URGENCY_DEFAULT};
	struct tako__priority p = none;
	tako_str element;

	while (tako__element_next(&value, &element)) {
		tako_str params;
		tako_str member = tako__value_head(element, &params);
		const char *eq = memchr(member.p, '=', member.n);
		size_t n = eq ? (size_t)(eq - member.p) : member.n;
		tako_str v = {NULL, 0};

		if (eq)
			v = (tako_str){eq + 1, member.n - n - 1};
		if (!take(&p, (tako_str){member.p, n}, v))
			return none;
	}
	return p;
}
