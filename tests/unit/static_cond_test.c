/* SPDX-License-Identifier: MIT
 *
 * Validators of files, and conditional requests: every condition by itself, the order among
 * them (RFC 9110 section 13.2.2), strong and weak comparison.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/base.h"
#include "core/static_cond.h"

/* The file was changed at 784111777, which is Sun, 06 Nov 1994 08:49:37 GMT. */
#define MODIFIED "Sun, 06 Nov 1994 08:49:37 GMT"
#define EARLIER "Sun, 06 Nov 1994 08:49:36 GMT"
#define LATER "Sun, 06 Nov 1994 08:49:38 GMT"
#define NOW INT64_C(1762848000)

static const struct tako__validators ours = {
	.etag = "\"abc-1\"", .etag_n = 7, .modified_s = 784111777};

/* ---- Validators --------------------------------------------------------------- */

static struct stat file(void)
{
	struct stat st;

	memset(&st, 0, sizeof(st));
	st.st_ino = 4711;
	st.st_size = 1000;
	st.st_mtim.tv_sec = 784111777;
	st.st_ctim.tv_sec = 784111778;
	st.st_ctim.tv_nsec = 123456789;
	return st;
}

static const char *etag(struct stat st, tako_str coding)
{
	static struct tako__validators v[8];
	static unsigned next;
	struct tako__validators *to = &v[next++ % TAKO__COUNT(v)];

	memset(to, '#', sizeof(*to));
	tako__validators_init(to, &st, coding, NOW);
	assert_in_range(to->etag_n, 3, TAKO__ETAG_BYTES);
	if (to->etag_n < TAKO__ETAG_BYTES)
		to->etag[to->etag_n] = '\0';
	return to->etag;
}

/* RFC 9110 section 8.8.3: opaque, in quotes, and here strong, so without "W/". */
static void test_etag_form(void **state)
{
	const char *tag = etag(file(), (tako_str){NULL, 0});
	size_t n = strlen(tag);

	(void)state;
	assert_int_equal(tag[0], '"');
	assert_int_equal(tag[n - 1], '"');
	assert_int_equal(strspn(tag + 1, "0123456789abcdef-"), n - 2);
	assert_non_null(strstr(tag, "-3e8\""));
}

static void test_etag_is_distinct(void **state)
{
	const tako_str none = {NULL, 0};
	const char *first = etag(file(), none);
	struct stat st = file();

	(void)state;
	assert_string_equal(etag(st, none), first);
	st.st_ino++;
	assert_string_not_equal(etag(st, none), first);
	st = file();
	st.st_size++;
	assert_string_not_equal(etag(st, none), first);
	st = file();
	st.st_ctim.tv_nsec++;
	assert_string_not_equal(etag(st, none), first);
	st = file();
	st.st_ctim.tv_sec++;
	assert_string_not_equal(etag(st, none), first);
	/* The modification time can be set to anything: it neither makes nor unmakes a tag. */
	st = file();
	st.st_mtim.tv_sec++;
	assert_string_equal(etag(st, none), first);
	assert_string_not_equal(etag(file(), TAKO_STR("br")), first);
	assert_string_not_equal(etag(file(), TAKO_STR("br")), etag(file(), TAKO_STR("gzip")));
}

static void test_etag_sizes(void **state)
{
	static const struct {
		int64_t size;
		const char *end;
	} table[] = {{0, "-0\""},
	             {1, "-1\""},
	             {15, "-f\""},
	             {16, "-10\""},
	             {255, "-ff\""},
	             {256, "-100\""},
	             {1 << 20, "-100000\""},
	             {INT64_MAX, "-7fffffffffffffff\""}};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(table); i++) {
		struct stat st = file();
		const char *tag;

		st.st_size = table[i].size;
		tag = etag(st, (tako_str){NULL, 0});
		assert_string_equal(tag + strlen(tag) - strlen(table[i].end), table[i].end);
	}
}

/* The longest there can be fits. */
static void test_etag_longest(void **state)
{
	struct stat st = file();
	struct tako__validators v;

	(void)state;
	st.st_size = INT64_MAX;
	tako__validators_init(&v, &st, TAKO_STR("gzip"), NOW);
	assert_int_equal(v.etag_n, TAKO__ETAG_BYTES);
	assert_memory_equal(v.etag + v.etag_n - 6, "-gzip\"", 6);
}

/* RFC 9110 section 8.8.2.1: a time to come is replaced by now. */
static void test_modified(void **state)
{
	struct stat st = file();
	struct tako__validators v;

	(void)state;
	tako__validators_init(&v, &st, (tako_str){NULL, 0}, NOW);
	assert_true(v.modified_s == 784111777);
	tako__validators_init(&v, &st, (tako_str){NULL, 0}, 784111777);
	assert_true(v.modified_s == 784111777);
	tako__validators_init(&v, &st, (tako_str){NULL, 0}, 784111776);
	assert_true(v.modified_s == 784111776);
}

/* ---- Conditions ------------------------------------------------------------------ */

static struct tako__field field(const char *name, const char *value)
{
	return (struct tako__field){name, value, (uint32_t)strlen(name), (uint32_t)strlen(value)};
}

static void test_find(void **state)
{
	const struct tako__field fields[] = {
		field("Host", "a"),
		field("Range", "bytes=0-"),
		field("RANGE", "bytes=1-"),
		field("If-Rangf", "x"),
		field("IF-NONE-MATCH", "*"),
		field("Accept-Language", "de"),
		field("if-range", ""),
		field("Accept-Encoding", "br"),
		field("X-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	              "x"),
	};
	struct tako__conditions c;

	(void)state;
	assert_int_equal(tako__conditions_find(&c, fields, TAKO__COUNT(fields)), 1u << TAKO__RANGE);
	assert_true(tako_str_eq(c.value[TAKO__RANGE], TAKO_STR("bytes=0-")));
	assert_true(tako_str_eq(c.value[TAKO__IF_NONE_MATCH], TAKO_STR("*")));
	assert_true(tako_str_eq(c.value[TAKO__ACCEPT_ENCODING], TAKO_STR("br")));
	/* Empty is not absent. */
	assert_non_null(c.value[TAKO__IF_RANGE].p);
	assert_null(c.value[TAKO__IF_MATCH].p);
	assert_null(c.value[TAKO__IF_MODIFIED_SINCE].p);
	assert_null(c.value[TAKO__IF_UNMODIFIED_SINCE].p);
}

static void test_find_each(void **state)
{
	(void)state;
	for (unsigned i = 0; i < TAKO__CONDITION_COUNT; i++) {
		struct tako__field f = field(tako__condition_name((enum tako__condition)i), "x");
		struct tako__conditions c;

		assert_int_equal(tako__conditions_find(&c, &f, 1), 0);
		for (unsigned k = 0; k < TAKO__CONDITION_COUNT; k++)
			assert_int_equal(c.value[k].n, k == i);
	}
}

struct conditional {
	const char *match;
	const char *unmodified;
	const char *none_match;
	const char *modified;
	enum tako__verdict want;
};

static void check_all(const struct conditional *table, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct conditional *t = &table[i];
		struct tako__conditions c = {{{NULL, 0}}};
		enum tako__verdict got;

		c.value[TAKO__IF_MATCH] = tako_str_z(t->match);
		c.value[TAKO__IF_UNMODIFIED_SINCE] = tako_str_z(t->unmodified);
		c.value[TAKO__IF_NONE_MATCH] = tako_str_z(t->none_match);
		c.value[TAKO__IF_MODIFIED_SINCE] = tako_str_z(t->modified);
		got = tako__conditions_check(&c, &ours, NOW);
		if (got != t->want)
			fail_msg("row %zu: %d, not %d", i, (int)got, (int)t->want);
	}
}

#define PASS TAKO__COND_PASS
#define SAME TAKO__COND_NOT_MODIFIED
#define FAILED TAKO__COND_FAILED

/* RFC 9110 section 13.1.1: strong comparison. */
static void test_if_match(void **state)
{
	static const struct conditional table[] = {
		{.want = PASS},
		{.match = "*", .want = PASS},
		{.match = "\"abc-1\"", .want = PASS},
		{.match = "\"x\", \"abc-1\"", .want = PASS},
		{.match = "\"x\",\"abc-1\",\"y\"", .want = PASS},
		{.match = ", ,\"abc-1\"", .want = PASS},
		{.match = "\"a,b\", \"abc-1\"", .want = PASS},
		{.match = "\"\\\", \"abc-1\"", .want = PASS}, /* a backslash escapes nothing */
		{.match = "W/\"x\", \"abc-1\"", .want = PASS},
		{.match = "W/\"abc-1\"", .want = FAILED},
		{.match = "\"abc-2\"", .want = FAILED},
		{.match = "\"ABC-1\"", .want = FAILED},
		{.match = "\"abc-1", .want = FAILED},
		{.match = "abc-1", .want = FAILED},
		{.match = "\"\"", .want = FAILED},
		{.match = "", .want = FAILED},
		{.match = "w/\"x\", \"abc-1\"", .want = FAILED}, /* "W" is case-sensitive */
		{.match = "bare, \"abc-1\"", .want = FAILED},    /* no list of entity-tags */
		{.match = "\"x y\", \"abc-1\"", .want = FAILED},
		{.match = "*, \"x\"", .want = FAILED},
	};

	(void)state;
	check_all(table, TAKO__COUNT(table));
}

/* RFC 9110 section 13.1.2: weak comparison. */
static void test_if_none_match(void **state)
{
	static const struct conditional table[] = {
		{.none_match = "*", .want = SAME},
		{.none_match = "\"abc-1\"", .want = SAME},
		{.none_match = "W/\"abc-1\"", .want = SAME},
		{.none_match = "\"x\", W/\"y\",  W/\"abc-1\"", .want = SAME},
		{.none_match = "\"x\"", .want = PASS},
		{.none_match = "W/", .want = PASS},
		{.none_match = "W/\"", .want = PASS},
		{.none_match = "W/\"abc-1", .want = PASS},
		{.none_match = "", .want = PASS},
		{.none_match = "abc-1", .want = PASS},
	};

	(void)state;
	check_all(table, TAKO__COUNT(table));
}

/* RFC 9110 sections 13.1.3 and 13.1.4, in all three forms of dates. */
static void test_dates(void **state)
{
	static const struct conditional table[] = {
		{.modified = EARLIER, .want = PASS},
		{.modified = MODIFIED, .want = SAME},
		{.modified = LATER, .want = SAME},
		{.modified = "Sunday, 06-Nov-94 08:49:37 GMT", .want = SAME},
		{.modified = "Sun Nov  6 08:49:37 1994", .want = SAME},
		{.modified = "Sunday, 06-Nov-94 08:49:36 GMT", .want = PASS},
		{.modified = "Sun Nov  6 08:49:36 1994", .want = PASS},
		{.modified = "yesterday", .want = PASS},
		{.modified = "", .want = PASS},
		{.modified = LATER ", " LATER, .want = PASS},
		{.unmodified = EARLIER, .want = FAILED},
		{.unmodified = MODIFIED, .want = PASS},
		{.unmodified = LATER, .want = PASS},
		{.unmodified = "Sunday, 06-Nov-94 08:49:36 GMT", .want = FAILED},
		{.unmodified = "Sun Nov  6 08:49:36 1994", .want = FAILED},
		{.unmodified = "0", .want = PASS},
	};

	(void)state;
	check_all(table, TAKO__COUNT(table));
}

/* RFC 9110 section 13.2.2. */
static void test_order(void **state)
{
	static const struct conditional table[] = {
		/* If-Match overrules If-Unmodified-Since, whatever it says. */
		{.match = "\"abc-1\"", .unmodified = EARLIER, .want = PASS},
		{.match = "\"x\"", .unmodified = LATER, .want = FAILED},
		/* If-None-Match overrules If-Modified-Since. */
		{.none_match = "\"x\"", .modified = LATER, .want = PASS},
		{.none_match = "\"abc-1\"", .modified = EARLIER, .want = SAME},
		{.none_match = "garbage", .modified = LATER, .want = PASS},
		/* A failed precondition comes before "not modified". */
		{.match = "\"x\"", .none_match = "\"abc-1\"", .want = FAILED},
		{.unmodified = EARLIER, .none_match = "\"abc-1\"", .want = FAILED},
		{.match = "\"abc-1\"", .none_match = "\"abc-1\"", .want = SAME},
		{.match = "*", .modified = MODIFIED, .want = SAME},
		{.unmodified = LATER, .modified = LATER, .want = SAME},
		{.unmodified = "garbage", .modified = "garbage", .want = PASS},
	};

	(void)state;
	check_all(table, TAKO__COUNT(table));
}

/* RFC 9110 section 13.1.5. */
static void test_if_range(void **state)
{
	static const struct {
		const char *if_range;
		bool want;
	} table[] = {
		{NULL, true},
		{"\"abc-1\"", true},
		{"W/\"abc-1\"", false}, /* strong comparison */
		{"\"x\"", false},
		{"\"abc-1", false},
		{"abc-1", false},
		{"*", false},
		{"", false},
		{"\"abc-1\", \"x\"", false},
		{"\"abc-1\" x", false},
		{MODIFIED, true},
		{"Sunday, 06-Nov-94 08:49:37 GMT", true},
		{"Sun Nov  6 08:49:37 1994", true},
		{EARLIER, false},
		{LATER, false}, /* exactly the one, not one since */
		{"yesterday", false},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(table); i++) {
		struct tako__conditions c = {{{NULL, 0}}};

		c.value[TAKO__IF_RANGE] = tako_str_z(table[i].if_range);
		assert_false(tako__conditions_range(&c, &ours, NOW));
		c.value[TAKO__RANGE] = TAKO_STR("bytes=0-");
		if (tako__conditions_range(&c, &ours, NOW) != table[i].want)
			fail_msg("If-Range: %s", table[i].if_range);
	}
}

/* A list cut short, at every length and in a block of just that size. */
static void test_truncated(void **state)
{
	static const char whole[] = "\"x\", W/\"abc-2\", \"abc-1\"";

	(void)state;
	for (size_t n = 0; n < sizeof(whole); n++) {
		struct tako__conditions c = {{{NULL, 0}}};
		char *p = test_malloc(n + !n);

		memcpy(p, whole, n);
		c.value[TAKO__IF_NONE_MATCH] = (tako_str){p, n};
		assert_int_equal(tako__conditions_check(&c, &ours, NOW),
		                 n >= sizeof(whole) - 1 ? SAME : PASS);
		test_free(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_etag_form),     cmocka_unit_test(test_etag_is_distinct),
		cmocka_unit_test(test_etag_sizes),    cmocka_unit_test(test_etag_longest),
		cmocka_unit_test(test_modified),      cmocka_unit_test(test_find),
		cmocka_unit_test(test_find_each),     cmocka_unit_test(test_if_match),
		cmocka_unit_test(test_if_none_match), cmocka_unit_test(test_dates),
		cmocka_unit_test(test_order),         cmocka_unit_test(test_if_range),
		cmocka_unit_test(test_truncated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
