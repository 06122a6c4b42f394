/* SPDX-License-Identifier: MIT
 *
 * The table of media types is sorted, well-formed and found in.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/base.h"
#include "core/mime.h"
#include "core/str.h"

static const char *type_of(const char *path)
{
	return tako__mime_find(tako_str_z(path))->type;
}

static void test_table(void **state)
{
	size_t count;
	const struct tako__mime *table = tako__mime_table(&count);

	(void)state;
	assert_in_range(count, 100, 1000);
	for (size_t i = 0; i < count; i++) {
		const char *slash = strchr(table[i].type, '/');
		size_t n = strcspn(table[i].type, ";");
		char path[64];

		if (i && strcmp(table[i - 1].extension, table[i].extension) >= 0)
			fail_msg("not sorted: %s", table[i].extension);
		assert_non_null(slash);
		assert_true(
			tako__all(table[i].type, (size_t)(slash - table[i].type), TAKO__C_TOKEN));
		assert_true(tako__all(slash + 1, n - (size_t)(slash - table[i].type) - 1,
		                      TAKO__C_TOKEN));
		snprintf(path, sizeof(path), "a/b.c/name.%s", table[i].extension);
		assert_ptr_equal(tako__mime_find(tako_str_z(path)), &table[i]);
	}
}

/* Text without a charset would be guessed at; what is not text has no such parameter. */
static void test_charset(void **state)
{
	size_t count;
	const struct tako__mime *table = tako__mime_table(&count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		if (strncmp(table[i].type, "text/", 5) == 0)
			assert_non_null(strstr(table[i].type, "; charset=utf-8"));
		if (strncmp(table[i].type, "image/", 6) == 0)
			assert_null(strchr(table[i].type, ';'));
	}
}

static void test_known(void **state)
{
	static const char *const known[][2] = {
		{"index.html", "text/html; charset=utf-8"},
		{"a.txt", "text/plain; charset=utf-8"},
		{"a.css", "text/css; charset=utf-8"},
		{"a.js", "text/javascript; charset=utf-8"},
		{"a.mjs", "text/javascript; charset=utf-8"},
		{"a.json", "application/json"},
		{"a.svg", "image/svg+xml"},
		{"a.png", "image/png"},
		{"a.jpg", "image/jpeg"},
		{"a.woff2", "font/woff2"},
		{"a.wasm", "application/wasm"},
		{"a.pdf", "application/pdf"},
		{"a.mp4", "video/mp4"},
		{"A.HTML", "text/html; charset=utf-8"},
		{"a.tar.gz", "application/gzip"},
		{"a.webmanifest", "application/manifest+json"},
		{"dir.d/.x/a.b.PnG", "image/png"},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(known); i++)
		assert_string_equal(type_of(known[i][0]), known[i][1]);
}

static void test_unknown(void **state)
{
	static const char *const unknown[] = {
		"",
		"a",
		"a.",
		"html",
		".html",
		"a/.html",
		"a.html/b",
		"a..",
		"a.htmlx",
		"a.webmanifestx",
		"a.ht ml",
		"a.html ",
		"a.0",
		/* sorts before all */ "a.zzz", /* … and after all */
		"a.txt.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(unknown); i++) {
		if (strcmp(type_of(unknown[i]), "application/octet-stream") != 0)
			fail_msg("\"%s\" is %s", unknown[i], type_of(unknown[i]));
	}
	assert_string_equal(tako__mime_find((tako_str){NULL, 0})->type, "application/octet-stream");
	assert_false(tako__mime_find(TAKO_STR("a"))->packed);
}

static void test_packed(void **state)
{
	(void)state;
	assert_true(tako__mime_find(TAKO_STR("a.png"))->packed);
	assert_true(tako__mime_find(TAKO_STR("a.gz"))->packed);
	assert_true(tako__mime_find(TAKO_STR("a.woff2"))->packed);
	assert_false(tako__mime_find(TAKO_STR("a.svg"))->packed);
	assert_false(tako__mime_find(TAKO_STR("a.html"))->packed);
	assert_false(tako__mime_find(TAKO_STR("a.ttf"))->packed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),  cmocka_unit_test(test_charset),
		cmocka_unit_test(test_known),  cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
