/* SPDX-License-Identifier: MIT
 *
 * The io_uring runtime keeps the contract of seam A, also as older kernels make it.
 */
#include "runtime-iouring/ring_buf.h"
#include "unit/runtime_contract.h"
#include "unit/runtime_rig.h"

static int contract(void)
{
	return runtime_contract_recv() + runtime_contract_send() + runtime_contract_loop() +
	       runtime_contract_connect();
}

/* All there is to test where it cannot work. */
static void test_refusal_says_why(void **state)
{
	char why[96] = "";

	(void)state;
	assert_int_equal(rig.rt->probe(why, sizeof why), TAKO_ENOTSUP);
	assert_string_not_equal(why, "");
	/* Also into no room at all. */
	assert_int_equal(rig.rt->probe(NULL, 0), TAKO_ENOTSUP);
}

int main(void)
{
	const struct CMUnitTest refused[] = {cmocka_unit_test(test_refusal_says_why)};
	char why[96];
	int failed;

	if (rig_install(tako_runtime_io_uring()))
		return 1;
	if (rig.rt->probe(why, sizeof why) < 0)
		return cmocka_run_group_tests(refused, NULL, NULL);
	failed = contract();
	tako__bufs_whole = true;
	/* Nor do those know a limit of their own below 32 rounds. */
	rig.share = 40;
	return failed + contract();
}
