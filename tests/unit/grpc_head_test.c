/* SPDX-License-Identifier: MIT
 *
 * What a request's fields say of a call: its content type, codings, deadline.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include <tako/grpc.h>

#include "transports/grpc/grpc_head.h"
#include "transports/grpc/grpc_zip.h"

static void forms(void **state)
{
	static const struct {
		const char *type;
		enum tako__grpc_form form;
	} rows[] = {
		{"application/grpc", TAKO__GRPC_PLAIN},
		{"application/grpc+proto", TAKO__GRPC_PLAIN},
		{"application/grpc+json", TAKO__GRPC_PLAIN},
		{"Application/gRPC", TAKO__GRPC_PLAIN},
		{"application/grpc;charset=utf-8", TAKO__GRPC_PLAIN},
		{"application/grpc+proto ; a=b", TAKO__GRPC_PLAIN},
		{"application/grpc-web", TAKO__GRPC_WEB},
		{"application/grpc-web+proto", TAKO__GRPC_WEB},
		{"application/grpc-web-text", TAKO__GRPC_WEB_TEXT},
		{"application/grpc-web-text+proto", TAKO__GRPC_WEB_TEXT},
		{"application/grpc-web-text-base64", TAKO__GRPC_WEB_TEXT},
		{"application/grpc-web-text-base64+proto", TAKO__GRPC_WEB_TEXT},
		{"application/grpc-web-base64", TAKO__GRPC_NOT},
		{"application/grpc-web-text-base", TAKO__GRPC_NOT},
		{"", TAKO__GRPC_NOT},
		{"application/grp", TAKO__GRPC_NOT},
		{"application/grpcx", TAKO__GRPC_NOT},
		{"application/grpc+", TAKO__GRPC_NOT},
		{"application/grpc+a b", TAKO__GRPC_NOT},
		{"application/grpc+a/b", TAKO__GRPC_NOT},
		{"application/grpc proto", TAKO__GRPC_NOT},
		{"application/grpc-webx", TAKO__GRPC_NOT},
		{"application/grpc-web-texts", TAKO__GRPC_NOT},
		{"application/json", TAKO__GRPC_NOT},
		{"text/application/grpc", TAKO__GRPC_NOT},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		assert_int_equal(tako__grpc_form(tako_str_z(rows[i].type)), rows[i].form);
	assert_int_equal(tako__grpc_form((tako_str){NULL, 0}), TAKO__GRPC_NOT);
}

static struct tako__grpc_request read_all(const char *const (*pairs)[2], unsigned count)
{
	struct tako__field f[8];
	struct tako__grpc_request r;

	for (unsigned i = 0; i < count; i++)
		f[i] = (struct tako__field){pairs[i][0], pairs[i][1], (uint32_t)strlen(pairs[i][0]),
		                            (uint32_t)strlen(pairs[i][1])};
	tako__grpc_request(&r, f, count);
	return r;
}
#define READ(...)                                                                                  \
	read_all((const char *const[][2]){__VA_ARGS__},                                            \
	         sizeof((const char *const[][2]){__VA_ARGS__}) / sizeof(char *[2]))

static void fields(void **state)
{
	struct tako__grpc_request r = READ(
		{"content-type", "application/grpc+proto;x=y"}, {"te", "trailers"},
		{"grpc-timeout", "5S"}, {"grpc-encoding", "gzip"},
		{"grpc-accept-encoding", "identity, deflate,gzip , br"}, {"origin", "https://a"});

	(void)state;
	assert_int_equal(r.form, TAKO__GRPC_PLAIN);
	assert_true(tako_str_eq(r.type, TAKO_STR("application/grpc+proto")));
	assert_true(r.has_timeout && r.timeout_ns == UINT64_C(5000000000));
	assert_int_equal(r.coding, TAKO_GRPC_GZIP);
	assert_int_equal(r.accepts, TAKO_GRPC_GZIP | TAKO_GRPC_DEFLATE);
	assert_true(tako_str_eq(r.origin, TAKO_STR("https://a")));
	assert_null(r.bad);
	r = READ({"Content-Type", "application/grpc-web"}, {"GRPC-Encoding", "DEFLATE"},
	         {"Grpc-Accept-Encoding", "br"});
	assert_int_equal(r.form, TAKO__GRPC_WEB);
	assert_int_equal(r.coding, TAKO_GRPC_DEFLATE);
	assert_int_equal(r.accepts, 0);
	assert_false(r.has_timeout);
	r = READ({"grpc-encoding", "snappy"});
	assert_int_equal(r.coding, TAKO__GRPC_UNKNOWN_CODING);
	assert_int_equal(r.form, TAKO__GRPC_NOT);
}

static void wrong_ones(void **state)
{
	(void)state;
	assert_non_null(READ({"grpc-timeout", "5"}).bad);
	assert_non_null(READ({"grpc-timeout", "1S"}, {"grpc-timeout", "1S"}).bad);
	assert_non_null(READ({"grpc-encoding", "gzip"}, {"grpc-encoding", "gzip"}).bad);
	assert_non_null(READ({"grpc-encoding", "identity"}, {"grpc-encoding", "gzip"}).bad);
}

/* What a client of gRPC-Web takes need not be what it sends. */
static void answers(void **state)
{
	static const struct {
		const char *type;
		const char *accept;
		enum tako__grpc_form answer;
		const char *answer_type;
	} rows[] = {
		{"application/grpc", "application/grpc-web-text", TAKO__GRPC_PLAIN,
	         "application/grpc"},
		{"application/grpc-web+proto", "*/*", TAKO__GRPC_WEB, "application/grpc-web+proto"},
		{"application/grpc-web", "", TAKO__GRPC_WEB, "application/grpc-web"},
		{"application/grpc-web", "application/grpc-web-text", TAKO__GRPC_WEB_TEXT,
	         "application/grpc-web-text"},
		{"application/grpc-web-text", "text/plain, application/grpc-web+proto;q=1, */*",
	         TAKO__GRPC_WEB, "application/grpc-web+proto"},
		{"application/grpc-web-text", "application/grpc", TAKO__GRPC_WEB_TEXT,
	         "application/grpc-web-text"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct tako__grpc_request r = READ({"accept", rows[i].accept},
		                                   {"content-type", rows[i].type});

		assert_int_equal(r.form, tako__grpc_form(tako_str_z(rows[i].type)));
		assert_int_equal(r.answer, rows[i].answer);
		assert_true(tako_str_eq(r.type, tako_str_z(rows[i].answer_type)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms),
		cmocka_unit_test(fields),
		cmocka_unit_test(wrong_ones),
		cmocka_unit_test(answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
