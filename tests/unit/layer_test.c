/* SPDX-License-Identifier: MIT
 *
 * Layers around a real HTTP/1.1 connection: ones that pass on, change, consume and go away, and
 * ones that take no files, for which core reads them in pieces.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base.h"
#include "core/conn.h"
#include "core/res.h"
#include "core/server.h"
#include "core/spool.h"
#include "unit/failalloc.h"
#include "unit/slow_disk.h"
#include "unit/stepped.h"

enum { WAIT_MS = 5000, FILE_N = 100000, LAYERS_MAX = 3 };

enum kind { PASS, MASK, PREFACE };

/* Which layers new connections get, the lowest first. */
static struct {
	enum kind kind;
	unsigned char mask;
} wanted[LAYERS_MAX];
static unsigned wanted_count;

/* What happened to all of them. */
static struct {
	unsigned made;
	unsigned freed;
	unsigned finishes;
	unsigned queries;
	unsigned refused_files;
	size_t largest;   /* op that went down */
	unsigned in_down; /* ops of ours that are not done */
	unsigned in_down_max;
	unsigned ends;
	int end_err;
} seen;

static struct stepped server;
static struct peer peer;
static struct reply answer;
static char file_data[FILE_N];

/* ---- Layers ----------------------------------------------------------------------------- */

struct test_layer {
	struct tako__layer l;
	unsigned char mask;
	unsigned left; /* of the preface */
};

struct masked {
	struct tako_send send;
	struct tako_send *of;
	char data[];
};

static struct test_layer *layer_of(struct tako__layer *l)
{
	return TAKO__CONTAINER(l, struct test_layer, l);
}

static void count_fini(struct tako__layer *l)
{
	seen.freed++;
	free(layer_of(l));
}

static int count_finish(struct tako__layer *l)
{
	(void)l;
	seen.finishes++;
	return 0;
}

static void mask_up(struct tako__layer *l, char *p, ssize_t res)
{
	for (ssize_t i = 0; i < res; i++)
		p[i] ^= (char)layer_of(l)->mask;
	tako__layer_up(l->conn, l, p, res);
}

static void masked_done(struct tako_send *op, int err)
{
	struct masked *m = TAKO__CONTAINER(op, struct masked, send);
	struct tako_send *of = m->of;

	seen.in_down--;
	free(m);
	of->done(of, err);
}

static int mask_down(struct tako__layer *l, struct tako_send *op)
{
	struct masked *m;

	if (op->file_fd >= 0) {
		seen.refused_files++;
		return TAKO_ENOTSUP;
	}
	m = malloc(sizeof *m + op->n);
	if (!m)
		return TAKO_ENOMEM;
	for (size_t i = 0; i < op->n; i++)
		m->data[i] = (char)(op->p[i] ^ layer_of(l)->mask);
	m->of = op;
	m->send = (struct tako_send){.done = masked_done, .p = m->data, .n = op->n, .file_fd = -1};
	seen.largest = op->n > seen.largest ? op->n : seen.largest;
	if (++seen.in_down > seen.in_down_max)
		seen.in_down_max = seen.in_down;
	return tako__layer_down(l->conn, l, &m->send);
}

static int mask_query(struct tako__layer *l, enum tako__fact what, void *out)
{
	seen.queries++;
	if (what != TAKO__FACT_CONN_INFO || layer_of(l)->mask != 0x55)
		return TAKO_ENOTSUP;
	((struct tako__info_query *)out)->info->tls = "XORv1";
	return 0;
}

static void preface_up(struct tako__layer *l, char *p, ssize_t res)
{
	struct test_layer *t = layer_of(l);
	struct tako__conn *c = l->conn;
	struct tako__layer *below = l->below;
	unsigned step = res > (ssize_t)t->left ? t->left : res > 0 ? (unsigned)res : 0;

	if (res <= 0) {
		tako__layer_up(c, l, p, res);
		return;
	}
	t->left -= step;
	if (t->left)
		return;
	tako__layer_remove(l);
	/* What remains goes to whoever is next above where we were. */
	if (res > (ssize_t)step)
		tako__layer_up(c, below, p + step, res - (ssize_t)step);
}

static const struct tako__layer_ops layer_ops[] = {
	[PASS] = {.name = "pass", .fini = count_fini},
	[MASK] = {.name = "mask",
                  .up = mask_up,
                  .down = mask_down,
                  .finish = count_finish,
                  .query = mask_query,
                  .fini = count_fini},
	[PREFACE] = {.name = "preface", .up = preface_up, .fini = count_fini},
};

static int open_with_layers(struct tako__conn *c)
{
	for (unsigned i = 0; i < wanted_count; i++) {
		struct test_layer *t = calloc(1, sizeof *t);

		if (!t)
			return TAKO_ENOMEM;
		seen.made++;
		t->l.ops = &layer_ops[wanted[i].kind];
		t->mask = wanted[i].mask;
		t->left = 7;
		tako__layer_push(c, &t->l);
	}
	return tako_http1()->proto->open(c);
}

/* ---- Handlers -------------------------------------------------------------------------------- */

static void on_end(tako_req *req, int err, void *arg)
{
	(void)req;
	(void)arg;
	seen.ends++;
	seen.end_err = err;
}

static int hello(tako_req *req, tako_res *res, void *arg)
{
	tako_conn_info info = {.size = sizeof info};

	(void)arg;
	assert_int_equal(tako_req_conn_info(req, &info), 0);
	return tako_res_text(res, 200, "hello %s", info.tls ? info.tls : "-");
}

static int echo_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	(void)req;
	(void)arg;
	assert_true(tako_res_write(res, data, NULL, NULL) >= 0);
	return end ? tako_res_end(res) : 0;
}

static int echo(tako_req *req, tako_res *res, void *arg)
{
	(void)res;
	return tako_req_on_body(req, echo_body, arg);
}

static int make_file(size_t n)
{
	int fd = memfd_create("layer", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, file_data, n), n);
	return fd;
}

static int last_fd;

static int file(tako_req *req, tako_res *res, void *arg)
{
	size_t n = *(size_t *)arg;

	(void)req;
	last_fd = make_file(FILE_N);
	assert_int_equal(ftruncate(last_fd, (off_t)n), 0);
	if (tako_res_on_end(res, on_end, NULL) < 0) {
		close(last_fd);
		return TAKO_ENOMEM;
	}
	return tako_res_send_fd(res, last_fd, 0, n);
}

/* Memory, a file, memory, another file, memory: in that order on the wire. */
static int mixed(tako_req *req, tako_res *res, void *arg)
{
	struct tako__exchange *x = tako__x(res);

	(void)req;
	(void)arg;
	assert_true(tako_res_write(res, TAKO_STR("one "), NULL, NULL) >= 0);
	assert_int_equal(tako__res_lend_file(x, make_file(FILE_N), 10, FILE_N - 10), 0);
	assert_true(tako_res_write(res, TAKO_STR(" two "), NULL, NULL) >= 0);
	assert_int_equal(tako__res_lend_file(x, make_file(FILE_N), 5, 3), 0);
	assert_true(tako_res_write(res, TAKO_STR(" three"), NULL, NULL) >= 0);
	return tako_res_end(res);
}

/* ---- Set-up -------------------------------------------------------------------------------------- */

static struct tako__proto_ops proto;
static struct tako_transport transport = {.name = "layered", .proto = &proto};
static size_t file_n = FILE_N;
static size_t short_n = 10; /* announced as 20 */

static int announce_too_much(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	last_fd = make_file(*(size_t *)arg);
	assert_int_equal(tako_res_on_end(res, on_end, NULL), 0);
	return tako_res_send_fd(res, last_fd, 0, *(size_t *)arg * 2);
}

static void set_up(unsigned count, enum kind a, enum kind b, unsigned char ma, unsigned char mb)
{
	tako_router *r = tako_router_new();

	memset(&seen, 0, sizeof seen);
	proto = *tako_http1()->proto;
	proto.open = open_with_layers;
	wanted_count = count;
	wanted[0].kind = a;
	wanted[0].mask = ma;
	wanted[1].kind = b;
	wanted[1].mask = mb;
	tako_get(r, "/", hello, NULL);
	tako_post(r, "/echo", echo, NULL);
	tako_get(r, "/file", file, &file_n);
	tako_get(r, "/short", announce_too_much, &short_n);
	tako_get(r, "/mixed", mixed, NULL);
	assert_int_equal(
		stepped_start(&server, r, TAKO_SERVER_CONFIG(.worker_count = 1), &transport), 0);
	tako_router_free(r);
	peer_open(&peer, &server);
	assert_true(peer.fd >= 0);
	peer.mask = (unsigned char)(ma ^ mb);
}

static void tear_down(void)
{
	peer_close(&peer);
	stepped_stop(&server);
	assert_int_equal(seen.freed, seen.made);
	assert_int_equal(seen.in_down, 0);
	assert_int_equal(failalloc_live(), 0);
	assert_int_equal(failalloc_wrong(), 0);
}

static void ask(const char *text)
{
	assert_true(peer_send(&peer, &server, text, strlen(text)));
}

static void expect_body(const char *p, size_t n)
{
	assert_true(peer_reply(&peer, &server, &answer, false, WAIT_MS));
	assert_int_equal(answer.status, 200);
	assert_int_equal(answer.body_n, n);
	assert_memory_equal(answer.body, p, n);
	peer_drop(&peer, answer.total_n);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

/* ---- Tests -------------------------------------------------------------------------------------------- */

static void test_pass(void **state)
{
	(void)state;
	set_up(2, PASS, PASS, 0, 0);
	ask(GET("/") GET("/"));
	expect_body("hello -", 7);
	expect_body("hello -", 7);
	ask(GET("/file"));
	expect_body(file_data, FILE_N);
	assert_int_equal(seen.refused_files, 0);
	assert_int_equal(seen.made, 2);
	tear_down();
}

static void test_mask(void **state)
{
	(void)state;
	set_up(1, MASK, PASS, 0x55, 0);
	ask(GET("/") GET("/"));
	expect_body("hello XORv1", 11);
	expect_body("hello XORv1", 11);
	ask("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
	assert_true(peer_send(&peer, &server, file_data, FILE_N));
	expect_body(file_data, FILE_N);
	assert_int_equal(seen.finishes, 0);
	tear_down();
}

static void test_two_masks(void **state)
{
	(void)state;
	set_up(2, MASK, MASK, 0x55, 0x0f);
	/* The upper one does not know, the lower one does. */
	ask(GET("/"));
	expect_body("hello XORv1", 11);
	assert_int_equal(seen.queries, 2);
	ask(GET("/file"));
	expect_body(file_data, FILE_N);
	/* A refused request lingers, and before that every layer says goodbye once. */
	ask("BAD REQUEST\r\n\r\n");
	assert_true(peer_reply(&peer, &server, &answer, false, WAIT_MS));
	assert_int_equal(answer.status, 400);
	assert_true(peer_closed(&peer, &server, WAIT_MS));
	assert_int_equal(seen.finishes, 2);
	tear_down();
}

/* Removed from every place of a stack of two, the preface in every number of pieces. */
static void test_preface(void **state)
{
	static const char text[] = "preface" GET("/");

	(void)state;
	for (int upper = 0; upper < 2; upper++) {
		for (size_t step = 1; step <= sizeof text - 1; step++) {
			set_up(2, upper ? MASK : PREFACE, upper ? PREFACE : MASK, upper ? 0x55 : 0,
			       upper ? 0 : 0x55);
			for (size_t at = 0; at < sizeof text - 1; at += step) {
				size_t n = sizeof text - 1 - at;

				peer.mask = 0x55;
				/* Below the mask the preface is plain. */
				if (!upper && at < 7) {
					peer.mask = 0;
					n = n < 7 - at ? n : 7 - at;
				}
				n = n < step ? n : step;
				assert_true(peer_send(&peer, &server, text + at, n));
				stepped_turn(&server, 1);
				stepped_turn(&server, 1);
				at -= step - n;
			}
			peer.mask = 0x55;
			expect_body("hello XORv1", 11);
			assert_int_equal(seen.freed, 1);
			tear_down();
		}
	}
}

static void test_file_in_pieces(void **state)
{
	(void)state;
	set_up(1, MASK, PASS, 0x2a, 0);
	for (int i = 0; i < 3; i++) {
		ask(GET("/file") GET("/"));
		expect_body(file_data, FILE_N);
		expect_body("hello -", 7);
		assert_int_equal(fcntl(last_fd, F_GETFD), -1);
	}
	assert_int_equal(seen.refused_files, 3);
	assert_int_equal(seen.largest, TAKO__SPOOL_BYTES);
	/* A piece, and the head before it. */
	assert_in_range(seen.in_down_max, 1, 2);
	assert_int_equal(seen.ends, 3);
	assert_int_equal(seen.end_err, 0);
	tear_down();
}

static void test_file_between_memory(void **state)
{
	static char want[FILE_N + 100];
	size_t n = 0;

	(void)state;
	set_up(1, MASK, PASS, 0x2a, 0);
	memcpy(want, "one ", 4);
	memcpy(want + 4, file_data + 10, FILE_N - 10);
	n = FILE_N - 6;
	memcpy(want + n, " two ", 5);
	memcpy(want + n + 5, file_data + 5, 3);
	memcpy(want + n + 8, " three", 6);
	ask(GET("/mixed") GET("/"));
	expect_body(want, n + 14);
	expect_body("hello -", 7);
	tear_down();
}

/* Its pieces are read when they are in memory, and others are served until then. */
static void test_cold_file(void **state)
{
	static struct peer other;

	(void)state;
	set_up(1, MASK, PASS, 0x2a, 0);
	peer_open(&other, &server);
	other.mask = peer.mask;
	slow_disk = (struct slow_disk){.cold = true};
	ask(GET("/file") GET("/"));
	for (unsigned i = 0; i < 5; i++) {
		unsigned before = slow_disk.probes;

		assert_true(peer_send(&other, &server, GET("/"), sizeof GET("/") - 1));
		assert_true(peer_reply(&other, &server, &answer, false, WAIT_MS));
		peer_drop(&other, answer.total_n);
		for (unsigned k = 0; k < WAIT_MS && slow_disk.probes == before; k++)
			stepped_turn(&server, 1);
		assert_true(slow_disk.probes > before);
	}
	slow_disk.warm_bytes = TAKO__SPOOL_BYTES;
	for (unsigned i = 0; i < WAIT_MS && slow_disk.advised_pos != TAKO__SPOOL_BYTES; i++)
		stepped_turn(&server, 1);
	slow_disk.cold = false;
	expect_body(file_data, FILE_N);
	expect_body("hello -", 7);
	assert_int_equal(slow_disk.waits, 0);
	/* And one that does not come before its client is gone. */
	slow_disk = (struct slow_disk){.cold = true};
	ask(GET("/file"));
	for (unsigned i = 0; i < WAIT_MS && !slow_disk.probes; i++)
		stepped_turn(&server, 1);
	peer_close(&other);
	tear_down();
	assert_int_equal(slow_disk.waits, 0);
	assert_int_equal(fcntl(last_fd, F_GETFD), -1);
	slow_disk.cold = false;
}

static void test_shrunk_file(void **state)
{
	(void)state;
	set_up(1, MASK, PASS, 0x2a, 0);
	ask(GET("/short") GET("/"));
	assert_true(peer_closed(&peer, &server, WAIT_MS));
	reply_parse(&answer, &peer, false);
	assert_false(answer.complete);
	for (int i = 0; i < 20 && !seen.ends; i++)
		stepped_turn(&server, 1);
	assert_int_equal(fcntl(last_fd, F_GETFD), -1);
	assert_int_equal(seen.ends, 1);
	assert_int_equal(seen.end_err, TAKO_ECLOSED);
	tear_down();
}

static void test_peer_leaves(void **state)
{
	(void)state;
	file_n = 80 << 20; /* more than any socket takes at once */
	set_up(1, MASK, PASS, 0x2a, 0);
	ask(GET("/file"));
	stepped_turn(&server, 1);
	peer_close(&peer);
	for (int i = 0; i < 200 && !seen.ends; i++)
		stepped_turn(&server, 5);
	assert_int_equal(seen.ends, 1);
	assert_int_equal(seen.end_err, TAKO_ECLOSED);
	assert_int_equal(fcntl(last_fd, F_GETFD), -1);
	file_n = FILE_N;
	tear_down();
}

static void test_without_memory(void **state)
{
	size_t nth = 1;
	size_t failed;

	(void)state;
	do {
		set_up(1, MASK, PASS, 0x2a, 0);
		failalloc_arm(nth++);
		(void)peer_send(&peer, &server, GET("/file"), sizeof GET("/file") - 1);
		(void)peer_reply(&peer, &server, &answer, false, WAIT_MS);
		failed = failalloc_disarm();
		if (answer.complete && answer.status == 200)
			assert_memory_equal(answer.body, file_data, FILE_N);
		else
			assert_true(failed &&
			            (answer.status == 500 || peer_closed(&peer, &server, WAIT_MS)));
		tear_down();
	} while (failed);
	/* Connection, exchange, output block, and the file's buffer. */
	assert_in_range(nth, 5, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pass),           cmocka_unit_test(test_mask),
		cmocka_unit_test(test_two_masks),      cmocka_unit_test(test_preface),
		cmocka_unit_test(test_file_in_pieces), cmocka_unit_test(test_file_between_memory),
		cmocka_unit_test(test_shrunk_file),    cmocka_unit_test(test_peer_leaves),
		cmocka_unit_test(test_without_memory), cmocka_unit_test(test_cold_file),
	};

	if (failalloc_install() < 0)
		return 1;
	for (size_t i = 0; i < FILE_N; i++)
		file_data[i] = (char)(i * 31 + i / 255);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
