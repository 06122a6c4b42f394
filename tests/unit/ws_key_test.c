/* SPDX-License-Identifier: MIT
 *
 * Sec-WebSocket-Key: the example of RFC 6455 section 1.3, other keys whose answers Python's hashlib
 * made, and what is none.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "transports/ws/ws_key.h"

static void answers(void **state)
{
	static const struct {
		const char *key;
		const char *answer;
	} cases[] = {
		{"dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
		{"AAAAAAAAAAAAAAAAAAAAAA==", "ICX+Yqv66kxgM0FcWaLWlFLwTAI="},
		{"/////////////////////w==", "XXpj4jYzLM2yUE0C7TIgMwTQh2g="},
		{"x3JJHMbDL1EzLkh9GBhXDw==", "HSmrc0sMlYUkAGmm5OPpG2HaGWk="},
	};
	char to[TAKO__WS_ACCEPT_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_true(tako__ws_key_ok(tako_str_z(cases[i].key)));
		tako__ws_key_answer(to, tako_str_z(cases[i].key));
		assert_memory_equal(to, cases[i].answer, sizeof to);
	}
}

static void others_are_none(void **state)
{
	static const char *const cases[] = {
		"",
		"dGhlIHNhbXBsZSBub25jZQ=",
		"dGhlIHNhbXBsZSBub25jZQ===",
		"dGhlIHNhbXBsZSBub25jZQAA",
		"dGhlIHNhbXBsZSBub25jZ===",
		"dGhlIHNhbXBsZSBub25j-Q==",
		"dGhlIHNhbXBsZSBub25j Q==",
		"dGhlIHNhbXBsZSBub25jZTE2Mzg0==",
	};

	(void)state;
	assert_false(tako__ws_key_ok((tako_str){NULL, 0}));
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_false(tako__ws_key_ok(tako_str_z(cases[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(others_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
