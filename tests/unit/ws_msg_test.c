/* SPDX-License-Identifier: MIT
 *
 * A message for many: its bytes on the wire, and whose it is.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "transports/ws/ws_msg.h"
#include "unit/failalloc.h"

static char text[70000];

static void the_frame_of_each_length(void **state)
{
	const struct {
		size_t n;
		const char *head;
		size_t head_n;
	} cases[] = {
		{0, "\x82\x00", 2},
		{125, "\x82\x7d", 2},
		{126, "\x82\x7e\x00\x7e", 4},
		{65535, "\x82\x7e\xff\xff", 4},
		{70000, "\x82\x7f\x00\x00\x00\x00\x00\x01\x11\x70", 10},
	};

	(void)state;
	memset(text, 't', sizeof text);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		tako_ws_msg *m = tako_ws_msg_new(TAKO_WS_BINARY, (tako_str){text, cases[i].n});

		assert_non_null(m);
		assert_int_equal(m->n, cases[i].head_n + cases[i].n);
		assert_memory_equal(m->frame, cases[i].head, cases[i].head_n);
		assert_memory_equal(m->frame + cases[i].head_n, text, cases[i].n);
		tako_ws_msg_free(m);
		assert_int_equal(failalloc_live(), 0);
	}
}

static void it_is_a_copy(void **state)
{
	char mine[] = "mine";
	tako_ws_msg *m = tako_ws_msg_new(TAKO_WS_TEXT, tako_str_z(mine));

	(void)state;
	memset(mine, 'x', 4);
	assert_memory_equal(m->frame, "\x81\x04mine", 6);
	tako_ws_msg_free(m);
	m = tako_ws_msg_new(TAKO_WS_TEXT, (tako_str){NULL, 0});
	assert_memory_equal(m->frame, "\x81\x00", 2);
	tako_ws_msg_free(m);
}

static void the_last_reference_frees_it(void **state)
{
	tako_ws_msg *m = tako_ws_msg_new(TAKO_WS_TEXT, TAKO_STR("a"));

	(void)state;
	assert_ptr_equal(tako_ws_msg_ref(m), m);
	assert_ptr_equal(tako_ws_msg_ref(m), m);
	tako_ws_msg_free(m);
	tako_ws_msg_free(m);
	assert_int_equal(failalloc_live(), 1);
	tako_ws_msg_free(m);
	tako_ws_msg_free(NULL);
	assert_int_equal(failalloc_live() + failalloc_wrong(), 0);
}

static void what_is_none(void **state)
{
	static const int kinds[] = {0, 3, 8, 9, -1};

	(void)state;
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		assert_null(tako_ws_msg_new(kinds[i], TAKO_STR("a")));
	assert_non_null(strstr(tako_last_error(), "no kind"));
	assert_null(tako_ws_msg_new(TAKO_WS_TEXT, (tako_str){text, SIZE_MAX - 4}));
	failalloc_arm(1);
	assert_null(tako_ws_msg_new(TAKO_WS_TEXT, TAKO_STR("a")));
	assert_int_equal(failalloc_disarm(), 1);
	assert_non_null(strstr(tako_last_error(), "memory"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_frame_of_each_length),
		cmocka_unit_test(it_is_a_copy),
		cmocka_unit_test(the_last_reference_frees_it),
		cmocka_unit_test(what_is_none),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
