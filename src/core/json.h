/* SPDX-License-Identifier: MIT
 *
 * Text inside JSON strings (RFC 8259 section 7), for logs and small answers.  Writes into
 * buffers of any size, in as many calls as it takes; builds no documents, parses none.
 */
#ifndef TAKO_CORE_JSON_H
#define TAKO_CORE_JSON_H

#include <tako/base.h>

/* Bytes of the UTF-8 sequence at p, 1 to 4; 0 if it is none, or cut short (RFC 3629). */
size_t tako__utf8_length(const char *p, size_t n);

/* How many bytes there are before the first that is a quote, a backslash or not printable
 * ASCII: those that need no escape in any quoted form. */
size_t tako__plain_length(const char *p, size_t n);

enum { TAKO__JSON_CHAR_BYTES = 6 }; /* what one character takes at most */

/* Escape `text` into `room` bytes and move it behind what was taken; it is done when text->n
 * is 0.  Returns the bytes written.  Escapes and characters are never split: with room for
 * TAKO__JSON_CHAR_BYTES every call gets further.  Quotes, backslashes and all control
 * characters are escaped, DEL and those of C1 too, as a log may be read on a terminal; other
 * UTF-8 is kept as it is, and each byte that is no part of any becomes \ufffd: the result is
 * valid JSON whatever comes in. */
size_t tako__json_escape(char *to, size_t room, tako_str *text);

#endif /* TAKO_CORE_JSON_H */
