/* SPDX-License-Identifier: MIT
 *
 * What a client must not say over HTTP/3, and what it may though it seems odd: a table whose first column is
 * where that is written (RFC 9114 unless another is named), for h3_malformed_test.c, which says it on a transport
 * that is faked, as a whole and byte by byte, and quic_malformed_test.c, which has ngtcp2's client say it.
 */
#ifndef TESTS_UNIT_H3_MALFORMED_H
#define TESTS_UNIT_H3_MALFORMED_H

#include <stdbool.h>
#include <stddef.h>
#include <tako/tako.h>

enum {
	GENERAL = 0x101,
	CREATION = 0x103,
	CLOSED_CRITICAL = 0x104,
	UNEXPECTED = 0x105,
	FRAME = 0x106,
	EXCESSIVE = 0x107,
	ID = 0x108,
	SETTINGS = 0x109,
	MISSING = 0x10a,
	CANCELLED = 0x10c,
	INCOMPLETE = 0x10d,
	MESSAGE = 0x10e,
	DECOMPRESSION = 0x200,
	ENCODER = 0x201,
	DECODER = 0x202,
};

/* Which stream a step is on: the peer's control stream, its encoder's, its decoder's, another
 * unidirectional one, a request (1 and 2).  An upper-case letter ends the stream with it; HEADERS says
 * that the bytes are lines of a field section instead. */
enum where { NONE, CTL, ENC, DEC, UNI, REQ, REQ2 };
enum how { RAW = 0, FIN = 1, LINES = 2, RESET = 4 };

struct step {
	enum where where;
	int how;
	const char *p;
	size_t n;
};

#define B(where, bytes)                                                                            \
	{                                                                                          \
		where, RAW, bytes, sizeof(bytes) - 1                                               \
	}
#define B_FIN(where, bytes)                                                                        \
	{                                                                                          \
		where, FIN, bytes, sizeof(bytes) - 1                                               \
	}
#define H(where, lines)                                                                            \
	{                                                                                          \
		where, LINES, lines, 0                                                             \
	}
#define H_FIN(where, lines)                                                                        \
	{                                                                                          \
		where, LINES | FIN, lines, 0                                                       \
	}
#define CLOSE_IT(where)                                                                            \
	{                                                                                          \
		where, FIN, "", 0                                                                  \
	}
#define RESET_IT(where)                                                                            \
	{                                                                                          \
		where, RESET, "", 0                                                                \
	}
#define STOP_IT(where)                                                                             \
	{                                                                                          \
		where, STOP, "", 0                                                                 \
	}

#define GET ":method=GET\n:scheme=https\n:path=/\n:authority=a\n"
#define POST ":method=POST\n:scheme=https\n:path=/\n:authority=a\n"
#define CONNECT ":method=CONNECT\n:authority=a\n"
#define EXTENDED ":method=CONNECT\n:protocol=x\n:scheme=https\n:path=/take\n:authority=a\n"

struct row {
	const char *rfc;
	const char *what;
	int close;  /* the connection ends by this */
	int reset;  /* … or the request does */
	int status; /* … or is answered so */
	bool bare;  /* no control stream of the usual kind comes before */
	struct step steps[5];
};

extern const struct row h3_malformed_rows[];
extern const size_t h3_malformed_count;

/* What they are said to: /, and /take, which is taken over by another protocol.  NULL: no memory. */
tako_router *h3_malformed_router(void);
/* The status in the first HEADERS frame of an answer, if it has an entry for it; 0: there is none yet. */
int h3_malformed_status(const char *got, size_t n);

#endif /* TESTS_UNIT_H3_MALFORMED_H */
