/* SPDX-License-Identifier: MIT
 *
 * Bytes of HTTP/3 as tests write them, by literals alone: not taken from the library.
 */
#ifndef TESTS_UNIT_H3_BYTES_H
#define TESTS_UNIT_H3_BYTES_H

#include <stddef.h>
#include <stdint.h>

/* A varint; its length. */
size_t h3_rig_varint(char *to, uint64_t value);
/* A HEADERS frame of these lines, by literals only; its length. */
size_t h3_rig_headers(char *to, const char *lines);

#endif /* TESTS_UNIT_H3_BYTES_H */
