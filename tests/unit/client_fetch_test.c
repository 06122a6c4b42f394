/* SPDX-License-Identifier: MIT
 *
 * The end of a fetch: once, whatever its user asks of it then, and also where nobody will ever begin it.
 */
#include <unistd.h>

#include "unit/client_rig.h"

/* ---- What on_end() may not bring about -------------------------------------------------- */

static void ask_for_everything(struct asked *a)
{
	assert_int_equal(tako_fetch_write(a->f, TAKO_STR("x")), TAKO_ECLOSED);
	assert_int_equal(tako_fetch_finish(a->f), TAKO_ECLOSED);
	tako_fetch_pause(a->f);
	tako_fetch_resume(a->f);
	tako_fetch_cancel(a->f);
}

/* Answered while its body is sent, broken off, and out of time. */
static void test_late_calls(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 413 x\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
		"HTTP/1.1 100 Continue\r\n\r\n",
	};
	static const int errs[] = {0, TAKO_ECLOSED, TAKO_ETIMEDOUT};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct asked a = {.end = ask_for_everything};
		struct client_rig r;
		struct place p;
		int fd;

		place_tcp(&p, 8);
		client_rig_start(&r, NULL, NULL, NULL, NULL);
		client_rig_ask(&r, &a, &p,
		               TAKO_FETCH(.stream = 1, .stream_bytes = TAKO_OFF64,
		                          .total_timeout_ms = i == 2 ? 50 : 0));
		fd = place_serve(&p, &r);
		place_say(fd, answers[i]);
		if (i == 1)
			close(fd);
		client_rig_await(&r, &a);
		assert_int_equal(a.err, errs[i]);
		client_rig_turns(&r, 5);
		assert_int_equal(a.ends, 1);
		if (i != 1)
			close(fd);
		close(p.fd);
		client_rig_stop(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_late_calls),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
