/* SPDX-License-Identifier: MIT
 *
 * Metadata both ways: text and bytes, what is the program's and what is not, what may not be sent.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "unit/failalloc.h"
#include "unit/grpc_rig.h"

static struct rig rig;
static char list[1024];

static int collect(tako_str name, tako_str value, void *arg)
{
	size_t n = strlen(list);

	(void)arg;
	snprintf(list + n, sizeof list - n, "%.*s=%.*s;", TAKO_FMT(name), TAKO_FMT(value));
	return value.n == 4 && !memcmp(value.p, "stop", 4) ? 7 : 0;
}

static void look(tako_req *req)
{
	tako_str v = tako_grpc_metadata(req, "text");

	assert_true(tako_str_eq(v, TAKO_STR("a value")));
	v = tako_grpc_metadata(req, "Bytes-Bin");
	assert_int_equal(v.n, 3);
	v = tako_grpc_metadata(req, "bytes-bin");
	assert_int_equal(v.n, 3);
	assert_memory_equal(v.p, "\xab\0\xab", 3);
	v = tako_grpc_metadata(req, "padded-bin");
	assert_true(tako_str_eq(v, TAKO_STR("f")));
	v = tako_grpc_metadata(req, "several-bin");
	assert_true(tako_str_eq(v, TAKO_STR("fo")));
	v = tako_grpc_metadata(req, "empty-bin");
	assert_true(v.p && !v.n);
	assert_null(tako_grpc_metadata(req, "wrong-bin").p);
	assert_null(tako_grpc_metadata(req, "absent").p);
	assert_null(tako_grpc_metadata(req, "absent-bin").p);
}

static int on_message(tako_grpc *call, tako_str msg, void *arg)
{
	static const char *const names[] = {
		"",   "Upper", "with space", "grpc-status", "a:b", "content-type",
		"te", "host",  "connection", "\xc3\xa9",    "a\n"};
	static const char *const values[] = {"a\nb", "\x7f", "\xc3\xa9", " a", "a ", "\t"};

	(void)arg;
	if (msg.n == 4)
		look(tako_grpc_req(call));
	assert_int_equal(tako_grpc_metadata_each(tako_grpc_req(call), collect, NULL),
	                 msg.n == 4 ? 0 : 7);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		assert_int_equal(tako_grpc_header(call, names[i], TAKO_STR("x")), TAKO_EINVAL);
	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
		assert_int_equal(tako_grpc_trailer(call, "x", tako_str_z(values[i])), TAKO_EINVAL);
	assert_int_equal(tako_grpc_header(call, "x-a_1.b", TAKO_STR("one")), 0);
	assert_int_equal(tako_grpc_header(call, "empty", (tako_str){"", 0}), 0);
	assert_int_equal(tako_grpc_header(call, "x-bin", TAKO_STR("\xab\0\xab")), 0);
	assert_int_equal(tako_grpc_trailer(call, "y-bin", TAKO_STR("\xff\n")), 0);
	return tako_grpc_reply(call, msg);
}

static int set_up(void **state)
{
	(void)state;
	list[0] = '\0';
	return grpc_rig_start(&rig, TAKO_GRPC_UNARY, TAKO_GRPC_CONFIG(.on_message = on_message),
	                      NULL);
}

static int tear_down(void **state)
{
	(void)state;
	(void)grpc_rig_stop(&rig);
	return failalloc_live() || failalloc_wrong();
}

#define CT "content-type: application/grpc\r\n"

static void both_ways(void **state)
{
	(void)state;
	assert_int_equal(grpc_rig_say(&rig,
	                              CT "text: a value\r\nte: trailers\r\ngrpc-timeout: 9S\r\n"
	                                 "bytes-bin: qwCr\r\npadded-bin: Zg==\r\nuser-agent: u\r\n"
	                                 "several-bin: Zm8, Zg\r\nempty-bin:\r\nwrong-bin: Z\r\n",
	                              TAKO_STR("look")),
	                 0);
	assert_memory_equal(list, "text=a value;bytes-bin=\xab", 24);
	assert_string_equal(grpc_rig_field(&rig, "x-a_1.b"), "one");
	assert_string_equal(grpc_rig_field(&rig, "empty"), "");
	assert_string_equal(grpc_rig_field(&rig, "x-bin"), "qwCr");
	assert_string_equal(grpc_rig_trailer(&rig, "y-bin"), "/wo");
}

static void each_of_them(void **state)
{
	(void)state;
	assert_int_equal(
		grpc_rig_say(&rig,
	                     CT "b: 2\r\na: 1\r\nB: 3\r\nwrong-bin: !\r\nx-bin: Zm9v\r\n"
	                        "Connection: keep-alive\r\norigin: null\r\nend: stop\r\nc: 4\r\n",
	                     TAKO_STR("x")),
		0);
	assert_string_equal(list, "b=2;a=1;b=3;x-bin=foo;end=stop;");
}

/* "Implementations must split Binary-Headers on ',' before decoding." */
static void joined(void **state)
{
	(void)state;
	assert_int_equal(grpc_rig_say(&rig,
	                              CT "x-bin: Zm9v,YmE=, !,Yg\r\ny-bin:\r\ntext: a, b\r\n"
	                                 "end: stop\r\n",
	                              TAKO_STR("x")),
	                 0);
	assert_string_equal(list, "x-bin=foo;x-bin=ba;x-bin=b;y-bin=;text=a, b;end=stop;");
}

static int send_back(tako_str name, tako_str value, void *arg)
{
	char text[64];

	snprintf(text, sizeof text, "%.*s", TAKO_FMT(name));
	assert_int_equal(tako_grpc_header(arg, text, value), 0);
	/* HTTP has names that no trailer may have (RFC 9110 section 6.5.1). */
	if (!tako_str_eq(name, TAKO_STR("authorization")))
		assert_int_equal(tako_grpc_trailer(arg, text, value), 0);
	return 0;
}

static int echo(tako_grpc *call, tako_str msg, void *arg)
{
	(void)arg;
	assert_null(tako_grpc_metadata(tako_grpc_req(call), "latin").p);
	assert_int_equal(tako_grpc_metadata_each(tako_grpc_req(call), send_back, call), 0);
	return tako_grpc_reply(call, msg);
}

/* Whatever HTTP lets through: what was handed up can be sent back. */
static void what_comes_can_be_sent(void **state)
{
	(void)state;
	(void)grpc_rig_stop(&rig);
	assert_int_equal(
		grpc_rig_start(&rig, TAKO_GRPC_UNARY, TAKO_GRPC_CONFIG(.on_message = echo), NULL),
		0);
	assert_int_equal(grpc_rig_say(&rig,
	                              CT
	                              "X-Upper: 1\r\nlatin: caf\xe9\r\ntab: a\tb\r\nodd!name: 2\r\n"
	                              "empty:\r\nplain: a b\r\nraw-bin: /wD/\r\nbad-bin: !\r\n"
	                              "user-agent: u\r\naccept: */*\r\ncookie: a=b\r\n"
	                              "authorization: Bearer x\r\n",
	                              TAKO_STR("x")),
	                 0);
	assert_string_equal(grpc_rig_field(&rig, "x-upper"), "1");
	assert_string_equal(grpc_rig_field(&rig, "plain"), "a b");
	assert_string_equal(grpc_rig_trailer(&rig, "raw-bin"), "/wD/");
	assert_null(grpc_rig_field(&rig, "latin"));
	assert_null(grpc_rig_field(&rig, "tab"));
	assert_null(grpc_rig_field(&rig, "odd!name"));
	assert_null(grpc_rig_field(&rig, "bad-bin"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(both_ways, set_up, tear_down),
		cmocka_unit_test_setup_teardown(each_of_them, set_up, tear_down),
		cmocka_unit_test_setup_teardown(joined, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_comes_can_be_sent, set_up, tear_down),
	};

	failalloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
