/* SPDX-License-Identifier: MIT
 *
 * Certificates by name: which one a client gets, and who holds it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "transports/tls/tls_cert.h"
#include "transports/tls/tls_set.h"
#include "unit/failalloc.h"

enum { MANY = 500 };

/* Names only: a set looks at nothing of a certificate but its count of references. */
static struct tako_cert certs[4];

static unsigned refs(unsigned i)
{
	return atomic_load(&certs[i].refs);
}

static int set_up(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		atomic_store(&certs[i].refs, 1);
	return 0;
}

/* Every reference that the set took it gave back. */
static int tear_down(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(refs(i), 1);
	assert_int_equal(failalloc_live(), 0);
	assert_int_equal(failalloc_wrong(), 0);
	return 0;
}

static void finds(tako_cert_set *set, const char *name, int want)
{
	tako_cert *cert = tako_cert_set_find(tako_str_z(name), set);

	if (cert != (want < 0 ? NULL : &certs[want]))
		fail_msg("\"%s\" does not find %d", name ? name : "nothing", want);
}

static void test_find(void **state)
{
	tako_cert_set *set = tako_cert_set_new();

	(void)state;
	finds(set, "a.example", -1);
	finds(set, NULL, -1);
	assert_int_equal(tako_cert_set_put(set, "a.Example", &certs[0]), 0);
	assert_int_equal(tako_cert_set_put(set, "*.example", &certs[1]), 0);
	assert_int_equal(tako_cert_set_put(set, "*.b.example", &certs[2]), 0);
	finds(set, "A.EXAMPLE", 0);
	finds(set, "c.example", 1);
	finds(set, "b.example", 1);
	finds(set, "x.b.example", 2);
	finds(set, "y.x.b.example", -1);
	finds(set, "example", -1);
	finds(set, "*.example", -1);
	assert_int_equal(tako_cert_set_put(set, NULL, &certs[3]), 0);
	finds(set, "example", 3);
	finds(set, NULL, 3);
	finds(set, "y.x.b.example", 3);
	finds(set, "not a name", 3);
	finds(set, "a.example", 0);
	tako_cert_set_free(set);
}

static void test_references(void **state)
{
	tako_cert_set *set = tako_cert_set_new();
	tako_cert *taken;

	(void)state;
	assert_int_equal(tako_cert_set_put(set, "a", &certs[0]), 0);
	assert_int_equal(refs(0), 2);
	assert_int_equal(tako_cert_set_put(set, "a", &certs[0]), 0);
	assert_int_equal(refs(0), 2);
	assert_int_equal(tako_cert_set_put(set, "a", &certs[1]), 0);
	assert_int_equal(refs(0), 1);
	taken = tako__cert_set_take(set, TAKO_STR("a"));
	assert_ptr_equal(taken, &certs[1]);
	assert_int_equal(tako_cert_set_put(set, "a", NULL), 0);
	assert_int_equal(refs(1), 2);
	tako_cert_free(taken);
	finds(set, "a", -1);
	assert_int_equal(tako_cert_set_put(set, "a", NULL), TAKO_ENOENT);
	assert_int_equal(tako_cert_set_put(set, NULL, NULL), TAKO_ENOENT);
	tako_cert_set_free(set);
	tako_cert_set_free(NULL);
}

static void test_names(void **state)
{
	static const char *const bad[] = {"",    ".",    "a.",      ".a",  "a b",   "*",    "*.",
	                                  "a.*", "*a.b", "*.*.com", "a/b", "a\x80", "a:443"};
	char longest[256];
	tako_cert_set *set = tako_cert_set_new();

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		if (tako_cert_set_put(set, bad[i], &certs[0]) != TAKO_EINVAL)
			fail_msg("\"%s\" is taken", bad[i]);
	}
	memset(longest, 'a', sizeof longest);
	longest[255] = '\0';
	assert_int_equal(tako_cert_set_put(set, longest, &certs[0]), 0);
	finds(set, longest, 0);
	assert_int_equal(tako_cert_set_put(NULL, "a", &certs[0]), TAKO_EINVAL);
	tako_cert_set_free(set);
}

/* In any order, found and removed. */
static void test_many(void **state)
{
	tako_cert_set *set = tako_cert_set_new();
	char name[32];

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof name, "n%u.example", i * 7919 % MANY);
		assert_int_equal(tako_cert_set_put(set, name, &certs[i * 7919 % MANY % 4]), 0);
	}
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof name, "n%u.example", i);
		finds(set, name, (int)(i % 4));
	}
	for (unsigned i = 0; i < MANY; i += 2) {
		snprintf(name, sizeof name, "n%u.example", i);
		assert_int_equal(tako_cert_set_put(set, name, NULL), 0);
		finds(set, name, -1);
	}
	finds(set, "n1.example", 1);
	tako_cert_set_free(set);
}

static void test_allocations(void **state)
{
	(void)state;
	for (size_t nth = 1;; nth++) {
		tako_cert_set *set;
		size_t failed;
		int rc = TAKO_ENOMEM;
		char name[] = "a.example";

		failalloc_arm(nth);
		set = tako_cert_set_new();
		for (unsigned i = 0; set && i < 20; i++) {
			name[0] = (char)('a' + i);
			rc = tako_cert_set_put(set, name, &certs[0]);
			if (rc < 0)
				break;
		}
		failed = failalloc_disarm();
		assert_int_equal(rc, failed ? TAKO_ENOMEM : 0);
		tako_cert_set_free(set);
		assert_int_equal(failalloc_live(), 0);
		assert_int_equal(refs(0), 1);
		if (!failed)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_find, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_references, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_allocations, set_up, tear_down),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
