/* SPDX-License-Identifier: MIT
 *
 * Requests as lists of fields: what is taken of them, and which are malformed or refused.  The wire's
 * side of this table is in test_h2_conformance.py; here are the views that a request is made of.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "transports/h1/h1_head.h"
#include "transports/h2/h2_head.h"
#include "unit/failalloc.h"

static struct tako__arena arena;
static struct tako__h2_head head;

static int set_up(void **state)
{
	(void)state;
	tako__arena_init(&arena, NULL, 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tako__arena_fini(&arena);
	return failalloc_live() != 0;
}

static void begin(bool trailers)
{
	tako__h2_head_init(&head, &arena, trailers);
	head.list_bytes_max = 16384;
	head.field_count_max = 20;
	head.target_bytes_max = 200;
}

/* "name value" lines; what is given is gone when a field has been taken. */
static int run(const char *lines)
{
	while (*lines) {
		size_t n = strcspn(lines, "\n");
		size_t name_n = strcspn(lines, " ");
		char copy[512];

		memcpy(copy, lines, n);
		tako__h2_head_field(&head, copy, name_n, copy + name_n + 1, n - name_n - 1);
		memset(copy, '!', sizeof copy);
		lines += n + (lines[n] == '\n');
	}
	return tako__h2_head_end(&head);
}

static int of(const char *lines)
{
	begin(false);
	return run(lines);
}

#define is(view, text)                                                                             \
	assert_int_equal((view).n, strlen(text));                                                  \
	assert_memory_equal((view).p, text, strlen(text))

#define BASE ":method GET\n:scheme http\n:path /\n:authority a.example\n"

static tako_str field(const char *name)
{
	for (uint32_t i = 0; i < head.field_count; i++) {
		const struct tako__field *f = &head.fields[i];

		if (f->name_n == strlen(name) && !memcmp(f->name, name, f->name_n))
			return (tako_str){f->value, f->value_n};
	}
	return (tako_str){NULL, 0};
}

static void test_request(void **state)
{
	(void)state;
	assert_int_equal(of(":method POST\n:scheme https\n:authority a.example:8443\n"
	                    ":path /a/b?c=d\ncontent-length 12\nexpect 100-continue\n"
	                    "x-y z\npriority u=1"),
	                 0);
	is(head.method, "POST");
	assert_int_equal(head.method_id, TAKO__POST);
	is(head.target, "/a/b?c=d");
	is(head.path, "/a/b");
	is(head.query, "c=d");
	is(head.authority, "a.example:8443");
	is(head.priority, "u=1");
	is(field("x-y"), "z");
	is(field("host"), "a.example:8443");
	assert_int_equal(head.content_length, 12);
	assert_true(head.has_length);
	assert_true(head.expects);
	assert_int_equal(head.path_flags, 0);
	assert_int_equal(head.field_count, 5);
}

static void test_paths(void **state)
{
	(void)state;
	assert_int_equal(of(":method GET\n:scheme http\n:authority a\n:path /%41/../b?x=%20/."), 0);
	assert_int_equal(head.path_flags, TAKO__PATH_ESCAPED | TAKO__PATH_DOTS);
	is(head.path, "/%41/../b");
	assert_int_equal(of(":method GET\n:scheme http\n:authority a\n:path /a.b?%"), 0);
	assert_int_equal(head.path_flags, 0);
	assert_int_equal(of(":method GET\n:scheme http\n:authority a\n:path /.?"), 0);
	assert_int_equal(head.path_flags, TAKO__PATH_DOTS);
	assert_non_null(head.query.p);
	assert_int_equal(head.query.n, 0);
	assert_int_equal(of(":method OPTIONS\n:scheme http\n:authority a\n:path *"), 0);
	is(head.path, "*");
}

static void test_hosts(void **state)
{
	(void)state;
	assert_int_equal(of(":method GET\n:scheme http\n:path /\nhost b.example"), 0);
	is(head.authority, "b.example");
	assert_int_equal(head.field_count, 1);
	assert_int_equal(of(BASE "host A.Example"), 0);
	assert_int_equal(of(BASE "host b"), TAKO__H2_MALFORMED);
	assert_int_equal(of(":method GET\n:scheme http\n:path /\n:authority [::1]:80"), 0);
	assert_int_equal(of(":method GET\n:scheme http\n:path /\n:authority [::1"), 400);
}

/* What was found in order once is in order again, and nothing else is. */
static void test_known_authority(void **state)
{
	struct tako__h2_known known = {.n = 0};
	static const struct {
		const char *authority;
		int verdict;
	} rows[] = {{"a.example", 0},
	            {"a.example", 0},
	            {"a.exampl\x01", TAKO__H2_MALFORMED},
	            {"a.example", 0},
	            {"a.exampl ", TAKO__H2_MALFORMED},
	            {"a.exam le", 400},
	            {"a.example", 0},
	            {"u@example", TAKO__H2_MALFORMED}};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		begin(false);
		head.known = &known;
		tako__h2_head_field(&head, ":authority", 10, rows[i].authority,
		                    strlen(rows[i].authority));
		assert_int_equal(run(":method GET\n:scheme http\n:path /"), rows[i].verdict);
		assert_int_equal(known.n, 9);
		assert_memory_equal(known.text, "a.example", 9);
	}
}

static void test_cookies(void **state)
{
	(void)state;
	assert_int_equal(of(BASE "cookie a=1"), 0);
	is(field("cookie"), "a=1");
	assert_int_equal(of(BASE "cookie a=1\nx y\ncookie b=2\ncookie c=3\nz w"), 0);
	is(field("cookie"), "a=1; b=2; c=3");
	is(field("x"), "y");
	is(field("z"), "w");
	assert_int_equal(head.field_count, 4);
}

static void test_limits(void **state)
{
	char name[] = "x-00 v";

	(void)state;
	begin(false);
	run(BASE);
	begin(false);
	for (int i = 0; i < 21; i++) {
		name[2] = (char)('a' + i);
		tako__h2_head_field(&head, name, 4, name + 5, 1);
	}
	assert_int_equal(run(""), 431);
	/* Exactly as large as allowed, and one byte more. */
	begin(false);
	head.list_bytes_max = 7 + 3 + 32 + 7 + 4 + 32 + 5 + 1 + 32 + 10 + 9 + 32;
	assert_int_equal(run(BASE), 0);
	begin(false);
	head.list_bytes_max = 7 + 3 + 32 + 7 + 4 + 32 + 5 + 1 + 32 + 10 + 9 + 31;
	assert_int_equal(run(BASE), 431);
	begin(false);
	head.target_bytes_max = 3;
	assert_int_equal(run(":method GET\n:scheme http\n:path /abc\n:authority a"), 414);
}

static void test_trailers(void **state)
{
	(void)state;
	begin(true);
	assert_int_equal(run("x-sum 42\nhost ignored\ncontent-length 5"), 0);
	is(field("x-sum"), "42");
	assert_false(head.has_length);
	begin(true);
	assert_int_equal(run("x 1\n:path /"), TAKO__H2_MALFORMED);
}

static void test_connect(void **state)
{
	(void)state;
	assert_int_equal(of(":method CONNECT\n:authority a:80"), 0);
	is(head.target, "a:80");
	assert_int_equal(head.path.n, 0);
	assert_int_equal(of(":method CONNECT\n:authority a:80\n:path /\n:scheme http"),
	                 TAKO__H2_MALFORMED);
}

#define SWITCH ":method CONNECT\n:authority a\n:path /p?q\n:scheme https\n"

/* RFC 8441: the GET that it stands for. */
static void test_extended_connect(void **state)
{
	(void)state;
	assert_int_equal(of(SWITCH ":protocol chat/2"), 0);
	assert_true(head.switching);
	assert_int_equal(head.method_id, TAKO__GET);
	is(head.method, "GET");
	is(head.protocol, "chat/2");
	is(head.target, "/p?q");
	is(head.path, "/p");
	is(field("host"), "a");
	assert_int_equal(of(":method GET\n:authority a\n:path /\n:scheme http"), 0);
	assert_false(head.switching);
	assert_int_equal(of(":protocol x\n:method CONNECT\n:path /\n:scheme http\nhost a"), 0);
	assert_int_equal(of(SWITCH ":protocol x\ncontent-length 0"), 0);
	assert_int_equal(of(SWITCH ":protocol x\ncontent-length 1"), 400);
	assert_int_equal(of(SWITCH ":protocol a/b/c"), TAKO__H2_MALFORMED);
	assert_int_equal(of(SWITCH ":protocol a,b"), TAKO__H2_MALFORMED);
	assert_int_equal(of(SWITCH ":protocol x\n:protocol x"), TAKO__H2_MALFORMED);
	assert_int_equal(of(":method PUT\n:authority a\n:path /\n:scheme http\n:protocol x"),
	                 TAKO__H2_MALFORMED);
	assert_int_equal(of(":method CONNECT\n:authority a\n:path /\n:protocol x"),
	                 TAKO__H2_MALFORMED);
	assert_int_equal(of(":method CONNECT\n:authority a\n:scheme http\n:protocol x"),
	                 TAKO__H2_MALFORMED);
	assert_int_equal(of(":method CONNECT\n:path /\n:scheme http\n:protocol x"),
	                 TAKO__H2_MALFORMED);
}

/* Every allocation fails once: a status, never a half-taken request that looks whole. */
static void test_without_memory(void **state)
{
	(void)state;
	for (size_t n = 1;; n++) {
		int rc;

		tako__arena_fini(&arena);
		tako__arena_init(&arena, NULL, 0);
		begin(false);
		failalloc_arm(n);
		rc = run(BASE
		         "cookie a=1\nx-long "
		         "0123456789012345678901234567890123456789012345678901234567890123456789\n"
		         "cookie b=2\na b\nc d\ne f\ng h\ni j\nk l\nm n\no p\nq r\ns t\nu v\nw x");
		if (!failalloc_disarm()) {
			assert_int_equal(rc, 0);
			break;
		}
		assert_int_equal(rc, 500);
		assert_true(n < 50);
	}
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_request),         WITH(test_paths),   WITH(test_hosts),
		WITH(test_known_authority), WITH(test_cookies), WITH(test_limits),
		WITH(test_trailers),        WITH(test_connect), WITH(test_extended_connect),
		WITH(test_without_memory),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
