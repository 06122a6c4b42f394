/* SPDX-License-Identifier: MIT
 *
 * multipart/form-data bodies (RFC 7578, RFC 2046 section 5.1) as they stream in.  Sans-I/O:
 * bytes in at any split, parts out through callbacks; contents are handed on as views, only
 * the heads of parts are collected.  Does not decode transfer encodings or character sets.
 */
#ifndef TAKO_CORE_MULTIPART_H
#define TAKO_CORE_MULTIPART_H

#include <tako/http.h>

enum {
	TAKO__BOUNDARY_MAX_BYTES = 70, /* RFC 2046 section 5.1.1 */
	TAKO__DELIMITER_MAX_BYTES = 4 + TAKO__BOUNDARY_MAX_BYTES,
};

/* A non-zero return ends the parsing and becomes the result of the feed. */
struct tako__multipart_cb {
	/* A part begins; `part` and its strings are borrowed for the call. */
	int (*on_part)(const tako_part *part, void *arg);
	/* Contents of that part, in runs as they arrive.  `end`: the part is complete, which
	 * comes once, with empty data. */
	int (*on_data)(tako_str data, bool end, void *arg);
	/* The closing delimiter is there.  What follows it is ignored. */
	int (*on_done)(void *arg);
};

/* Over any of them is TAKO_ETOOBIG.  All count as given: 0 allows nothing. */
struct tako__multipart_limits {
	uint64_t max_total_bytes; /* of the whole body; UINT64_MAX: none */
	uint64_t max_part_bytes;  /* of one part's contents; UINT64_MAX: none */
	uint32_t max_part_count;
	uint32_t max_head_bytes; /* of one part's fields: what `head` has room for */
};

struct tako__multipart {
	const struct tako__multipart_cb *cb;
	void *arg;
	struct tako__multipart_limits limits;
	uint64_t total_bytes;
	uint64_t part_bytes;
	uint32_t part_count;
	uint32_t head_n;
	uint32_t line_start;
	int error; /* what ended it */
	uint8_t state;
	uint8_t matched; /* bytes of the delimiter seen so far */
	uint8_t assumed; /* the first of them that never were in the body */
	uint8_t delimiter_n;
	bool typed;
	char delimiter[TAKO__DELIMITER_MAX_BYTES]; /* CRLF "--" boundary */
	char *head;
	tako_part part;
};

/* Start on a body with that Content-Type.  `head`: room for limits->max_head_bytes, as long
 * as the parsing lasts.  Needs no fini.  TAKO_EINVAL: not multipart/form-data, or without a
 * boundary that the grammar allows. */
int tako__multipart_init(struct tako__multipart *m, tako_str content_type,
                         const struct tako__multipart_cb *cb, void *arg,
                         const struct tako__multipart_limits *limits, char *head);

/* Take n more bytes; calls back meanwhile.  0, TAKO_EPROTO (malformed: tako_last_error() says
 * what), TAKO_ETOOBIG, or what a callback returned; after a failure always the same. */
int tako__multipart_feed(struct tako__multipart *m, const char *p, size_t n);

/* The body has ended.  TAKO_EPROTO: before its closing delimiter; else as feed. */
int tako__multipart_finish(struct tako__multipart *m);

/* The last component of a file name as clients send it, "/" and "\" both being separators: a
 * view, fit to be created in a directory of one's choice.  {NULL, 0} where nothing fit is
 * left: empty, "." and "..", over 255 bytes, or with control characters.  May begin with a
 * dot or a hyphen, and may name a file that exists. */
tako_str tako__filename_base(tako_str filename);

#endif /* TAKO_CORE_MULTIPART_H */
