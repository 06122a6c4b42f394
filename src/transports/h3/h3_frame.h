/* SPDX-License-Identifier: MIT
 *
 * Variable-length integers (RFC 9000 section 16) and the heads of HTTP/3 frames (RFC 9114 section
 * 7.1), however the bytes are cut.  Sans-I/O; knows no type of frame.
 */
#ifndef TAKO_H3_FRAME_H
#define TAKO_H3_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TAKO__H3_VARINT_BYTES = 8, /* at most */
	TAKO__H3_HEAD_BYTES = 2 * TAKO__H3_VARINT_BYTES,
};
#define TAKO__H3_VARINT_MAX ((UINT64_C(1) << 62) - 1)

/* One that is being received: zeroed at first. */
struct tako__h3_varint {
	uint64_t value;
	uint8_t left; /* bytes to come; 0: none has come yet */
};

/* Take bytes from *p up to `end`.  True: the value is there, and the struct ready for the next one. */
bool tako__h3_varint_read(struct tako__h3_varint *v, const char **p, const char *end,
                          uint64_t *ret_value);

/* Write one in as few bytes as it takes; returns how many. */
size_t tako__h3_varint_write(char *to, uint64_t value);

/* A frame that is being received: zeroed at first. */
struct tako__h3_frame {
	struct tako__h3_varint v;
	uint64_t type;
	uint64_t left; /* of its payload, once `open` */
	bool has_type;
	bool open; /* its head is complete; whoever reads the payload counts `left` down */
};

/* Take bytes of a head.  True: it is complete. */
bool tako__h3_frame_read(struct tako__h3_frame *f, const char **p, const char *end);
/* The payload has been read: the next frame may come. */
void tako__h3_frame_next(struct tako__h3_frame *f);
/* Neither between two frames nor inside none: a stream that ends here cuts one off. */
static inline bool tako__h3_frame_is_cut(const struct tako__h3_frame *f)
{
	return f->open || f->has_type || f->v.left;
}

/* Write a head; returns its length. */
size_t tako__h3_frame_write(char *to, uint64_t type, uint64_t n);

#endif /* TAKO_H3_FRAME_H */
