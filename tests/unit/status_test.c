/* SPDX-License-Identifier: MIT
 *
 * Reason phrases: those of RFC 9110 section 15 and the IANA registry, and none for any other
 * code.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <string.h>

#include "core/res.h"

static const struct {
	int status;
	const char *text;
} registry[] = {
	{100, "Continue"},
	{101, "Switching Protocols"},
	{102, "Processing"},
	{103, "Early Hints"},
	{200, "OK"},
	{201, "Created"},
	{202, "Accepted"},
	{203, "Non-Authoritative Information"},
	{204, "No Content"},
	{205, "Reset Content"},
	{206, "Partial Content"},
	{207, "Multi-Status"},
	{208, "Already Reported"},
	{226, "IM Used"},
	{300, "Multiple Choices"},
	{301, "Moved Permanently"},
	{302, "Found"},
	{303, "See Other"},
	{304, "Not Modified"},
	{305, "Use Proxy"},
	{307, "Temporary Redirect"},
	{308, "Permanent Redirect"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{402, "Payment Required"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{406, "Not Acceptable"},
	{407, "Proxy Authentication Required"},
	{408, "Request Timeout"},
	{409, "Conflict"},
	{410, "Gone"},
	{411, "Length Required"},
	{412, "Precondition Failed"},
	{413, "Content Too Large"},
	{414, "URI Too Long"},
	{415, "Unsupported Media Type"},
	{416, "Range Not Satisfiable"},
	{417, "Expectation Failed"},
	{418, "I'm a Teapot"}, /* RFC 2324; reserved by RFC 9110 section 15.5.19 */
	{421, "Misdirected Request"},
	{422, "Unprocessable Content"},
	{423, "Locked"},
	{424, "Failed Dependency"},
	{425, "Too Early"},
	{426, "Upgrade Required"},
	{428, "Precondition Required"},
	{429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"},
	{451, "Unavailable For Legal Reasons"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Gateway Timeout"},
	{505, "HTTP Version Not Supported"},
	{506, "Variant Also Negotiates"},
	{507, "Insufficient Storage"},
	{508, "Loop Detected"},
	{511, "Network Authentication Required"},
};

static const char *expected(int status)
{
	for (size_t i = 0; i < sizeof registry / sizeof registry[0]; i++) {
		if (registry[i].status == status)
			return registry[i].text;
	}
	return "";
}

static void test_every_code(void **state)
{
	(void)state;
	for (int status = -1000; status < 2000; status++) {
		if (strcmp(tako__status_text(status), expected(status)) != 0)
			fail_msg("%d: \"%s\"", status, tako__status_text(status));
	}
	assert_string_equal(tako__status_text(INT_MIN), "");
	assert_string_equal(tako__status_text(INT_MAX), "");
}

static void test_errors(void **state)
{
	static const int want[][2] = {
		{TAKO_ETOOBIG, 413}, {TAKO_ETIMEDOUT, 408}, {TAKO_EINVAL, 400},
		{TAKO_EPROTO, 400},  {TAKO_ENOENT, 404},    {TAKO_ENOMEM, 500},
		{TAKO_ESTATE, 500},  {TAKO_ECLOSED, 500},   {TAKO_ETLS, 500},
		{TAKO_ESYS, 500},    {TAKO_ENOTSUP, 500},   {TAKO_EEXIST, 500},
		{-1000, 500},
	};

	(void)state;
	for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
		assert_int_equal(tako__error_status(want[i][0]), want[i][1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_code),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
