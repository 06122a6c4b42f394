/* SPDX-License-Identifier: MIT
 *
 * One connection to Redis: hiredis' reader and formatter over a socket that never waits.
 */
#include <poll.h>
#include <string.h>

#include "transports/redis/redis_int.h"

bool tako__link_ask(struct tako__link *l, int argc, const char **argv, const size_t *n,
                    uint64_t now_ns)
{
	if (redisAppendCommandArgv(l->c, argc, argv, n) != REDIS_OK)
		return false;
	l->due++;
	if (!l->asked_ns)
		l->asked_ns = now_ns;
	return true;
}

/* Redis before version 6 has no users. */
static bool authenticate(struct tako__link *l, const tako_redis_config *cfg, uint64_t now_ns)
{
	const char *argv[] = {"AUTH", cfg->user ? cfg->user : cfg->password, cfg->password};
	const size_t n[] = {4, strlen(argv[1]), strlen(argv[2])};

	return tako__link_ask(l, cfg->user ? 3 : 2, argv, n, now_ns);
}

bool tako__link_open(struct tako__link *l, const tako_redis_config *cfg, uint64_t now_ns)
{
	const char *ping[] = {"PING"};
	const size_t ping_n[] = {4};

	*l = (struct tako__link){.heard_ns = now_ns};
	l->c = cfg->host[0] == '/' ? redisConnectUnixNonBlock(cfg->host)
	                           : redisConnectNonBlock(cfg->host, (int)cfg->port);
	if (!l->c || l->c->err)
		return false;
	if (cfg->password && !authenticate(l, cfg, now_ns))
		return false;
	return tako__link_ask(l, 1, ping, ping_n, now_ns);
}

void tako__link_close(struct tako__link *l)
{
	if (l->c)
		redisFree(l->c);
	*l = (struct tako__link){.c = NULL};
}

static bool read_replies(struct tako__link *l, uint64_t now_ns,
                         bool (*answer)(void *arg, redisReply *reply), void *arg)
{
	void *reply;

	if (redisBufferRead(l->c) != REDIS_OK)
		return false;
	for (;;) {
		bool ok;

		if (redisGetReplyFromReader(l->c, &reply) != REDIS_OK)
			return false;
		if (!reply)
			return true;
		l->heard_ns = now_ns;
		ok = answer(arg, reply);
		freeReplyObject(reply);
		if (!ok)
			return false;
	}
}

bool tako__link_go_on(struct tako__link *l, short events, uint64_t now_ns,
                      bool (*answer)(void *arg, redisReply *reply), void *arg)
{
	int done;

	if (tako__link_writes(l) && (events & (POLLOUT | POLLERR | POLLHUP)) &&
	    redisBufferWrite(l->c, &done) != REDIS_OK)
		return false;
	return !(events & (POLLIN | POLLERR | POLLHUP)) || read_replies(l, now_ns, answer, arg);
}
