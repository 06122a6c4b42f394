/* SPDX-License-Identifier: MIT
 *
 * The method names, and the token check they share with field names.  No I/O, no
 * allocation, no idea of what a method means.
 */
#include "core/method.h"

#include "core/str.h"

static const char *const names[TAKO__METHOD_COUNT] = {
	[TAKO__GET] = "GET",         [TAKO__HEAD] = "HEAD",       [TAKO__POST] = "POST",
	[TAKO__PUT] = "PUT",         [TAKO__DELETE] = "DELETE",   [TAKO__PATCH] = "PATCH",
	[TAKO__OPTIONS] = "OPTIONS", [TAKO__CONNECT] = "CONNECT", [TAKO__TRACE] = "TRACE",
};

const char *tako__method_name(unsigned id)
{
	return id < TAKO__METHOD_COUNT ? names[id] : NULL;
}

bool tako__is_token(const char *p, size_t n)
{
	return n > 0 && tako__all(p, n, TAKO__C_TOKEN);
}
