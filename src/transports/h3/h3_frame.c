/* SPDX-License-Identifier: MIT
 *
 * See h3_frame.h.
 */
#include "transports/h3/h3_frame.h"

#include <string.h>

bool tako__h3_varint_read(struct tako__h3_varint *v, const char **p, const char *end,
                          uint64_t *ret_value)
{
	const unsigned char *at = (const unsigned char *)*p;
	const unsigned char *stop = (const unsigned char *)end;

	if (at == stop)
		return false;
	if (!v->left) {
		v->left = (uint8_t)(1u << (*at >> 6));
		v->value = *at++ & 0x3f;
		v->left--;
	}
	while (v->left && at < stop) {
		v->value = v->value << 8 | *at++;
		v->left--;
	}
	*p = (const char *)at;
	if (v->left)
		return false;
	*ret_value = v->value;
	return true;
}

size_t tako__h3_varint_write(char *to, uint64_t value)
{
	unsigned log = value < 1u << 6 ? 0 : value < 1u << 14 ? 1 : value < 1u << 30 ? 2 : 3;
	size_t n = (size_t)1 << log;

	for (size_t i = n; i-- > 0; value >>= 8)
		to[i] = (char)(value & 0xff);
	to[0] = (char)((unsigned char)to[0] | log << 6);
	return n;
}

bool tako__h3_frame_read(struct tako__h3_frame *f, const char **p, const char *end)
{
	if (!f->has_type) {
		if (!tako__h3_varint_read(&f->v, p, end, &f->type))
			return false;
		f->has_type = true;
	}
	f->open = tako__h3_varint_read(&f->v, p, end, &f->left);
	return f->open;
}

void tako__h3_frame_next(struct tako__h3_frame *f)
{
	memset(f, 0, sizeof *f);
}

size_t tako__h3_frame_write(char *to, uint64_t type, uint64_t n)
{
	size_t used = tako__h3_varint_write(to, type);

	return used + tako__h3_varint_write(to + used, n);
}
