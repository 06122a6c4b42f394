/* SPDX-License-Identifier: MIT
 *
 * Pattern syntax: what compiles to what, what is refused and why, the order of parameters
 * and what their constraints take.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/pattern.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The code, readable: <4:name> is a parameter of kind 4. */
static void show(const struct tako__pattern *p, char *out, size_t n)
{
	size_t at = 0;
	unsigned name = 0;

	for (size_t i = 0; i < p->n; i++) {
		if (p->code[i]) {
			at += (size_t)snprintf(out + at, n - at, "%c", p->code[i]);
			continue;
		}
		assert_true(name < p->name_count);
		at += (size_t)snprintf(out + at, n - at, "<%d:%.*s>", p->code[++i],
		                       TAKO_FMT(p->names[name]));
		name++;
	}
	out[at] = '\0';
	assert_int_equal(name, p->name_count);
}

static const struct {
	const char *src;
	const char *want;
} good[] = {
	{"/", "/"},
	{"/a", "/a"},
	{"/a/", "/a/"},
	{"//", "//"},
	{"/a//b", "/a//b"},
	{"/a b%20", "/a b "},
	{"/caf%C3%a9", "/caf\xc3\xa9"},
	{"/100%25", "/100%"},
	{"/%7Ba%7d", "/{a}"},
	{"/%61-{id}%2e", "/a-<7:id>."},
	{"/\xc3\xbc", "/\xc3\xbc"},
	{"/...", "/..."},
	{"/.a/..b", "/.a/..b"},
	{"/{id}", "/<7:id>"},
	{"/{_1}", "/<7:_1>"},
	{"/{a}/{b}", "/<7:a>/<7:b>"},
	{"/{a}/", "/<7:a>/"},
	{"/img-{id}.png", "/img-<7:id>.png"},
	{"/.{a}", "/.<7:a>"},
	{"/{a}.", "/<7:a>."},
	{"/{id:u64}", "/<1:id>"},
	{"/{id:i64}", "/<2:id>"},
	{"/{id:uuid}", "/<3:id>"},
	{"/{id:hex}", "/<4:id>"},
	{"/{id:alpha}", "/<5:id>"},
	{"/{id:alnum}", "/<6:id>"},
	{"/v{id:u64}x/y", "/v<1:id>x/y"},
	{"/{*rest}", "/<8:rest>"},
	{"/a/{b}/{*c}", "/a/<7:b>/<8:c>"},
	{"/{{", "/{"},
	{"/}}", "/}"},
	{"/{{id}}", "/{id}"},
	{"/{{{id}}}", "/{<7:id>}"},
	{"/a{{b/{c}", "/a{b/<7:c>"},
	{"/{a}{{", "/<7:a>{"},
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		struct tako__pattern p;
		char text[128];

		if (tako__pattern_compile(&p, good[i].src, strlen(good[i].src), false))
			fail_msg("%s: %s", good[i].src, tako_last_error());
		show(&p, text, sizeof(text));
		assert_string_equal(text, good[i].want);
	}
}

static const struct {
	const char *src;
	const char *why;
} bad[] = {
	{"", "is empty"},
	{"a", "does not begin"},
	{"{a}", "does not begin"},
	{"*", "does not begin"},
	{"/{", "proper name"},
	{"/{}", "proper name"},
	{"/{:u64}", "proper name"},
	{"/{*}", "proper name"},
	{"/{1a}", "proper name"},
	{"/{ a}", "proper name"},
	{"/{a", "without its '}'"},
	{"/{a/b}", "without its '}'"},
	{"/{a b}", "without its '}'"},
	{"/{a{b}", "without its '}'"},
	{"/{a:u64", "without its '}'"},
	{"/{*a:u64}", "without its '}'"},
	{"/{a*}", "without its '}'"},
	{"/{a-b}", "without its '}'"},
	{"/a}", "without its '{'"},
	{"/}a", "without its '{'"},
	{"/{a}}", "without its '{'"},
	{"/{{a}", "without its '{'"},
	{"/{a}{b}", "two parameters in one"},
	{"/{a}-{b}", "two parameters in one"},
	{"/{a}{*b}", "two parameters in one"},
	{"/{a}/{a}", "two parameters of one name"},
	{"/{a}/{*a}", "two parameters of one name"},
	{"/{a:int}", "unknown constraint"},
	{"/{a:}", "unknown constraint"},
	{"/{a:U64}", "unknown constraint"},
	{"/{a:u6}", "unknown constraint"},
	{"/{a:u64 }", "without its '}'"},
	{"/x{*a}", "before {*}"},
	{"/{*a}x", "after {*}"},
	{"/{*a}/", "after {*}"},
	{"/{*a}/b", "after {*}"},
	{"/{*a}}}", "after {*}"},
	{"/.", "dot segment"},
	{"/%2e", "dot segment"},
	{"/a/%2E./b", "dot segment"},
	{"/%", "hexadecimal"},
	{"/100%", "hexadecimal"},
	{"/%4", "hexadecimal"},
	{"/%zz", "hexadecimal"},
	{"/%4g", "hexadecimal"},
	{"/%{a}", "hexadecimal"},
	{"/%00", "zero byte"},
	{"/a%2fb", "encoded slash"},
	{"/..", "dot segment"},
	{"/a/./b", "dot segment"},
	{"/a/../b", "dot segment"},
	{"/a/..", "dot segment"},
	{"/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}/{k}/{l}/{m}/{n}/{o}/{p}/{q}", "more than 16"},
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct tako__pattern p;
		int rc = tako__pattern_compile(&p, bad[i].src, strlen(bad[i].src), false);

		if (rc != TAKO_EINVAL || !strstr(tako_last_error(), bad[i].why))
			fail_msg("%s: %d, %s", bad[i].src, rc, tako_last_error());
		if (!strstr(tako_last_error(), bad[i].src))
			fail_msg("%s: not named in: %s", bad[i].src, tako_last_error());
	}
}

static void test_zero_byte(void **state)
{
	struct tako__pattern p;

	(void)state;
	assert_int_equal(tako__pattern_compile(&p, "/a\0b", 4, false), TAKO_EINVAL);
	assert_non_null(strstr(tako_last_error(), "zero byte"));
}

static void test_prefix(void **state)
{
	static const char *const ok[] = {"", "/a", "/a/b", "/{t}", "/a-{t:u64}/b", "//a"};
	static const char *const no[] = {"/", "/a/", "/{t}/", "/{*a}", "/a/{*a}", "a", "/{a"};
	struct tako__pattern p;

	(void)state;
	for (size_t i = 0; i < COUNT(ok); i++)
		assert_int_equal(tako__pattern_compile(&p, ok[i], strlen(ok[i]), true), 0);
	for (size_t i = 0; i < COUNT(no); i++)
		assert_int_equal(tako__pattern_compile(&p, no[i], strlen(no[i]), true),
		                 TAKO_EINVAL);
}

static void test_sixteen_parameters(void **state)
{
	static const char src[] =
		"/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}/{k}/{l}/{m}/{n}/{o}/{*p}";
	struct tako__pattern p;

	(void)state;
	assert_int_equal(tako__pattern_compile(&p, src, sizeof(src) - 1, false), 0);
	assert_int_equal(p.name_count, 16);
	assert_int_equal(p.names[15].n, 1);
	assert_int_equal(*p.names[15].p, 'p');
}

static void test_length(void **state)
{
	static char src[TAKO__PATTERN_MAX_BYTES + 2];
	static struct tako__pattern p;

	(void)state;
	memset(src, 'a', sizeof(src));
	src[0] = '/';
	assert_int_equal(tako__pattern_compile(&p, src, TAKO__PATTERN_MAX_BYTES, false), 0);
	assert_int_equal(p.n, TAKO__PATTERN_MAX_BYTES);
	assert_int_equal(tako__pattern_compile(&p, src, TAKO__PATTERN_MAX_BYTES + 1, false),
	                 TAKO_EINVAL);
	assert_non_null(strstr(tako_last_error(), "longer than 4096"));
}

/* ---- Order ------------------------------------------------------------------- */

static struct tako__param_spec spec_of(const char *segment)
{
	static struct tako__pattern p[16];
	static unsigned next;
	struct tako__pattern *to = &p[next++ % COUNT(p)];
	struct tako__param_spec spec = {{0}, {0}, TAKO__PARAM_BARE};
	bool has_param = false;
	char src[64];
	int n = snprintf(src, sizeof(src), "/%s", segment);
	size_t len;

	assert_int_equal(tako__pattern_compile(to, src, (size_t)n, false), 0);
	len = tako__pattern_segment(&spec, &has_param, to->code + 1, to->n - 1);
	assert_true(has_param);
	assert_int_equal(len, to->n - 1);
	return spec;
}

/* Best first: constrained, the ones with longer affixes and then the narrower ones first; then
 * affixes; then bare; then the rest. */
static const char *const ranks[] = {
	"aaa{p:alnum}", "aa{p:u64}b", "aa{p:u64}", "a{p:u64}b", "a{p:u64}", "a{p:i64}",
	"{p:u64}a",     "{p:u64}",    "{p:i64}",   "{p:uuid}",  "{p:hex}",  "{p:alpha}",
	"{p:alnum}",    "aaaa{p}",    "aaa{p}b",   "aa{p}bb",   "a{p}bbb",  "{p}bbbb",
	"aa{p}b",       "a{p}",       "{p}a",      "{p}",       "{*p}",
};

static void test_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(ranks); i++) {
		for (size_t j = 0; j < COUNT(ranks); j++) {
			struct tako__param_spec a = spec_of(ranks[i]);
			struct tako__param_spec b = spec_of(ranks[j]);
			int cmp = tako__param_cmp(&a, &b);
			int want = (i > j) - (i < j);

			if ((cmp > 0) - (cmp < 0) != want)
				fail_msg("%s and %s: %d", ranks[i], ranks[j], cmp);
		}
	}
}

/* Names are no difference, text and constraints are. */
static void test_same(void **state)
{
	struct tako__param_spec a = spec_of("a{x:hex}b");
	struct tako__param_spec same = spec_of("a{y:hex}b");
	struct tako__param_spec kind = spec_of("a{x:alnum}b");
	struct tako__param_spec prefix = spec_of("c{x:hex}b");
	struct tako__param_spec suffix = spec_of("a{x:hex}c");

	(void)state;
	assert_int_equal(tako__param_cmp(&a, &same), 0);
	assert_int_not_equal(tako__param_cmp(&a, &kind), 0);
	assert_int_not_equal(tako__param_cmp(&a, &prefix), 0);
	assert_int_not_equal(tako__param_cmp(&a, &suffix), 0);
	assert_int_equal(tako__param_cmp(&a, &prefix) < 0, tako__param_cmp(&prefix, &a) > 0);
	assert_int_equal(tako__param_cmp(&a, &suffix) < 0, tako__param_cmp(&suffix, &a) > 0);
}

static void test_segments(void **state)
{
	struct tako__pattern p;
	struct tako__param_spec spec;
	bool has_param;

	(void)state;
	assert_int_equal(tako__pattern_compile(&p, "/ab/c{x:u64}de/{{}}", 19, false), 0);
	assert_int_equal(tako__pattern_segment(&spec, &has_param, p.code + 1, p.n - 1), 2);
	assert_false(has_param);
	assert_int_equal(tako__pattern_segment(&spec, &has_param, p.code + 4, p.n - 4), 5);
	assert_true(has_param);
	assert_int_equal(spec.kind, TAKO__PARAM_U64);
	assert_true(tako_str_eq(spec.prefix, TAKO_STR("c")));
	assert_true(tako_str_eq(spec.suffix, TAKO_STR("de")));
	assert_int_equal(tako__pattern_segment(&spec, &has_param, p.code + 10, p.n - 10), 2);
	assert_false(has_param);
	assert_int_equal(tako__pattern_segment(&spec, &has_param, p.code + p.n, 0), 0);
	assert_false(has_param);
}

/* ---- Constraints --------------------------------------------------------------- */

static const struct {
	const char *text;
	const char *kinds; /* one letter each: u i U h a n */
} takes[] = {
	{"0", "uihn"},
	{"42", "uihn"},
	{"007", "uihn"},
	{"18446744073709551615", "uhn"},
	{"18446744073709551616", "hn"},
	{"000018446744073709551615", "uhn"},
	{"99999999999999999999", "hn"},
	{"9223372036854775807", "uihn"},
	{"9223372036854775808", "uhn"},
	{"-1", "i"},
	{"-0", "i"},
	{"-9223372036854775808", "i"},
	{"-9223372036854775809", ""},
	{"--1", ""},
	{"-", ""},
	{"+1", ""},
	{"1-", ""},
	{" 1", ""},
	{"1.0", ""},
	{"0x1", "n"},
	{"f00", "hn"},
	{"CAFE", "han"},
	{"cafe", "han"},
	{"cafes", "an"},
	{"aZ", "an"},
	{"a1z", "n"},
	{"a_b", ""},
	{"\xc3\xbc", ""},
	{"@", ""},
	{"[", ""},
	{"`", ""},
	{"{", ""},
	{"/", ""},
	{":", ""},
	{"g", "an"},
	{"G", "an"},
	{"123e4567-e89b-12d3-a456-426614174000", "U"},
	{"123E4567-E89B-12D3-A456-426614174000", "U"},
	{"123e4567-e89b-12d3-a456-42661417400", ""},
	{"123e4567-e89b-12d3-a456-4266141740000", ""},
	{"123e4567e-89b-12d3-a456-426614174000", ""},
	{"123e4567-e89b-12d3-a456-42661417400g", ""},
	{"123e4567ae89b-12d3-a456-426614174000", ""},
	{"", ""},
};

static void test_constraints(void **state)
{
	static const char letters[] = "?uiUhan";

	(void)state;
	for (size_t i = 0; i < COUNT(takes); i++) {
		for (unsigned k = TAKO__PARAM_U64; k <= TAKO__PARAM_ALNUM; k++) {
			bool want = strchr(takes[i].kinds, letters[k]) != NULL;

			if (tako__param_takes((enum tako__param)k, takes[i].text,
			                      strlen(takes[i].text)) != want)
				fail_msg("\"%s\" for kind %c", takes[i].text, letters[k]);
		}
		assert_int_equal(
			tako__param_takes(TAKO__PARAM_BARE, takes[i].text, strlen(takes[i].text)),
			takes[i].text[0] != '\0');
		assert_true(
			tako__param_takes(TAKO__PARAM_REST, takes[i].text, strlen(takes[i].text)));
	}
}

/* A mark (core/path.h) is a byte like others to a bare one and none of a constrained one's. */
static void test_marks(void **state)
{
	(void)state;
	for (unsigned k = TAKO__PARAM_U64; k <= TAKO__PARAM_ALNUM; k++) {
		assert_false(tako__param_takes((enum tako__param)k, "1\0", 2));
		assert_false(tako__param_takes((enum tako__param)k, "\0", 1));
	}
	assert_true(tako__param_takes(TAKO__PARAM_BARE, "\0", 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_zero_byte),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_sixteen_parameters),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_constraints),
		cmocka_unit_test(test_marks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
