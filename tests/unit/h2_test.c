/* SPDX-License-Identifier: MIT
 *
 * Exchanges over HTTP/2 while each allocation fails once, its own and the library's.  Whatever fails,
 * nothing crashes or leaks, what was promised to run runs, and each stream of the client ends.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nghttp2/nghttp2.h>

#include "unit/failalloc.h"
#include "unit/stepped.h"

enum { BODY_BYTES = 40000, STREAMS = 6, TURNS_MAX = 3000 };

static char body[BODY_BYTES];
static struct stepped server;
static struct peer peer;
static int due, ran, dones_due, dones_ran;

static struct {
	nghttp2_session *session;
	int status[2 * STREAMS + 2];
	size_t bytes[2 * STREAMS + 2];
	size_t sent;
	int open;
	bool broken;
} client;

/* ---- Server -------------------------------------------------------------------------- */

static void on_end(tako_req *req, int err, void *arg)
{
	(void)req, (void)err, (void)arg;
	ran++;
}

static int watch(tako_req *req, tako_res *res, void *arg)
{
	int rc = tako_res_on_end(res, on_end, NULL);

	(void)req, (void)arg;
	due += rc == 0;
	return rc < 0 ? rc : TAKO_NEXT;
}

static void on_done(void *arg)
{
	(void)arg;
	dones_ran++;
}

static int small(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "small");
}

static int large(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_send(res, 200, "text/plain", (tako_str){body, sizeof body});
}

static int lent(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	dones_due++;
	return tako_res_send_ref(res, 200, "text/plain", (tako_str){body, sizeof body}, on_done,
	                         NULL);
}

static int pieces(tako_req *req, tako_res *res, void *arg)
{
	int64_t rc = 0;

	(void)req, (void)arg;
	for (int i = 0; i < 3 && rc >= 0; i++) {
		dones_due++;
		rc = tako_res_write(res, (tako_str){body, 3000}, on_done, NULL);
		if (rc >= 0)
			rc = tako_res_write(res, (tako_str){body, 300}, NULL, NULL);
	}
	if (rc >= 0)
		rc = tako_res_trailer(res, "X-Sum", "1");
	if (rc >= 0)
		rc = tako_res_end(res);
	return rc < 0 ? (int)rc : 0;
}

static int echo_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	int64_t rc = data.n ? tako_res_write(res, data, NULL, NULL) : 0;

	(void)req, (void)arg;
	if (rc >= 0 && end)
		rc = tako_res_end(res);
	return rc < 0 ? (int)rc : 0;
}

static void resume(tako_res *res, void *arg)
{
	(void)res;
	tako_req_resume(arg);
}

/* Held back first, so that what comes meanwhile has to wait. */
static int echo(tako_req *req, tako_res *res, void *arg)
{
	int rc = tako_req_on_body(req, echo_body, arg);

	tako_req_pause(req);
	return rc < 0 ? rc : tako_res_after(res, 1, resume, req);
}

static tako_router *make_router(void)
{
	tako_router *r = tako_router_new();

	tako_before(r, TAKO_PHASE_EARLY, watch, NULL);
	tako_get(r, "/small", small, NULL);
	tako_get(r, "/large", large, NULL);
	tako_get(r, "/lent", lent, NULL);
	tako_get(r, "/pieces", pieces, NULL);
	tako_post(r, "/echo", echo, NULL);
	return r;
}

/* ---- Client ------------------------------------------------------------------------------ */

static ssize_t read_upload(nghttp2_session *session, int32_t id, uint8_t *buf, size_t n,
                           uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	(void)session, (void)id, (void)source, (void)arg;
	if (n > BODY_BYTES - client.sent)
		n = BODY_BYTES - client.sent;
	memcpy(buf, body + client.sent, n);
	client.sent += n;
	if (client.sent == BODY_BYTES)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	(void)session, (void)flags, (void)arg, (void)value_n;
	if (name_n == 7 && !memcmp(name, ":status", 7))
		client.status[frame->hd.stream_id] = (value[0] - '0') * 100 +
		                                     (value[1] - '0') * 10 + value[2] - '0';
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                   void *arg)
{
	(void)session, (void)flags, (void)arg, (void)p;
	client.bytes[id] += n;
	return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	(void)session, (void)code, (void)arg, (void)id;
	client.open--;
	return 0;
}

static void ask(const char *method, const char *path)
{
#define NV(n, v, m) {(uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), sizeof(n) - 1, m, 0}
	nghttp2_nv nva[] = {NV(":method", method, strlen(method)),
	                    NV(":scheme", "http", 4),
	                    NV(":path", path, strlen(path)),
	                    NV(":authority", "t", 1),
	                    NV("cookie", "a=1", 3),
	                    NV("cookie", "b=2", 3)};
	nghttp2_data_provider up = {.read_callback = read_upload};

	if (nghttp2_submit_request(client.session, NULL, nva, sizeof nva / sizeof nva[0],
	                           method[0] == 'P' ? &up : NULL, NULL) > 0)
		client.open++;
}

static void client_open(void)
{
	nghttp2_session_callbacks *cb;
	nghttp2_settings_entry iv = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 20000};

	memset(&client, 0, sizeof client);
	peer_open(&peer, &server);
	nghttp2_session_callbacks_new(&cb);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	nghttp2_session_client_new(&client.session, cb, NULL);
	nghttp2_session_callbacks_del(cb);
	nghttp2_submit_settings(client.session, NGHTTP2_FLAG_NONE, &iv, 1);
}

static void client_turn(void)
{
	const uint8_t *p;
	ssize_t n;

	while (!client.broken && (n = nghttp2_session_mem_send(client.session, &p)) > 0)
		client.broken = !peer_send(&peer, &server, (const char *)p, (size_t)n);
	stepped_turn(&server, 1);
	peer_read(&peer);
	if (peer.n && nghttp2_session_mem_recv(client.session, (uint8_t *)peer.data, peer.n) < 0)
		client.broken = true;
	peer_drop(&peer, peer.n);
	if (peer.closed)
		client.broken = true;
}

/* Six requests; until all have ended or the connection has. */
static void talk(void)
{
	static const char *const paths[] = {"/small", "/large", "/lent", "/pieces", "/missing"};

	client_open();
	if (peer.fd >= 0) {
		for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
			ask("GET", paths[i]);
		ask("POST", "/echo");
		for (int i = 0; i < TURNS_MAX && client.open > 0 && !client.broken; i++)
			client_turn();
	}
	nghttp2_session_del(client.session);
	peer_close(&peer);
}

static int start(void)
{
	tako_router *router = make_router();
	int rc = stepped_start(
		&server, router,
		TAKO_SERVER_CONFIG(.write_high_bytes = 8192, .drain_timeout_ms = 2000),
		tako_http());

	tako_router_free(router);
	return rc;
}

/* ---- Tests --------------------------------------------------------------------------------- */

static void test_all_is_well(void **state)
{
	(void)state;
	assert_int_equal(start(), 0);
	talk();
	assert_false(client.broken);
	assert_int_equal(client.open, 0);
	for (int i = 0; i < STREAMS; i++)
		assert_int_equal(client.status[2 * i + 1], i == 4 ? 404 : 200);
	assert_int_equal(client.bytes[1], 5);
	assert_int_equal(client.bytes[3], BODY_BYTES);
	assert_int_equal(client.bytes[5], BODY_BYTES);
	assert_int_equal(client.bytes[7], 9900);
	assert_int_equal(client.bytes[11], BODY_BYTES);
	stepped_stop(&server);
	assert_int_equal(ran, due);
	assert_int_equal(dones_ran, dones_due);
	assert_int_equal(failalloc_live(), 0);
}

static void fails_at(size_t n, bool for_good, bool *ret_failed)
{
	due = ran = dones_due = dones_ran = 0;
	assert_int_equal(start(), 0);
	if (for_good)
		failalloc_arm_from(n);
	else
		failalloc_arm(n);
	talk();
	*ret_failed = failalloc_disarm() != 0;
	/* A stream that failed was reset, or the connection closed: nothing hangs. */
	if (!client.broken && client.open)
		fail_msg("allocation %zu: %d streams are left open", n, client.open);
	stepped_stop(&server);
	assert_int_equal(ran, due);
	assert_int_equal(dones_ran, dones_due);
	assert_int_equal(failalloc_live(), 0);
	assert_int_equal(failalloc_wrong(), 0);
}

static void test_each_allocation_fails(void **state)
{
	bool failed = true;
	size_t n = 1;

	(void)state;
	for (; failed; n++)
		fails_at(n, false, &failed);
	/* The connection, its session, streams, exchanges and output blocks at least. */
	assert_true(n > 40);
}

static void test_memory_ends(void **state)
{
	bool failed = true;

	(void)state;
	for (size_t n = 1; failed; n += 3)
		fails_at(n, true, &failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_is_well),
		cmocka_unit_test(test_each_allocation_fails),
		cmocka_unit_test(test_memory_ends),
	};

	memset(body, 'b', sizeof body);
	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
