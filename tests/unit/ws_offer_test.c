/* SPDX-License-Identifier: MIT
 *
 * Sec-WebSocket-Extensions as a table: what is offered, what is taken, what is answered.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "transports/ws/ws_offer.h"

static const struct tako__ws_offer_config roomy = {
	.max_memory_bytes = 1 << 20,
	.server_bits = 15,
	.client_bits = 15,
	.level = 6,
};

#define PMD "permessage-deflate"
#define SNC "; server_no_context_takeover"
#define CNC "; client_no_context_takeover"
#define SB "; server_max_window_bits"
#define CB "; client_max_window_bits"

/* A NULL answer: declined; "!": the field is malformed. */
struct row {
	const char *offer;
	const char *answer;
};

/* A copy without a byte behind it, for the sanitizers. */
static const char *answer_to(const char *offer, const struct tako__ws_offer_config *cfg,
                             struct tako__ws_deflate_params *ret)
{
	static char answer[TAKO__WS_ANSWER_BYTES + 1];
	size_t n = strlen(offer);
	char *field = malloc(n ? n : 1);
	bool taken = false;
	int rc;

	assert_non_null(field);
	memcpy(field, offer, n);
	rc = tako__ws_offer_take((tako_str){field, n}, cfg, ret, &taken);
	free(field);
	if (rc < 0)
		return "!";
	if (!taken)
		return NULL;
	n = tako__ws_offer_answer(ret, answer);
	assert_true(n <= TAKO__WS_ANSWER_BYTES);
	answer[n] = '\0';
	return answer;
}

static void check(const struct row *rows, size_t count, const struct tako__ws_offer_config *cfg)
{
	struct tako__ws_deflate_params p;

	for (size_t i = 0; i < count; i++) {
		const char *got = answer_to(rows[i].offer, cfg, &p);

		if (!rows[i].answer != !got || (got && strcmp(got, rows[i].answer)))
			fail_msg("'%s' was answered '%s', not '%s'", rows[i].offer,
			         got ? got : "(declined)",
			         rows[i].answer ? rows[i].answer : "(declined)");
	}
}
#define CHECK(rows, cfg) check(rows, sizeof(rows) / sizeof((rows)[0]), cfg)

/* RFC 7692 section 7.1: what each parameter allows, and what is answered. */
static void test_offers(void **state)
{
	static const struct row rows[] = {
		{PMD, PMD},
		{PMD SNC, PMD SNC},
		{PMD CNC, PMD CNC},
		{PMD CNC SNC, PMD SNC CNC},
		{PMD SB "=15", PMD SB "=15"},
		{PMD SB "=9", PMD SB "=9"},
		{PMD SB "=10", PMD SB "=10"},
		{PMD SB "=8", NULL}, /* 7.1.2.1: may be declined if not supported */
		{PMD SB "=8, " PMD SB "=9", PMD SB "=9"},
		{PMD CB, PMD},
		{PMD CB "=15", PMD},
		{PMD CB "=12", PMD CB "=12"},
		{PMD CB "=8", PMD CB "=8"},
		{PMD SNC CNC SB "=11" CB "=10", PMD SNC CNC SB "=11" CB "=10"},
		/* 7.1.2.1: a value is needed; 7.1.1: none is allowed. */
		{PMD SB, NULL},
		{PMD SNC "=1", NULL},
		{PMD SNC "=true", NULL},
		{PMD CNC "=\"\\1\"", NULL},
		/* "a decimal integer value without leading zeroes between 8 to 15" */
		{PMD SB "=7", NULL},
		{PMD SB "=16", NULL},
		{PMD SB "=0", NULL},
		{PMD SB "=09", NULL},
		{PMD SB "=015", NULL},
		{PMD SB "=1", NULL},
		{PMD SB "=100", NULL},
		{PMD SB "=+9", NULL},
		{PMD SB "=1a", NULL},
		{PMD SB "=9.0", NULL},
		{PMD SB "=18446744073709551625", NULL},
		{PMD CB "=7", NULL},
		{PMD CB "=16", NULL},
		{PMD CB "=08", NULL},
		{PMD CB "=-9", NULL},
		{PMD CB "=99999999999999999999", NULL},
		/* 7.1: unknown or repeated parameters. */
		{PMD "; unknown", NULL},
		{PMD "; unknown=1", NULL},
		{PMD SNC "; x", NULL},
		{PMD SNC SNC, NULL},
		{PMD CNC CNC, NULL},
		{PMD SB "=10" SB "=10", NULL},
		{PMD CB CB "=10", NULL},
		{PMD "; Server_no_context_takeover", NULL},
		/* Other extensions, and the first that can be kept. */
		{"permessage-bzip2", NULL},
		{"Permessage-Deflate", NULL},
		{"x-webkit-deflate-frame", NULL},
		{"foo; a=1; b=\"2\", bar", NULL},
		{"foo, " PMD SNC, PMD SNC},
		{PMD "; x, " PMD CNC ", " PMD, PMD CNC},
		{PMD SNC ", " PMD, PMD SNC},
		{PMD SB "=8" CB ", " PMD CB "=10", PMD CB "=10"},
	};

	(void)state;
	CHECK(rows, &roomy);
}

/* RFC 6455 section 9.1. */
static void test_grammar(void **state)
{
	static const struct row rows[] = {
		{PMD SB "=\"10\"", PMD SB "=10"},
		{PMD SB "=\"1\\0\"", PMD SB "=10"},
		{PMD SB "=\"\\1\\0\"", PMD SB "=10"},
		{PMD CB "=\"9\"", PMD CB "=9"},
		{PMD ";server_no_context_takeover;client_max_window_bits=9", PMD SNC CB "=9"},
		{" \t" PMD " \t; \t server_no_context_takeover \t", PMD SNC},
		{", ," PMD ",,", PMD},
		{"a,b;c=\"d\"\t,\t" PMD, PMD},
		{"a;b=\"c\\\\\"", "!"}, /* a backslash is no token */
		{"a;b=\"\\c\"", NULL},
		{"", "!"},
		{" ", "!"},
		{",", "!"},
		{" , ,", "!"},
		{";", "!"},
		{PMD ";", "!"},
		{PMD "; ;", "!"},
		{PMD ";,", "!"},
		{PMD SB "=", "!"},
		{PMD SB "= 10", "!"},
		{PMD SB " =10", "!"},
		{PMD SB "=\"\"", "!"},
		{PMD SB "=\"10", "!"},
		{PMD SB "=\"10\\", "!"},
		{PMD SB "=\"10\\\"", "!"},
		{PMD SB "=\"1 0\"", "!"},
		{PMD SB "=\"10\"1", "!"},
		{PMD SB "=10 1", "!"},
		{PMD SB "='10'", NULL}, /* an apostrophe is one of a token's characters */
		{PMD " " PMD, "!"},
		{PMD "/1", "!"},
		{PMD "=1", "!"},
		{"\"" PMD "\"", "!"},
		{PMD "; =1", "!"},
		{PMD "\r\n", "!"},
		{PMD "\xc3\xa9", "!"},
		{PMD ", b c", "!"}, /* also behind what was taken */
		{PMD ", ;", "!"},
		{PMD "\x7f", "!"},
	};

	(void)state;
	CHECK(rows, &roomy);
}

/* What is configured is said, and kept to. */
static void test_our_side(void **state)
{
	static const struct row strict[] = {
		{PMD, NULL}, /* the client's window could be any */
		{PMD CB, PMD SNC CNC CB "=10"},
		{PMD CB "=9", PMD SNC CNC CB "=9"},
		{PMD CB "=15" SB "=15", PMD SNC CNC SB "=11" CB "=10"},
		{PMD CB SB "=10", PMD SNC CNC SB "=10" CB "=10"},
	};
	struct tako__ws_offer_config cfg = roomy;
	struct tako__ws_deflate_params p;

	(void)state;
	cfg.server_no_context = cfg.client_no_context = true;
	cfg.server_bits = 11;
	cfg.client_bits = 10;
	CHECK(strict, &cfg);
	cfg.client_bits = 15;
	cfg.level = 3;
	assert_string_equal(answer_to(PMD, &cfg, &p), PMD SNC CNC);
	assert_int_equal(p.server_bits, 11);
	assert_int_equal(p.mem_level, 4);
	assert_int_equal(p.client_bits, 15);
	assert_int_equal(p.level, 3);
}

/* Whatever is agreed on fits into the memory, with every window that may be asked for. */
static void test_memory(void **state)
{
	static const char *const offers[] = {PMD,          PMD CB,      PMD CB "=15",
	                                     PMD CB "=12", PMD CB "=8", PMD SB "=9" CB,
	                                     PMD SNC CB,   PMD SNC};
	struct tako__ws_offer_config cfg = roomy;
	struct tako__ws_deflate_params p;
	size_t kept = 0;

	(void)state;
	for (size_t memory = 0; memory <= 512 << 10; memory += 1000) {
		cfg.max_memory_bytes = memory;
		for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
			size_t in;
			size_t out;

			assert_non_null(answer_to(offers[i], &cfg, &p));
			in = tako__ws_z_inflater_bytes(p.client_bits);
			out = tako__ws_z_deflater_bytes(p.server_bits, p.mem_level);
			assert_true((p.client_no_context ? 0 : in) +
			                    (p.server_no_context ? 0 : out) <=
			            memory);
			kept += (p.client_no_context ? 0 : 1u) + (p.server_no_context ? 0 : 1u);
			assert_true(p.server_bits >= 9 && p.server_bits <= 15);
			assert_true(p.mem_level >= 1 && p.mem_level <= 9);
		}
	}
	assert_true(kept > 5000);
	/* With what is usual both are of a use. */
	cfg.max_memory_bytes = 64 << 10;
	assert_string_equal(answer_to(PMD CB, &cfg, &p), PMD CB "=14");
	assert_int_equal(p.server_bits, 12);
	assert_string_equal(answer_to(PMD, &cfg, &p), PMD);
	assert_int_equal(p.server_bits, 11);
	cfg.max_memory_bytes = 32 << 10;
	assert_string_equal(answer_to(PMD CB, &cfg, &p), PMD CB "=13");
	/* The client's window is 32 KiB, and nothing can make it smaller: ours gets all there is. */
	assert_string_equal(answer_to(PMD, &cfg, &p), PMD CNC);
	assert_int_equal(p.client_bits, 15);
	assert_int_equal(p.server_bits, 11);
	/* What is not kept may be large. */
	cfg.max_memory_bytes = 1000;
	assert_string_equal(answer_to(PMD CB, &cfg, &p), PMD SNC CNC);
	assert_int_equal(p.server_bits, 15);
	assert_int_equal(p.mem_level, 8);
	cfg.max_memory_bytes = SIZE_MAX;
	assert_string_equal(answer_to(PMD CB, &cfg, &p), PMD);
	assert_int_equal(p.server_bits, 15);
}

/* One field after the other: the first that was taken stays. */
static void test_several_fields(void **state)
{
	struct tako__ws_deflate_params p;
	char answer[TAKO__WS_ANSWER_BYTES];
	bool taken = false;

	(void)state;
	assert_int_equal(tako__ws_offer_take(TAKO_STR("foo"), &roomy, &p, &taken), 0);
	assert_false(taken);
	assert_int_equal(tako__ws_offer_take(TAKO_STR(PMD SNC), &roomy, &p, &taken), 0);
	assert_true(taken);
	assert_int_equal(tako__ws_offer_take(TAKO_STR(PMD CNC), &roomy, &p, &taken), 0);
	assert_int_equal(tako__ws_offer_answer(&p, answer), strlen(PMD SNC));
	assert_memory_equal(answer, PMD SNC, strlen(PMD SNC));
	assert_int_equal(tako__ws_offer_take(TAKO_STR("foo bar"), &roomy, &p, &taken), TAKO_EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offers),         cmocka_unit_test(test_grammar),
		cmocka_unit_test(test_our_side),       cmocka_unit_test(test_memory),
		cmocka_unit_test(test_several_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
