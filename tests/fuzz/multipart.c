/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: multipart/form-data.  The first two bytes say in what pieces the body comes,
 * the rest of the first line is its Content-Type.  Beside what the sanitizers see: in pieces
 * it gives the same parts, contents and result as whole.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base.h"
#include "core/multipart.h"

enum { HEAD_BYTES = 200, PART_BYTES = 300, PARTS = 6, TOTAL_BYTES = 3000 };

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

struct transcript {
	char text[TOTAL_BYTES + PARTS * HEAD_BYTES + 64];
	size_t n;
	bool in_part;
};

static void say(struct transcript *t, const char *p, size_t n)
{
	MUST(n <= sizeof(t->text) - t->n);
	if (n)
		memcpy(t->text + t->n, p, n);
	t->n += n;
}

static int on_part(const tako_part *part, void *arg)
{
	struct transcript *t = arg;

	MUST(!t->in_part && part->name.p);
	t->in_part = true;
	say(t, "{", 1);
	say(t, part->name.p, part->name.n);
	say(t, part->filename.p ? "|" : "-", 1);
	say(t, part->filename.p, part->filename.n);
	say(t, part->type.p ? "|" : "-", 1);
	say(t, part->type.p, part->type.n);
	(void)tako__filename_base(part->filename);
	return 0;
}

static int on_data(tako_str data, bool end, void *arg)
{
	struct transcript *t = arg;

	MUST(t->in_part && data.p && (data.n == 0) == end);
	say(t, data.p, data.n);
	if (end)
		say(t, "}", 1);
	t->in_part = !end;
	return 0;
}

static int on_done(void *arg)
{
	struct transcript *t = arg;

	MUST(!t->in_part);
	say(t, "!", 1);
	return 0;
}

static int run(tako_str type, tako_str body, const uint8_t *steps, struct transcript *t)
{
	static const struct tako__multipart_cb cb = {on_part, on_data, on_done};
	static const struct tako__multipart_limits limits = {TOTAL_BYTES, PART_BYTES, PARTS,
	                                                     HEAD_BYTES};
	struct tako__multipart m;
	char head[HEAD_BYTES];
	size_t at = 0;
	int err;

	t->n = 0;
	t->in_part = false;
	err = tako__multipart_init(&m, type, &cb, t, &limits, head);
	if (err)
		return err;
	for (size_t turn = 0; at < body.n && !err; turn++) {
		size_t step = steps ? steps[turn & 1] % 32 + 1u : body.n;
		size_t n = body.n - at < step ? body.n - at : step;
		char *piece = malloc(n);

		MUST(piece);
		memcpy(piece, body.p + at, n);
		err = tako__multipart_feed(&m, piece, n);
		free(piece);
		at += n;
	}
	return tako__multipart_finish(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct transcript whole;
	static struct transcript pieces;
	const uint8_t *newline;
	tako_str type;
	tako_str body;
	int result;

	if (size < 2)
		return 0;
	newline = memchr(data + 2, '\n', size - 2);
	if (!newline)
		return 0;
	type = (tako_str){(const char *)data + 2, (size_t)(newline - data - 2)};
	body = (tako_str){(const char *)newline + 1, size - type.n - 3};
	result = run(type, body, NULL, &whole);
	MUST(run(type, body, data, &pieces) == result);
	MUST(tako_str_eq((tako_str){whole.text, whole.n}, (tako_str){pieces.text, pieces.n}));
	return 0;
}
