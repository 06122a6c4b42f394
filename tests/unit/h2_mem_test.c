/* SPDX-License-Identifier: MIT
 *
 * The library's memory: sizes it does not tell, blocks that come back, and failures.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "transports/h2/h2_mem.h"
#include "unit/failalloc.h"

static struct tako__h2_mem m;

static int set_up(void **state)
{
	(void)state;
	tako__h2_mem_init(&m);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tako__h2_mem_fini(&m);
	return failalloc_live() || failalloc_wrong();
}

static void test_every_size(void **state)
{
	(void)state;
	for (size_t n = 0; n < 2000; n++) {
		char *p = m.mem.malloc(n, &m);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		memset(p, 0x55, n);
		m.mem.free(p, &m);
	}
	m.mem.free(NULL, &m);
}

static void test_blocks_come_back(void **state)
{
	void *a = m.mem.malloc(100, &m);
	size_t count;

	(void)state;
	m.mem.free(a, &m);
	count = failalloc_count();
	assert_ptr_equal(m.mem.malloc(90, &m), a);
	m.mem.free(a, &m);
	assert_int_equal(failalloc_count(), count);
}

static void test_zeroed(void **state)
{
	unsigned char *p = m.mem.malloc(200, &m);

	(void)state;
	memset(p, 0xff, 200);
	m.mem.free(p, &m);
	p = m.mem.calloc(20, 10, &m);
	for (size_t i = 0; i < 200; i++)
		assert_int_equal(p[i], 0);
	m.mem.free(p, &m);
	assert_null(m.mem.calloc(SIZE_MAX / 2, 3, &m));
	assert_null(m.mem.malloc(SIZE_MAX, &m));
}

static void test_resize_keeps_content(void **state)
{
	unsigned char *p = NULL;

	(void)state;
	for (size_t n = 1; n < 5000; n += 37) {
		p = m.mem.realloc(p, n, &m);
		assert_non_null(p);
		for (size_t i = 0; i + 37 < n; i++)
			assert_int_equal(p[i], i % 251);
		for (size_t i = 0; i < n; i++)
			p[i] = (unsigned char)(i % 251);
	}
	/* One that fails leaves the old block as it was. */
	failalloc_arm(1);
	assert_null(m.mem.realloc(p, 100000, &m));
	assert_int_equal(failalloc_disarm(), 1);
	assert_int_equal(p[4000], 4000 % 251);
	m.mem.free(p, &m);
}

static void test_without_memory(void **state)
{
	(void)state;
	failalloc_arm_from(1);
	assert_null(m.mem.malloc(10, &m));
	assert_null(m.mem.calloc(1, 10, &m));
	assert_null(m.mem.malloc(10000, &m));
	failalloc_disarm();
}

/* ---- Sessions ------------------------------------------------------------------------------ */

enum { SESSIONS = 3, OUT_BYTES = 1 << 17, FIELD_BYTES = 50000 };

struct said {
	size_t n;
	uint8_t bytes[OUT_BYTES];
};

static struct said alone[SESSIONS];
static struct said together[SESSIONS];

/* One that has been asked, and has an answer whose fields need four frames. */
static nghttp2_session *open_session(struct tako__h2_mem *of, unsigned i)
{
	static const uint8_t request[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
					 "\0\0\0\4\0\0\0\0\0"
					 "\0\0\4\1\5\0\0\0\1\x82\x86\x84\x81";
	static char value[FIELD_BYTES];
	nghttp2_nv nva[] = {
		{(uint8_t *)(uintptr_t) ":status", (uint8_t *)(uintptr_t) "200", 7, 3, 0},
		{(uint8_t *)(uintptr_t) "x", (uint8_t *)value, 1, sizeof value, 0}};
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;
	nghttp2_session *session = NULL;

	/* Codes of eight bits at least, which Huffman's do not shorten. */
	for (size_t at = 0; at < sizeof value; at++)
		value[at] = (char)('&' + 22 * ((at + i) % 3));
	assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
	assert_int_equal(nghttp2_option_new(&option), 0);
	nghttp2_option_set_max_send_header_block_length(option, 1 << 20);
	nghttp2_option_set_no_http_messaging(option, 1);
	assert_int_equal(of ? tako__h2_mem_session(of, &session, callbacks, NULL, option)
	                    : nghttp2_session_server_new2(&session, callbacks, NULL, option),
	                 0);
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(callbacks);
	assert_int_equal(nghttp2_submit_settings(session, 0, NULL, 0), 0);
	assert_int_equal(nghttp2_session_mem_recv(session, request, sizeof request - 1),
	                 sizeof request - 1);
	assert_int_equal(nghttp2_submit_response(session, 1, nva, 2, NULL), 0);
	return session;
}

/* A frame; false: there is none. */
static bool take(nghttp2_session *session, struct said *to)
{
	const uint8_t *p;
	ssize_t n = nghttp2_session_mem_send(session, &p);

	assert_true(n >= 0 && (size_t)n <= sizeof to->bytes - to->n);
	if (n == 0)
		return false;
	memcpy(to->bytes + to->n, p, (size_t)n);
	to->n += (size_t)n;
	return true;
}

/* Frame by frame in turns: each says what it would say alone. */
static void test_sessions_share_their_frame(void **state)
{
	nghttp2_session *sessions[SESSIONS];
	size_t first = 0;
	bool any = true;

	(void)state;
	for (unsigned i = 0; i < SESSIONS; i++) {
		sessions[i] = open_session(NULL, i);
		while (take(sessions[i], &alone[i]))
			;
		nghttp2_session_del(sessions[i]);
		assert_true(alone[i].n > FIELD_BYTES / 2);
	}
	for (unsigned i = 0; i < SESSIONS; i++) {
		size_t before = failalloc_live_bytes();

		sessions[i] = open_session(&m, i);
		before = failalloc_live_bytes() - before;
		first = i ? first : before;
		if (i)
			assert_true(before + (16 << 10) <= first);
	}
	while (any) {
		any = false;
		for (unsigned i = 0; i < SESSIONS; i++)
			any |= take(sessions[i], &together[i]);
	}
	for (unsigned i = 0; i < SESSIONS; i++) {
		nghttp2_session_del(sessions[i]);
		assert_int_equal(together[i].n, alone[i].n);
		assert_memory_equal(together[i].bytes, alone[i].bytes, alone[i].n);
	}
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_every_size),
		WITH(test_blocks_come_back),
		WITH(test_zeroed),
		WITH(test_without_memory),
		WITH(test_resize_keeps_content),
		WITH(test_sessions_share_their_frame),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
