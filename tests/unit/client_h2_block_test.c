/* SPDX-License-Identifier: MIT
 *
 * Fields of responses over HTTP/2: what is taken, and what makes one malformed (RFC 9113 sections 8.1 to 8.3).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/base.h"
#include "transports/client/client_h2_block.h"
#include "unit/failalloc.h"

enum { LIST_BYTES = 4096, FIELDS = 5 };

struct field {
	const char *name;
	const char *value;
};

static void begin(struct tako__client_h2_block *b, bool trailers)
{
	*b = (struct tako__client_h2_block){.list_bytes_max = LIST_BYTES,
	                                    .field_count_max = FIELDS};
	tako__client_h2_block_init(b, trailers);
}

static void add(struct tako__client_h2_block *b, const struct field *f)
{
	tako__client_h2_block_field(b, f->name, strlen(f->name), f->value, strlen(f->value));
}

static int verdict(struct tako__client_h2_block *b, const struct field *fields, bool trailers)
{
	begin(b, trailers);
	for (; fields->name; fields++)
		add(b, fields);
	return tako__client_h2_block_end(b);
}

/* ---- What is taken ----------------------------------------------------------------------- */

static void test_taken(void **state)
{
	const struct field in[] = {{":status", "203"},         {"content-type", "text/plain"},
	                           {"content-length", "7"},    {"x-empty", ""},
	                           {"x-text", "a \t\xc3\xb6"}, {NULL, NULL}};
	struct tako__client_h2_block b;
	struct tako__field out[FIELDS];

	(void)state;
	assert_int_equal(verdict(&b, in, false), 0);
	assert_null(b.why);
	assert_int_equal(b.head.status, 203);
	assert_int_equal(b.head.length, 7);
	assert_int_equal(b.head.field_count, 4);
	tako__client_h2_views(out, b.head.field_count, b.text.p);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(out[i].name_n, strlen(in[i + 1].name));
		assert_memory_equal(out[i].name, in[i + 1].name, out[i].name_n);
		assert_int_equal(out[i].value_n, strlen(in[i + 1].value));
		assert_memory_equal(out[i].value, in[i + 1].value, out[i].value_n);
	}
	tako__client_buf_free(&b.text);
}

static void test_trailers_taken(void **state)
{
	const struct field in[] = {{"x-sum", "1"}, {"content-length", "no"}, {NULL, NULL}};
	struct tako__client_h2_block b;

	(void)state;
	/* What it says of lengths is dropped, and not believed (RFC 9110 section 6.5.1). */
	assert_int_equal(verdict(&b, in, true), 0);
	assert_int_equal(b.head.field_count, 2);
	assert_int_equal(b.head.length, TAKO_OFF64);
	/* The next block has nothing of this one. */
	tako__client_h2_block_init(&b, false);
	assert_int_equal(tako__client_h2_block_end(&b), TAKO_EPROTO);
	tako__client_buf_free(&b.text);
}

/* ---- What is not ---------------------------------------------------------------------------- */

static void test_malformed(void **state)
{
	static const struct {
		const char *section; /* of RFC 9113, unless it says another */
		struct field in[4];
		bool trailers;
		const char *why;
	} cases[] = {
		{"8.3.2", {{"a", "b"}}, false, "no :status"},
		{"8.3.2", {{":status", "200"}, {":status", "200"}}, false, "more than one :status"},
		{"8.3", {{"a", "b"}, {":status", "200"}}, false, ":status behind a field"},
		{"8.3.2", {{":status", "200"}, {":path", "/"}}, false, "a pseudo-header field"},
		{"8.3", {{":nothing", "x"}, {":status", "200"}}, false, "a pseudo-header field"},
		{"8.3", {{":", "x"}, {":status", "200"}}, false, "a pseudo-header field"},
		{"8.1",
	         {{"a", "b"}, {":status", "200"}},
	         true,
	         "a pseudo-header field in trailers"},
		{"RFC 9110 15", {{":status", "99"}}, false, "a status"},
		{"RFC 9110 15", {{":status", "600"}}, false, "a status"},
		{"RFC 9110 15", {{":status", "099"}}, false, "a status"},
		{"RFC 9110 15", {{":status", "2000"}}, false, "a status"},
		{"RFC 9110 15", {{":status", "2x0"}}, false, "a status"},
		{"RFC 9110 15", {{":status", "20 "}}, false, "a status"},
		{"RFC 9110 15", {{":status", ""}}, false, "a status"},
		{"8.6", {{":status", "101"}}, false, "101"},
		{"8.2.1", {{":status", "200"}, {"Name", "x"}}, false, "a field name"},
		{"8.2.1", {{":status", "200"}, {"", "x"}}, false, "a field name"},
		{"8.2.1", {{":status", "200"}, {"a b", "x"}}, false, "a field name"},
		{"8.2.1", {{":status", "200"}, {"a\x7f", "x"}}, false, "a field name"},
		{"8.2.1", {{":status", "200"}, {"a\xff", "x"}}, false, "a field name"},
		{"8.2.1", {{":status", "200"}, {"a:b", "x"}}, false, "a field name"},
		{"8.2.1", {{":status", "200"}, {"a", " x"}}, false, "a field value"},
		{"8.2.1", {{":status", "200"}, {"a", "x\t"}}, false, "a field value"},
		{"8.2.1", {{":status", "200"}, {"a", "x\r"}}, false, "a field value"},
		{"8.2.1", {{":status", "200"}, {"a", "x\ny: z"}}, false, "a field value"},
		{"8.2.1", {{"a", "x\x01"}}, true, "a field value"},
		{"8.2.1", {{"A", "x"}}, true, "a field name"},
		{"8.2.2", {{":status", "200"}, {"connection", "close"}}, false, "HTTP/1.1"},
		{"8.2.2", {{":status", "200"}, {"keep-alive", "1"}}, false, "HTTP/1.1"},
		{"8.2.2", {{":status", "200"}, {"proxy-connection", "x"}}, false, "HTTP/1.1"},
		{"8.2.2",
	         {{":status", "200"}, {"transfer-encoding", "chunked"}},
	         false,
	         "HTTP/1.1"},
		{"8.2.2", {{":status", "200"}, {"upgrade", "h2c"}}, false, "HTTP/1.1"},
		{"8.2.2", {{":status", "200"}, {"te", "gzip"}}, false, "HTTP/1.1"},
		{"8.2.2", {{"connection", "x"}}, true, "HTTP/1.1"},
		{"8.1.1", {{":status", "200"}, {"content-length", "x"}}, false, "invalid"},
		{"8.1.1", {{":status", "200"}, {"content-length", ""}}, false, "invalid"},
		{"8.1.1", {{":status", "200"}, {"content-length", "-1"}}, false, "invalid"},
		{"8.1.1", {{":status", "200"}, {"content-length", "1, 1"}}, false, "invalid"},
		{"8.1.1",
	         {{":status", "200"}, {"content-length", "18446744073709551616"}},
	         false,
	         "invalid"},
		{"8.1.1",
	         {{":status", "200"}, {"content-length", "1"}, {"content-length", "1"}},
	         false,
	         "more than one"},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(cases); i++) {
		struct tako__client_h2_block b;

		if (verdict(&b, cases[i].in, cases[i].trailers) != TAKO_EPROTO || !b.why ||
		    !strstr(b.why, cases[i].why))
			fail_msg("%zu (section %s): %d %s", i, cases[i].section, b.err,
			         b.why ? b.why : "");
		tako__client_buf_free(&b.text);
	}
}

/* The first thing that is wrong is what is told. */
static void test_first_failure_sticks(void **state)
{
	const struct field in[] = {
		{":status", "200"}, {"Upper", "x"}, {":status", "1"}, {NULL, NULL}};
	struct tako__client_h2_block b;

	(void)state;
	assert_int_equal(verdict(&b, in, false), TAKO_EPROTO);
	assert_string_equal(b.why, "a field name that is no token in lower case");
	tako__client_buf_free(&b.text);
}

/* ---- Limits --------------------------------------------------------------------------------------- */

static void test_limits(void **state)
{
	static char long_value[LIST_BYTES];
	const struct field status = {":status", "200"};
	const struct field small = {"a", "b"};
	struct field large = {"x", long_value};
	struct tako__client_h2_block b;

	(void)state;
	begin(&b, false);
	add(&b, &status);
	for (size_t i = 0; i < FIELDS; i++)
		add(&b, &small);
	assert_int_equal(b.err, 0);
	add(&b, &small);
	assert_int_equal(tako__client_h2_block_end(&b), TAKO_ETOOBIG);
	assert_string_equal(b.why, "too many fields");
	tako__client_buf_free(&b.text);
	/* RFC 9113 section 6.5.2: both parts and 32 bytes of each field. */
	for (size_t over = 0; over < 2; over++) {
		size_t n = LIST_BYTES - (7 + 3 + 32) - (1 + 32) + over;

		memset(long_value, 'v', n);
		long_value[n] = '\0';
		begin(&b, false);
		add(&b, &status);
		add(&b, &large);
		assert_int_equal(tako__client_h2_block_end(&b), over ? TAKO_ETOOBIG : 0);
		tako__client_buf_free(&b.text);
	}
}

static void test_no_memory(void **state)
{
	const struct field in[] = {{":status", "200"}, {"a", "b"}, {NULL, NULL}};
	struct tako__client_h2_block b;

	(void)state;
	failalloc_arm(1);
	assert_int_equal(verdict(&b, in, false), TAKO_ENOMEM);
	assert_true(failalloc_disarm());
	tako__client_buf_free(&b.text);
	assert_int_equal(failalloc_live(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken),     cmocka_unit_test(test_trailers_taken),
		cmocka_unit_test(test_malformed), cmocka_unit_test(test_first_failure_sticks),
		cmocka_unit_test(test_limits),    cmocka_unit_test(test_no_memory),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
