/* SPDX-License-Identifier: MIT
 *
 * Conditional requests for files (RFC 9110 sections 8.8 and 13): what a file's validators are,
 * and what a request's conditions make of them.  Sans-I/O: reads no clock and no file.
 */
#ifndef TAKO_CORE_STATIC_COND_H
#define TAKO_CORE_STATIC_COND_H

#include <sys/stat.h>

#include <tako/base.h>

#include "core/header.h"

/* Room for the longest entity-tag, quotes included. */
enum { TAKO__ETAG_BYTES = 40 };

struct tako__validators {
	char etag[TAKO__ETAG_BYTES];
	size_t etag_n;
	int64_t modified_s; /* as Last-Modified has it */
};

/* Of the file that `st` describes.  `coding`, at most 4 bytes, tells coded siblings apart. */
void tako__validators_init(struct tako__validators *v, const struct stat *st, tako_str coding,
                           int64_t now_s);

/* The fields of a request that decide what becomes of a file. */
enum tako__condition {
	TAKO__RANGE,
	TAKO__IF_RANGE,
	TAKO__IF_MATCH,
	TAKO__IF_NONE_MATCH,
	TAKO__ACCEPT_ENCODING,
	TAKO__IF_MODIFIED_SINCE,
	TAKO__IF_UNMODIFIED_SINCE,
	TAKO__CONDITION_COUNT
};

struct tako__conditions {
	tako_str value[TAKO__CONDITION_COUNT]; /* {NULL, 0}: absent */
};

const char *tako__condition_name(enum tako__condition which);

/* Find them all in one pass.  Returns a bit (1u << which) for each that came more than once:
 * its value is then only the first. */
unsigned tako__conditions_find(struct tako__conditions *c, const struct tako__field *fields,
                               unsigned count);

enum tako__verdict {
	TAKO__COND_PASS,
	TAKO__COND_NOT_MODIFIED, /* 304 */
	TAKO__COND_FAILED,       /* 412 */
};

/* For GET and HEAD, in the order of RFC 9110 section 13.2.2. */
enum tako__verdict tako__conditions_check(const struct tako__conditions *c,
                                          const struct tako__validators *v, int64_t now_s);

/* Whether there is a Range that counts, as far as If-Range goes (RFC 9110 section 13.1.5). */
bool tako__conditions_range(const struct tako__conditions *c, const struct tako__validators *v,
                            int64_t now_s);

#endif /* TAKO_CORE_STATIC_COND_H */
