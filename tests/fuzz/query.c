/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: queries and forms.  Beside what the sanitizers see: every pair walked over is
 * found by its name and no other is, and all of them encoded anew are walked over the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/query.h"
#include "core/str.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

struct walk {
	struct tako__arena arena;
	tako_str query;
	tako_str name; /* whose pairs are counted on a walk inside the walk */
	size_t count;
	char *encoded; /* pairs written anew; room for six times the query, and 2 */
	size_t encoded_n;
};

static int count_name(tako_str name, tako_str value, void *arg)
{
	struct walk *w = arg;

	(void)value;
	w->count += tako_str_eq(name, w->name);
	return 0;
}

/* Looking up finds exactly the pairs that a walk shows under the name. */
static void look_up(struct walk *w, tako_str name)
{
	tako_str rest = w->query;
	tako_str found;

	w->name = name;
	w->count = 0;
	if (tako__query_each(w->query, &w->arena, count_name, w) < 0)
		return; /* there is a bad escape further on */
	for (; w->count; w->count--)
		MUST(tako__query_next(&rest, name, &w->arena, &found) == TAKO_OK);
	MUST(tako__query_next(&rest, name, &w->arena, &found) == TAKO_ENOENT);
}

static int on_pair(tako_str name, tako_str value, void *arg)
{
	struct walk *w = arg;

	look_up(w, name);
	if (w->encoded_n)
		w->encoded[w->encoded_n++] = '&';
	w->encoded_n += tako__percent_encode(w->encoded + w->encoded_n, name.p, name.n);
	w->encoded[w->encoded_n++] = '=';
	w->encoded_n += tako__percent_encode(w->encoded + w->encoded_n, value.p, value.n);
	return 0;
}

static int walk(tako_str query, struct walk *w)
{
	int err;

	*w = (struct walk){.query = query};
	w->encoded = malloc(query.n * 6 + 2);
	MUST(w->encoded);
	tako__arena_init(&w->arena, NULL, 0);
	err = tako__query_each(query, &w->arena, on_pair, w);
	tako__arena_fini(&w->arena);
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct walk first;
	struct walk second;

	if (size > 512)
		return 0; /* every pair is looked up: keep it from going quadratic */
	if (walk((tako_str){(const char *)data, size}, &first) == TAKO_OK) {
		tako_str again = {first.encoded, first.encoded_n};

		MUST(walk(again, &second) == TAKO_OK);
		MUST(tako_str_eq(again, (tako_str){second.encoded, second.encoded_n}));
		free(second.encoded);
	}
	free(first.encoded);
	return 0;
}
