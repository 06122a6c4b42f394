/* SPDX-License-Identifier: MIT
 *
 * Host names as routers know them, "example.com" and "*.example.com", and which of them a
 * Host field or authority asks for.  Sans-I/O; resolves nothing.
 */
#ifndef TAKO_CORE_HOST_H
#define TAKO_CORE_HOST_H

#include <tako/base.h>

enum { TAKO__HOST_MAX_BYTES = 255 };

/* Turn a name as registered into its key: lower case, no final dot, and ".example.com" for
 * a wildcard.  `key` has room for n bytes.
 * TAKO_EINVAL: no host name, or with a port. */
int tako__host_key(char *key, size_t *ret_n, const char *name, size_t n);

struct tako__host_entry {
	tako_str key;
	const void *value;
};

/* Sort for tako__host_find(); no two keys are the same. */
void tako__host_sort(struct tako__host_entry *v, size_t count);
/* The value for a host with or without port; NULL if no entry is for it.  Cost: a binary
 * search for each dot in the last 255 bytes. */
const void *tako__host_find(const struct tako__host_entry *v, size_t count, tako_str host);

#endif /* TAKO_CORE_HOST_H */
