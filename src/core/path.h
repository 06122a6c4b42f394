/* SPDX-License-Identifier: MIT
 *
 * The path of a request in the form that routes are matched against: percent-decoded once,
 * without dot segments.  Sans-I/O, never longer than what was received, never above "/".
 *
 * An encoded slash is data, not a separator (RFC 3986 section 2.2): it becomes the mark
 * '\0', which nothing else can become since an encoded NUL is refused.
 */
#ifndef TAKO_CORE_PATH_H
#define TAKO_CORE_PATH_H

#include <stdbool.h>
#include <stddef.h>

/* Normalise src[0..n), which begins with '/', into dst: room for n bytes, may be src.
 *   0  *ret_n bytes are there
 *   1  the same, and some of them are marks
 * TAKO_EINVAL: a bad escape, an encoded or bare NUL, or no '/' at the start. */
int tako__path_normalise(char *dst, size_t *ret_n, const char *src, size_t n);

/* Turn marks into '/': what a parameter's value looks like to its user. */
void tako__path_unmark(char *p, size_t n);

/* Copy a normalised path with "%2F" for every mark; dst has room for 3 * n bytes and is
 * not src.  Returns the length. */
size_t tako__path_show(char *dst, const char *src, size_t n);

#endif /* TAKO_CORE_PATH_H */
