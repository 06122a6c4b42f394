/* SPDX-License-Identifier: MIT
 *
 * Who a request's client is taken for, by listeners that believe different fields, and what is told of it
 * to a server behind; on the test's own thread, over HTTP/1.1 from 127.0.0.1.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <tako/tako.h>

#include "core/base.h"
#include "unit/failalloc.h"
#include "unit/stepped.h"

#define TRUSTED "127.0.0.0/8, 10.0.0.0/8, 2001:db8::/32"

/* Listeners, by what they believe. */
enum { STANDARD, X, NAMED, NOBODY, OTHERS, PROXIED, FEW, OTHERS_NAMED, LISTENERS };

static char logged[256];

static void on_access(const tako_access *a, void *arg)
{
	(void)arg;
	snprintf(logged, sizeof logged, "%s", a->client ? a->client : "-");
}

static const char *without_ports(const char *text)
{
	return strncmp(text, "127.0.0.1", 9) == 0 ? "127.0.0.1" : text;
}

/* The same twice: the second is what was remembered. */
static int client(tako_req *req, tako_res *res, void *arg)
{
	static const char *const why[] = {"found", "no-more", "hidden", "malformed", "too-many"};
	tako_client_info c = {.size = sizeof c};
	tako_client_info again = {.size = sizeof again};
	int rc = tako_req_client(req, &c);

	(void)arg;
	if (rc == 0)
		rc = tako_req_client(req, &again);
	if (rc < 0)
		return rc;
	assert_memory_equal(&c, &again, sizeof c);
	return tako_res_text(res, 200, "%s|%s|%u|%s|%.*s|%.*s|%u|%s", c.addr, without_ports(c.node),
	                     c.hop_count ? c.port : 0, c.scheme, TAKO_FMT(c.host), TAKO_FMT(c.by),
	                     c.hop_count, why[c.why]);
}

static tako_forward_config forward_cfg;
static uint32_t forward_field;
static size_t forward_room;

static int forward(tako_req *req, tako_res *res, void *arg)
{
	char buf[4096];
	int n;

	(void)arg;
	memset(buf, '#', sizeof buf);
	n = tako_req_forward(req, forward_field, &forward_cfg, buf, forward_room);
	assert_int_equal(buf[forward_room], '#');
	if (n < 0)
		return tako_res_text(res, 200, "%d", n);
	/* It is the least room that does. */
	if (n > 0)
		assert_int_equal(
			tako_req_forward(req, forward_field, &forward_cfg, buf, (size_t)n - 1),
			TAKO_ETOOBIG);
	return tako_res_text(res, 200, "%.*s", n, buf);
}

static int listen_all(tako_server *srv)
{
	const tako_listen_config cfgs[LISTENERS] = {
		[STANDARD] = {.forwarded = TAKO_FORWARDED_STANDARD, .forwarded_log = 1},
		[X] = {.forwarded = TAKO_FORWARDED_X},
		[NAMED] = {.forwarded = TAKO_FORWARDED_NAMED, .forwarded_name = "X-Real-IP"},
		[NOBODY] = {.size = 0},
		[OTHERS] = {.forwarded = TAKO_FORWARDED_STANDARD,
	                    .forwarded_trusted = "10.0.0.0/8, unix:"},
		[PROXIED] = {.forwarded = TAKO_FORWARDED_STANDARD,
	                     .proxy_protocol = TAKO_PROXY_REQUIRED,
	                     .forwarded_trusted = "10.0.0.0/8"},
		[FEW] = {.forwarded = TAKO_FORWARDED_STANDARD, .forwarded_max_hops = 2},
		[OTHERS_NAMED] = {.forwarded = TAKO_FORWARDED_NAMED,
	                          .forwarded_name = "X-Real-IP",
	                          .forwarded_trusted = "10.0.0.0/8"},
	};
	int rc = 0;

	for (int i = 0; rc == 0 && i < LISTENERS; i++) {
		tako_listen_config cfg = cfgs[i];

		cfg.size = sizeof cfg;
		if (cfg.forwarded && !cfg.forwarded_trusted)
			cfg.forwarded_trusted = TRUSTED;
		rc = tako_server_listen(srv, tako_http1(), "127.0.0.1:0", &cfg);
	}
	return rc;
}

static int start(struct stepped *s)
{
	tako_router *r = tako_router_new();
	int rc;

	memset(s, 0, sizeof *s);
	tako_get(r, "/client", client, NULL);
	tako_get(r, "/forward", forward, NULL);
	rc = tako_server_new(&s->srv, r,
	                     TAKO_SERVER_CONFIG(.worker_count = 1, .drain_timeout_ms = 1000,
	                                        .access_fn = on_access));
	tako_router_free(r);
	if (rc == 0)
		rc = listen_all(s->srv);
	if (rc == 0)
		rc = tako_server_fd(s->srv);
	if (rc < 0)
		tako_server_free(s->srv);
	return rc < 0 ? rc : 0;
}

static void choose(struct stepped *s, size_t listener)
{
	char addr[64];

	tako_server_local_addr(s->srv, listener, addr, sizeof addr);
	s->port = (uint16_t)strtoul(strrchr(addr, ':') + 1, NULL, 10);
}

/* Ask for `path` with these fields; false: there was no whole answer. */
static bool ask(struct stepped *s, size_t listener, const char *ahead, const char *path,
                const char *fields, struct reply *r)
{
	static struct peer p;
	char head[4096];
	bool whole;

	choose(s, listener);
	snprintf(head, sizeof head,
	         "%sGET %s HTTP/1.1\r\nHost: a.example\r\n%sConnection: close\r\n\r\n", ahead, path,
	         fields);
	peer_open(&p, s);
	peer_send(&p, s, head, strlen(head));
	whole = peer_reply(&p, s, r, false, 2000);
	peer_close(&p);
	return whole;
}

struct row {
	size_t listener;
	const char *fields;
	const char *want;
};

#define PEER "127.0.0.1|127.0.0.1|0|http|a.example||0|"

static const struct row rows[] = {
	/* Nobody, or nobody yet. */
	{NOBODY, "Forwarded: for=192.0.2.1\r\nX-Forwarded-For: 192.0.2.1\r\n", PEER "found"},
	{OTHERS, "Forwarded: for=192.0.2.1;proto=https;host=b;by=_x\r\n", PEER "found"},
	{STANDARD, "", PEER "no-more"},
	{STANDARD, "Forwarded:\r\n", PEER "no-more"},
	{STANDARD, "Forwarded: ,\r\nForwarded: , ,\r\n", PEER "no-more"},
	/* Another family than the one that is believed. */
	{STANDARD,
         "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 192.0.2.1\r\n",
         PEER "no-more"},
	{X, "Forwarded: for=192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\n",
         PEER "no-more"},
	{NAMED, "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\n", PEER "no-more"},
	/* From right to left, through those that are trusted. */
	{STANDARD, "Forwarded: for=192.0.2.1\r\n", "192.0.2.1|192.0.2.1|0|http|a.example||1|found"},
	{STANDARD, "fORWARDED: for=\"192.0.2.1:4711\";proto=HTTPS;host=\"b:1\";by=_edge\r\n",
         "192.0.2.1|192.0.2.1:4711|4711|https|b:1|_edge|1|found"},
	{STANDARD, "Forwarded: for=192.0.2.1, for=198.51.100.2\r\n",
         "198.51.100.2|198.51.100.2|0|http|a.example||1|found"},
	{STANDARD, "Forwarded: for=192.0.2.1, for=10.1.1.1\r\n",
         "192.0.2.1|192.0.2.1|0|http|a.example||2|found"},
	{STANDARD, "Forwarded: for=192.0.2.1, for=10.1.1.1, for=\"[2001:db8::7]:80\"\r\n",
         "192.0.2.1|192.0.2.1|0|http|a.example||3|found"},
	{STANDARD, "Forwarded: for=10.0.0.9\r\n", "10.0.0.9|10.0.0.9|0|http|a.example||1|no-more"},
	{STANDARD, "Forwarded: for=\"[2001:db9::1]\"\r\n",
         "2001:db9::1|[2001:db9::1]|0|http|a.example||1|found"},
	{STANDARD, "Forwarded: for=\"[2001:db9::1]:443\"\r\n",
         "2001:db9::1|[2001:db9::1]:443|443|http|a.example||1|found"},
	{STANDARD, "Forwarded: for=\"[::ffff:10.0.0.1]\"\r\n",
         "10.0.0.1|10.0.0.1|0|http|a.example||1|no-more"},
	/* Several lines are one list; empty elements are none. */
	{STANDARD, "Forwarded: for=192.0.2.1\r\nX: y\r\nForwarded: for=10.1.1.1\r\n",
         "192.0.2.1|192.0.2.1|0|http|a.example||2|found"},
	{STANDARD, "Forwarded: for=10.1.1.1\r\nForwarded: for=192.0.2.1\r\n",
         "192.0.2.1|192.0.2.1|0|http|a.example||1|found"},
	{STANDARD, "Forwarded: for=192.0.2.1,\r\nForwarded: ,\r\nForwarded:,for=10.1.1.1, ,\r\n",
         "192.0.2.1|192.0.2.1|0|http|a.example||2|found"},
	/* What one nearer to the client says counts; what only others say does, too. */
	{STANDARD,
         "Forwarded: for=192.0.2.1;proto=https;host=b;by=_b, "
         "for=10.1.1.1;proto=http;host=c;by=_c\r\n",
         "192.0.2.1|192.0.2.1|0|https|b|_b|2|found"},
	{STANDARD, "Forwarded: for=192.0.2.1, for=10.1.1.1;proto=https;host=c\r\n",
         "192.0.2.1|192.0.2.1|0|https|c||2|found"},
	{STANDARD, "Forwarded: proto=https;host=evil, for=192.0.2.1;proto=http\r\n",
         "192.0.2.1|192.0.2.1|0|http|a.example||1|found"},
	/* Who hides the client ends the walk. */
	{STANDARD, "Forwarded: for=192.0.2.1, for=unknown;proto=https\r\n",
         "unknown|unknown|0|https|a.example||1|hidden"},
	{STANDARD, "Forwarded: for=192.0.2.1, for=\"_x:80\"\r\n",
         "_x:80|_x:80|0|http|a.example||1|hidden"},
	{STANDARD, "Forwarded: for=192.0.2.1, proto=https\r\n",
         "unknown|unknown|0|https|a.example||1|hidden"},
	/* So does what is malformed. */
	{STANDARD, "Forwarded: for=192.0.2.1, for=10.1.1.1:80\r\n", PEER "malformed"},
	{STANDARD, "Forwarded: for=192.0.2.1; proto=https\r\n", PEER "malformed"},
	{STANDARD, "Forwarded: for=bad, for=10.1.1.1\r\n",
         "10.1.1.1|10.1.1.1|0|http|a.example||1|malformed"},
	{STANDARD, "Forwarded: for=192.0.2.1\r\nForwarded: x\r\nForwarded: for=10.1.1.1\r\n",
         "10.1.1.1|10.1.1.1|0|http|a.example||1|malformed"},
	/* Commas in quotes, and quotes that an attacker leaves open. */
	{STANDARD, "Forwarded: for=192.0.2.1;x=\", for=198.51.100.2\"\r\n",
         "192.0.2.1|192.0.2.1|0|http|a.example||1|found"},
	{STANDARD, "Forwarded: for=10.1.1.1;x=\"\r\nForwarded: \", for=192.0.2.1\r\n",
         "192.0.2.1|192.0.2.1|0|http|a.example||1|found"},
	{STANDARD, "Forwarded: for=\"10.1.1.1, for=192.0.2.1;host=\"b\"\r\n",
         "192.0.2.1|192.0.2.1|0|http|b||1|found"},
	{STANDARD, "Forwarded: for=\"10.1.1.1, for=10.1.1.2\r\n",
         "10.1.1.2|10.1.1.2|0|http|a.example||1|malformed"},
	/* No farther than the bound. */
	{FEW, "Forwarded: for=192.0.2.1, for=10.0.0.2, for=10.0.0.3\r\n",
         "10.0.0.2|10.0.0.2|0|http|a.example||2|too-many"},
	{FEW, "Forwarded: for=192.0.2.1, for=10.0.0.3\r\n",
         "192.0.2.1|192.0.2.1|0|http|a.example||2|found"},
	{FEW, "Forwarded: for=10.0.0.2, for=10.0.0.3\r\n",
         "10.0.0.2|10.0.0.2|0|http|a.example||2|no-more"},
	/* The other family. */
	{X, "X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1|192.0.2.1|0|http|a.example||1|found"},
	{X, "X-Forwarded-For: 192.0.2.1:99, 10.0.0.1\r\nX-Forwarded-For: 2001:db8::1\r\n",
         "192.0.2.1|192.0.2.1:99|99|http|a.example||3|found"},
	{X, "X-Forwarded-For: 192.0.2.1, unknown\r\n",
         "unknown|unknown|0|http|a.example||1|hidden"},
	{X, "X-Forwarded-For: 192.0.2.1, evil, 10.0.0.1\r\n",
         "10.0.0.1|10.0.0.1|0|http|a.example||1|malformed"},
	{X, "X-Forwarded-For: \"192.0.2.1, 10.0.0.1\"\r\n", PEER "malformed"},
	{X, "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b:8\r\n",
         "192.0.2.1|192.0.2.1|0|https|b:8||1|found"},
	{X,
         "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https, http\r\nX-Forwarded-Host: "
         "evil\r\n"
         "X-Forwarded-Host: b\r\n",
         "192.0.2.1|192.0.2.1|0|http|b||1|found"},
	{X, "X-Forwarded-For: 192.0.2.1, 10.0.0.1\r\nX-Forwarded-Proto: ftp, https, http\r\n",
         "192.0.2.1|192.0.2.1|0|https|a.example||2|found"},
	{X, "X-Forwarded-For: 192.0.2.1, 10.0.0.1\r\nX-Forwarded-Proto: https\r\n",
         "192.0.2.1|192.0.2.1|0|https|a.example||2|found"},
	{X,
         "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: \"https\"\r\nX-Forwarded-Host: a/b\r\n",
         "192.0.2.1|192.0.2.1|0|http|a.example||1|found"},
	/* Fields with one address. */
	{NAMED, "x-real-ip: 192.0.2.1\r\n", "192.0.2.1|192.0.2.1|0|http|a.example||1|found"},
	{NAMED, "X-Real-IP: 10.0.0.1\r\n", "10.0.0.1|10.0.0.1|0|http|a.example||1|found"},
	{NAMED, "X-Real-IP: 2001:db8::1\r\n",
         "2001:db8::1|[2001:db8::1]|0|http|a.example||1|found"},
	{NAMED, "X-Real-IP: 192.0.2.1, 192.0.2.2\r\n", PEER "malformed"},
	{NAMED, "X-Real-IP: 192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\n", PEER "malformed"},
	{NAMED, "X-Real-IP:\r\n", PEER "malformed"},
	{OTHERS_NAMED, "X-Real-IP: 192.0.2.1\r\n", PEER "found"},
	{NAMED, "X-Real-IP: unknown\r\n", "unknown|unknown|0|http|a.example||1|hidden"},
};

static void test_clients(void **state)
{
	struct stepped s;
	static struct reply r;

	(void)state;
	assert_int_equal(start(&s), 0);
	for (size_t i = 0; i < TAKO__COUNT(rows); i++) {
		print_message("          %zu %s", rows[i].listener,
		              rows[i].fields[0] ? rows[i].fields : "\n");
		assert_true(ask(&s, rows[i].listener, "", "/client", rows[i].fields, &r));
		assert_int_equal(r.status, 200);
		assert_string_equal(r.body, rows[i].want);
	}
	stepped_stop(&s);
	assert_int_equal(failalloc_live(), 0);
}

/* A PROXY header's client is the one whose trust is looked at. */
static void test_behind_a_proxy_header(void **state)
{
	static const struct {
		const char *ahead;
		const char *want;
	} cases[] = {
		{"PROXY TCP4 10.0.0.7 198.51.100.2 4660 443\r\n",
	         "192.0.2.1|192.0.2.1|0|http|a.example||1|found"},
		{"PROXY TCP4 198.51.100.9 198.51.100.2 4660 443\r\n",
	         "198.51.100.9|198.51.100.9:4660|0|http|a.example||0|found"},
		/* The balancer itself is 127.0.0.1, which this listener does not trust. */
		{"PROXY UNKNOWN\r\n", PEER "found"},
	};
	struct stepped s;
	static struct reply r;

	(void)state;
	assert_int_equal(start(&s), 0);
	for (size_t i = 0; i < TAKO__COUNT(cases); i++) {
		assert_true(ask(&s, PROXIED, cases[i].ahead, "/client",
		                "Forwarded: for=192.0.2.1\r\n", &r));
		assert_string_equal(r.body, cases[i].want);
	}
	stepped_stop(&s);
}

static void test_log(void **state)
{
	struct stepped s;
	static struct reply r;

	(void)state;
	assert_int_equal(start(&s), 0);
	assert_true(ask(&s, STANDARD, "", "/nowhere", "Forwarded: for=\"192.0.2.1:80\"\r\n", &r));
	assert_int_equal(r.status, 404);
	assert_string_equal(logged, "192.0.2.1:80");
	assert_true(ask(&s, X, "", "/client", "X-Forwarded-For: 192.0.2.1\r\n", &r));
	assert_string_equal(logged, "-");
	assert_true(ask(&s, NOBODY, "", "/client", "Forwarded: for=192.0.2.1\r\n", &r));
	assert_string_equal(logged, "-");
	stepped_stop(&s);
}

/* ---- For a server behind ------------------------------------------------------------------- */

static const char *told(struct stepped *s, size_t listener, uint32_t field, const char *fields,
                        tako_forward_config cfg)
{
	static struct reply r;

	forward_field = field;
	forward_cfg = cfg;
	forward_cfg.size = sizeof cfg;
	assert_true(ask(s, listener, "", "/forward", fields, &r));
	assert_int_equal(r.status, 200);
	return r.body;
}

#define TOLD(listener, field, fields, ...)                                                         \
	told(&s, listener, field, fields, (tako_forward_config){__VA_ARGS__})

static void test_forwarded(void **state)
{
	struct stepped s;
	char want[64];

	(void)state;
	assert_int_equal(start(&s), 0);
	forward_room = 512;
	assert_string_equal(TOLD(NOBODY, TAKO_FORWARD_STANDARD, "", .node = NULL),
	                    "for=127.0.0.1;host=a.example;proto=http");
	/* A list goes on, whoever may believe it, in the order that it had. */
	assert_string_equal(TOLD(NOBODY, TAKO_FORWARD_STANDARD,
	                         "Forwarded: for=192.0.2.1;x=\", \"\r\nForwarded: , for=_a ,\r\n",
	                         .by = "_me"),
	                    "for=192.0.2.1;x=\", \", for=_a, for=127.0.0.1;by=_me;host=a.example;"
	                    "proto=http");
	/* … as far as it is one. */
	assert_string_equal(TOLD(NOBODY, TAKO_FORWARD_STANDARD,
	                         "Forwarded: for=_a\r\nForwarded: bad, for=_b\r\n", .by = NULL),
	                    "for=_b, for=127.0.0.1;host=a.example;proto=http");
	assert_string_equal(TOLD(NOBODY, TAKO_FORWARD_STANDARD,
	                         "Forwarded: for=\"_a, for=_b\r\nForwarded: x\r\n", .by = NULL),
	                    "for=127.0.0.1;host=a.example;proto=http");
	assert_string_equal(TOLD(NOBODY, TAKO_FORWARD_STANDARD, "Forwarded: for=_a\r\n",
	                         .replace = 1, .node = "_n", .by = "[2001:db8::1]:80"),
	                    "for=_n;by=\"[2001:db8::1]:80\";host=a.example;proto=http");
	assert_memory_equal(TOLD(NOBODY, TAKO_FORWARD_STANDARD, "", .with_port = 1),
	                    "for=\"127.0.0.1:", 15);
	snprintf(want, sizeof want, "%d", TAKO_EINVAL);
	assert_string_equal(TOLD(NOBODY, TAKO_FORWARD_STANDARD, "", .node = "me"), want);
	assert_string_equal(TOLD(NOBODY, TAKO_FORWARD_STANDARD, "", .node = "192.0.2.1"), want);
	assert_string_equal(TOLD(NOBODY, TAKO_FORWARD_STANDARD, "", .by = "a b"), want);
	assert_string_equal(TOLD(NOBODY, TAKO_FORWARD_HOST + 1, "", .by = NULL), want);
	forward_room = 38;
	snprintf(want, sizeof want, "%d", TAKO_ETOOBIG);
	assert_string_equal(TOLD(NOBODY, TAKO_FORWARD_STANDARD, "", .by = NULL), want);
	stepped_stop(&s);
}

static void test_x_forwarded(void **state)
{
	static const char all[] =
		"X-Forwarded-For: 192.0.2.1, 10.0.0.1\r\nX-Forwarded-Proto: https\r\n"
		"X-Forwarded-Host: b\r\n";
	struct stepped s;

	(void)state;
	assert_int_equal(start(&s), 0);
	forward_room = 512;
	assert_string_equal(TOLD(X, TAKO_FORWARD_FOR, all, .by = NULL),
	                    "192.0.2.1, 10.0.0.1, 127.0.0.1");
	assert_string_equal(TOLD(X, TAKO_FORWARD_FOR, all, .replace = 1), "127.0.0.1");
	assert_string_equal(TOLD(X, TAKO_FORWARD_FOR, all, .node = "unknown"),
	                    "192.0.2.1, 10.0.0.1, unknown");
	assert_string_equal(
		TOLD(X, TAKO_FORWARD_FOR, "X-Forwarded-For: evil, 192.0.2.1\r\n", .by = NULL),
		"192.0.2.1, 127.0.0.1");
	assert_string_equal(TOLD(X, TAKO_FORWARD_PROTO, all, .by = NULL), "https");
	assert_string_equal(TOLD(X, TAKO_FORWARD_HOST, all, .by = NULL), "b");
	/* Who is not believed is not passed on as if he were. */
	assert_string_equal(TOLD(NOBODY, TAKO_FORWARD_PROTO, all, .by = NULL), "http");
	assert_string_equal(TOLD(NOBODY, TAKO_FORWARD_HOST, all, .by = NULL), "a.example");
	stepped_stop(&s);
}

/* ---- Settings, and memory ------------------------------------------------------------------- */

static void on_datagram(tako_udp *u, const tako_udp_in *in, void *arg)
{
	(void)u, (void)in, (void)arg;
}

static void test_refused(void **state)
{
	static const struct {
		tako_listen_config cfg;
		const char *word;
	} cases[] = {
		{{.forwarded = 4, .forwarded_trusted = "::1"}, "forwarded is 4"},
		{{.forwarded = 1}, "forwarded_trusted must say"},
		{{.forwarded = 1, .forwarded_trusted = ""}, "no address in it"},
		{{.forwarded = 1, .forwarded_trusted = "10.0.0.1/8"}, "forwarded_trusted: "},
		{{.forwarded_trusted = "::1"}, "forwarded_trusted is set, but"},
		{{.forwarded_name = "X"}, "forwarded_name is set, but"},
		{{.forwarded_max_hops = 1}, "forwarded_max_hops is set, but"},
		{{.forwarded_log = 1}, "forwarded_log is set, but"},
		{{.forwarded = 1, .forwarded_trusted = "::1", .forwarded_max_hops = 101},
	         "forwarded_max_hops is 101"},
		{{.forwarded = 1, .forwarded_trusted = "::1", .forwarded_log = 2},
	         "forwarded_log is 2"},
		{{.forwarded = 1, .forwarded_trusted = "::1", .forwarded_name = "X"},
	         "not TAKO_FORWARDED_NAMED"},
		{{.forwarded = 3, .forwarded_trusted = "::1"}, "not the name of a field"},
		{{.forwarded = 3, .forwarded_trusted = "::1", .forwarded_name = "X Y"},
	         "not the name of a field"},
	};
	tako_router *r = tako_router_new();
	tako_server *srv;

	(void)state;
	assert_int_equal(tako_server_new(&srv, r, NULL), 0);
	tako_router_free(r);
	for (size_t i = 0; i < TAKO__COUNT(cases); i++) {
		tako_listen_config cfg = cases[i].cfg;

		cfg.size = sizeof cfg;
		assert_int_equal(tako_server_listen(srv, tako_http1(), "127.0.0.1:0", &cfg),
		                 TAKO_EINVAL);
		print_message("          %s\n", tako_last_error());
		assert_non_null(strstr(tako_last_error(), cases[i].word));
	}
	/* Not of those of which somebody may make requests. */
	assert_int_equal(
		tako_server_listen(
			srv, tako_raw_udp(), "127.0.0.1:0",
			TAKO_LISTEN_CONFIG(.forwarded = 1, .forwarded_trusted = "::1",
	                                   .udp = TAKO_UDP_CONFIG(.on_datagram = on_datagram))),
		TAKO_ENOTSUP);
	assert_non_null(strstr(tako_last_error(), "has no requests"));
	tako_server_free(srv);
	assert_int_equal(failalloc_live(), 0);
}

static void test_no_memory(void **state)
{
	static const char fields[] = "Forwarded: for=_a;proto=https;host=b;by=_c\r\n";
	static struct reply r;
	struct stepped s;
	char want[64];

	(void)state;
	snprintf(want, sizeof want, "_a|_a|0|https|b|_c|1|hidden");
	for (size_t n = 1;; n++) {
		bool right = false;
		int rc;

		failalloc_arm(n);
		rc = start(&s);
		if (rc == 0) {
			right = ask(&s, STANDARD, "", "/client", fields, &r) && r.status == 200;
			if (right)
				assert_string_equal(r.body, want);
			stepped_stop(&s);
		} else {
			assert_int_equal(rc, TAKO_ENOMEM);
		}
		if (!failalloc_disarm()) {
			assert_true(right);
			assert_true(n > 20);
			break;
		}
		assert_int_equal(failalloc_live(), 0);
	}
	assert_int_equal(failalloc_wrong(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clients),     cmocka_unit_test(test_behind_a_proxy_header),
		cmocka_unit_test(test_log),         cmocka_unit_test(test_forwarded),
		cmocka_unit_test(test_x_forwarded), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_memory),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
