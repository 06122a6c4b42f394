/* SPDX-License-Identifier: MIT
 *
 * The method names, and the token check they share with field names.  No I/O, no
 * allocation, no idea of what a method means.
 */
#include "core/method.h"

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
	static const char others[] = "!#$%&'*+-.^_`|~";

	for (size_t i = 0; i < n; i++) {
		char c = p[i];
		bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
		             (c >= 'a' && c <= 'z');

		if (!alnum && !memchr(others, c, sizeof(others) - 1))
			return false;
	}
	return n > 0;
}
