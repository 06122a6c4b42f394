/* SPDX-License-Identifier: MIT
 *
 * tako_problem_json(): errors as "problem details" (RFC 9457).  Says what the status line says
 * and where, nothing of the server's inside.
 */
#include <string.h>

#include "core/exchange.h"
#include "core/json.h"
#include "core/res.h"
#include "core/str.h"

static char *put(char *to, const char *p, size_t n)
{
	memcpy(to, p, n);
	return to + n;
}

#define PUT(to, lit) put(to, lit, sizeof(lit) - 1)

/* Section 4.2.1: with about:blank the title is the phrase of the status. */
static size_t format(char *buf, const char *title, int status, tako_str path)
{
	char *to = PUT(buf, "{\"type\":\"about:blank\",\"title\":\"");

	to = put(to, title, strlen(title));
	to = PUT(to, "\",\"status\":");
	to += tako__format_u64(to, (uint64_t)status);
	if (path.n) {
		to = PUT(to, ",\"instance\":\"");
		to += tako__json_escape(to, path.n * TAKO__JSON_CHAR_BYTES, &path);
		to = PUT(to, "\"");
	}
	return (size_t)(PUT(to, "}\n") - buf);
}

int tako_problem_json(tako_req *req, tako_res *res, int status, void *arg)
{
	/* A URI reference (section 3.1.5), so the path as it came, still encoded. */
	tako_str path = tako_req_raw_path(req);
	const char *title = tako__status_text(status);
	char *buf;

	(void)arg;
	buf = tako__arena_alloc(&tako__x(req)->arena,
	                        128 + strlen(title) + path.n * TAKO__JSON_CHAR_BYTES);
	if (!buf)
		return TAKO_NEXT;
	return tako_res_send(res, status, "application/problem+json",
	                     (tako_str){buf, format(buf, title, status, path)});
}
