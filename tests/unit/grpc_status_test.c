/* SPDX-License-Identifier: MIT
 *
 * Statuses: their names, what maps to them, and messages as fields have them.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include <tako/grpc.h>

#include "transports/grpc/grpc_status.h"

static void names(void **state)
{
	static const char *const all[] = {
		"OK",
		"CANCELLED",
		"UNKNOWN",
		"INVALID_ARGUMENT",
		"DEADLINE_EXCEEDED",
		"NOT_FOUND",
		"ALREADY_EXISTS",
		"PERMISSION_DENIED",
		"RESOURCE_EXHAUSTED",
		"FAILED_PRECONDITION",
		"ABORTED",
		"OUT_OF_RANGE",
		"UNIMPLEMENTED",
		"INTERNAL",
		"UNAVAILABLE",
		"DATA_LOSS",
		"UNAUTHENTICATED",
	};

	(void)state;
	for (int i = 0; i < 17; i++)
		assert_string_equal(tako_grpc_status_name(i), all[i]);
	assert_string_equal(tako_grpc_status_name(-1), "UNKNOWN");
	assert_string_equal(tako_grpc_status_name(17), "UNKNOWN");
}

static void of_http(void **state)
{
	/* http-grpc-status-mapping.md, then our own three. */
	static const int rows[][2] = {
		{400, 13}, {401, 16}, {403, 7},  {404, 12}, {429, 14},
		{502, 14}, {503, 14}, {504, 14}, {405, 2},  {418, 2},
		{505, 2},  {200, 2},  {408, 4},  {413, 8},  {500, 13},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		assert_int_equal(tako__grpc_status_of_http(rows[i][0]), rows[i][1]);
}

static void of_errors(void **state)
{
	static const int rows[][2] = {
		{TAKO_EINVAL, 3},    {TAKO_ENOMEM, 8},   {TAKO_ESTATE, 13}, {TAKO_ECLOSED, 1},
		{TAKO_ETIMEDOUT, 4}, {TAKO_ETOOBIG, 8},  {TAKO_EPROTO, 13}, {TAKO_ETLS, 13},
		{TAKO_ESYS, 13},     {TAKO_ENOTSUP, 12}, {TAKO_EEXIST, 6},  {TAKO_ENOENT, 5},
		{TAKO_EBUSY, 14},    {-99, 13},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		assert_int_equal(tako__grpc_status_of_error(rows[i][0]), rows[i][1]);
}

static void messages(void **state)
{
	static const char *const rows[][2] = {
		{"", ""},
		{"plain text ~ !", "plain text ~ !"},
		{"50%", "50%25"},
		{"\t\r\n", "%09%0D%0A"},
		{"\x7f", "%7F"},
		{"\xe2\x98\xba", "%E2%98%BA"},
		{"a\xf0\x9f\x98\x88z", "a%F0%9F%98%88z"},
	};
	char to[64];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		size_t n = tako__grpc_message(to, tako_str_z(rows[i][0]));

		assert_int_equal(n, strlen(rows[i][1]));
		assert_memory_equal(to, rows[i][1], n);
	}
}

/* Never in the middle of a character. */
static void long_messages(void **state)
{
	static char text[4 * TAKO__GRPC_MESSAGE_BYTES];
	static char to[3 * TAKO__GRPC_MESSAGE_BYTES];

	(void)state;
	memset(text, 'x', sizeof text);
	assert_int_equal(tako__grpc_message(to, (tako_str){text, sizeof text}),
	                 TAKO__GRPC_MESSAGE_BYTES);
	memcpy(text + TAKO__GRPC_MESSAGE_BYTES - 2, "\xe2\x98\xba", 3);
	assert_int_equal(tako__grpc_message(to, (tako_str){text, sizeof text}),
	                 TAKO__GRPC_MESSAGE_BYTES - 2);
	memset(text, 0x80, sizeof text);
	assert_int_equal(tako__grpc_message(to, (tako_str){text, sizeof text}), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),         cmocka_unit_test(of_http),
		cmocka_unit_test(of_errors),     cmocka_unit_test(messages),
		cmocka_unit_test(long_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
