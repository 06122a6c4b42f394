/* SPDX-License-Identifier: MIT
 *
 * The head of an HTTP/1.1 request (RFC 9112): bytes in, views into them out.  Sans-I/O and
 * without allocation; never copies, never decodes, never reads at or beyond p + n.
 *
 * Where RFC 9112 leaves a choice, the stricter reading is taken, since every tolerance is
 * something that two parsers in a row can understand differently:
 *  - lines end with CRLF only; a bare LF, a bare CR and obs-fold get 400 (2.2, 5.2);
 *  - at most two empty lines before the request line (2.2);
 *  - HTTP/1.2 to 1.9 are served as 1.1 (RFC 9110 2.5), any other major version gets 505;
 *  - several Content-Length lines, and lists in one, get 400 even when all agree (6.3);
 *    so does Content-Length beside Transfer-Encoding;
 *  - Transfer-Encoding: "chunked" alone is understood.  Any other coding in front of or
 *    without it gets 501 (6.1); after it, twice, with parameters or with empty list
 *    elements, or from HTTP/1.0: 400 (6.1, 6.3, 7.1);
 *  - an Expect other than 100-continue gets 417 (RFC 9110 10.1.1); HTTP/1.0's is ignored;
 *  - an absolute-form target must be http or https with a host and without userinfo;
 *  - an empty Host is for targets that do not need it: all but origin-form (3.2, 3.3);
 *  - field values are free of control characters, HTAB excepted (RFC 9110 5.5).
 * In one place it is looser, because browsers and curl are: a path or query may contain
 * the characters [ ] { } | \ ^ and ` raw, which RFC 3986 wants escaped.  Control characters,
 * spaces, bytes from 0x7F on, '"', '<', '>' and the '#' of a fragment get 400.
 */
#ifndef TAKO_H1_HEAD_H
#define TAKO_H1_HEAD_H

#include <tako/base.h>

#include "core/header.h"
#include "core/method.h"

/* What the public configuration has where it says nothing. */
#define TAKO__H1_HEAD_BYTES (32u * 1024)
#define TAKO__H1_LINE_BYTES (8u * 1024)
#define TAKO__H1_FIELDS 100u

enum tako__h1_form {
	TAKO__H1_ORIGIN,    /* /path?query */
	TAKO__H1_ABSOLUTE,  /* http://authority/path?query */
	TAKO__H1_AUTHORITY, /* host:port, CONNECT only */
	TAKO__H1_ASTERISK   /* *, OPTIONS only */
};

enum tako__h1_framing { TAKO__H1_NO_BODY, TAKO__H1_LENGTH, TAKO__H1_CHUNKED };

/* Without a flag the path needs neither decoding nor dot removal. */
enum tako__path_flag {
	TAKO__PATH_ESCAPED = 1, /* a '%' somewhere in it */
	TAKO__PATH_DOTS = 2     /* a "/." somewhere in it */
};

/* What the field lines said; the parser's own notes and the source of its verdicts. */
enum tako__h1_seen {
	TAKO__H1_SEEN_HOST = 1,
	TAKO__H1_SEEN_LENGTH = 2,
	TAKO__H1_SEEN_CODING = 4, /* Transfer-Encoding */
	TAKO__H1_SEEN_CLOSE = 8,  /* Connection: close */
	TAKO__H1_SEEN_KEEP = 16,  /* Connection: keep-alive */
	TAKO__H1_SEEN_SWITCH = 32 /* Connection: upgrade */
};

/* All views point into the bytes parsed, except a "/" or "*" that stands for the empty
 * path of an absolute-form target.  {NULL, 0} is absent.
 * When the parse fails, what was understood before the failure is still set. */
struct tako__h1_head {
	tako_str method;
	tako_str target; /* the request-target as it came */
	tako_str path;   /* its path: "*" in asterisk-form, empty in authority-form */
	tako_str query;  /* without '?' */
	tako_str
		host; /* whom the request is for: `authority`, else the Host field (RFC 9112 3.3) */
	tako_str authority;      /* of absolute-form and authority-form */
	tako_str upgrade;        /* the first Upgrade field, honoured or not */
	uint64_t content_length; /* 0 unless framing is TAKO__H1_LENGTH */
	const char *why;         /* a static line about the failure; NULL without one */
	uint8_t form;            /* enum tako__h1_form */
	uint8_t framing;         /* enum tako__h1_framing */
	uint8_t seen;            /* enum tako__h1_seen */
	bool got_line;           /* the request line was complete and in order */
	bool keep_alive;         /* may persist by RFC 9112 9.3; the server may still close */
	bool expect_continue;    /* wants to see 100 before it sends the body */
	bool switching;          /* Upgrade named in Connection and HTTP/1.1: may be honoured */
	bool te_trailers;        /* TE: trailers */
	uint8_t method_id;       /* enum tako__method */
	uint8_t minor;           /* of the version: 0 or 1 */
	uint8_t path_flags;      /* enum tako__path_flag */
	uint32_t field_count;
	/* Set by the caller: room for limits.max_fields elements. */
	struct tako__field *fields;
};

/* None may be 0. */
struct tako__h1_limits {
	uint32_t max_head_bytes; /* request line, fields and every CRLF, the last one too: 431 */
	uint32_t max_line_bytes; /* request line without its CRLF: 414 */
	uint32_t max_fields;     /* 431 */
};

/* Parse the head at p[0..n).
 *   > 0  bytes used, the empty line included; the body starts there
 *     0  not complete: call again with the same bytes and more
 *   < 0  -(HTTP status): 400, 414, 417, 431, 501 or 505; head->why says what is wrong.
 *        Answer and close, nothing after it can be trusted.
 * `scanned` is 0 at first and, after a return of 0, the n of that call: while no further
 * line is complete, only the new bytes are looked at.  A head that trickles in is thus
 * parsed at most once a line (max_fields bounds those) and not once a byte.  A wrong byte is
 * reported by the end of its line at the latest, an overstepped limit at once.  Whichever way
 * the bytes are split, the answer is the same. */
int tako__h1_head_parse(struct tako__h1_head *head, const char *p, size_t n, size_t scanned,
                        const struct tako__h1_limits *lim);

#endif /* TAKO_H1_HEAD_H */
