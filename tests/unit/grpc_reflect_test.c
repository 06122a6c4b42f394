/* SPDX-License-Identifier: MIT
 *
 * Reflection's questions and answers, and the index they come from: a descriptor set written here, asked
 * by every name that is in it and some that are not.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "transports/grpc/grpc_desc.h"
#include "transports/grpc/grpc_pb.h"
#include "unit/failalloc.h"
#include "unit/grpc_rig.h"

static struct rig rig;
static struct tako__pb_out set;

static void put_named(uint32_t number, const char *name)
{
	size_t at = tako__pb_open(&set, number);

	tako__pb_bytes(&set, 1, tako_str_z(name));
	tako__pb_close(&set, at);
}

static void put_extension(uint32_t number, const char *name, const char *extendee, uint64_t value)
{
	size_t at = tako__pb_open(&set, number);

	tako__pb_bytes(&set, 1, tako_str_z(name));
	tako__pb_bytes(&set, 2, tako_str_z(extendee));
	tako__pb_varint(&set, 3, value);
	tako__pb_close(&set, at);
}

/* a.proto: package p; message M { message N {} enum E {} extend M = 101 } enum F; service S { A B }
 * extend p.M = 100.  b.proto: message Q, without a package. */
static void put_files(void)
{
	size_t file = tako__pb_open(&set, 1);
	size_t at;

	tako__pb_bytes(&set, 1, TAKO_STR("a.proto"));
	tako__pb_bytes(&set, 2, TAKO_STR("p"));
	at = tako__pb_open(&set, 4);
	tako__pb_bytes(&set, 1, TAKO_STR("M"));
	put_named(3, "N");
	put_named(4, "E");
	put_extension(6, "inner", ".p.M", 101);
	tako__pb_close(&set, at);
	put_named(5, "F");
	at = tako__pb_open(&set, 6);
	tako__pb_bytes(&set, 1, TAKO_STR("S"));
	put_named(2, "A");
	put_named(2, "B");
	tako__pb_close(&set, at);
	put_extension(7, "outer", "p.M", 100);
	tako__pb_close(&set, file);
	file = tako__pb_open(&set, 1);
	tako__pb_bytes(&set, 1, TAKO_STR("b.proto"));
	put_named(4, "Q");
	tako__pb_close(&set, file);
}

static int set_up(void **state)
{
	tako_router *router = tako_router_new();
	tako_str sets[2];

	(void)state;
	put_files();
	/* The same again is nothing new. */
	sets[0] = sets[1] = (tako_str){set.p, set.n};
	tako_grpc_reflection(router, sets, 2);
	tako__pb_fini(&set);
	return grpc_rig_start_router(&rig, router, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	(void)grpc_rig_stop(&rig);
	return failalloc_live() || failalloc_wrong();
}

/* The answer to one question: its field, and what is in that. */
static uint32_t ask(const char *version, uint32_t number, tako_str value, tako_str *ret)
{
	static struct tako__pb_out q;
	char path[96];
	char body[600];
	struct tako__pb_field f;
	struct tako__pb_field last = {.number = 0};
	tako_str in;

	q.n = 0;
	tako__pb_bytes(&q, 1, TAKO_STR("host"));
	tako__pb_bytes(&q, number, value);
	snprintf(path, sizeof path, "/grpc.reflection.%s.ServerReflection/ServerReflectionInfo",
	         version);
	if (rig.reply.total_n && rig.reply.total_n <= rig.peer.n)
		peer_drop(&rig.peer, rig.reply.total_n);
	memset(&rig.reply, 0, sizeof rig.reply);
	grpc_rig_send(&rig, path, NULL, body, grpc_rig_frame(body, 0, q.p, q.n));
	assert_int_equal(grpc_rig_reply(&rig), 0);
	assert_int_equal(rig.count, 1);
	in = rig.messages[0];
	assert_int_equal(tako__pb_next(&in, &f), 1);
	assert_int_equal(f.number, 1);
	assert_true(tako_str_eq(f.bytes, TAKO_STR("host")));
	assert_int_equal(tako__pb_next(&in, &f), 1);
	assert_int_equal(f.number, 2);
	assert_true(tako_str_eq(f.bytes, (tako_str){q.p, q.n}));
	assert_int_equal(tako__pb_next(&in, &last), 1);
	assert_int_equal(in.n, 0);
	*ret = last.bytes;
	tako__pb_fini(&q);
	return last.number;
}

/* The name of the file that an answer is, or the status that it has in its place. */
static const char *file_of(uint32_t number, tako_str value)
{
	static char name[32];
	struct tako__pb_field f;
	tako_str in;
	uint32_t kind = ask("v1", number, value, &in);

	assert_int_equal(tako__pb_next(&in, &f), 1);
	if (kind == 7) {
		snprintf(name, sizeof name, "%d", (int)f.value);
		return name;
	}
	assert_int_equal(kind, 4);
	assert_int_equal(in.n, 0);
	in = f.bytes;
	assert_int_equal(tako__pb_next(&in, &f), 1);
	snprintf(name, sizeof name, "%.*s", TAKO_FMT(f.bytes));
	return name;
}

static void by_name(void **state)
{
	static const char *const in_a[] = {"p.M",   "p.M.N", "p.M.E",     "p.F",    "p.S",
	                                   "p.S.A", "p.S.B", "p.M.inner", "p.outer"};
	static const char *const nowhere[] = {"", "p", "M", ".p.M", "p.M.", "p.S.C", "p.MM", "Q.p"};

	(void)state;
	for (size_t i = 0; i < sizeof in_a / sizeof in_a[0]; i++)
		assert_string_equal(file_of(4, tako_str_z(in_a[i])), "a.proto");
	assert_string_equal(file_of(4, TAKO_STR("Q")), "b.proto");
	for (size_t i = 0; i < sizeof nowhere / sizeof nowhere[0]; i++)
		assert_string_equal(file_of(4, tako_str_z(nowhere[i])), "5");
	assert_string_equal(file_of(3, TAKO_STR("a.proto")), "a.proto");
	assert_string_equal(file_of(3, TAKO_STR("b.proto")), "b.proto");
	assert_string_equal(file_of(3, TAKO_STR("c.proto")), "5");
	assert_string_equal(file_of(99, TAKO_STR("x")), "3");
}

static void by_extension(void **state)
{
	(void)state;
	assert_string_equal(file_of(5, TAKO_STR("\x0a\x03p.M\x10\x64")), "a.proto");
	assert_string_equal(file_of(5, TAKO_STR("\x0a\x03p.M\x10\x65")), "a.proto");
	assert_string_equal(file_of(5, TAKO_STR("\x0a\x03p.M\x10\x66")), "5");
	assert_string_equal(file_of(5, TAKO_STR("\x0a\x01Q\x10\x64")), "5");
	assert_string_equal(file_of(5, TAKO_STR("\x0a")), "5");
}

static void extensions_of(void **state)
{
	tako_str got;

	(void)state;
	assert_int_equal(ask("v1", 6, TAKO_STR("p.M"), &got), 5);
	assert_int_equal(got.n, 9);
	assert_memory_equal(got.p, "\x0a\x03p.M\x10\x64\x10\x65", 9);
	assert_int_equal(ask("v1", 6, TAKO_STR("Q"), &got), 5);
	assert_int_equal(got.n, 3);
	assert_string_equal(file_of(6, TAKO_STR("p.S")), "5");
	assert_string_equal(file_of(6, TAKO_STR("X")), "5");
}

static void services(void **state)
{
	tako_str got;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ask(i ? "v1alpha" : "v1", 7, TAKO_STR("*"), &got), 6);
		assert_int_equal(got.n, 7);
		assert_memory_equal(got.p, "\x0a\x05\x0a\x03p.S", 7);
	}
}

static void malformed_question(void **state)
{
	(void)state;
	grpc_rig_send(&rig, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", NULL,
	              "\0\0\0\0\1\x80", 6);
	assert_int_equal(grpc_rig_reply(&rig), TAKO_GRPC_INTERNAL);
}

/* What a later version of the question has is not for us, wherever it is. */
static void unknown_fields(void **state)
{
	tako_str in;
	struct tako__pb_field f;

	(void)state;
	grpc_rig_send(&rig, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", NULL,
	              "\0\0\0\0\x0a\x12\0\x22\x03p.M\x7a\x01?", 15);
	assert_int_equal(grpc_rig_reply(&rig), 0);
	assert_int_equal(rig.count, 1);
	in = rig.messages[0];
	assert_int_equal(tako__pb_next(&in, &f), 1);
	assert_int_equal(f.number, 2);
	assert_int_equal(tako__pb_next(&in, &f), 1);
	assert_int_equal(f.number, 4);
}

/* ---- What is registered --------------------------------------------------------------------- */

static int error_of(tako_str one)
{
	tako_router *router = tako_router_new();
	int rc;

	tako_grpc_reflection(router, &one, 1);
	rc = tako_router_error(router);
	tako_router_free(router);
	return rc;
}

static void refused(void **state)
{
	static const char deep[] = "\x0a\x03\x22\x01\x0a"; /* a message that is not whole */

	(void)state;
	assert_int_equal(error_of((tako_str){"", 0}), 0);
	assert_int_equal(error_of(TAKO_STR("\x80")), TAKO_EINVAL);
	assert_int_equal(error_of(TAKO_STR("\x0a\x05\x0a")), TAKO_EINVAL);
	assert_int_equal(error_of((tako_str){deep, sizeof deep - 1}), TAKO_EINVAL);
	/* Two files of one name, which differ. */
	assert_int_equal(error_of(TAKO_STR("\x0a\x03\x0a\x01"
	                                   "a"
	                                   "\x0a\x03\x0a\x01"
	                                   "a")),
	                 0);
	assert_int_equal(error_of(TAKO_STR("\x0a\x03\x0a\x01"
	                                   "a"
	                                   "\x0a\x06\x0a\x01"
	                                   "a\x12\x01p")),
	                 TAKO_EINVAL);
	assert_int_equal(failalloc_live(), 0);
}

static void nested_too_deeply(void **state)
{
	size_t at[40];
	size_t file = tako__pb_open(&set, 1);

	(void)state;
	for (size_t i = 0; i < 40; i++)
		at[i] = tako__pb_open(&set, i ? 3 : 4);
	for (size_t i = 40; i--;)
		tako__pb_close(&set, at[i]);
	tako__pb_close(&set, file);
	assert_int_equal(error_of((tako_str){set.p, set.n}), TAKO_EINVAL);
	tako__pb_fini(&set);
}

static void without_memory(void **state)
{
	size_t nth = 0;

	(void)state;
	put_files();
	do {
		struct tako__desc d;
		tako_str one = {set.p, set.n};
		int rc;

		failalloc_arm(++nth);
		rc = tako__desc_init(&d, &one, 1);
		assert_true(rc == 0 || rc == TAKO_ENOMEM);
		if (rc == 0)
			tako__desc_fini(&d);
	} while (failalloc_disarm());
	assert_true(nth > 1);
	tako__pb_fini(&set);
	assert_int_equal(failalloc_live(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(by_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(by_extension, set_up, tear_down),
		cmocka_unit_test_setup_teardown(extensions_of, set_up, tear_down),
		cmocka_unit_test_setup_teardown(services, set_up, tear_down),
		cmocka_unit_test_setup_teardown(malformed_question, set_up, tear_down),
		cmocka_unit_test_setup_teardown(unknown_fields, set_up, tear_down),
		cmocka_unit_test(refused),
		cmocka_unit_test(nested_too_deeply),
		cmocka_unit_test(without_memory),
	};

	failalloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
