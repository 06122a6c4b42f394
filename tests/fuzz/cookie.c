/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: cookies both ways.  Beside what the sanitizers see: every pair read can be
 * looked up, and a Set-Cookie value that was agreed to holds no control character, as many
 * attributes as were asked for, and the cookie itself.
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

static void read_field(tako_str field)
{
	tako_str rest = field;
	tako_str name;
	tako_str value;
	tako_str found;

	while (tako__cookie_next(&rest, &name, &value)) {
		MUST(name.n && value.p);
		MUST(tako__all(name.p, name.n, TAKO__C_FIELD));
		MUST(tako__all(value.p, value.n, TAKO__C_FIELD));
		MUST(!memchr(value.p, ';', value.n) && !memchr(name.p, '=', name.n));
		MUST(tako__cookie_get(field, name, &found) == TAKO_OK);
	}
}

static size_t count(tako_str s, char c)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == c;
	return n;
}

static void check_set_cookie(const tako_cookie *c, tako_str line)
{
	size_t attributes = 2u + (c->domain != NULL) + (c->max_age_s ? 2 : 0) + (c->secure != 0) +
	                    !c->script_readable;
	tako_str rest = line;
	tako_str name;
	tako_str value;
	tako_str want = tako_str_z(c->value ? c->value : "");

	MUST(tako__all(line.p, line.n, TAKO__C_FIELD) && !memchr(line.p, '\t', line.n));
	MUST(count(line, ';') == attributes);
	MUST(tako__cookie_next(&rest, &name, &value));
	MUST(tako_str_eq(name, tako_str_z(c->name)));
	if (want.n >= 2 && want.p[0] == '"')
		want = (tako_str){want.p + 1, want.n - 2};
	MUST(tako_str_eq(value, want));
}

/* Up to the next NUL; "-" leaves the field out. */
static const char *next_text(char **p, const char *end)
{
	char *start = *p;

	if (start > end)
		return NULL;
	*p = start + strlen(start) + 1;
	return strcmp(start, "-") != 0 ? start : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tako__arena arena;
	tako_cookie c = {.size = sizeof(c)};
	tako_str line;
	char *text;
	char *p;

	if (!size || size > 2048)
		return 0;
	text = malloc(size + 1);
	MUST(text);
	memcpy(text, data, size);
	text[size] = '\0';
	read_field((tako_str){text, size});
	c.secure = data[0] & 1;
	c.script_readable = data[0] >> 1 & 1;
	c.max_age_s = data[0] & 4 ? INT64_C(1) << (data[0] >> 3) : data[0] & 8 ? -1 : 0;
	p = text + 1;
	c.name = next_text(&p, text + size);
	c.value = next_text(&p, text + size);
	c.path = next_text(&p, text + size);
	c.domain = next_text(&p, text + size);
	c.same_site = next_text(&p, text + size);
	tako__arena_init(&arena, NULL, 0);
	if (tako__cookie_format(&c, 1762848000, &arena, &line) == TAKO_OK)
		check_set_cookie(&c, line);
	tako__arena_fini(&arena);
	free(text);
	return 0;
}
