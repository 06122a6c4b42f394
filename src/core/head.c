/* SPDX-License-Identifier: MIT
 *
 * Heads that an exchange has been lent: views into received bytes, which most requests are answered
 * from without another look.  Moves them into the exchange for whoever does look, or is not answered
 * by the time that the bytes go.
 */
#include "core/head.h"

#include "core/exchange.h"

static void move(tako_str *s, const char *from, size_t n, ptrdiff_t shift)
{
	/* What lies elsewhere is in the arena, or a constant, and stays. */
	if ((uintptr_t)s->p - (uintptr_t)from < n)
		s->p += shift;
}

void tako__head_move(struct tako__exchange *x, struct tako__field *to)
{
	const struct tako__field *fields = x->fields;
	const char *from = x->lent.p;
	size_t n = x->lent.n;
	char *text = (char *)(to + x->field_count);
	ptrdiff_t shift = text - from;

	memcpy(text, from, n);
	move(&x->method, from, n, shift);
	move(&x->target, from, n, shift);
	move(&x->raw_path, from, n, shift);
	move(&x->path, from, n, shift);
	move(&x->query, from, n, shift);
	move(&x->host, from, n, shift);
	move(&x->upgrade, from, n, shift);
	for (uint32_t i = 0; i < x->field_count; i++) {
		to[i].name = fields[i].name + shift;
		to[i].value = fields[i].value + shift;
		to[i].name_n = fields[i].name_n;
		to[i].value_n = fields[i].value_n;
	}
	x->fields = to;
	x->lent_room = NULL;
}
