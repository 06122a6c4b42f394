/* SPDX-License-Identifier: MIT
 *
 * See sim_reply.h.
 */
#include "sim/sim_reply.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void sim_reply_init(struct sim_reply *r)
{
	memset(r, 0, offsetof(struct sim_reply, head));
	r->head[0] = r->trailers[0] = '\0';
}

const char *sim_reply_field(const struct sim_reply *r, const char *name, char *buf, size_t n)
{
	size_t name_n = strlen(name);

	for (const char *at = strstr(r->head, "\r\n"); at; at = strstr(at, "\r\n")) {
		size_t value_n;

		at += 2;
		if (strncasecmp(at, name, name_n) != 0 || at[name_n] != ':')
			continue;
		at += name_n + 1;
		at += strspn(at, " ");
		value_n = strcspn(at, "\r");
		if (value_n >= n)
			return NULL;
		memcpy(buf, at, value_n);
		buf[value_n] = '\0';
		return buf;
	}
	return NULL;
}

void sim_reply_add_body(struct sim_reply *r, const char *p, size_t n)
{
	if (r->body_n + n > r->body_cap) {
		r->body_cap = (r->body_n + n) * 2;
		r->body = realloc(r->body, r->body_cap);
		if (!r->body)
			abort();
	}
	memcpy(r->body + r->body_n, p, n);
	r->body_n += n;
}

bool sim_reply_add_trailer(struct sim_reply *r, const char *line, size_t n)
{
	size_t have = strlen(r->trailers);

	if (have + n + 2 > sizeof r->trailers)
		return false;
	memcpy(r->trailers + have, line, n);
	r->trailers[have + n] = '\n';
	r->trailers[have + n + 1] = '\0';
	return true;
}
