/* SPDX-License-Identifier: MIT
 *
 * The Redis relay as a program sees it: made, watched, ended.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base.h"
#include "core/mem.h"
#include "core/random.h"
#include "transports/redis/redis_int.h"

enum {
	QUEUE_BYTES = 1 << 20,
	PORT = 6379,
	TIMEOUT_MS = 5000,
	PING_MS = 10000,
	RETRY_MIN_MS = 100,
	RETRY_MAX_MS = 5000,
	RETRY_MOST_MS = 3600000,
};

static void set_default(uint32_t *field, uint32_t otherwise)
{
	if (!*field)
		*field = otherwise;
}

static int import(tako_redis_config *out, const tako_redis_config *cfg)
{
	int rc = tako__import(out, sizeof *out, cfg, sizeof *out, "tako_redis_config");

	if (rc < 0)
		return rc;
	out->host = out->host ? out->host : "127.0.0.1";
	out->prefix = out->prefix ? out->prefix : "tako:";
	if (!out->max_queue_bytes)
		out->max_queue_bytes = QUEUE_BYTES;
	set_default(&out->port, PORT);
	set_default(&out->timeout_ms, TIMEOUT_MS);
	set_default(&out->ping_interval_ms, PING_MS);
	set_default(&out->retry_min_ms, RETRY_MIN_MS);
	set_default(&out->retry_max_ms,
	            out->retry_min_ms > RETRY_MAX_MS ? out->retry_min_ms : RETRY_MAX_MS);
	if (out->port > 65535 || out->reserved)
		return tako__fail(TAKO_EINVAL, "redis: port %u, or reserved not 0", out->port);
	if (out->user && !out->password)
		return tako__fail(TAKO_EINVAL, "redis: a user without a password");
	if (out->retry_min_ms > out->retry_max_ms || out->retry_max_ms > RETRY_MOST_MS)
		return tako__fail(TAKO_EINVAL, "redis: retry_min_ms over retry_max_ms, or that "
		                               "over an hour");
	return 0;
}

static void free_string(const char *s)
{
	if (s)
		tako__free((void *)(uintptr_t)s, strlen(s) + 1);
}

static void destroy(tako_redis *r)
{
	tako__redis_drop_all(r);
	if (r->wake_fd >= 0)
		close(r->wake_fd);
	free_string(r->cfg.host);
	free_string(r->cfg.user);
	free_string(r->cfg.password);
	free_string(r->cfg.prefix);
	pthread_mutex_destroy(&r->lock);
	tako__free(r, sizeof *r);
}

static bool copy_string(const char **to, const char *from)
{
	*to = from ? tako__strndup(from, strlen(from)) : NULL;
	return *to || !from;
}

static bool copy_strings(tako_redis *r, const tako_redis_config *cfg)
{
	bool ok = true;

	r->cfg = *cfg;
	/* All of them, so that none of the caller's is left. */
	ok = copy_string(&r->cfg.host, cfg->host) && ok;
	ok = copy_string(&r->cfg.user, cfg->user) && ok;
	ok = copy_string(&r->cfg.password, cfg->password) && ok;
	return copy_string(&r->cfg.prefix, cfg->prefix) && ok;
}

/* Signals are the program's own threads'; and that of a connection that broke is nobody's. */
static int start(tako_redis *r)
{
	sigset_t all;
	sigset_t old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&r->thread, NULL, tako__redis_run, r);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = err;
	return err ? tako__fail_errno("redis: thread") : 0;
}

int tako_redis_new(tako_redis **out, const tako_redis_config *cfg)
{
	tako_redis_config c;
	tako_redis *r;
	int rc = import(&c, cfg);

	if (rc < 0)
		return rc;
	r = tako__zalloc(sizeof *r);
	if (!r)
		return tako__fail(TAKO_ENOMEM, "redis: out of memory");
	pthread_mutex_init(&r->lock, NULL);
	r->relay = (tako_relay){.size = sizeof r->relay,
	                        .arg = r,
	                        .join = tako__redis_join,
	                        .leave = tako__redis_leave,
	                        .publish = tako__redis_publish};
	tako__random(r->origin, sizeof r->origin);
	r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->wake_fd < 0)
		rc = tako__fail_errno("redis: eventfd");
	if (!copy_strings(r, &c))
		rc = tako__fail(TAKO_ENOMEM, "redis: out of memory");
	if (rc == 0)
		rc = start(r);
	if (rc < 0) {
		destroy(r);
		return rc;
	}
	*out = r;
	return 0;
}

const tako_relay *tako_redis_relay(tako_redis *r)
{
	return &r->relay;
}

void tako_redis_free(tako_redis *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	tako__redis_ring(r);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	destroy(r);
}

int tako_redis_get_stats(tako_redis *r, tako_redis_stats *out)
{
	size_t size = out->size;

	if (size < sizeof size || size > sizeof *out)
		return tako__fail(TAKO_EINVAL, "tako_redis_stats: size is not set");
	pthread_mutex_lock(&r->lock);
	memcpy(out, &r->stats, size);
	pthread_mutex_unlock(&r->lock);
	out->size = size;
	return 0;
}
