/* SPDX-License-Identifier: MIT
 *
 * tako_res_cookie(): the public config struct into one Set-Cookie field.
 */
#include <time.h>

#include "core/query.h"
#include "core/res.h"

int tako_res_cookie(tako_res *res, const tako_cookie *cookie)
{
	tako_cookie c = {.size = sizeof c};
	tako_str value = {NULL, 0};
	int rc = tako__import(&c, sizeof c, cookie, offsetof(tako_cookie, path), "tako_cookie");

	if (rc == 0)
		rc = tako__cookie_format(&c, time(NULL), &tako__x(res)->arena, &value);
	return rc < 0 ? rc : tako_res_header_str(res, TAKO_STR("Set-Cookie"), value);
}
