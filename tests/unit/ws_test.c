/* SPDX-License-Identifier: MIT
 *
 * What WebSockets take of memory: nothing per message, little while idle, and if there is none, an end
 * that is told once and leaks nothing.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "unit/failalloc.h"
#include "unit/stepped.h"

enum { MESSAGES = 500, IDLE = 200, IDLE_BYTES_MAX = 2048, PART_BYTES = 6000, WAIT_MS = 5000 };

static const char ask[] =
	"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

static struct stepped server;
static struct peer peer;
static int opened, closed;

static void on_open(tako_ws *ws, void *arg)
{
	(void)ws, (void)arg;
	opened++;
}

static void on_message(tako_ws *ws, int kind, tako_str msg, void *arg)
{
	(void)arg;
	(void)tako_ws_send(ws, kind, msg);
}

static void on_close(tako_ws *ws, int code, void *arg)
{
	(void)ws, (void)code, (void)arg;
	closed++;
}

static int accept_one(tako_req *req, tako_res *res, void *arg)
{
	return tako_ws_accept(
		req, res,
		TAKO_WS_CONFIG(.on_open = on_open, .on_message = on_message, .on_close = on_close),
		arg);
}

static int start(void)
{
	tako_router *r = tako_router_new();
	int rc;

	opened = closed = 0;
	tako_get(r, "/ws", accept_one, NULL);
	rc = stepped_start(&server, r, TAKO_SERVER_CONFIG(.worker_count = 1), NULL);
	tako_router_free(r);
	return rc;
}

/* Step until so many bytes have come, the peer is gone, or it takes too long. */
static bool wait_for(size_t n)
{
	for (int i = 0; i < WAIT_MS && peer.n < n && !peer.closed; i++) {
		stepped_turn(&server, 1);
		peer_read(&peer);
	}
	return peer.n >= n;
}

static bool shake_hands(void)
{
	char *end;

	peer_open(&peer, &server);
	if (peer.fd < 0 || !peer_send(&peer, &server, ask, sizeof ask - 1))
		return false;
	while (wait_for(peer.n + 1)) {
		end = memmem(peer.data, peer.n, "\r\n\r\n", 4);
		if (!end)
			continue;
		if (memcmp(peer.data, "HTTP/1.1 101 ", 13) != 0)
			return false;
		peer_drop(&peer, (size_t)(end + 4 - peer.data));
		return true;
	}
	return false;
}

/* A client's frame whose key is zero, so that its payload stays as it is. */
static size_t frame(char *to, unsigned first, size_t n)
{
	size_t head = n < 126 ? 6 : 8;

	memset(to, 0, head);
	to[0] = (char)first;
	to[1] = (char)(n < 126 ? 0x80 | n : 0xfe);
	if (n >= 126) {
		to[2] = (char)(n >> 8);
		to[3] = (char)n;
	}
	memset(to + head, 'x', n);
	return head + n;
}

static void echo(unsigned first, size_t n)
{
	static char text[PART_BYTES + 8];
	size_t bytes = frame(text, first, n);

	assert_true(peer_send(&peer, &server, text, bytes));
	assert_true(wait_for(bytes - 4));
	assert_int_equal(peer.n, bytes - 4);
	peer_drop(&peer, bytes - 4);
}

static void nothing_is_allocated_per_message(void **state)
{
	(void)state;
	assert_int_equal(start(), 0);
	assert_true(shake_hands());
	for (int i = 0; i < 10; i++)
		echo(0x81, PART_BYTES);
	failalloc_arm(0);
	for (int i = 0; i < MESSAGES; i++) {
		echo(0x81, 16);
		echo(0x82, PART_BYTES);
		echo(0x81, 0);
	}
	assert_int_equal(failalloc_count(), 0);
	peer_close(&peer);
	assert_true(stepped_stop(&server) >= 0);
	assert_int_equal(closed, 1);
	assert_int_equal(failalloc_live() + failalloc_wrong(), 0);
}

static void idle_ones_are_small(void **state)
{
	static int fds[IDLE];
	size_t before;

	(void)state;
	assert_int_equal(start(), 0);
	assert_true(shake_hands());
	fds[0] = peer.fd;
	before = failalloc_live_bytes();
	for (int i = 1; i < IDLE; i++) {
		assert_true(shake_hands());
		fds[i] = peer.fd;
	}
	before = (failalloc_live_bytes() - before) / (IDLE - 1);
	print_message("%zu bytes per idle WebSocket\n", before);
	assert_in_range(before, sizeof(void *), IDLE_BYTES_MAX);
	for (int i = 0; i < IDLE; i++)
		close(fds[i]);
	assert_true(stepped_stop(&server) >= 0);
	assert_int_equal(opened, IDLE);
	assert_int_equal(closed, IDLE);
	assert_int_equal(failalloc_live() + failalloc_wrong(), 0);
}

/* A message in two frames, a ping between them, and a close. */
static void talk(void)
{
	static char text[2 * PART_BYTES + 64];
	size_t n = frame(text, 0x01, PART_BYTES);

	n += frame(text + n, 0x89, 3);
	n += frame(text + n, 0x80, PART_BYTES);
	if (!shake_hands() || !peer_send(&peer, &server, text, n))
		return;
	if (!wait_for(4 + 2 * PART_BYTES + 5))
		return;
	n = frame(text, 0x88, 0);
	if (peer_send(&peer, &server, text, n))
		(void)peer_closed(&peer, &server, WAIT_MS);
}

static void every_allocation_fails(void **state)
{
	(void)state;
	for (size_t nth = 1;; nth++) {
		size_t failed;

		assert_int_equal(start(), 0);
		failalloc_arm(nth);
		talk();
		failed = failalloc_disarm();
		peer_close(&peer);
		assert_true(stepped_stop(&server) >= 0);
		if (opened != closed || failalloc_live() || failalloc_wrong())
			fail_msg("allocation %zu: opened %d, closed %d, %zu left", nth, opened,
			         closed, failalloc_live());
		if (!failed) {
			assert_int_equal(opened, 1);
			assert_true(nth > 5);
			break;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_allocated_per_message),
		cmocka_unit_test(idle_ones_are_small),
		cmocka_unit_test(every_allocation_fails),
	};
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return 1;
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
