/* SPDX-License-Identifier: MIT
 *
 * Media types by the extension of a file's name.  A table of what web servers serve, not the
 * system's: the same file has the same type on every machine.
 */
#ifndef TAKO_CORE_MIME_H
#define TAKO_CORE_MIME_H

#include <tako/base.h>

enum { TAKO__MIME_EXTENSION_MAX = 11 };

struct tako__mime {
	char extension[TAKO__MIME_EXTENSION_MAX + 1]; /* lower case */
	const char *type;                             /* a whole Content-Type value */
	bool packed; /* compressed already: a coded sibling would gain nothing */
};

/* What the last extension of the path's last segment says, in any case.  Never NULL:
 * application/octet-stream for what nobody knows. */
const struct tako__mime *tako__mime_find(tako_str path);

/* The table, sorted by extension.  For its test. */
const struct tako__mime *tako__mime_table(size_t *ret_count);

#endif /* TAKO_CORE_MIME_H */
