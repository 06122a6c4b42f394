/* SPDX-License-Identifier: MIT
 *
 * The mailbox: order, batches, and that no wake is lost when threads post while the receiver
 * goes to sleep.  Meant to be run with ThreadSanitizer too.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base.h"
#include "core/mailbox.h"

static struct tako__mailbox box;

struct note {
	struct tako__mail mail;
	unsigned from;
	unsigned number;
	unsigned again;
};

static unsigned run_count;
static unsigned last_number;

static void on_note(struct tako__mail *m)
{
	struct note *n = TAKO__CONTAINER(m, struct note, mail);

	assert_int_equal(n->number, last_number + 1);
	last_number = n->number;
	run_count++;
	if (n->again) {
		n->again--;
		n->number += 1;
		assert_true(tako__mailbox_post(&box, m));
	}
}

static void test_order_and_wakes(void **state)
{
	struct note v[5] = {{.from = 0}};

	(void)state;
	tako__mailbox_init(&box);
	run_count = last_number = 0;
	assert_false(tako__mailbox_drain(&box));
	for (unsigned i = 0; i < 5; i++) {
		v[i].mail.fn = on_note;
		v[i].number = i + 1;
		/* Only the first one wakes. */
		assert_int_equal(tako__mailbox_post(&box, &v[i].mail), i == 0);
	}
	assert_false(tako__mailbox_drain(&box));
	assert_int_equal(run_count, 5);
	v[0].number = 6;
	assert_true(tako__mailbox_post(&box, &v[0].mail));
	assert_false(tako__mailbox_drain(&box));
	assert_int_equal(run_count, 6);
}

/* A mail that posts itself again runs once per drain. */
static void test_post_from_a_mail(void **state)
{
	struct note n = {.mail = {.fn = on_note}, .number = 1, .again = 3};

	(void)state;
	tako__mailbox_init(&box);
	run_count = last_number = 0;
	assert_true(tako__mailbox_post(&box, &n.mail));
	for (unsigned i = 1; i <= 4; i++) {
		assert_false(tako__mailbox_drain(&box));
		assert_int_equal(run_count, i);
	}
	assert_false(tako__mailbox_drain(&box));
	assert_int_equal(run_count, 4);
}

/* More than a batch: in portions, still in order, the new behind the old. */
static void test_batches(void **state)
{
	enum { NOTES = 3 * TAKO__MAILBOX_BATCH };
	static struct note v[NOTES];
	unsigned half = NOTES / 2;

	(void)state;
	tako__mailbox_init(&box);
	run_count = last_number = 0;
	for (unsigned i = 0; i < NOTES; i++)
		v[i] = (struct note){.mail = {.fn = on_note}, .number = i + 1};
	for (unsigned i = 0; i < half; i++)
		tako__mailbox_post(&box, &v[i].mail);
	assert_true(tako__mailbox_drain(&box));
	assert_int_equal(run_count, TAKO__MAILBOX_BATCH);
	/* The receiver has taken all, so these wake again. */
	for (unsigned i = half; i < NOTES; i++)
		assert_int_equal(tako__mailbox_post(&box, &v[i].mail), i == half);
	assert_false(tako__mailbox_drain(&box));
	assert_int_equal(run_count, half);
	assert_true(tako__mailbox_drain(&box));
	assert_false(tako__mailbox_drain(&box));
	assert_int_equal(run_count, NOTES);
}

/* ---- Threads --------------------------------------------------------------- */

enum { SENDERS = 4, PER_SENDER = 20000 };

static int wake_fd;
static unsigned seen[SENDERS];
static unsigned total;
static uint64_t wakes;

static void on_threaded(struct tako__mail *m)
{
	struct note *n = TAKO__CONTAINER(m, struct note, mail);

	/* cmocka's assertions jump, so they are kept out of here; order breaks the count. */
	if (n->number == seen[n->from] + 1)
		seen[n->from]++;
	total++;
	free(n);
}

static void *send_notes(void *arg)
{
	unsigned from = *(const unsigned *)arg;
	uint64_t one = 1;

	for (unsigned i = 1; i <= PER_SENDER; i++) {
		struct note *n = malloc(sizeof(*n));

		if (!n)
			abort();
		*n = (struct note){.mail = {.fn = on_threaded}, .from = from, .number = i};
		if (tako__mailbox_post(&box, &n->mail) && write(wake_fd, &one, sizeof(one)) < 0)
			abort();
	}
	return NULL;
}

/* The receiver sleeps whenever the box is empty, and only a wake gets it up: one that is lost
 * shows as a poll() that runs into its limit with mails still missing. */
static void test_no_lost_wakes(void **state)
{
	pthread_t t[SENDERS];
	unsigned from[SENDERS];

	(void)state;
	tako__mailbox_init(&box);
	wake_fd = eventfd(0, EFD_CLOEXEC);
	assert_true(wake_fd >= 0);
	for (unsigned i = 0; i < SENDERS; i++) {
		from[i] = i;
		assert_int_equal(pthread_create(&t[i], NULL, send_notes, &from[i]), 0);
	}
	while (total < SENDERS * PER_SENDER) {
		struct pollfd pfd = {.fd = wake_fd, .events = POLLIN};
		uint64_t count;

		assert_int_equal(poll(&pfd, 1, 30000), 1);
		assert_int_equal(read(wake_fd, &count, sizeof(count)), sizeof(count));
		wakes += count;
		while (tako__mailbox_drain(&box))
			;
	}
	for (unsigned i = 0; i < SENDERS; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(seen[i], PER_SENDER);
	}
	assert_true(wakes <= SENDERS * PER_SENDER);
	close(wake_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_wakes),
		cmocka_unit_test(test_post_from_a_mail),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_no_lost_wakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
