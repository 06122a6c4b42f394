/* SPDX-License-Identifier: MIT
 *
 * A shared block: room around its bytes, and gone with its last reference.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/shared.h"
#include "unit/failalloc.h"

static void room_on_both_sides(void **state)
{
	struct tako__shared *sh = tako__shared_new(100);

	(void)state;
	assert_non_null(sh);
	assert_int_equal(sh->n, 0);
	assert_int_equal(sh->frame_n, 0);
	/* Overruns are noticed when it is freed. */
	memset(tako__shared_data(sh) - TAKO__SHARED_HEAD_BYTES, 1,
	       TAKO__SHARED_HEAD_BYTES + 100 + TAKO__SHARED_TAIL_BYTES);
	assert_ptr_equal(tako__shared_ref(sh), sh);
	tako__shared_unref(sh);
	assert_int_equal(failalloc_live(), 1);
	tako__shared_unref(sh);
	assert_int_equal(failalloc_live(), 0);
	assert_int_equal(failalloc_wrong(), 0);
}

static void no_memory(void **state)
{
	(void)state;
	assert_null(tako__shared_new(SIZE_MAX - 8));
	failalloc_arm(1);
	assert_null(tako__shared_new(10));
	assert_int_equal(failalloc_disarm(), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(room_on_both_sides),
		cmocka_unit_test(no_memory),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
