/* SPDX-License-Identifier: MIT
 *
 * HTTP/3 over QUIC packets, asked for by nghttp3's client, on a network that loses, doubles and
 * reorders them: every answer is whole, or says that it is not.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <nghttp3/nghttp3.h>
#include <tako/grpc.h>

#include "unit/failalloc.h"
#include "unit/quic_rig.h"

enum { BODY_BYTES = 60000, FILE_BYTES = 10000, ASKED_MAX = 64, SEEDS = 5 };

struct asked {
	int64_t id;
	int status;
	int grpc_status; /* of its trailers; -1: they have none */
	size_t body_n;
	uint64_t body_sum;
	const char *up;
	size_t up_left;
	bool complete;
	bool closed;
	uint64_t code;
};

static char body[BODY_BYTES];
static struct asked asked[ASKED_MAX];
static unsigned asked_count;
static nghttp3_conn *h3;
static int client_error;
static bool has_goaway;
static int lent; /* bodies that the server has not given back */

/* ---- Server -------------------------------------------------------------------------------- */

static int small(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "small");
}

static void given_back(void *arg)
{
	(void)arg;
	lent--;
}

static int large(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	lent++;
	return tako_res_send_ref(res, 200, "text/plain", (tako_str){body, sizeof body}, given_back,
	                         NULL);
}

/* Read by pieces, the last of which ends inside of a packet that is being written. */
static int file(tako_req *req, tako_res *res, void *arg)
{
	int fd = memfd_create("body", MFD_CLOEXEC);

	(void)req, (void)arg;
	if (fd < 0 || write(fd, body, FILE_BYTES) != FILE_BYTES)
		return TAKO_ESYS;
	return tako_res_send_fd(res, fd, 0, FILE_BYTES);
}

/* It has become shorter since its length was asked for. */
static int short_file(tako_req *req, tako_res *res, void *arg)
{
	int fd = memfd_create("body", MFD_CLOEXEC);

	(void)req, (void)arg;
	if (fd < 0 || write(fd, body, 4) != 4)
		return TAKO_ESYS;
	return tako_res_send_fd(res, fd, 0, FILE_BYTES);
}

static int echo_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	int64_t rc = data.n ? tako_res_write(res, data, NULL, NULL) : 0;

	(void)req, (void)arg;
	if (rc >= 0 && end)
		rc = tako_res_end(res);
	return rc < 0 ? (int)rc : 0;
}

static int echo(tako_req *req, tako_res *res, void *arg)
{
	(void)res;
	return tako_req_on_body(req, echo_body, arg);
}

static int fail_late(tako_req *req, tako_res *res, void *arg)
{
	int64_t rc = tako_res_write(res, (tako_str){body, 5000}, NULL, NULL);

	(void)req, (void)arg;
	return rc < 0 ? (int)rc : TAKO_ESYS;
}

static void answer_late(tako_res *res, void *arg)
{
	(void)arg;
	(void)tako_res_text(res, 200, "late");
}

static int late(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_after(res, 500, answer_late, NULL);
}

#ifdef TAKO__WITH_GRPC
static char call_body[BODY_BYTES]; /* messages, with their prefixes */

static int echo_each(tako_grpc *call, tako_str msg, void *arg)
{
	int64_t rc = tako_grpc_send(call, msg);

	(void)arg;
	return rc < 0 ? (int)rc : 0;
}

/* As many as fit, of 1,000 bytes. */
static size_t make_calls(void)
{
	size_t n = 0;

	for (; n + 1005 <= sizeof call_body; n += 1005) {
		memcpy(call_body + n, "\0\0\0\x03\xe8", 5);
		memcpy(call_body + n + 5, body, 1000);
	}
	return n;
}
#endif

static void start(const tako_server_config *cfg)
{
	tako_router *r = tako_router_new();

#ifdef TAKO__WITH_GRPC
	tako_grpc_method(r, "/s/each", TAKO_GRPC_BIDI, TAKO_GRPC_CONFIG(.on_message = echo_each),
	                 NULL);
#endif
	tako_get(r, "/small", small, NULL);
	tako_get(r, "/large", large, NULL);
	tako_get(r, "/file", file, NULL);
	tako_get(r, "/short", short_file, NULL);
	tako_post(r, "/echo", echo, NULL);
	tako_get(r, "/fail", fail_late, NULL);
	tako_get(r, "/late", late, NULL);
	assert_int_equal(quic_rig_start(tako_h3(), r, cfg, NULL), 0);
}

/* ---- Client --------------------------------------------------------------------------------- */

static int on_header(nghttp3_conn *conn, int64_t id, int32_t token, nghttp3_rcbuf *name,
                     nghttp3_rcbuf *value, uint8_t flags, void *arg, void *stream)
{
	struct asked *a = stream;

	(void)conn, (void)id, (void)name, (void)flags, (void)arg;
	if (token == NGHTTP3_QPACK_TOKEN__STATUS)
		a->status = atoi((char *)nghttp3_rcbuf_get_buf(value).base);
	return 0;
}

static int on_data(nghttp3_conn *conn, int64_t id, const uint8_t *p, size_t n, void *arg,
                   void *stream)
{
	struct asked *a = stream;

	(void)conn, (void)id, (void)arg;
	for (size_t i = 0; i < n; i++)
		a->body_sum = a->body_sum * 31 + p[i];
	a->body_n += n;
	return 0;
}

static int on_trailer(nghttp3_conn *conn, int64_t id, int32_t token, nghttp3_rcbuf *name,
                      nghttp3_rcbuf *value, uint8_t flags, void *arg, void *stream)
{
	nghttp3_vec n = nghttp3_rcbuf_get_buf(name);

	(void)conn, (void)id, (void)token, (void)flags, (void)arg;
	if (n.len == 11 && memcmp(n.base, "grpc-status", 11) == 0)
		((struct asked *)stream)->grpc_status = atoi(
			(char *)nghttp3_rcbuf_get_buf(value).base);
	return 0;
}

static int on_end(nghttp3_conn *conn, int64_t id, void *arg, void *stream)
{
	(void)conn, (void)id, (void)arg;
	((struct asked *)stream)->complete = true;
	return 0;
}

static int on_goaway(nghttp3_conn *conn, int64_t id, void *arg)
{
	(void)conn, (void)id, (void)arg;
	has_goaway = true;
	return 0;
}

static nghttp3_ssize read_up(nghttp3_conn *conn, int64_t id, nghttp3_vec *vec, size_t count,
                             uint32_t *flags, void *arg, void *stream)
{
	struct asked *a = stream;

	(void)conn, (void)id, (void)arg, (void)count;
	vec->base = (uint8_t *)(uintptr_t)a->up;
	vec->len = a->up_left;
	a->up_left = 0;
	*flags |= NGHTTP3_DATA_FLAG_EOF;
	return vec->len ? 1 : 0;
}

static void got_data(struct quic_client *c, int64_t id, const uint8_t *p, size_t n, bool fin)
{
	(void)c;
	if (nghttp3_conn_read_stream(h3, id, p, n, fin) < 0)
		client_error++;
}

static void got_ack(struct quic_client *c, int64_t id, uint64_t n)
{
	(void)c;
	(void)nghttp3_conn_add_ack_offset(h3, id, n);
}

static void got_close(struct quic_client *c, int64_t id, uint64_t code)
{
	(void)c;
	for (unsigned i = 0; i < asked_count; i++) {
		if (asked[i].id == id) {
			asked[i].closed = true;
			asked[i].code = code;
		}
	}
	(void)nghttp3_conn_close_stream(h3, id, code);
}

static void got_window(struct quic_client *c, int64_t id)
{
	(void)c;
	(void)nghttp3_conn_unblock_stream(h3, id);
}

static unsigned next_piece(struct quic_client *c, int64_t *id, bool *fin, struct iovec *vec,
                           unsigned max)
{
	nghttp3_vec pieces[16];
	int is_last;
	nghttp3_ssize count = nghttp3_conn_writev_stream(h3, id, &is_last, pieces,
	                                                 max < 16 ? max : 16);

	(void)c;
	if (count < 0)
		client_error++;
	*fin = is_last;
	for (nghttp3_ssize i = 0; i < count; i++)
		vec[i] = (struct iovec){pieces[i].base, pieces[i].len};
	return count < 0 ? 0 : (unsigned)count;
}

static void wrote(struct quic_client *c, int64_t id, size_t n, bool fin)
{
	(void)c, (void)fin;
	(void)nghttp3_conn_add_write_offset(h3, id, n);
}

static void is_blocked(struct quic_client *c, int64_t id)
{
	(void)c;
	nghttp3_conn_block_stream(h3, id);
}

static struct quic_client *connect_it(void)
{
	static const struct quic_client_ops ops = {.data = got_data,
	                                           .acked = got_ack,
	                                           .closed = got_close,
	                                           .unblocked = got_window,
	                                           .next = next_piece,
	                                           .wrote = wrote,
	                                           .blocked = is_blocked};
	const nghttp3_callbacks cb = {.recv_header = on_header,
	                              .recv_trailer = on_trailer,
	                              .recv_data = on_data,
	                              .end_stream = on_end,
	                              .shutdown = on_goaway};
	struct quic_client *c;
	nghttp3_settings settings;

	memset(asked, 0, sizeof asked);
	asked_count = 0;
	client_error = 0;
	has_goaway = false;
	nghttp3_settings_default(&settings);
	assert_int_equal(nghttp3_conn_client_new(&h3, &cb, &settings, NULL, NULL), 0);
	c = quic_rig_client(&(struct quic_client_config){.alpn = "h3", .ops = &ops});
	assert_true(quic_rig_connect(c));
	assert_int_equal(nghttp3_conn_bind_control_stream(h3, quic_client_open(c, true)), 0);
	assert_int_equal(nghttp3_conn_bind_qpack_streams(h3, quic_client_open(c, true),
	                                                 quic_client_open(c, true)),
	                 0);
	return c;
}

static struct asked *ask(struct quic_client *c, const char *method, const char *path,
                         const char *up, size_t up_n)
{
#define NV(name, value)                                                                            \
	{                                                                                          \
		(uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), sizeof(name) - 1,     \
			strlen(value), NGHTTP3_NV_FLAG_NONE                                        \
	}
	const nghttp3_data_reader reader = {.read_data = read_up};
	const nghttp3_nv nva[] = {NV(":method", method), NV(":scheme", "https"),
	                          NV(":path", path),     NV(":authority", "localhost"),
	                          NV("cookie", "a=b"),   NV("content-type", "application/grpc")};
	struct asked *a = &asked[asked_count++];

	a->id = quic_client_open(c, false);
	assert_true(a->id >= 0);
	a->grpc_status = -1;
	a->up = up;
	a->up_left = up_n;
	assert_int_equal(nghttp3_conn_submit_request(h3, a->id, nva, sizeof nva / sizeof nva[0],
	                                             up ? &reader : NULL, a),
	                 0);
	return a;
}

static bool all_closed(void *arg)
{
	struct quic_client *c = arg;

	for (unsigned i = 0; i < asked_count && !c->closed; i++) {
		if (!asked[i].closed)
			return false;
	}
	return true;
}

static uint64_t sum_of(const char *p, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum = sum * 31 + (unsigned char)p[i];
	return sum;
}

/* ---- Tests ------------------------------------------------------------------------------------- */

static int tear_down(void **state)
{
	(void)state;
	quic_rig_stop();
	nghttp3_conn_del(h3);
	h3 = NULL;
	return lent || failalloc_live() || failalloc_wrong();
}

static void check(const struct asked *a, int status, size_t n, uint64_t sum)
{
	assert_int_equal(a->status, status);
	assert_true(a->complete);
	assert_int_equal(a->body_n, n);
	assert_true(a->body_sum == sum);
}

static void talk(struct quic_client *c)
{
	for (int i = 0; i < 6; i++) {
		(void)ask(c, "GET", "/small", NULL, 0);
		(void)ask(c, "GET", "/large", NULL, 0);
		(void)ask(c, "POST", "/echo", body, BODY_BYTES);
		(void)ask(c, "GET", "/fail", NULL, 0);
		(void)ask(c, "GET", "/file", NULL, 0);
	}
	assert_true(quic_rig_until(all_closed, c, 120 * QUIC_RIG_SECOND));
	assert_false(c->closed);
	assert_int_equal(client_error, 0);
	for (unsigned i = 0; i < asked_count; i += 5) {
		check(&asked[i], 200, 5, sum_of("small", 5));
		check(&asked[i + 1], 200, BODY_BYTES, sum_of(body, BODY_BYTES));
		check(&asked[i + 2], 200, BODY_BYTES, sum_of(body, BODY_BYTES));
		/* What a handler broke off does not look complete. */
		assert_false(asked[i + 3].complete);
		assert_int_equal(asked[i + 3].code, NGHTTP3_H3_INTERNAL_ERROR);
		check(&asked[i + 4], 200, FILE_BYTES, sum_of(body, FILE_BYTES));
		assert_int_equal(asked[i + 4].code, 0);
	}
}

static void test_requests(void **state)
{
	(void)state;
	start(NULL);
	talk(connect_it());
}

#ifdef TAKO__WITH_GRPC
/* Streams of messages both ways, which end in trailers. */
static void talk_grpc(struct quic_client *c)
{
	size_t n = make_calls();

	for (int i = 0; i < 6; i++)
		(void)ask(c, "POST", "/s/each", call_body, n);
	assert_true(quic_rig_until(all_closed, c, 120 * QUIC_RIG_SECOND));
	assert_false(c->closed);
	assert_int_equal(client_error, 0);
	for (unsigned i = 0; i < asked_count; i++) {
		check(&asked[i], 200, n, sum_of(call_body, n));
		assert_int_equal(asked[i].grpc_status, TAKO_GRPC_OK);
		assert_int_equal(asked[i].code, 0);
	}
}

static void test_grpc(void **state)
{
	(void)state;
	start(TAKO_SERVER_CONFIG(.h3_stream_window_bytes = 3000,
	                         .h3_connection_window_bytes = 10000, .write_high_bytes = 4096));
	talk_grpc(connect_it());
	assert_int_equal(tear_down(NULL), 0);
	start(NULL);
	quic_net.seed = 7;
	quic_net.delay_ns = 5 * QUIC_RIG_MS;
	quic_net.jitter_ns = 3 * QUIC_RIG_MS;
	quic_net.loss = 30;
	quic_net.twice = 20;
	talk_grpc(connect_it());
}
#endif
/* That its file ends is found within a packet, in which the first of it is. */
static void test_file_that_is_too_short(void **state)
{
	struct quic_client *c;
	struct asked *a;

	(void)state;
	start(NULL);
	c = connect_it();
	a = ask(c, "GET", "/short", NULL, 0);
	assert_true(quic_rig_until(all_closed, c, 10 * QUIC_RIG_SECOND));
	assert_int_equal(a->body_n, 4);
	assert_false(a->complete);
	assert_int_equal(a->code, NGHTTP3_H3_INTERNAL_ERROR);
	assert_int_equal(client_error, 0);
	a = ask(c, "GET", "/small", NULL, 0);
	assert_true(quic_rig_until(all_closed, c, 10 * QUIC_RIG_SECOND));
	check(a, 200, 5, sum_of("small", 5));
}

/* Windows so small that everything waits for everything. */
static void test_small_windows(void **state)
{
	(void)state;
	start(TAKO_SERVER_CONFIG(.h3_stream_window_bytes = 3000,
	                         .h3_connection_window_bytes = 10000, .write_high_bytes = 4096));
	talk(connect_it());
}

static void test_bad_network(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct quic_client *c;

		start(NULL);
		quic_net.seed = seed;
		quic_net.delay_ns = 5 * QUIC_RIG_MS;
		quic_net.jitter_ns = 3 * QUIC_RIG_MS;
		quic_net.loss = 30;
		quic_net.twice = 20;
		quic_net.corrupt = 10;
		c = connect_it();
		talk(c);
		assert_int_equal(tear_down(NULL), 0);
	}
}

static void test_drain(void **state)
{
	struct quic_client *c;
	struct asked *a;

	(void)state;
	start(NULL);
	c = connect_it();
	a = ask(c, "GET", "/late", NULL, 0);
	quic_rig_pass(100 * QUIC_RIG_MS);
	tako_server_stop(quic_rig.srv);
	quic_rig_pass(100 * QUIC_RIG_MS);
	assert_true(has_goaway);
	assert_false(c->closed);
	assert_true(quic_rig_closed(c));
	check(a, 200, 4, sum_of("late", 4));
	/* With the server's own good-bye. */
	assert_int_equal(c->end.error_code, NGHTTP3_H3_NO_ERROR);
}

/* RFC 9114 section 5.2: what is on its way when the server stops arrives, whatever of it is lost. */
static void test_drain_on_a_bad_network(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 5; seed++) {
		struct quic_client *c;
		struct asked *a;

		start(NULL);
		c = connect_it();
		quic_net.seed = seed;
		quic_net.loss = 50;
		quic_net.jitter_ns = 5 * QUIC_RIG_MS;
		a = ask(c, "GET", "/large", NULL, 0);
		quic_rig_pass(20 * QUIC_RIG_MS);
		tako_server_stop(quic_rig.srv);
		assert_true(quic_rig_closed(c));
		check(a, 200, BODY_BYTES, sum_of(body, BODY_BYTES));
		assert_int_equal(c->end.error_code, NGHTTP3_H3_NO_ERROR);
		assert_int_equal(tear_down(NULL), 0);
	}
	start(NULL);
}

static void test_idle(void **state)
{
	struct quic_client *c;

	(void)state;
	start(TAKO_SERVER_CONFIG(.keepalive_timeout_ms = 2000));
	c = connect_it();
	(void)ask(c, "GET", "/small", NULL, 0);
	assert_true(quic_rig_until(all_closed, c, QUIC_RIG_SECOND));
	assert_true(quic_rig_closed(c));
	assert_int_equal(c->end.error_code, NGHTTP3_H3_NO_ERROR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_requests, tear_down),
#ifdef TAKO__WITH_GRPC
		cmocka_unit_test_teardown(test_grpc, tear_down),
#endif
		cmocka_unit_test_teardown(test_file_that_is_too_short, tear_down),
		cmocka_unit_test_teardown(test_small_windows, tear_down),
		cmocka_unit_test_teardown(test_bad_network, tear_down),
		cmocka_unit_test_teardown(test_drain, tear_down),
		cmocka_unit_test_teardown(test_drain_on_a_bad_network, tear_down),
		cmocka_unit_test_teardown(test_idle, tear_down),
	};

	for (size_t i = 0; i < sizeof body; i++)
		body[i] = (char)('a' + i % 23);
	return failalloc_install() || cmocka_run_group_tests(tests, NULL, NULL);
}
