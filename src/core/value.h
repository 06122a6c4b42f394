/* SPDX-License-Identifier: MIT
 *
 * The grammar inside field values: comma-separated lists, parameters, quoted strings and
 * qualities (RFC 9110 sections 5.6 and 12.4.2).  Views of the value only: no allocation, no
 * idea of what any field means.
 */
#ifndef TAKO_CORE_VALUE_H
#define TAKO_CORE_VALUE_H

#include <tako/base.h>

/* The next element of a list, without white space around it, and `rest` moved behind it;
 * false at the end.  Empty elements are passed over (RFC 9110 section 5.6.1.2); a comma
 * in a quoted string divides nothing. */
bool tako__element_next(tako_str *rest, tako_str *ret);

/* What stands before the first ";" of an element, trimmed: a media type, a coding.  `rest`
 * receives the parameters for tako__param_next(). */
tako_str tako__value_head(tako_str element, tako_str *rest);

/* The next of "; a=b; c=\"d\"" (RFC 9110 section 5.6.6), and `rest` moved behind it.  A
 * value keeps its quotes; one without them may hold what is no token either, up to white
 * space, ";" or ",", for the sake of boundaries with "=" in them.
 *   1  found;  0  the end;  TAKO_EINVAL  not the grammar, `rest` is then of no use */
int tako__param_next(tako_str *rest, tako_str *name, tako_str *value);

/* Copy a parameter's value without its quotes and backslashes; up to v.n bytes, and `to` may
 * be where v is.  Returns how many.  One without quotes is copied as it is. */
size_t tako__unquote(char *to, tako_str v);

/* A weight in thousandths, 0 to 1000.  TAKO_EINVAL: not a qvalue. */
int tako__parse_q(tako_str v);

/* How much a list such as Accept-Encoding wants `token`: the quality of its own element, else
 * of "*".  TAKO_ENOENT: neither is there.  Elements with a malformed quality do not count. */
int tako__list_quality(tako_str list, tako_str token);

#endif /* TAKO_CORE_VALUE_H */
