/* SPDX-License-Identifier: MIT
 *
 * The Redis relay's public face in a build without it.
 */
#include <tako/redis.h>

#include "core/base.h"

static int refuse(void)
{
	return tako__fail(TAKO_ENOTSUP, "Redis is not in this build");
}

int tako_redis_new(tako_redis **out, const tako_redis_config *cfg)
{
	(void)out, (void)cfg;
	return refuse();
}

const tako_relay *tako_redis_relay(tako_redis *r)
{
	(void)r;
	return NULL;
}

void tako_redis_free(tako_redis *r)
{
	(void)r;
}

int tako_redis_get_stats(tako_redis *r, tako_redis_stats *out)
{
	(void)r, (void)out;
	return refuse();
}
