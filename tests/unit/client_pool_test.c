/* SPDX-License-Identifier: MIT
 *
 * Who waits for a connection, and which he gets.
 */
#include <unistd.h>

#include "unit/client_rig.h"

/* ---- Somebody comes to look at whoever waits ---------------------------------------------- */

/* Three origins with one connection between them, which goes when no other can be made. */
static void test_all_starved_are_told(void **state)
{
	struct asked a[3] = {0};
	struct place p[3];
	struct client_rig r;
	int fd;

	(void)state;
	client_rig_start(&r, NULL, TAKO_CLIENT_CONFIG(.max_connections = 1), NULL, NULL);
	for (unsigned i = 0; i < 3; i++) {
		place_tcp(&p[i], 8);
		client_rig_ask(&r, &a[i], &p[i], NULL);
	}
	fd = place_serve(&p[0], &r);
	tako_server_stop(r.s.srv);
	tako_server_stop(r.s.srv);
	for (unsigned i = 0; i < 3; i++) {
		client_rig_await(&r, &a[i]);
		assert_int_equal(a[i].err, TAKO_ECLOSED);
		close(p[i].fd);
	}
	close(fd);
	client_rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_starved_are_told),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
