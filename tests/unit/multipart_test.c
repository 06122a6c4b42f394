/* SPDX-License-Identifier: MIT
 *
 * multipart/form-data: what clients send, what RFC 2046 and RFC 7578 forbid, every limit; and
 * each of these whole, cut in two at every byte, and byte by byte, with identical results.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base.h"
#include "core/multipart.h"

#define CRLF "\r\n"
#define CT "multipart/form-data; boundary=xyz"
#define DISP(name) "Content-Disposition: form-data; name=\"" name "\"" CRLF
#define PART(name, text)                                                                           \
	"--xyz" CRLF DISP(name)                                                                    \
	CRLF text CRLF
#define END "--xyz--" CRLF

/* ---- Transcript --------------------------------------------------------------------- */

struct transcript {
	char text[8192];
	size_t n;
	int stop_at; /* the callback that fails, counted from 1 */
	int calls;
};

static void say(struct transcript *t, const char *p, size_t n)
{
	assert_true(t->n + n < sizeof(t->text));
	for (size_t i = 0; i < n; i++) /* compared as text, so a NUL shows as "0" */
		t->text[t->n++] = p[i] ? p[i] : '0';
	t->text[t->n] = '\0';
}

static void say_str(struct transcript *t, const char *label, tako_str s)
{
	say(t, label, strlen(label));
	if (s.p)
		say(t, s.p, s.n);
	else
		say(t, "-", 1);
}

static int on_part(const tako_part *part, void *arg)
{
	struct transcript *t = arg;

	assert_int_equal(part->size, sizeof(*part));
	say_str(t, "{", part->name);
	say_str(t, "|", part->filename);
	say_str(t, "|", part->type);
	say(t, "|", 1);
	return ++t->calls == t->stop_at ? -77 : 0;
}

static int on_data(tako_str data, bool end, void *arg)
{
	struct transcript *t = arg;

	assert_non_null(data.p);
	assert_true(end ? data.n == 0 : data.n > 0);
	say(t, data.p, data.n);
	if (end)
		say(t, "}", 1);
	return end && ++t->calls == t->stop_at ? -77 : 0;
}

static int on_done(void *arg)
{
	struct transcript *t = arg;

	say(t, "!", 1);
	return ++t->calls == t->stop_at ? -77 : 0;
}

static const struct tako__multipart_cb callbacks = {on_part, on_data, on_done};
static struct tako__multipart_limits limits;

static void default_limits(void)
{
	limits = (struct tako__multipart_limits){
		.max_total_bytes = UINT64_MAX,
		.max_part_bytes = UINT64_MAX,
		.max_part_count = 10,
		.max_head_bytes = 512,
	};
}

/* From a block of just its size. */
static int feed(struct tako__multipart *m, const char *p, size_t n)
{
	char *copy = malloc(n + !n);
	int err;

	assert_non_null(copy);
	memcpy(copy, p, n);
	err = tako__multipart_feed(m, copy, n);
	memset(copy, '?', n);
	free(copy);
	return err;
}

/* Pieces end at `cut`, and every `step` bytes. */
static int run(const char *type, tako_str body, size_t cut, size_t step, struct transcript *t)
{
	char *head = malloc(limits.max_head_bytes + !limits.max_head_bytes);
	struct tako__multipart m;
	size_t i = 0;

	assert_non_null(head);
	assert_int_equal(tako__multipart_init(&m, tako_str_z(type), &callbacks, t, &limits, head),
	                 0);
	while (i < body.n) {
		size_t n = i < cut ? cut - i : step;
		int err;

		n = n < body.n - i ? n : body.n - i;
		err = feed(&m, body.p + i, n);
		i += n;
		if (err < 0) {
			/* For good: whatever comes, the same result and no more calls. */
			size_t said = t->n;

			assert_int_equal(feed(&m, END, strlen(END)), err);
			assert_int_equal(tako__multipart_finish(&m), err);
			assert_int_equal(t->n, said);
			free(head);
			return err;
		}
	}
	free(head);
	m.head = NULL;
	return tako__multipart_finish(&m);
}

static void check(const char *type, tako_str body, int stop_at, int want, const char *want_text)
{
	for (size_t cut = 0; cut <= body.n; cut++) {
		for (int bytewise = 0; bytewise < (cut ? 1 : 2); bytewise++) {
			struct transcript t = {.stop_at = stop_at};
			int result = run(type, body, cut, bytewise ? 1 : body.n, &t);

			if (result != want || strcmp(t.text, want_text) != 0)
				fail_msg("cut at %zu%s: %d (%s), \"%s\"", cut,
				         bytewise ? ", bytewise" : "", result, tako_last_error(),
				         t.text);
		}
	}
}

struct row {
	const char *body;
	const char *want;
};

static void check_rows(const struct row *row, size_t count, int want)
{
	for (size_t i = 0; i < count; i++)
		check(CT, tako_str_z(row[i].body), 0, want, row[i].want);
}

/* ---- Good bodies ---------------------------------------------------------------------- */

static void test_good(void **state)
{
	static const struct row rows[] = {
		{PART("a", "1") END, "{a|-|-|1}!"},
		{PART("a", "1") PART("b", "2") END, "{a|-|-|1}{b|-|-|2}!"},
		/* An empty form, as browsers send it. */
		{END, "!"},
		{"--xyz--", "!"},
		/* RFC 2046 section 5.1.1: preamble and epilogue are to be ignored. */
		{"This is a preamble" CRLF "--not it" CRLF PART("a", "1") END "epilogue" CRLF
	                                                                      "--xyz" CRLF,
	         "{a|-|-|1}!"},
		{CRLF PART("a", "1") END, "{a|-|-|1}!"},
		{"xyz--xyz" CRLF CRLF PART("a", "1") END, "{a|-|-|1}!"},
		/* transport-padding := *LWSP-char */
		{"--xyz \t " CRLF DISP("a") CRLF "1" CRLF "--xyz-- \t", "{a|-|-|1}!"},
		/* Empty contents, with and without the CRLF of their own. */
		{PART("a", "") END, "{a|-|-|}!"},
		{"--xyz" CRLF DISP("a") CRLF END, "{a|-|-|}!"},
		{"--xyz" CRLF DISP("a") CRLF PART("b", "2") END, "{a|-|-|}{b|-|-|2}!"},
		/* Contents that nearly are a delimiter. */
		{PART("a", CRLF) END, "{a|-|-|\r\n}!"},
		{PART("a", "\r") END, "{a|-|-|\r}!"},
		{PART("a", "\n") END, "{a|-|-|\n}!"},
		{PART("a", "\r\r\n\r\n-\r\n--\r\n--x\r\n--xy\r\n--xy-") END,
	         "{a|-|-|\r\r\n\r\n-\r\n--\r\n--x\r\n--xy\r\n--xy-}!"},
		/* What a sender must not do: its contents hold the closing delimiter. */
		{PART("a", "--xyz--") END, "{a|-|-|}!"},
		{PART("a", "--xy") END, "{a|-|-|--xy}!"},
		{PART("a", "-") END, "{a|-|-|-}!"},
		{PART("a", "--xy\r\n\r\n--xy") END, "{a|-|-|--xy\r\n\r\n--xy}!"},
		{PART("a", "x--xyz\n--xyz\r--xyz") END, "{a|-|-|x--xyz\n--xyz\r--xyz}!"},
		/* RFC 7578 sections 4.2 to 4.4 */
		{"--xyz" CRLF
	         "Content-Disposition: form-data; name=\"f\"; filename=\"a b.txt\"" CRLF
	         "Content-Type: text/plain; charset=utf-8" CRLF CRLF "data" CRLF END,
	         "{f|a b.txt|text/plain; charset=utf-8|data}!"},
		{"--xyz" CRLF "content-TYPE:x/y" CRLF
	         "CONTENT-disposition:\tFORM-data;NAME=f;FileName=g" CRLF CRLF "1" CRLF END,
	         "{f|g|x/y|1}!"},
		{"--xyz" CRLF
	         "Content-Disposition: form-data; filename=\"\"; name=\"\"" CRLF CRLF CRLF END,
	         "{||-|}!"},
		/* Section 4.8: other fields, and parameters, are to be ignored. */
		{"--xyz" CRLF "X-Any: thing" CRLF
	         "Content-Disposition: form-data; filename*=UTF-8''x; name=\"f\"; x=y" CRLF
	         "Content-Transfer-Encoding: binary" CRLF CRLF "1" CRLF END,
	         "{f|-|-|1}!"},
		/* Names as various clients write them. */
		{PART("\\\"q\\\"", "1") END, "{\"q\"|-|-|1}!"},
		{PART("%22q%22", "1") END, "{%22q%22|-|-|1}!"},
		{PART("C:\\dir\\f.txt", "1") END, "{C:\\dir\\f.txt|-|-|1}!"},
		{PART("a\\\\b", "1") END, "{a\\b|-|-|1}!"},
		{PART("\xc3\xa9\xff", "1") END, "{\xc3\xa9\xff|-|-|1}!"},
		{PART("a;b=c", "1") END, "{a;b=c|-|-|1}!"},
	};

	(void)state;
	default_limits();
	check_rows(rows, TAKO__COUNT(rows), 0);
}

static void test_binary_contents(void **state)
{
	char body[2048];
	char want[2048];
	size_t n = 0;
	size_t w = 0;

	(void)state;
	default_limits();
	n += (size_t)snprintf(body, sizeof(body), "--xyz" CRLF DISP("a") CRLF);
	w += (size_t)snprintf(want, sizeof(want), "{a|-|-|");
	for (unsigned i = 1; i < 1024; i++)
		body[n++] = want[w++] = (char)(i % 256 ? i * 167 : '\r');
	n += (size_t)snprintf(body + n, sizeof(body) - n, CRLF END);
	snprintf(want + w, sizeof(want) - w, "}!");
	for (size_t i = 0; i < w; i++)
		want[i] = want[i] ? want[i] : '0';
	check(CT, (tako_str){body, n}, 0, 0, want);
}

/* ---- Boundaries -------------------------------------------------------------------------- */

#define SEVENTY "1234567890123456789012345678901234567890123456789012345678901234567890"

/* RFC 2046 section 5.1.1: boundary := 0*69<bchars> bcharsnospace */
static void test_boundaries(void **state)
{
	static const struct {
		const char *type;
		const char *boundary; /* NULL: TAKO_EINVAL */
	} table[] = {
		{"multipart/form-data; boundary=xyz", "xyz"},
		{"Multipart/Form-Data ; Boundary=xyz", "xyz"},
		{"multipart/form-data; charset=utf-8; boundary=\"xyz\"", "xyz"},
		{"multipart/form-data; boundary=x; y=\"z\"", "x"},
		{"multipart/form-data; boundary=\"gc0pJq0M:08jU534c0p\"", "gc0pJq0M:08jU534c0p"},
		{"multipart/form-data; boundary=\"a b\"", "a b"},
		{"multipart/form-data; boundary=\"\\x\\y\"", "xy"},
		{"multipart/form-data; boundary=----=_Part_1_2.3", "----=_Part_1_2.3"},
		{"multipart/form-data; boundary='()+_,-./:=?", NULL}, /* "," ends it: unquoted */
		{"multipart/form-data; boundary=\"'()+_,-./:=?\"", "'()+_,-./:=?"},
		{"multipart/form-data; boundary=-", "-"},
		{"multipart/form-data; boundary=" SEVENTY, SEVENTY},
		{"multipart/form-data; boundary=" SEVENTY "1", NULL},
		{"multipart/form-data; boundary=\"" SEVENTY SEVENTY SEVENTY "\"", NULL},
		{"multipart/form-data; boundary=\"\"", NULL},
		{"multipart/form-data; boundary=", NULL},
		{"multipart/form-data; boundary", NULL},
		{"multipart/form-data; boundary=\"a \"", NULL},
		{"multipart/form-data; boundary=\"a\tb\"", NULL},
		{"multipart/form-data; boundary=a@b", NULL},
		{"multipart/form-data; boundary=\"a\"b", NULL},
		{"multipart/form-data; boundary=\"a", NULL},
		{"multipart/form-data; boundary=a\xff", NULL},
		{"multipart/form-data; boundary=a; boundary=b", NULL},
		{"multipart/form-data; boundary=a; boundary=a", NULL},
		{"multipart/form-data; boundary=a; =", NULL},
		{"multipart/form-data", NULL},
		{"multipart/form-data;", NULL},
		{"multipart/form-data; xboundary=a", NULL},
		{"multipart/mixed; boundary=a", NULL},
		{"multipart/form-datax; boundary=a", NULL},
		{"application/x-www-form-urlencoded", NULL},
		{"", NULL},
		{NULL, NULL},
	};

	(void)state;
	default_limits();
	for (size_t i = 0; i < TAKO__COUNT(table); i++) {
		char body[512];
		struct tako__multipart m;
		int n;

		if (!table[i].boundary) {
			if (tako__multipart_init(&m, tako_str_z(table[i].type), &callbacks, NULL,
			                         &limits, NULL) != TAKO_EINVAL)
				fail_msg("accepted: %s", table[i].type);
			continue;
		}
		n = snprintf(body, sizeof(body), "--%s" CRLF DISP("a") CRLF "1" CRLF "--%s--",
		             table[i].boundary, table[i].boundary);
		check(table[i].type, (tako_str){body, (size_t)n}, 0, 0, "{a|-|-|1}!");
	}
}

/* ---- Malformed bodies ----------------------------------------------------------------------- */

static void test_malformed(void **state)
{
	static const struct row rows[] = {
		/* RFC 2046 section 5.1.1: the closing delimiter is not optional. */
		{"", ""},
		{"no boundary at all", ""},
		{"--xyz", ""},
		{"--xyz-", ""},
		{"--xyz" CRLF, ""},
		{"--xyz" CRLF DISP("a"), ""},
		{"--xyz" CRLF DISP("a") CRLF, "{a|-|-|"},
		{PART("a", "1"), "{a|-|-|1"},
		{PART("a", "1") "--xyz", "{a|-|-|1}"},
		{PART("a", "1") "--xyz-", "{a|-|-|1}"},
		{PART("a", "1") "--xyz" CRLF, "{a|-|-|1}"},
		{"-" CRLF "--xy" CRLF, ""},
		/* … and nothing but padding and CRLF, or "--", may follow a boundary. */
		{"--xyzz" CRLF DISP("a") CRLF "1" CRLF END, ""},
		{"--xyz\n" DISP("a") CRLF "1" CRLF END, ""},
		{"--xyz\r" DISP("a") CRLF "1" CRLF END, ""},
		{"--xyz x" CRLF DISP("a") CRLF "1" CRLF END, ""},
		{"--xyz -- " CRLF, ""},
		{"--xyz-x" CRLF, ""},
		/* Behind the last one there is padding and the end of its line, or of the body. */
		{PART("a", "1") "--xyz--garbage", "{a|-|-|1}"},
		{PART("a", "1") "--xyz-- x" CRLF, "{a|-|-|1}"},
		{PART("a", "1") "--xyz--\n", "{a|-|-|1}"},
		{PART("a", "1") "--xyz--\rx", "{a|-|-|1}"},
		{PART("a", "1") "--xyz--\r", "{a|-|-|1}"},
		{PART("a", "1") "--xyz---", "{a|-|-|1}"},
		{"--xyz" CRLF DISP("a") CRLF "1" CRLF "--xyz!" CRLF, "{a|-|-|1}"},
		/* RFC 7578 section 4.2: each part must have Content-Disposition: form-data with a
		 * name. */
		{"--xyz" CRLF CRLF "1" CRLF END, ""},
		{"--xyz" CRLF "Content-Type: text/plain" CRLF CRLF "1" CRLF END, ""},
		{"--xyz" CRLF "Content-Disposition: form-data" CRLF CRLF "1" CRLF END, ""},
		{"--xyz" CRLF "Content-Disposition: form-data; filename=f" CRLF CRLF "1" CRLF END,
	         ""},
		{"--xyz" CRLF "Content-Disposition: attachment; name=a" CRLF CRLF "1" CRLF END, ""},
		{"--xyz" CRLF "Content-Disposition: ; name=a" CRLF CRLF "1" CRLF END, ""},
		{"--xyz" CRLF "Content-Disposition:" CRLF CRLF "1" CRLF END, ""},
		{"--xyz" CRLF DISP("a") DISP("a") CRLF "1" CRLF END, ""},
		{"--xyz" CRLF "Content-Disposition: form-data; name=a; name=b" CRLF CRLF END, ""},
		{"--xyz" CRLF
	         "Content-Disposition: form-data; name=a; filename=b; filename=c" CRLF CRLF END,
	         ""},
		{"--xyz" CRLF "Content-Disposition: form-data; name" CRLF CRLF "1" CRLF END, ""},
		{"--xyz" CRLF "Content-Disposition: form-data; name=" CRLF CRLF "1" CRLF END, ""},
		{"--xyz" CRLF "Content-Disposition: form-data; name=\"a" CRLF CRLF "1" CRLF END,
	         ""},
		{"--xyz" CRLF "Content-Disposition: form-data; name=\"a\\\"" CRLF CRLF END, ""},
		{"--xyz" CRLF "Content-Disposition: form-data; name=a b" CRLF CRLF "1" CRLF END,
	         ""},
		{"--xyz" CRLF "Content-Disposition: form-data name=a" CRLF CRLF "1" CRLF END, ""},
		{"--xyz" CRLF DISP("a") "Content-Type: a/b" CRLF "Content-Type: a/b" CRLF CRLF
	                                "1" CRLF END,
	         ""},
		/* RFC 822 fields: name ":" value CRLF, here without folding (RFC 9110 5.2). */
		{"--xyz" CRLF "Content-Disposition: form-data;" CRLF " name=a" CRLF CRLF END, ""},
		{"--xyz" CRLF DISP("a") " folded" CRLF CRLF END, ""},
		{"--xyz" CRLF DISP("a") "nocolon" CRLF CRLF END, ""},
		{"--xyz" CRLF DISP("a") ": no name" CRLF CRLF END, ""},
		{"--xyz" CRLF DISP("a") "sp ace: x" CRLF CRLF END, ""},
		{"--xyz" CRLF DISP("a") "before : x" CRLF CRLF END, ""},
		{"--xyz" CRLF DISP("a") "x: \x01" CRLF CRLF END, ""},
		{"--xyz" CRLF DISP("a") "x: a\rb" CRLF CRLF END, ""},
		{"--xyz" CRLF DISP("a\x7f") CRLF "1" CRLF END, ""},
		{"--xyz" CRLF DISP("a") "x: y\n" CRLF END, ""},
		{"--xyz" CRLF DISP("a") "\n1" CRLF END, ""},
		{"--xyz" CRLF DISP("a") "\r\r\n1" CRLF END, ""},
		/* The second part, after a good one. */
		{PART("a", "1") "--xyz" CRLF "bad" CRLF CRLF END, "{a|-|-|1}"},
	};

	(void)state;
	default_limits();
	check_rows(rows, TAKO__COUNT(rows), TAKO_EPROTO);
	check(CT, TAKO_STR("--xyz" CRLF DISP("a\0b") CRLF "1" CRLF END), 0, TAKO_EPROTO, "");
}

/* ---- Limits -------------------------------------------------------------------------------- */

static void test_limit_parts(void **state)
{
	(void)state;
	default_limits();
	limits.max_part_count = 2;
	check(CT, TAKO_STR(PART("a", "1") PART("b", "2") END), 0, 0, "{a|-|-|1}{b|-|-|2}!");
	check(CT, TAKO_STR(PART("a", "1") PART("b", "2") PART("c", "3") END), 0, TAKO_ETOOBIG,
	      "{a|-|-|1}{b|-|-|2}");
	limits.max_part_count = 0;
	check(CT, TAKO_STR(END), 0, 0, "!");
	check(CT, TAKO_STR(PART("a", "1") END), 0, TAKO_ETOOBIG, "");
}

static void test_limit_part_bytes(void **state)
{
	(void)state;
	default_limits();
	limits.max_part_bytes = 5;
	check(CT, TAKO_STR(PART("a", "12345") PART("b", "54321") END), 0, 0,
	      "{a|-|-|12345}{b|-|-|54321}!");
	check(CT, TAKO_STR(PART("a", "123456") END), 0, TAKO_ETOOBIG, "{a|-|-|12345");
	/* Bytes that were held back count once they turn out to be contents. */
	check(CT, TAKO_STR(PART("a", "12\r\n-") END), 0, 0, "{a|-|-|12\r\n-}!");
	check(CT, TAKO_STR(PART("a", "12\r\n--xy") END), 0, TAKO_ETOOBIG, "{a|-|-|12\r\n-");
	limits.max_part_bytes = 0;
	check(CT, TAKO_STR(PART("a", "") END), 0, 0, "{a|-|-|}!");
	check(CT, TAKO_STR(PART("a", "1") END), 0, TAKO_ETOOBIG, "{a|-|-|");
}

static void test_limit_head(void **state)
{
	(void)state;
	default_limits();
	limits.max_head_bytes = sizeof(DISP("abc") CRLF) - 1;
	check(CT, TAKO_STR(PART("abc", "1") PART("xyz", "2") END), 0, 0, "{abc|-|-|1}{xyz|-|-|2}!");
	check(CT, TAKO_STR(PART("abcd", "1") END), 0, TAKO_ETOOBIG, "");
	check(CT, TAKO_STR("--xyz" CRLF "x" DISP("abcdefghij")), 0, TAKO_ETOOBIG, "");
	limits.max_head_bytes = 0;
	check(CT, TAKO_STR(PART("a", "1") END), 0, TAKO_ETOOBIG, "");
	check(CT, TAKO_STR(END), 0, 0, "!");
}

static void test_limit_total(void **state)
{
	static const char body[] = PART("a", "12345") END "epilogue";

	(void)state;
	default_limits();
	limits.max_total_bytes = sizeof(body) - 1;
	check(CT, tako_str_z(body), 0, 0, "{a|-|-|12345}!");
	limits.max_total_bytes = sizeof(body) - 2;
	check(CT, tako_str_z(body), 0, TAKO_ETOOBIG, "{a|-|-|12345}!");
	limits.max_total_bytes = sizeof("--xyz" CRLF DISP("a") CRLF) - 1 + 3;
	check(CT, tako_str_z(body), 0, TAKO_ETOOBIG, "{a|-|-|123");
	limits.max_total_bytes = 0;
	check(CT, tako_str_z(body), 0, TAKO_ETOOBIG, "");
	check(CT, TAKO_STR(""), 0, TAKO_EPROTO, "");
}

/* A callback's own code ends it, and comes back. */
static void test_callbacks_stop(void **state)
{
	static const tako_str body = {PART("a", "1") PART("b", "2") END,
	                              sizeof(PART("a", "1") PART("b", "2") END) - 1};

	(void)state;
	default_limits();
	check(CT, body, 1, -77, "{a|-|-|");
	check(CT, body, 2, -77, "{a|-|-|1}");
	check(CT, body, 3, -77, "{a|-|-|1}{b|-|-|");
	check(CT, body, 4, -77, "{a|-|-|1}{b|-|-|2}");
	check(CT, body, 5, -77, "{a|-|-|1}{b|-|-|2}!");
}

/* Contents come as views of what was fed. */
static const char *fed;

static int on_data_view(tako_str data, bool end, void *arg)
{
	size_t *seen = arg;

	if (!end)
		assert_true(data.p >= fed && data.p + data.n <= fed + 4096);
	*seen += data.n;
	return 0;
}

static int ignore_part(const tako_part *part, void *arg)
{
	(void)part;
	(void)arg;
	return 0;
}

static int ignore_done(void *arg)
{
	(void)arg;
	return 0;
}

static void test_no_copy(void **state)
{
	static const struct tako__multipart_cb cb = {ignore_part, on_data_view, ignore_done};
	static char body[4096] = "--xyz" CRLF DISP("a") CRLF;
	size_t at = strlen(body);
	struct tako__multipart m;
	char head[512];
	size_t seen = 0;

	(void)state;
	default_limits();
	memset(body + at, '\r', 3000);
	memcpy(body + at + 3000, CRLF END, sizeof(CRLF END));
	fed = body;
	assert_int_equal(tako__multipart_init(&m, tako_str_z(CT), &cb, &seen, &limits, head), 0);
	assert_int_equal(tako__multipart_feed(&m, body, strlen(body)), 0);
	assert_int_equal(tako__multipart_finish(&m), 0);
	assert_int_equal(seen, 3000);
}

/* ---- File names -------------------------------------------------------------------------------- */

/* RFC 7578 section 4.2: no path information may be used; section 7: nor special names. */
static void test_filename_base(void **state)
{
	static const struct {
		const char *in, *want;
	} table[] = {
		{"a.txt", "a.txt"},
		{"/etc/passwd", "passwd"},
		{"../../a", "a"},
		{"..\\..\\a", "a"},
		{"C:\\Users\\x\\a b.txt", "a b.txt"},
		{"a/b\\c/d", "d"},
		{"\xc3\xa9.png", "\xc3\xa9.png"},
		{".hidden", ".hidden"},
		{"...", "..."},
		{"", NULL},
		{".", NULL},
		{"..", NULL},
		{"/", NULL},
		{"a/", NULL},
		{"a\\", NULL},
		{"a/..", NULL},
		{"a\\.", NULL},
		{"a\nb", NULL},
		{"a\x7f", NULL},
		{"\x1b[2J", NULL},
		{NULL, NULL},
	};
	char longest[257];

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(table); i++) {
		tako_str got = tako__filename_base(tako_str_z(table[i].in));

		if (!tako_str_eq(got, tako_str_z(table[i].want)))
			fail_msg("\"%s\": \"%.*s\"", table[i].in, TAKO_FMT(got));
	}
	assert_null(tako__filename_base(TAKO_STR("a\0b")).p);
	memset(longest, 'x', sizeof(longest));
	assert_int_equal(tako__filename_base((tako_str){longest, 255}).n, 255);
	assert_null(tako__filename_base((tako_str){longest, 256}).p);
	longest[0] = '/';
	assert_int_equal(tako__filename_base((tako_str){longest, 256}).n, 255);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),           cmocka_unit_test(test_binary_contents),
		cmocka_unit_test(test_boundaries),     cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_limit_parts),    cmocka_unit_test(test_limit_part_bytes),
		cmocka_unit_test(test_limit_head),     cmocka_unit_test(test_limit_total),
		cmocka_unit_test(test_callbacks_stop), cmocka_unit_test(test_no_copy),
		cmocka_unit_test(test_filename_base),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
