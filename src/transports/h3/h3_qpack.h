/* SPDX-License-Identifier: MIT
 *
 * Field sections as we write them (RFC 9204): with the static table and without a dynamic one, so
 * that nothing waits for anything, nothing is kept for a connection, and no encoder stream is
 * opened.  And what the peer may then say about them on its decoder stream, which is nearly
 * nothing.  Sans-I/O.
 */
#ifndef TAKO_H3_QPACK_H
#define TAKO_H3_QPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TAKO__H3_PREFIX_BYTES = 2, /* of a section: Required Insert Count and Base, both 0 */
	TAKO__H3_STATUS_BYTES = 8,
	/* A line takes at most this beside its name and its value, of less than 4 GiB each. */
	TAKO__H3_LINE_BYTES = 12,
};

size_t tako__h3_qpack_prefix(char *to);
/* ":status". */
size_t tako__h3_qpack_status(char *to, int status);
/* A field line; the name is written in lower case (RFC 9114 section 4.2). */
size_t tako__h3_qpack_line(char *to, const char *name, size_t name_n, const char *value,
                           size_t value_n);

/* The peer's decoder stream, instruction by instruction: zeroed at first. */
struct tako__h3_decoder_stream {
	uint64_t value;
	uint8_t shift;
	bool inside;
};

/* False: QPACK_DECODER_STREAM_ERROR.  It acknowledges a section or an entry of a table that we never
 * used (RFC 9204 section 4.4); only that a stream was cancelled may be said at any time. */
bool tako__h3_decoder_stream_read(struct tako__h3_decoder_stream *d, const char *p, size_t n);

#endif /* TAKO_H3_QPACK_H */
