/* SPDX-License-Identifier: MIT
 *
 * Static files, inside: what a mount keeps, how a path becomes a file, how a file becomes a
 * response.
 */
#ifndef TAKO_CORE_STATIC_H
#define TAKO_CORE_STATIC_H

#include "core/exchange.h"
#include "core/mime.h"
#include "core/static_cond.h"
#include "core/static_open.h"

/* One directory at one prefix.  Never changes once routes are frozen, but for what
 * tako__static_dir learns. */
struct tako__static {
	struct tako__static_dir dir;
	tako_str index;           /* NUL-terminated, as the other two; empty: none */
	tako_str fallback;        /* {NULL, 0}: none */
	tako_str cache_control;   /* {NULL, 0}: none */
	unsigned max_range_count; /* 0: no ranges at all */
	bool dotfiles;
	bool precompressed;
};

/* The representation that answers. */
struct tako__static_file {
	int fd;
	bool negotiated;   /* another request could get another coding */
	tako_str encoding; /* {NULL, 0}: as it is */
	const struct tako__mime *mime;
	struct stat st;
	struct tako__validators v;
};

enum { TAKO__STATIC_PATH_BYTES = 4096 };

/* Find what `rest`, the path below the prefix, means for a request with this Accept-Encoding.
 * 0 when *f is set (all but f->v), whose fd is then the caller's; else the status to answer:
 * 308 when the path lacks a slash at its end, 404, 403, 406, 500 or 503. */
int tako__static_find(struct tako__static *s, tako_str rest, tako_str accept_encoding,
                      struct tako__static_file *f);

/* Answer GET or HEAD with the file, as the request's conditions want it.  Closes f->fd.  *f must
 * live as long as the exchange. */
int tako__static_send(struct tako__exchange *x, const struct tako__static *s,
                      struct tako__static_file *f, const struct tako__conditions *c);

/* The handler; `arg` is the mount. */
int tako__static_serve(tako_req *req, tako_res *res, void *arg);

#endif /* TAKO_CORE_STATIC_H */
