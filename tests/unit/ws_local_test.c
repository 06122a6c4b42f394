/* SPDX-License-Identifier: MIT
 *
 * What a worker's WebSockets share: settings, checked and counted; buffers, lent and bounded.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "transports/ws/ws_local.h"
#include "unit/failalloc.h"

static struct tako__worker worker; /* of which only the list of shares is looked at */
static struct tako__ws_local *local;

static int set_up(void **state)
{
	(void)state;
	local = tako__ws_local(&worker);
	return local == NULL;
}

static int tear_down(void **state)
{
	(void)state;
	worker.locals->fini(worker.locals);
	worker.locals = NULL;
	return failalloc_live() || failalloc_wrong();
}

static void one_a_worker(void **state)
{
	(void)state;
	assert_ptr_equal(tako__ws_local(&worker), local);
	assert_ptr_equal(local->worker, &worker);
	assert_null(local->base.next);
}

/* ---- Settings ----------------------------------------------------------------------------- */

static void on_message(tako_ws *ws, int kind, tako_str msg, void *arg)
{
	(void)ws, (void)kind, (void)msg, (void)arg;
}

static void on_fragment(tako_ws *ws, int kind, tako_str part, int flags, void *arg)
{
	(void)ws, (void)kind, (void)part, (void)flags, (void)arg;
}

static int on_slow(tako_ws *ws, uint64_t unsent_bytes, void *arg)
{
	(void)ws, (void)unsent_bytes, (void)arg;
	return TAKO_WS_SLOW_DROP;
}

static void defaults(void **state)
{
	struct tako__ws_conf c;

	(void)state;
	assert_int_equal(tako__ws_conf_import(&c, NULL), 0);
	assert_int_equal(c.cfg.max_message_bytes, 1 << 20);
	assert_int_equal(c.cfg.high_water_bytes, 256 << 10);
	assert_int_equal(c.cfg.max_unsent_bytes, 1 << 20);
	assert_int_equal(c.cfg.ping_interval_ms, 30000);
	assert_int_equal(c.cfg.pong_timeout_ms, 10000);
	assert_int_equal(c.cfg.close_timeout_ms, 5000);
	assert_int_equal(c.cfg.max_frame_count, 65536);
	assert_int_equal(c.cfg.idle_timeout_ms, TAKO_OFF);
	assert_int_equal(c.cfg.max_lifetime_ms, TAKO_OFF);
	assert_int_equal(c.deflate.size, 0);
	assert_int_equal(tako__ws_conf_import(&c, TAKO_WS_CONFIG(.deflate = TAKO_WS_DEFLATE())), 0);
	assert_int_equal(c.deflate.memory_bytes, 64 << 10);
	assert_int_equal(c.deflate.level, 6);
	assert_int_equal(c.deflate.server_window_bits, 15);
	assert_int_equal(c.deflate.client_window_bits, 15);
	assert_int_equal(c.deflate.threshold_bytes, 64);
	/* What was said stays. */
	assert_int_equal(tako__ws_conf_import(&c, TAKO_WS_CONFIG(.ping_interval_ms = TAKO_OFF,
	                                                         .max_message_bytes = 7,
	                                                         .on_slow = on_slow)),
	                 0);
	assert_int_equal(c.cfg.ping_interval_ms, TAKO_OFF);
	assert_int_equal(c.cfg.max_message_bytes, 7);
	assert_ptr_equal(c.cfg.on_slow, on_slow);
}

static void what_makes_no_sense(void **state)
{
	const struct {
		const tako_ws_config *cfg;
		const char *why;
	} cases[] = {
		{TAKO_WS_CONFIG(.slow = 2), "slow"},
		{TAKO_WS_CONFIG(.reserved = 1), "reserved"},
		{TAKO_WS_CONFIG(.on_message = on_message, .on_fragment = on_fragment),
	         "on_fragment"},
		{TAKO_WS_CONFIG(.on_slow = on_slow, .slow = TAKO_WS_SLOW_DROP), "on_slow"},
		{TAKO_WS_CONFIG(.deflate = TAKO_WS_DEFLATE(.level = 10)), "level"},
		{TAKO_WS_CONFIG(.deflate = TAKO_WS_DEFLATE(.server_window_bits = 8)), "bits"},
		{TAKO_WS_CONFIG(.deflate = TAKO_WS_DEFLATE(.client_window_bits = 16)), "bits"},
		{TAKO_WS_CONFIG(.deflate = TAKO_WS_DEFLATE(.server_no_context = 2)), "flag"},
		{TAKO_WS_CONFIG(.deflate = TAKO_WS_DEFLATE(.client_no_context = 2)), "flag"},
		{TAKO_WS_CONFIG(.deflate = TAKO_WS_DEFLATE(.reserved = 1)), "flag"},
		{&(tako_ws_config){.size = 0}, "size"},
		{TAKO_WS_CONFIG(.deflate = &(tako_ws_deflate){.size = 4}), "size"},
	};
	struct tako__ws_conf c;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_int_equal(tako__ws_conf_import(&c, cases[i].cfg), TAKO_EINVAL);
		if (!strstr(tako_last_error(), cases[i].why))
			fail_msg("case %zu: %s", i, tako_last_error());
	}
}

static void alike_ones_are_one(void **state)
{
	static const char *const names[] = {"chat", NULL};
	struct tako__ws_conf a, b;
	struct tako__ws_conf *first, *same, *other;

	(void)state;
	assert_int_equal(tako__ws_conf_import(&a, NULL), 0);
	assert_int_equal(tako__ws_conf_import(&b, TAKO_WS_CONFIG(.subprotocols = names)), 0);
	first = tako__ws_conf_get(local, &a);
	/* What only the handshake needs is no difference. */
	same = tako__ws_conf_get(local, &b);
	assert_ptr_equal(first, same);
	assert_null(first->cfg.subprotocols);
	assert_int_equal(tako__ws_conf_import(&b, TAKO_WS_CONFIG(.max_message_bytes = 9)), 0);
	other = tako__ws_conf_get(local, &b);
	assert_ptr_not_equal(first, other);
	assert_int_equal(
		tako__ws_conf_import(&b, TAKO_WS_CONFIG(.deflate = TAKO_WS_DEFLATE(.level = 1))),
		0);
	assert_ptr_not_equal(first, tako__ws_conf_get(local, &b));
	tako__ws_conf_put(tako__ws_conf_get(local, &b));
	tako__ws_conf_put(same);
	tako__ws_conf_put(other);
	assert_ptr_equal(tako__ws_conf_get(local, &a), first);
	tako__ws_conf_put(first);
	tako__ws_conf_put(first);
	failalloc_arm_from(1);
	assert_null(tako__ws_conf_get(local, &a));
	failalloc_disarm();
	tako__ws_conf_put(TAKO__CONTAINER(local->confs.next, struct tako__ws_conf, link));
	assert_true(tako__list_empty(&local->confs));
}

/* ---- Buffers -------------------------------------------------------------------------------- */

static void buffers_grow_as_bytes_come(void **state)
{
	struct tako__ws_buf b = {NULL, 0, 0};
	char *at;

	(void)state;
	assert_int_equal(tako__ws_buf_room(local, &b, 1), 0);
	assert_int_equal(b.cap, 4096);
	at = b.p;
	b.n = 4000;
	assert_int_equal(tako__ws_buf_room(local, &b, 96), 0);
	assert_ptr_equal(b.p, at);
	memset(b.p, 'b', b.n);
	assert_int_equal(tako__ws_buf_room(local, &b, 97), 0);
	assert_int_equal(b.cap, 8192);
	assert_int_equal(b.p[3999], 'b');
	assert_int_equal(tako__ws_buf_room(local, &b, 100000), 0);
	assert_int_equal(b.cap, 131072);
	assert_int_equal(tako__ws_buf_room(local, &b, SIZE_MAX - 100), TAKO_ENOMEM);
	failalloc_arm(1);
	assert_int_equal(tako__ws_buf_room(local, &b, 200000), TAKO_ENOMEM);
	failalloc_disarm();
	/* As it was. */
	assert_int_equal(b.cap, 131072);
	assert_int_equal(b.p[0], 'b');
	tako__ws_buf_put(local, &b);
	assert_null(b.p);
	assert_int_equal(b.n + b.cap, 0);
}

static void few_and_small_ones_are_kept(void **state)
{
	struct tako__ws_buf b[TAKO__WS_BUFS_KEPT + 2] = {{NULL, 0, 0}};
	struct tako__ws_buf big = {NULL, 0, 0};
	size_t live = failalloc_live();
	char *last;

	(void)state;
	for (unsigned i = 0; i < TAKO__WS_BUFS_KEPT + 2; i++)
		assert_int_equal(tako__ws_buf_room(local, &b[i], 10), 0);
	last = b[TAKO__WS_BUFS_KEPT - 1].p;
	for (unsigned i = 0; i < TAKO__WS_BUFS_KEPT + 2; i++) {
		b[i].n = 10;
		tako__ws_buf_put(local, &b[i]);
	}
	assert_int_equal(local->buf_count, TAKO__WS_BUFS_KEPT);
	assert_int_equal(failalloc_live(), live + TAKO__WS_BUFS_KEPT);
	/* The one that was put last comes first, and is empty. */
	failalloc_arm(0);
	assert_int_equal(tako__ws_buf_room(local, &b[0], 4096), 0);
	assert_int_equal(failalloc_count(), 0);
	assert_ptr_equal(b[0].p, last);
	assert_int_equal(b[0].n, 0);
	assert_int_equal(tako__ws_buf_room(local, &big, TAKO__WS_BUF_KEPT_BYTES + 1), 0);
	tako__ws_buf_put(local, &big);
	assert_int_equal(local->buf_count, TAKO__WS_BUFS_KEPT - 2);
	tako__ws_buf_put(local, &b[0]);
}

static void without_memory_there_is_none(void **state)
{
	static struct tako__worker other;

	(void)state;
	failalloc_arm(1);
	assert_null(tako__ws_local(&other));
	failalloc_disarm();
	assert_null(other.locals);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(one_a_worker),
		WITH(defaults),
		WITH(what_makes_no_sense),
		WITH(alike_ones_are_one),
		WITH(buffers_grow_as_bytes_come),
		WITH(few_and_small_ones_are_kept),
		WITH(without_memory_there_is_none),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
