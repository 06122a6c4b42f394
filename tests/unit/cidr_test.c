/* SPDX-License-Identifier: MIT
 *
 * Sets of addresses: what is one, what is refused and with which words, and who is in it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "core/base.h"
#include "core/cidr.h"
#include "unit/failalloc.h"

static bool has(const struct tako__cidrs *set, const char *text)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	struct sockaddr_in in = {.sin_family = AF_INET};

	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		return tako__cidrs_have(set, (struct sockaddr *)&in);
	assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
	return tako__cidrs_have(set, (struct sockaddr *)&in6);
}

static void test_members(void **state)
{
	static const struct {
		const char *set;
		const char *in;
		const char *out; /* NULL: everybody is in it */
	} cases[] = {
		{"10.0.0.0/8", "10.255.255.255", "11.0.0.0"},
		{"10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"},
		{"192.0.2.128/25", "192.0.2.128", "192.0.2.127"},
		{"192.0.2.4/30", "192.0.2.7", "192.0.2.8"},
		{"192.0.2.1", "192.0.2.1", "192.0.2.0"},
		{"192.0.2.1/32", "192.0.2.1", "192.0.2.2"},
		{"0.0.0.0/0", "255.255.255.255", "2001:db8::1"},
		{"0.0.0.0/0", "::ffff:1.2.3.4", "::1"},
		{"::/0", "1.2.3.4", NULL},
		{"2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"},
		{"2001:db8:0:8000::/49", "2001:db8:0:ffff::", "2001:db8:0:7fff::"},
		{"::1", "::1", "::2"},
		{"::ffff:10.0.0.0/104", "10.9.9.9", "11.0.0.0"},
		{"192.0.2.1,198.51.100.0/24 \t::1\n", "198.51.100.9", "192.0.2.2"},
		{" , 192.0.2.1 ,", "192.0.2.1", "192.0.2.2"},
		{"unix: 192.0.2.1", "192.0.2.1", "192.0.2.2"},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(cases); i++) {
		struct tako__cidrs *set;

		print_message("          %s\n", cases[i].set);
		assert_int_equal(tako__cidrs_parse(&set, cases[i].set, "set"), 0);
		assert_true(has(set, cases[i].in));
		assert_true(!cases[i].out || !has(set, cases[i].out));
		tako__cidrs_free(set);
	}
	assert_false(has(NULL, "192.0.2.1"));
}

static void test_refused(void **state)
{
	static const struct {
		const char *set;
		const char *why;
	} cases[] = {
		{"", "no address in it"},
		{" ,\t,", "no address in it"},
		{"localhost", "\"localhost\" is no address"},
		{"10.0.0", "is no address"},
		{"10.0.0.256", "is no address"},
		{"010.0.0.1", "is no address"},
		{"1.2.3.4:80", "is no address"},
		{"[::1]", "is no address"},
		{"fe80::1%eth0", "is no address"},
		{"/8", "is no address"},
		{"1:2:3:4:5:6:7:8:9:10:11:12:13:14:15:16:17:18:19", "is no address"},
		{"10.0.0.0/", "no prefix length"},
		{"10.0.0.0/33", "no prefix length"},
		{"10.0.0.0/08", "no prefix length"},
		{"10.0.0.0/8/8", "no prefix length"},
		{"10.0.0.0/-1", "no prefix length"},
		{"10.0.0.0/+8", "no prefix length"},
		{"10.0.0.0/1000", "no prefix length"},
		{"2001:db8::/129", "no prefix length"},
		{"10.0.0.1/8", "has bits behind its prefix"},
		{"2001:db8::1/64", "has bits behind its prefix"},
		{"192.0.2.1, nobody", "\"nobody\" is no address"},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(cases); i++) {
		struct tako__cidrs *set = NULL;

		print_message("          %s\n", cases[i].set);
		assert_int_equal(tako__cidrs_parse(&set, cases[i].set, "trusted"), TAKO_EINVAL);
		assert_null(set);
		assert_non_null(strstr(tako_last_error(), cases[i].why));
		assert_int_equal(strncmp(tako_last_error(), "trusted: ", 9), 0);
	}
}

static void test_bounds(void **state)
{
	char text[TAKO__CIDRS_MAX * 3 + 8];
	struct tako__cidrs *set;

	(void)state;
	for (size_t i = 0; i < TAKO__CIDRS_MAX; i++)
		memcpy(text + i * 3, "::,", 4);
	assert_int_equal(tako__cidrs_parse(&set, text, "set"), 0);
	assert_int_equal(set->count, TAKO__CIDRS_MAX);
	tako__cidrs_free(set);
	memcpy(text + (size_t)TAKO__CIDRS_MAX * 3, "::", 3);
	assert_int_equal(tako__cidrs_parse(&set, text, "set"), TAKO_ETOOBIG);
}

static void test_unix(void **state)
{
	struct sockaddr peer = {.sa_family = AF_UNIX};
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	struct tako__cidrs *set;

	(void)state;
	assert_int_equal(tako__cidrs_parse(&set, "unix:", "set"), 0);
	assert_true(tako__cidrs_have(set, &peer));
	assert_false(tako__cidrs_have(set, &nobody));
	assert_false(has(set, "127.0.0.1"));
	tako__cidrs_free(set);
	assert_int_equal(tako__cidrs_parse(&set, "::/0", "set"), 0);
	assert_false(tako__cidrs_have(set, &peer));
	tako__cidrs_free(set);
}

static void test_no_memory(void **state)
{
	struct tako__cidrs *set = NULL;

	(void)state;
	failalloc_arm(1);
	assert_int_equal(tako__cidrs_parse(&set, "::1", "set"), TAKO_ENOMEM);
	assert_null(set);
	assert_int_equal(failalloc_disarm(), 1);
	/* Nor has any other test left something. */
	assert_int_equal(failalloc_live(), 0);
	assert_int_equal(failalloc_wrong(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members),   cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bounds),    cmocka_unit_test(test_unix),
		cmocka_unit_test(test_no_memory),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
