/* SPDX-License-Identifier: MIT
 *
 * Raw connections on the test's own thread: what may be asked for when, settings from callers of other
 * versions, and every allocation failing once.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>
#include <tako/tako.h>

#include "core/base.h"
#include "transports/raw/raw_int.h"
#include "unit/failalloc.h"
#include "unit/stepped.h"

static struct {
	unsigned opened;
	unsigned closed;
	int why;
	tako_raw *last;
} seen;

static int on_open(tako_raw *c, void *arg)
{
	(void)arg;
	seen.opened++;
	seen.last = c;
	return 0;
}

/* Whatever comes is answered with where it came from. */
static int on_data(tako_raw *c, tako_str data, void *arg)
{
	tako_conn_info i = {.size = sizeof(i)};
	tako_proxy_info p = {.size = sizeof(p)};
	int rc = tako_raw_conn_info(c, &i);

	(void)arg;
	if (rc == 0)
		rc = tako_raw_proxy_info(c, &p);
	if (rc == TAKO_ENOENT)
		rc = tako_raw_conn_info(c, &i);
	if (rc < 0)
		return rc;
	memset(tako_raw_user(c), 'x', 1000);
	rc = (int)tako_raw_send(c, tako_str_z(i.transport));
	return rc < 0 ? rc : (int)(tako_raw_send(c, data) < 0);
}

static void on_close(tako_raw *c, int why, void *arg)
{
	(void)c, (void)arg;
	seen.closed++;
	seen.why = why;
}

/* More than any system's buffers take, and then the end of our side, in one way or another. */
enum { MUCH = 16 << 20 };

static int say_much(tako_raw *c, tako_str data, void *arg)
{
	static char block[MUCH];

	(void)arg;
	assert_true(tako_raw_send(c, (tako_str){block, MUCH}) == MUCH);
	if (data.p[0] == 'c')
		tako_raw_close(c);
	else if (data.p[0] == 'e')
		tako_raw_end(c);
	return 0;
}

static const tako_raw_config config = {.size = sizeof(config),
                                       .on_open = on_open,
                                       .on_data = on_data,
                                       .on_close = on_close,
                                       .user_bytes = 1000};

/* 0, or the error of what failed; nothing is left then. */
static int start_with(struct stepped *s, const tako_raw_config *raw)
{
	uint32_t proxy = raw->on_end ? TAKO_PROXY_REQUIRED : TAKO_PROXY_OFF;
	tako_router *r = tako_router_new();
	char addr[64];
	int rc;

	memset(s, 0, sizeof(*s));
	memset(&seen, 0, sizeof seen);
	rc = tako_server_new(&s->srv, r,
	                     TAKO_SERVER_CONFIG(.worker_count = 1, .drain_timeout_ms = 1000,
	                                        .body_timeout_ms = 80));
	tako_router_free(r);
	if (rc == 0)
		rc = tako_server_listen(s->srv, tako_raw_tcp(), "127.0.0.1:0",
		                        TAKO_LISTEN_CONFIG(.raw = raw, .proxy_protocol = proxy));
	if (rc == 0)
		rc = tako_server_fd(s->srv);
	if (rc < 0) {
		tako_server_free(s->srv);
		return rc;
	}
	tako_server_local_addr(s->srv, 0, addr, sizeof(addr));
	s->port = (uint16_t)strtoul(strrchr(addr, ':') + 1, NULL, 10);
	return 0;
}

static int start(struct stepped *s)
{
	return start_with(s, &config);
}

static void turns(struct stepped *s)
{
	for (int i = 0; i < 5; i++)
		stepped_turn(s, 1);
}

static void hear(struct stepped *s, struct peer *p, size_t n)
{
	for (int i = 0; i < 2000 && p->n < n && !p->closed; i++) {
		stepped_turn(s, 1);
		peer_read(p);
	}
}

static bool exchange(struct stepped *s, struct peer *p)
{
	bool whole;

	peer_open(p, s);
	peer_send(p, s, "hello", 5);
	hear(s, p, 8);
	whole = p->n == 8 && memcmp(p->data, "rawhello", 8) == 0;
	peer_close(p);
	return whole;
}

static void test_no_memory(void **state)
{
	static struct peer p;
	struct stepped s;

	(void)state;
	for (size_t n = 1;; n++) {
		bool whole = false;
		int rc;

		failalloc_arm(n);
		rc = start(&s);
		if (rc == 0) {
			whole = exchange(&s, &p);
			stepped_stop(&s);
			assert_int_equal(seen.opened, seen.closed);
		} else {
			assert_int_equal(rc, TAKO_ENOMEM);
		}
		if (!failalloc_disarm()) {
			assert_true(whole);
			assert_true(n > 20);
			break;
		}
		assert_int_equal(failalloc_live(), 0);
	}
	assert_int_equal(failalloc_wrong(), 0);
}

/* From outside of its callbacks, on its thread: as from another connection's. */
static void test_from_elsewhere(void **state)
{
	static struct peer p;
	struct stepped s;

	(void)state;
	assert_int_equal(start(&s), 0);
	peer_open(&p, &s);
	for (int i = 0; i < 2000 && !seen.opened; i++)
		stepped_turn(&s, 1);
	assert_int_equal(seen.opened, 1);
	assert_int_equal(tako_raw_send(seen.last, TAKO_STR("")), 0);
	assert_int_equal(tako_raw_send(seen.last, TAKO_STR("one ")), 4);
	assert_int_equal(tako_raw_send(seen.last, TAKO_STR("two")), 7);
	assert_int_equal(tako_raw_unsent(seen.last), 7);
	tako_raw_close(seen.last);
	tako_raw_close(seen.last);
	assert_int_equal(tako_raw_send(seen.last, TAKO_STR("x")), TAKO_ESTATE);
	assert_int_equal(seen.closed, 0);
	hear(&s, &p, 8);
	assert_true(p.closed && !p.reset);
	assert_int_equal(p.n, 7);
	assert_memory_equal(p.data, "one two", 7);
	peer_close(&p);
	for (int i = 0; i < 2000 && !seen.closed; i++)
		stepped_turn(&s, 1);
	assert_int_equal(seen.closed, 1);
	assert_int_equal(seen.why, 0);
	stepped_stop(&s);
	assert_int_equal(failalloc_live(), 0);
}

/* What has come by the time the server stops is heard, and answered. */
/* Above its mark by what has not even been tried to be sent, it has lost nothing, whenever it is looked at. */
static void test_a_look_before_the_send(void **state)
{
	static const tako_raw_config narrow = {.size = sizeof(narrow),
	                                       .on_open = on_open,
	                                       .on_data = on_data,
	                                       .on_close = on_close,
	                                       .user_bytes = 1000,
	                                       .write_high_bytes = 2};
	static struct peer p;
	struct tako__conn *c;
	struct stepped s;

	(void)state;
	assert_int_equal(start_with(&s, &narrow), 0);
	peer_open(&p, &s);
	for (int i = 0; i < 200 && !seen.opened; i++)
		stepped_turn(&s, 1);
	c = tako__raw_conn(seen.last);
	assert_int_equal(tako_raw_send(seen.last, TAKO_STR("hello")), 5);
	c->proto->tick(c);
	hear(&s, &p, 5);
	assert_int_equal(p.n, 5);
	assert_memory_equal(p.data, "hello", 5);
	assert_int_equal(seen.closed, 0);
	peer_close(&p);
	stepped_stop(&s);
	assert_int_equal(failalloc_live(), 0);
}

static void test_last_words(void **state)
{
	static struct peer p;
	struct stepped s;

	(void)state;
	assert_int_equal(start(&s), 0);
	peer_open(&p, &s);
	for (int i = 0; i < 2000 && !seen.opened; i++)
		stepped_turn(&s, 1);
	peer_send(&p, &s, "hello", 5);
	tako_server_stop(s.srv);
	hear(&s, &p, 9);
	assert_true(p.closed && !p.reset);
	assert_int_equal(p.n, 8);
	assert_memory_equal(p.data, "rawhello", 8);
	peer_close(&p);
	stepped_stop(&s);
	assert_int_equal(seen.why, 0);
	assert_int_equal(seen.closed, 1);
	assert_int_equal(failalloc_live(), 0);
}

/* One that is newer than the library, and one that never was. */
/* ---- Idle -------------------------------------------------------------------------------------------- */

enum { IDLE = 400, IDLE_MAX_BYTES = 512 };

static int echo(tako_raw *c, tako_str data, void *arg)
{
	(void)arg;
	return tako_raw_send(c, data) < 0;
}

static int connect_and_echo(struct stepped *s)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(s->port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char byte = 'x';

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	assert_int_equal(send(fd, &byte, 1, 0), 1);
	for (int i = 0; i < 2000 && recv(fd, &byte, 1, MSG_DONTWAIT) != 1; i++)
		stepped_turn(s, 1);
	assert_int_equal(byte, 'x');
	return fd;
}

/* What an idle connection takes that has spoken: no buffer, and no more than the bar. */
static void test_idle_memory(void **state)
{
	static const tako_raw_config idle = {.size = sizeof(idle), .on_data = echo};
	struct stepped s;
	int fds[IDLE];
	size_t before;
	size_t each;

	(void)state;
	assert_int_equal(start_with(&s, &idle), 0);
	/* What is there once, and what the first one has left behind. */
	close(connect_and_echo(&s));
	turns(&s);
	before = failalloc_live_bytes();
	for (int i = 0; i < IDLE; i++)
		fds[i] = connect_and_echo(&s);
	each = (failalloc_live_bytes() - before) / IDLE;
	print_message("          %zu bytes a connection\n", each);
	assert_true(each > 0 && each <= IDLE_MAX_BYTES);
	for (int i = 0; i < IDLE; i++)
		close(fds[i]);
	stepped_stop(&s);
	assert_int_equal(failalloc_live(), 0);
}

/* ---- Paused from the beginning ----------------------------------------------------------------------- */

static char heard[64];
static bool again; /* pause anew at each piece */

static int pause_at_open(tako_raw *c, void *arg)
{
	heard[0] = '\0';
	tako_raw_pause(c);
	return on_open(c, arg);
}

static int note(tako_raw *c, tako_str data, void *arg)
{
	size_t n = strlen(heard);

	(void)arg;
	snprintf(heard + n, sizeof heard - n, "%.*s|", TAKO_FMT(data));
	if (again)
		tako_raw_pause(c);
	return 0;
}

static int note_end(tako_raw *c, void *arg)
{
	note(c, TAKO_STR("end"), arg);
	tako_raw_end(c);
	return 0;
}

static const tako_raw_config paused = {.size = sizeof(paused),
                                       .on_open = pause_at_open,
                                       .on_data = note,
                                       .on_end = note_end,
                                       .on_close = on_close};

/* A pause in on_open() holds what came in one packet with the PROXY header, and what comes later is behind
 * it; so does one in on_data(). */
static void test_paused_behind_a_header(void **state)
{
	static const char head[] = "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\nfirst";
	static struct peer p;
	struct stepped s;

	(void)state;
	for (int i = 0; i < 2; i++) {
		again = i == 1;
		assert_int_equal(start_with(&s, &paused), 0);
		peer_open(&p, &s);
		peer_send(&p, &s, head, sizeof(head) - 1);
		turns(&s);
		assert_int_equal(seen.opened, 1);
		assert_string_equal(heard, "");
		peer_send(&p, &s, "second", 6);
		assert_int_equal(shutdown(p.fd, SHUT_WR), 0);
		turns(&s);
		assert_string_equal(heard, "");
		tako_raw_resume(seen.last);
		turns(&s);
		assert_string_equal(heard, again ? "first|" : "first|second|end|");
		for (int k = 0; k < 3 && !seen.closed; k++) {
			tako_raw_resume(seen.last);
			turns(&s);
		}
		assert_string_equal(heard, "first|second|end|");
		assert_int_equal(seen.closed, 1);
		assert_int_equal(seen.why, 0);
		peer_close(&p);
		stepped_stop(&s);
	}
	/* One that goes with bytes held gives them back. */
	assert_int_equal(start_with(&s, &paused), 0);
	peer_open(&p, &s);
	peer_send(&p, &s, head, sizeof(head) - 1);
	turns(&s);
	tako_raw_abort(seen.last);
	turns(&s);
	assert_int_equal(seen.closed, 1);
	assert_string_equal(heard, "");
	peer_close(&p);
	stepped_stop(&s);
	assert_int_equal(failalloc_live(), 0);
}

/* How much comes until the end; SIZE_MAX: it is a reset. */
static size_t drain(struct stepped *s, int fd)
{
	static char buf[1 << 18];
	size_t all = 0;

	for (int i = 0; i < 20000; i++) {
		ssize_t n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);

		if (n == 0)
			return all;
		if (n < 0 && errno != EAGAIN)
			return SIZE_MAX;
		all += n > 0 ? (size_t)n : 0;
		stepped_turn(s, n < 0);
	}
	return all;
}

/* What is unsent when both sides have ended, or the program has closed, is sent all the same, however long
 * the peer takes to read it, and whichever marks it passes: they are for who waits for on_writable(). */
static void test_unsent_at_the_end(void **state)
{
	static const tako_raw_config much = {.size = sizeof(much),
	                                     .on_open = on_open,
	                                     .on_data = say_much,
	                                     .on_close = on_close,
	                                     .write_high_bytes = MUCH,
	                                     .write_low_bytes = MUCH - 1};
	static const char ways[] = "bec";
	static struct peer p;
	struct stepped s;

	(void)state;
	for (size_t i = 0; i < sizeof(ways) - 1; i++) {
		assert_int_equal(start_with(&s, &much), 0);
		peer_open(&p, &s);
		peer_send(&p, &s, &ways[i], 1);
		assert_int_equal(shutdown(p.fd, SHUT_WR), 0);
		/* Looked at several times meanwhile. */
		for (int k = 0; k < 120; k++)
			stepped_turn(&s, 1);
		assert_int_equal(seen.closed, 0);
		assert_int_equal(drain(&s, p.fd), MUCH);
		for (int k = 0; k < 2000 && !seen.closed; k++)
			stepped_turn(&s, 1);
		peer_close(&p);
		stepped_stop(&s);
		assert_int_equal(seen.closed, 1);
		assert_int_equal(seen.why, 0);
	}
	assert_int_equal(failalloc_live(), 0);
}

/* Who passes on what he receives is just below his mark when as much comes as ever may at once: it is taken, and then he
 * stops. */
static void test_one_delivery_more(void **state)
{
	enum { HIGH = 1000, DELIVERY = 1 << 20 };
	static const tako_raw_config narrow = {.size = sizeof(narrow),
	                                       .on_open = on_open,
	                                       .on_data = on_data,
	                                       .on_close = on_close,
	                                       .user_bytes = 1000,
	                                       .write_high_bytes = HIGH};
	static const char text[DELIVERY];
	static struct peer p;
	struct stepped s;

	(void)state;
	assert_int_equal(start_with(&s, &narrow), 0);
	peer_open(&p, &s);
	for (int i = 0; i < 2000 && !seen.opened; i++)
		stepped_turn(&s, 1);
	assert_int_equal(tako_raw_send(seen.last, (tako_str){text, HIGH - 1}), HIGH - 1);
	assert_int_equal(tako_raw_send(seen.last, (tako_str){text, DELIVERY}), HIGH - 1 + DELIVERY);
	assert_int_equal(tako_raw_send(seen.last, (tako_str){text, 100}), TAKO_EBUSY);
	peer_close(&p);
	stepped_stop(&s);
	assert_int_equal(failalloc_live(), 0);
}

static void test_sizes(void **state)
{
	struct {
		tako_raw_config raw;
		uint64_t more;
	} newer = {.raw = config};
	tako_router *r = tako_router_new();
	tako_server *srv = NULL;

	(void)state;
	assert_int_equal(tako_server_new(&srv, r, NULL), 0);
	tako_router_free(r);
	newer.raw.size = sizeof newer;
	assert_int_equal(tako_server_listen(srv, tako_raw_tcp(), "127.0.0.1:0",
	                                    TAKO_LISTEN_CONFIG(.raw = &newer.raw)),
	                 0);
	newer.more = 1;
	assert_int_equal(tako_server_listen(srv, tako_raw_tcp(), "127.0.0.1:0",
	                                    TAKO_LISTEN_CONFIG(.raw = &newer.raw)),
	                 TAKO_ENOTSUP);
	newer.raw.size = sizeof(size_t);
	assert_int_equal(tako_server_listen(srv, tako_raw_tcp(), "127.0.0.1:0",
	                                    TAKO_LISTEN_CONFIG(.raw = &newer.raw)),
	                 TAKO_EINVAL);
	tako_server_free(srv);
	assert_int_equal(failalloc_live(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_from_elsewhere),
		cmocka_unit_test(test_last_words),
		cmocka_unit_test(test_a_look_before_the_send),
		cmocka_unit_test(test_unsent_at_the_end),
		cmocka_unit_test(test_paused_behind_a_header),
		cmocka_unit_test(test_idle_memory),
		cmocka_unit_test(test_one_delivery_more),
		cmocka_unit_test(test_sizes),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
