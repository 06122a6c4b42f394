/* SPDX-License-Identifier: MIT
 *
 * See ws_local.h.
 */
#include "transports/ws/ws_local.h"

#include "transports/ws/ws_rule.h"
#include "transports/ws/ws_send.h"

enum {
	OPS_KEPT = 16384, /* a message to so many subscribers allocates nothing */
	BUF_FIRST_BYTES = 4096,
};

static void local_free(struct tako__worker_local *base)
{
	struct tako__ws_local *l = (struct tako__ws_local *)base;

	for (unsigned i = 0; i < l->buf_count; i++)
		tako__free(l->bufs[i].p, l->bufs[i].cap);
	tako__free(l->packed.p, l->packed.cap);
	tako__ws_zpool_fini(&l->zpool);
	tako__ws_rules_free(l);
	tako__pool_fini(&l->ops);
	tako__free(l, sizeof *l);
}

struct tako__ws_local *tako__ws_local(struct tako__worker *w)
{
	struct tako__ws_local *l = tako__worker_local(w, local_free);

	if (l)
		return l;
	l = tako__zalloc(sizeof *l);
	if (!l)
		return NULL;
	tako__worker_keep(w, &l->base, local_free);
	l->worker = w;
	tako__list_init(&l->confs);
	tako__pool_init(&l->ops, sizeof(struct tako__ws_op), OPS_KEPT);
	return l;
}

/* ---- Configurations ----------------------------------------------------------------------- */

static void with_default(uint32_t *v, uint32_t value)
{
	if (*v == 0)
		*v = value;
}

static void with_default64(uint64_t *v, uint64_t value)
{
	if (*v == 0)
		*v = value;
}

static int import_deflate(tako_ws_deflate *d, const tako_ws_deflate *from)
{
	/* What was published first is all of it. */
	int rc = tako__import(d, sizeof *d, from, sizeof *d, "tako_ws_deflate");

	if (rc < 0)
		return rc;
	with_default(&d->memory_bytes, 64 << 10);
	with_default(&d->level, 6);
	with_default(&d->server_window_bits, 15);
	with_default(&d->client_window_bits, 15);
	with_default(&d->threshold_bytes, 64);
	if (d->level > 9)
		return tako__fail(TAKO_EINVAL, "level is not in 1 to 9");
	if (d->server_window_bits < 9 || d->server_window_bits > 15 || d->client_window_bits < 9 ||
	    d->client_window_bits > 15)
		return tako__fail(TAKO_EINVAL, "window bits are not in 9 to 15");
	if (d->server_no_context > 1 || d->client_no_context > 1 || d->reserved)
		return tako__fail(TAKO_EINVAL, "tako_ws_deflate: a flag is neither 0 nor 1");
	return 0;
}

static int check(const tako_ws_config *cfg)
{
	if (cfg->slow > TAKO_WS_SLOW_DROP)
		return tako__fail(TAKO_EINVAL, "slow is no TAKO_WS_SLOW_*");
	if (cfg->reserved)
		return tako__fail(TAKO_EINVAL, "tako_ws_config: reserved is not 0");
	if (cfg->on_fragment && cfg->on_message)
		return tako__fail(TAKO_EINVAL, "on_message would never be called beside "
		                               "on_fragment");
	if (cfg->on_slow && cfg->slow)
		return tako__fail(TAKO_EINVAL, "on_slow decides, slow has no effect");
	return 0;
}

int tako__ws_conf_import(struct tako__ws_conf *ret, const tako_ws_config *from)
{
	tako_ws_config *cfg = &ret->cfg;
	/* What was published first is all of it. */
	int rc = tako__import(cfg, sizeof *cfg, from, sizeof *cfg, "tako_ws_config");

	memset(&ret->deflate, 0, sizeof ret->deflate);
	if (rc == 0)
		rc = check(cfg);
	if (rc == 0 && cfg->deflate)
		rc = import_deflate(&ret->deflate, cfg->deflate);
	if (rc < 0)
		return rc;
	with_default64(&cfg->max_message_bytes, 1 << 20);
	with_default64(&cfg->high_water_bytes, 256 << 10);
	with_default64(&cfg->max_unsent_bytes, 1 << 20);
	with_default(&cfg->ping_interval_ms, 30000);
	with_default(&cfg->pong_timeout_ms, 10000);
	with_default(&cfg->max_frame_count, 65536);
	with_default(&cfg->idle_timeout_ms, TAKO_OFF);
	with_default(&cfg->max_lifetime_ms, TAKO_OFF);
	with_default(&cfg->close_timeout_ms, 5000);
	return 0;
}

struct tako__ws_conf *tako__ws_conf_get(struct tako__ws_local *l, const struct tako__ws_conf *c)
{
	struct tako__ws_conf own = *c;
	struct tako__ws_conf *got;

	own.cfg.subprotocols = NULL;
	own.cfg.origins = NULL;
	own.cfg.deflate = NULL;
	/* A program has few, and their structs have no holes. */
	TAKO__LIST_EACH(at, &l->confs)
	{
		got = TAKO__CONTAINER(at, struct tako__ws_conf, link);
		if (!memcmp(&got->cfg, &own.cfg, sizeof own.cfg) &&
		    !memcmp(&got->deflate, &own.deflate, sizeof own.deflate)) {
			got->refs++;
			return got;
		}
	}
	got = tako__alloc(sizeof *got);
	if (!got)
		return NULL;
	*got = own;
	got->refs = 1;
	tako__list_push_front(&l->confs, &got->link);
	return got;
}

void tako__ws_conf_put(struct tako__ws_conf *c)
{
	if (--c->refs)
		return;
	tako__list_remove(&c->link);
	tako__free(c, sizeof *c);
}

/* ---- Buffers --------------------------------------------------------------------------------- */

int tako__ws_buf_room(struct tako__ws_local *l, struct tako__ws_buf *b, size_t more)
{
	size_t cap;
	char *grown;

	if (!b->p && l->buf_count)
		*b = l->bufs[--l->buf_count];
	if (more <= b->cap - b->n)
		return 0;
	if (more > SIZE_MAX / 2 - b->n)
		return TAKO_ENOMEM;
	/* As bytes come, not as a head promises: a promise is free. */
	cap = b->cap ? b->cap : BUF_FIRST_BYTES;
	while (cap - b->n < more)
		cap *= 2;
	grown = tako__resize(b->p, b->cap, cap);
	if (!grown)
		return TAKO_ENOMEM;
	b->p = grown;
	b->cap = cap;
	return 0;
}

void tako__ws_buf_put(struct tako__ws_local *l, struct tako__ws_buf *b)
{
	if (b->p && l->buf_count < TAKO__WS_BUFS_KEPT && b->cap <= TAKO__WS_BUF_KEPT_BYTES) {
		b->n = 0;
		l->bufs[l->buf_count++] = *b;
	} else {
		tako__free(b->p, b->cap);
	}
	*b = (struct tako__ws_buf){NULL, 0, 0};
}
