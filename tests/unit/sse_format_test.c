/* SPDX-License-Identifier: MIT
 *
 * What events look like on the wire, and what must not get there: a table, and a reader written from
 * the HTML standard that gets back what was sent, whatever bytes that was.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sim_rand.h"
#include "transports/sse/sse_format.h"

#define S(lit)                                                                                     \
	{                                                                                          \
		lit, sizeof(lit) - 1                                                               \
	}
#define NONE                                                                                       \
	{                                                                                          \
		NULL, 0                                                                            \
	}

static const struct {
	tako_str data, event, id;
	uint32_t retry_ms;
	const char *wire; /* NULL: refused */
	const char *why;
} table[] = {
	{S("hello"), NONE, NONE, 0, "data: hello\n\n", NULL},
	{S(""), NONE, NONE, 0, "data: \n\n", NULL},
	{S(" two spaces "), NONE, NONE, 0, "data:  two spaces \n\n", NULL},
	/* Lines, and only lines, whatever ends them (section 9.2.6). */
	{S("a\nb"), NONE, NONE, 0, "data: a\ndata: b\n\n", NULL},
	{S("a\rb"), NONE, NONE, 0, "data: a\ndata: b\n\n", NULL},
	{S("a\r\nb"), NONE, NONE, 0, "data: a\ndata: b\n\n", NULL},
	{S("a\n\rb"), NONE, NONE, 0, "data: a\ndata: \ndata: b\n\n", NULL},
	{S("a\n"), NONE, NONE, 0, "data: a\ndata: \n\n", NULL},
	{S("\n"), NONE, NONE, 0, "data: \ndata: \n\n", NULL},
	{S("\r"), NONE, NONE, 0, "data: \ndata: \n\n", NULL},
	{S("\r\r\n"), NONE, NONE, 0, "data: \ndata: \ndata: \n\n", NULL},
	/* Data that would be another event, or another field, if it were not cut. */
	{S("x\n\nevent: admin\ndata: y\n\n"), NONE, NONE, 0,
         "data: x\ndata: \ndata: event: admin\ndata: data: y\ndata: \ndata: \n\n", NULL},
	{S("x\rid: 9"), NONE, NONE, 0, "data: x\ndata: id: 9\n\n", NULL},
	{S("x\rretry: 1"), NONE, NONE, 0, "data: x\ndata: retry: 1\n\n", NULL},
	{S(": no comment"), NONE, NONE, 0, "data: : no comment\n\n", NULL},
	/* All fields, and some. */
	{S("x"), S("tick"), S("7"), 3000, "event: tick\nid: 7\nretry: 3000\ndata: x\n\n", NULL},
	{S("x"), S(""), NONE, 0, "data: x\n\n", NULL},
	{NONE, NONE, S("7"), 0, "id: 7\n\n", NULL},
	{NONE, NONE, S(""), 0, "id: \n\n", NULL},
	{NONE, NONE, NONE, UINT32_MAX, "retry: 4294967295\n\n", NULL},
	{S("x"), S("a: b"), S(" 1 "), 0, "event: a: b\nid:  1 \ndata: x\n\n", NULL},
	/* Types and ids are one line or nothing. */
	{S("x"), S("a\nb"), NONE, 0, NULL, "event: CR, LF or NUL in its type"},
	{S("x"), S("a\r"), NONE, 0, NULL, "event: CR, LF or NUL in its type"},
	{S("x"), S("\0"), NONE, 0, NULL, "event: CR, LF or NUL in its type"},
	{S("x"), S("a\n\ndata: y"), NONE, 0, NULL, "event: CR, LF or NUL in its type"},
	{S("x"), NONE, S("1\n"), 0, NULL, "event: CR, LF or NUL in its id"},
	{S("x"), NONE, S("\r\ndata: y"), 0, NULL, "event: CR, LF or NUL in its id"},
	{S("x"), NONE, S("1\0002"), 0, NULL, "event: CR, LF or NUL in its id"},
	{NONE, NONE, NONE, 0, NULL, "event: nothing in it"},
	{NONE, S(""), NONE, 0, NULL, "event: nothing in it"},
};

static void the_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		tako_sse_event in = {.size = sizeof in,
		                     .data = table[i].data,
		                     .event = table[i].event,
		                     .id = table[i].id,
		                     .retry_ms = table[i].retry_ms};
		tako_sse_event ev;
		char out[512];
		size_t n;

		if (!table[i].wire) {
			assert_int_equal(tako__sse_event_import(&ev, &in), TAKO_EINVAL);
			assert_string_equal(tako_last_error(), table[i].why);
			continue;
		}
		assert_int_equal(tako__sse_event_import(&ev, &in), 0);
		n = tako__sse_event_write(out, &ev);
		assert_in_range(n, 1, tako__sse_event_bound(&ev));
		out[n] = '\0';
		assert_string_equal(out, table[i].wire);
	}
}

static void ids_have_a_length(void **state)
{
	static char long_id[TAKO_SSE_ID_MAX_BYTES + 1];
	tako_sse_event in = {.size = sizeof in, .id = {long_id, TAKO_SSE_ID_MAX_BYTES}};
	tako_sse_event ev;

	(void)state;
	memset(long_id, 'x', sizeof long_id);
	assert_int_equal(tako__sse_event_import(&ev, &in), 0);
	in.id.n++;
	assert_int_equal(tako__sse_event_import(&ev, &in), TAKO_EINVAL);
	assert_string_equal(tako_last_error(), "event: an id of 1025 bytes, over 1024");
}

static void structs_have_a_size(void **state)
{
	tako_sse_event in = {.data = TAKO_STR("x")};
	tako_sse_event ev;

	(void)state;
	assert_int_equal(tako__sse_event_import(&ev, &in), TAKO_EINVAL);
	in.size = sizeof in;
	in.reserved = 1;
	assert_int_equal(tako__sse_event_import(&ev, &in), TAKO_EINVAL);
}

static void comments(void **state)
{
	static const struct {
		tako_str text;
		const char *wire;
	} cases[] = {
		{S(""), ": \n\n"},
		{NONE, ": \n\n"},
		{S("still here"), ": still here\n\n"},
		{S("a\ndata: b\r\n\r\nc"), ": a\n: data: b\n: \n: c\n\n"},
	};
	char out[128];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		size_t n = tako__sse_comment_write(out, cases[i].text);

		assert_in_range(n, 1, tako__sse_comment_bound(cases[i].text));
		out[n] = '\0';
		assert_string_equal(out, cases[i].wire);
	}
}

/* ---- A reader ---------------------------------------------------------------------------- */

struct reader {
	char data[8192];
	size_t data_n;
	char type[256];
	size_t type_n;
	char id[256];
	size_t id_n;
	unsigned long retry;
	unsigned dispatched;
};

/* Section 9.2.6, "interpreting an event stream", for one line. */
static void field(struct reader *r, const char *p, size_t n)
{
	const char *colon = memchr(p, ':', n);
	size_t name_n = colon ? (size_t)(colon - p) : n;
	const char *value = colon ? colon + 1 : p + n;
	size_t value_n = (size_t)(p + n - value);

	if (value_n && value[0] == ' ') {
		value++;
		value_n--;
	}
	if (name_n == 4 && !memcmp(p, "data", 4)) {
		memcpy(r->data + r->data_n, value, value_n);
		r->data_n += value_n;
		r->data[r->data_n++] = '\n';
	} else if (name_n == 5 && !memcmp(p, "event", 5)) {
		memcpy(r->type, value, value_n);
		r->type_n = value_n;
	} else if (name_n == 2 && !memcmp(p, "id", 2)) {
		memcpy(r->id, value, value_n);
		r->id_n = value_n;
	} else if (name_n == 5 && !memcmp(p, "retry", 5)) {
		r->retry = strtoul(value, NULL, 10);
	} else {
		assert_int_equal(name_n, 0);
	}
}

static void read_all(struct reader *r, const char *p, size_t n)
{
	size_t at = 0;

	while (at < n) {
		size_t line = at;

		while (p[at] != '\n' && p[at] != '\r')
			at++;
		if (at == line) {
			r->dispatched++;
			assert_int_equal(at + 1, n);
		} else {
			field(r, p + line, at - line);
		}
		at += p[at] == '\r' && p[at + 1] == '\n' ? 2 : 1;
	}
}

/* What a client makes of text: every line end is a newline. */
static size_t normalised(char *to, const char *p, size_t n)
{
	size_t out = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\r' && i + 1 < n && p[i + 1] == '\n')
			continue;
		to[out++] = p[i] == '\r' ? '\n' : p[i];
	}
	return out;
}

static size_t random_text(struct sim_rand *rand, char *to, size_t max, bool lines)
{
	static const char letters[] = "ab: \0\xc3\xa9\n\r";
	size_t n = (size_t)sim_rand_below(rand, max);

	for (size_t i = 0; i < n; i++)
		to[i] = letters[sim_rand_below(rand, lines ? 9 : 4)];
	return n;
}

static void whatever_the_bytes(void **state)
{
	struct sim_rand rand;

	(void)state;
	sim_rand_init(&rand, 1);
	for (unsigned i = 0; i < 20000; i++) {
		static struct reader r;
		char data[300];
		char id[20];
		char out[3000];
		char want[300];
		tako_sse_event in = {.size = sizeof in, .data = {data, 0}, .id = {id, 0}};
		tako_sse_event ev;
		size_t n;

		in.data.n = random_text(&rand, data, sizeof data, true);
		in.id.n = random_text(&rand, id, sizeof id, false);
		memset(&r, 0, sizeof r);
		assert_int_equal(tako__sse_event_import(&ev, &in), 0);
		n = tako__sse_event_write(out, &ev);
		assert_in_range(n, 1, tako__sse_event_bound(&ev));
		read_all(&r, out, n);
		assert_int_equal(r.dispatched, 1);
		n = normalised(want, data, in.data.n);
		assert_int_equal(r.data_n, n + 1);
		assert_memory_equal(r.data, want, n);
		assert_int_equal(r.id_n, in.id.n);
		assert_memory_equal(r.id, id, in.id.n);
		assert_int_equal(r.type_n, 0);
		assert_int_equal(r.retry, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table),           cmocka_unit_test(ids_have_a_length),
		cmocka_unit_test(structs_have_a_size), cmocka_unit_test(comments),
		cmocka_unit_test(whatever_the_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
