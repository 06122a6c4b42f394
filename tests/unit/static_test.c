/* SPDX-License-Identifier: MIT
 *
 * Mounting a directory: what is refused and how it sticks, what a router holds of it and gives
 * back, and running out of memory at every step.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <string.h>

#include <tako/tako.h>

#include "core/base.h"
#include "core/router.h"
#include "core/static.h"
#include "unit/failalloc.h"

static unsigned fd_count(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(d);
	while (readdir(d))
		count++;
	closedir(d);
	return count;
}

/* The error of a router with only this mount, gone when this returns. */
static int mount(const char *prefix, const char *dir, const tako_static_config *cfg)
{
	tako_router *r = tako_router_new();
	int rc;

	assert_non_null(r);
	tako_static_with(r, prefix, dir, cfg);
	rc = tako_router_error(r);
	tako_router_free(r);
	return rc;
}

static void test_refused(void **state)
{
	unsigned before = fd_count();

	(void)state;
	assert_int_equal(mount("/f", "/", NULL), 0);
	assert_int_equal(mount("/f", "/nowhere/at/all", NULL), TAKO_ESYS);
	assert_non_null(strstr(tako_last_error(), "/nowhere/at/all"));
	assert_int_equal(mount("/f", NULL, NULL), TAKO_EINVAL);
	assert_int_equal(mount(NULL, "/", NULL), TAKO_EINVAL);
	assert_int_equal(mount("f", "/", NULL), TAKO_EINVAL);
	assert_int_equal(mount("/{path}", "/", NULL), TAKO_EINVAL);
	assert_int_equal(fd_count(), before);
}

static void test_config(void **state)
{
	static const struct {
		tako_static_config cfg;
		int want;
	} table[] = {
		{{.index = ""}, 0},
		{{.index = "a/b.html"}, 0},
		{{.index = ".index"}, 0},
		{{.index = "/a"}, TAKO_EINVAL},
		{{.index = "../a"}, TAKO_EINVAL},
		{{.index = "a/"}, TAKO_EINVAL},
		{{.index = "a\\b"}, TAKO_EINVAL},
		{{.fallback = "app/index.html"}, 0},
		{{.fallback = ""}, TAKO_EINVAL},
		{{.fallback = "a/../../b"}, TAKO_EINVAL},
		{{.cache_control = "max-age=60, immutable"}, 0},
		{{.cache_control = "a\r\nb: c"}, TAKO_EINVAL},
		{{.cache_control = "a\x7f"}, TAKO_EINVAL},
		{{.max_range_count = TAKO_OFF}, 0},
		{{.max_range_count = 1}, 0},
		{{.max_range_count = 64}, 0},
		{{.max_range_count = 65}, TAKO_EINVAL},
		{{.reserved = 1}, TAKO_EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(table); i++) {
		tako_static_config cfg = table[i].cfg;

		cfg.size = sizeof(cfg);
		if (mount("/f", "/", &cfg) != table[i].want)
			fail_msg("row %zu: %s", i, tako_last_error());
	}
}

/* A program built with an older or a newer header. */
static void test_config_sizes(void **state)
{
	struct {
		tako_static_config known;
		uint64_t later;
	} newer = {.known = {.size = sizeof(newer), .max_range_count = 65}};
	tako_static_config older = {.size = offsetof(tako_static_config, dotfiles),
	                            .max_range_count = 65};

	(void)state;
	assert_int_equal(mount("/f", "/", &older), 0);
	assert_int_equal(mount("/f", "/", &newer.known), TAKO_EINVAL);
	newer.known.max_range_count = 0;
	assert_int_equal(mount("/f", "/", &newer.known), 0);
	newer.later = 1;
	assert_int_equal(mount("/f", "/", &newer.known), TAKO_ENOTSUP);
	older.size = 0;
	assert_int_equal(mount("/f", "/", &older), TAKO_EINVAL);
}

static int collect(const tako_route_info *info, void *arg)
{
	const struct tako__static **s = arg;

	assert_string_equal(info->method, "GET");
	assert_string_equal(info->pattern, "/a/b/{*path}");
	assert_ptr_equal(info->handler, tako__static_serve);
	*s = info->arg;
	return 0;
}

/* Strings are copied, defaults filled in. */
static void test_what_is_kept(void **state)
{
	char text[] = "no-cache";
	tako_router *r = tako_router_new();
	const struct tako__static *s = NULL;

	(void)state;
	tako_static_with(r, "/a/b//", "/", TAKO_STATIC_CONFIG(.cache_control = text));
	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(tako_router_error(r), 0);
	assert_int_equal(tako_router_each(r, collect, &s), 0);
	assert_non_null(s);
	assert_true(tako_str_eq(s->cache_control, TAKO_STR("no-cache")));
	assert_true(tako_str_eq(s->index, TAKO_STR("index.html")));
	assert_null(s->fallback.p);
	assert_int_equal(s->max_range_count, 16);
	assert_true(s->precompressed && !s->dotfiles);
	tako_router_free(r);
}

/* A directory is held as long as somebody holds its router, and no longer. */
static void test_lifetime(void **state)
{
	unsigned before = fd_count();
	tako_router *child = tako_router_new();
	tako_router *parent = tako_router_new();
	struct tako__table *table = NULL;

	(void)state;
	tako_static(child, "/f", "/");
	tako_static(child, "/g", "/");
	tako_nest(parent, "/child", child);
	tako_router_free(child);
	assert_int_equal(fd_count(), before + 2);
	assert_int_equal(tako__table_new(&table, parent), 0);
	tako_router_free(parent);
	assert_int_equal(fd_count(), before + 2);
	tako__table_free(table);
	assert_int_equal(fd_count(), before);
}

static void test_after_a_failure(void **state)
{
	unsigned before = fd_count();
	tako_router *r = tako_router_new();

	(void)state;
	tako_get(r, "bad", tako__static_serve, NULL);
	tako_static(r, "/f", "/");
	tako_static(NULL, "/f", "/");
	assert_int_equal(fd_count(), before);
	assert_int_equal(tako_router_error(r), TAKO_EINVAL);
	tako_router_free(r);
}

static void test_without_memory(void **state)
{
	const tako_static_config cfg = {
		.size = sizeof(cfg), .cache_control = "no-cache", .fallback = "index.html"};
	unsigned before = fd_count();
	size_t nth = 0;
	size_t failed;

	(void)state;
	do {
		tako_router *r = tako_router_new();

		failalloc_arm(++nth);
		tako_static_with(r, "/f", "/", &cfg);
		failed = failalloc_disarm();
		assert_int_equal(tako_router_error(r), failed ? TAKO_ENOMEM : 0);
		tako_router_free(r);
		assert_int_equal(failalloc_live(), 0);
		assert_int_equal(fd_count(), before);
	} while (failed);
	assert_in_range(nth, 6, 100);
	assert_int_equal(failalloc_wrong(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),        cmocka_unit_test(test_config),
		cmocka_unit_test(test_config_sizes),   cmocka_unit_test(test_what_is_kept),
		cmocka_unit_test(test_lifetime),       cmocka_unit_test(test_after_a_failure),
		cmocka_unit_test(test_without_memory),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
