/* SPDX-License-Identifier: MIT
 *
 * What a client must not say over HTTP/3, and what it may though it seems odd: one connection for
 * each line of the table, whose first column is where that is written (RFC 9114 unless another
 * is named).  What comes of it is a connection's end, a stream's, or an answer; and each
 * case is said once as a whole and once byte by byte.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "unit/h3_rig.h"

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

static const struct row {
	const char *rfc;
	const char *what;
	int close;  /* the connection ends by this */
	int reset;  /* … or the request does */
	int status; /* … or is answered so */
	bool bare;  /* no control stream of the usual kind comes before */
	struct step steps[5];
} rows[] = {
	/* ---- Unidirectional streams ---- */
	{"6.2.1", "first frame is not SETTINGS", MISSING, 0, 0, true, {B(CTL, "\0\x07\x01\0")}},
	{"6.2.1", "control stream ends", CLOSED_CRITICAL, 0, 0, false, {CLOSE_IT(CTL)}},
	{"6.2.1", "control stream is reset", CLOSED_CRITICAL, 0, 0, false, {RESET_IT(CTL)}},
	{"6.2.1", "second control stream", CREATION, 0, 0, false, {B(UNI, "\0\x04\0")}},
	{"6.2.2", "client opens a push stream", CREATION, 0, 0, false, {B(UNI, "\x01\0")}},
	{"6.2",
         "unknown stream type is ignored",
         0,
         0,
         200,
         false,
         {B_FIN(UNI, "\x40\x21garbage"), H_FIN(REQ, GET)}},
	{"6.2",
         "stream ends before its type",
         0,
         0,
         200,
         false,
         {B_FIN(UNI, "\x40"), H_FIN(REQ, GET)}},
	{"6.2",
         "stream is reset before its type",
         0,
         0,
         200,
         false,
         {B(UNI, "\x40"), RESET_IT(UNI), H_FIN(REQ, GET)}},
	{"9204 4.2",
         "second encoder stream",
         CREATION,
         0,
         0,
         false,
         {B(ENC, "\x02"), B(UNI, "\x02")}},
	{"9204 4.2",
         "second decoder stream",
         CREATION,
         0,
         0,
         false,
         {B(DEC, "\x03"), B(UNI, "\x03")}},
	{"9204 4.2", "encoder stream ends", CLOSED_CRITICAL, 0, 0, false, {B_FIN(ENC, "\x02")}},
	{"9204 4.2", "decoder stream ends", CLOSED_CRITICAL, 0, 0, false, {B_FIN(DEC, "\x03")}},
	{"9204 4.2",
         "encoder stream is reset",
         CLOSED_CRITICAL,
         0,
         0,
         false,
         {B(ENC, "\x02"), RESET_IT(ENC)}},

	/* ---- Frames on the control stream ---- */
	{"7.2.1", "DATA", UNEXPECTED, 0, 0, false, {B(CTL, "\0\x01x")}},
	{"7.2.2", "HEADERS", UNEXPECTED, 0, 0, false, {B(CTL, "\x01\x01x")}},
	{"7.2.4", "second SETTINGS", UNEXPECTED, 0, 0, false, {B(CTL, "\x04\0")}},
	{"7.2.5", "PUSH_PROMISE of a client", UNEXPECTED, 0, 0, false, {B(CTL, "\x05\x01\0")}},
	{"7.2.3", "CANCEL_PUSH of what was not promised", ID, 0, 0, false, {B(CTL, "\x03\x01\0")}},
	{"7.2.8", "HTTP/2's PRIORITY", UNEXPECTED, 0, 0, false, {B(CTL, "\x02\x01\0")}},
	{"7.2.8", "HTTP/2's PING", UNEXPECTED, 0, 0, false, {B(CTL, "\x06\x01\0")}},
	{"7.2.8", "HTTP/2's WINDOW_UPDATE", UNEXPECTED, 0, 0, false, {B(CTL, "\x08\x01\0")}},
	{"7.2.8", "HTTP/2's CONTINUATION", UNEXPECTED, 0, 0, false, {B(CTL, "\x09\x01\0")}},
	{"7.1", "GOAWAY without an id", FRAME, 0, 0, false, {B(CTL, "\x07\0")}},
	{"7.1", "GOAWAY with half an id", FRAME, 0, 0, false, {B(CTL, "\x07\x01\x40")}},
	{"7.1", "GOAWAY with more than an id", FRAME, 0, 0, false, {B(CTL, "\x07\x02\0\0")}},
	{"5.2", "GOAWAY goes back", ID, 0, 0, false, {B(CTL, "\x07\x01\x04\x07\x01\x08")}},
	{"5.2",
         "GOAWAY goes on",
         0,
         0,
         200,
         false,
         {B(CTL, "\x07\x01\x08\x07\x01\x04"), H_FIN(REQ, GET)}},
	{"7.2.7", "MAX_PUSH_ID goes back", ID, 0, 0, false, {B(CTL, "\x0d\x01\x08\x0d\x01\x04")}},
	{"7.1", "MAX_PUSH_ID with more than an id", FRAME, 0, 0, false, {B(CTL, "\x0d\x02\0\0")}},
	{"7.2.7", "MAX_PUSH_ID", 0, 0, 200, false, {B(CTL, "\x0d\x01\x08"), H_FIN(REQ, GET)}},
	{"7.2.8",
         "reserved frame is ignored",
         0,
         0,
         200,
         false,
         {B(CTL, "\x21\x03xyz"), H_FIN(REQ, GET)}},
	{"10.5",
         "a control frame of a gigabyte",
         EXCESSIVE,
         0,
         0,
         false,
         {B(CTL, "\x21\xbf\xff\xff\xff")}},

	/* ---- SETTINGS ---- */
	{"7.2.4.1", "HTTP/2's ENABLE_PUSH", SETTINGS, 0, 0, true, {B(CTL, "\0\x04\x02\x02\0")}},
	{"7.2.4.1",
         "HTTP/2's MAX_CONCURRENT_STREAMS",
         SETTINGS,
         0,
         0,
         true,
         {B(CTL, "\0\x04\x02\x03\0")}},
	{"7.2.4.1",
         "HTTP/2's INITIAL_WINDOW_SIZE",
         SETTINGS,
         0,
         0,
         true,
         {B(CTL, "\0\x04\x02\x04\0")}},
	{"7.2.4.1", "HTTP/2's MAX_FRAME_SIZE", SETTINGS, 0, 0, true, {B(CTL, "\0\x04\x02\x05\0")}},
	{"7.2.4", "a setting twice", SETTINGS, 0, 0, true, {B(CTL, "\0\x04\x04\x06\x01\x06\x02")}},
	{"7.1", "an identifier without a value", FRAME, 0, 0, true, {B(CTL, "\0\x04\x01\x06")}},
	{"7.1", "half a value", FRAME, 0, 0, true, {B(CTL, "\0\x04\x02\x06\x40")}},
	{"9220 3",
         "ENABLE_CONNECT_PROTOCOL of 2",
         SETTINGS,
         0,
         0,
         true,
         {B(CTL, "\0\x04\x02\x08\x02")}},
	{"9297 2.1.1", "H3_DATAGRAM of 2", SETTINGS, 0, 0, true, {B(CTL, "\0\x04\x02\x33\x02")}},
	{"7.2.4.1",
         "reserved setting is ignored",
         0,
         0,
         200,
         true,
         {B(CTL, "\0\x04\x02\x21\x05"), H_FIN(REQ, GET)}},
	{"7.2.4.2", "requests need not wait for it", 0, 0, 200, true, {H_FIN(REQ, GET)}},

	/* ---- Frames on a request's stream ---- */
	{"4.1", "DATA before HEADERS", UNEXPECTED, 0, 0, false, {B(REQ, "\0\x01x")}},
	{"7.2.3", "CANCEL_PUSH", UNEXPECTED, 0, 0, false, {B(REQ, "\x03\x01\0")}},
	{"7.2.4", "SETTINGS", UNEXPECTED, 0, 0, false, {B(REQ, "\x04\0")}},
	{"7.2.5", "PUSH_PROMISE", UNEXPECTED, 0, 0, false, {B(REQ, "\x05\x01\0")}},
	{"7.2.6", "GOAWAY", UNEXPECTED, 0, 0, false, {B(REQ, "\x07\x01\0")}},
	{"7.2.7", "MAX_PUSH_ID", UNEXPECTED, 0, 0, false, {B(REQ, "\x0d\x01\0")}},
	{"7.2.8", "HTTP/2's PRIORITY", UNEXPECTED, 0, 0, false, {B(REQ, "\x02\x01\0")}},
	{"7.2.8", "HTTP/2's CONTINUATION", UNEXPECTED, 0, 0, false, {B(REQ, "\x09\x01\0")}},
	{"9218 7.2", "PRIORITY_UPDATE", UNEXPECTED, 0, 0, false, {B(REQ, "\x80\x0f\x07\0\x01\0")}},
	{"4.1",
         "HEADERS behind trailers",
         UNEXPECTED,
         0,
         0,
         false,
         {H(REQ, POST), H(REQ, "a=b\n"), H(REQ, "a=b\n")}},
	{"4.1",
         "DATA behind trailers",
         UNEXPECTED,
         0,
         0,
         false,
         {H(REQ, POST), H(REQ, "a=b\n"), B(REQ, "\0\x01x")}},
	{"7.1", "DATA is cut off", FRAME, 0, 0, false, {H(REQ, POST), B_FIN(REQ, "\0\x02x")}},
	{"7.1", "HEADERS is cut off", FRAME, 0, 0, false, {B_FIN(REQ, "\x01\x05\0")}},
	{"7.1", "a frame's head is cut off", FRAME, 0, 0, false, {H(REQ, POST), B_FIN(REQ, "\0")}},
	{"4.1", "no HEADERS at all", 0, INCOMPLETE, 0, false, {CLOSE_IT(REQ)}},
	{"4.1", "only frames that are ignored", 0, INCOMPLETE, 0, false, {B_FIN(REQ, "\x21\x01x")}},
	{"9",
         "unknown frames everywhere",
         0,
         0,
         200,
         false,
         {B(REQ, "\x21\x01x"), H(REQ, POST), B(REQ, "\x40\x5f\x02xy\0\x01z"),
          B_FIN(REQ, "\x21\0")}},
	{"4.1.1",
         "the client gives up its request",
         0,
         CANCELLED,
         0,
         false,
         {H(REQ, POST), RESET_IT(REQ)}},

	/* ---- Priorities ---- */
	{"9218 7.2",
         "PRIORITY_UPDATE of a stream of ours",
         ID,
         0,
         0,
         false,
         {B(CTL, "\x80\x0f\x07\0\x01\x01")}},
	{"9218 7.2",
         "PRIORITY_UPDATE of a unidirectional stream",
         ID,
         0,
         0,
         false,
         {B(CTL, "\x80\x0f\x07\0\x01\x02")}},
	{"9218 7.2",
         "PRIORITY_UPDATE of a push",
         ID,
         0,
         0,
         false,
         {B(CTL, "\x80\x0f\x07\x01\x01\0")}},
	{"9218 7.2",
         "PRIORITY_UPDATE without an id",
         FRAME,
         0,
         0,
         false,
         {B(CTL, "\x80\x0f\x07\0\0")}},
	{"9218 7.2",
         "PRIORITY_UPDATE in good order",
         0,
         0,
         200,
         false,
         {B(CTL, "\x80\x0f\x07\0\x04\0u=1"), H_FIN(REQ, GET)}},
	{"9218 7.2",
         "PRIORITY_UPDATE of the last request that may be",
         0,
         0,
         200,
         false,
         {B(CTL, "\x80\x0f\x07\0\x05\x41\x8cu=1"), H_FIN(REQ, GET)}},
	{"9218 7.2",
         "PRIORITY_UPDATE of a request beyond the limit",
         ID,
         0,
         0,
         false,
         {B(CTL, "\x80\x0f\x07\0\x05\x41\x90u=1")}},
	{"9218 4",
         "PRIORITY_UPDATE that means nothing",
         0,
         0,
         200,
         false,
         {B(CTL, "\x80\x0f\x07\0\x04\0???"), H_FIN(REQ, GET)}},

	/* ---- Field sections ---- */
	{"9204 2.2", "an empty one", DECOMPRESSION, 0, 0, false, {B(REQ, "\x01\0")}},
	{"9204 4.5.1", "half a prefix", DECOMPRESSION, 0, 0, false, {B(REQ, "\x01\x01\0")}},
	{"9204 3.1",
         "no such static entry",
         DECOMPRESSION,
         0,
         0,
         false,
         {B(REQ, "\x01\x04\0\0\xff\x24")}},
	{"9204 4.5.1.1",
         "more entries than the table may have",
         DECOMPRESSION,
         0,
         0,
         false,
         {B(REQ, "\x01\x04\xff\xff\x7f\0")}},
	{"9204 2.2.3",
         "a reference below nothing",
         DECOMPRESSION,
         0,
         0,
         false,
         {B(REQ, "\x01\x03\0\0\x80")}},
	{"9204 4.5",
         "a line is cut off",
         DECOMPRESSION,
         0,
         0,
         false,
         {B(REQ, "\x01\x04\0\0\x23x")}},
	{"9204 4.1.2",
         "Huffman code that ends wrongly",
         DECOMPRESSION,
         0,
         0,
         false,
         {B(REQ, "\x01\x05\0\0\x50\x81\0")}},
	{"9204 3.2.3",
         "table larger than we allow",
         ENCODER,
         0,
         0,
         false,
         {B(ENC, "\x02\x3f\xff\xff\x7f")}},
	{"9204 4.3",
         "an entry that does not fit",
         ENCODER,
         0,
         0,
         false,
         {B(ENC, "\x02\x41x\x01y")}},
	{"9204 4.3.4", "duplicate of nothing", ENCODER, 0, 0, false, {B(ENC, "\x02\x3f\x45\x05")}},
	{"9204 4.4.1", "acknowledgement of no section", DECODER, 0, 0, false, {B(DEC, "\x03\x80")}},
	{"9204 4.4.3", "acknowledgement of no entry", DECODER, 0, 0, false, {B(DEC, "\x03\x01")}},
	{"9204 4.4.3", "acknowledgement of 0 entries", DECODER, 0, 0, false, {B(DEC, "\x03\0")}},
	{"9204 4.4.2",
         "cancellation is always right",
         0,
         0,
         200,
         false,
         {B(DEC, "\x03\x40\x7f\xc9\x01"), H_FIN(REQ, GET)}},

	/* ---- Requests ---- */
	{"4.3.1", "in good order", 0, 0, 200, false, {H_FIN(REQ, GET)}},
	{"4.3.1",
         "no :method",
         0,
         MESSAGE,
         0,
         false,
         {H_FIN(REQ, ":scheme=https\n:path=/\n:authority=a\n")}},
	{"4.3.1",
         "no :scheme",
         0,
         MESSAGE,
         0,
         false,
         {H_FIN(REQ, ":method=GET\n:path=/\n:authority=a\n")}},
	{"4.3.1",
         "no :path",
         0,
         MESSAGE,
         0,
         false,
         {H_FIN(REQ, ":method=GET\n:scheme=https\n:authority=a\n")}},
	{"4.3.1",
         "neither :authority nor host",
         0,
         MESSAGE,
         0,
         false,
         {H_FIN(REQ, ":method=GET\n:scheme=https\n:path=/\n")}},
	{"4.3.1",
         "host in place of :authority",
         0,
         0,
         200,
         false,
         {H_FIN(REQ, ":method=GET\n:scheme=https\n:path=/\nhost=a\n")}},
	{"4.3.1",
         ":authority and another host",
         0,
         MESSAGE,
         0,
         false,
         {H_FIN(REQ, GET "host=b\n")}},
	{"4.3.1",
         "empty :path",
         0,
         MESSAGE,
         0,
         false,
         {H_FIN(REQ, ":method=GET\n:scheme=https\n:path=\n:authority=a\n")}},
	{"4.3.1",
         "empty :authority",
         0,
         MESSAGE,
         0,
         false,
         {H_FIN(REQ, ":method=GET\n:scheme=https\n:path=/\n:authority=\n")}},
	{"4.3.1",
         "userinfo in :authority",
         0,
         MESSAGE,
         0,
         false,
         {H_FIN(REQ, ":method=GET\n:scheme=https\n:path=/\n:authority=u@a\n")}},
	{"4.3", ":method twice", 0, MESSAGE, 0, false, {H_FIN(REQ, ":method=GET\n" GET)}},
	{"4.3",
         ":path twice",
         0,
         MESSAGE,
         0,
         false,
         {H_FIN(REQ, ":method=GET\n:scheme=https\n:path=/\n:path=/\n:authority=a\n")}},
	{"4.3",
         "pseudo-header field behind another",
         0,
         MESSAGE,
         0,
         false,
         {H_FIN(REQ, "a=b\n" GET)}},
	{"4.3", "unknown pseudo-header field", 0, MESSAGE, 0, false, {H_FIN(REQ, GET ":x=y\n")}},
	{"4.3", "a response's", 0, MESSAGE, 0, false, {H_FIN(REQ, ":status=200\n" GET)}},
	{"4.3",
         "pseudo-header field in trailers",
         0,
         MESSAGE,
         0,
         false,
         {H(REQ, POST), H_FIN(REQ, ":path=/\n")}},
	{"4.2", "upper case in a name", 0, MESSAGE, 0, false, {H_FIN(REQ, GET "Aa=b\n")}},
	{"4.2", "a name that is no token", 0, MESSAGE, 0, false, {H_FIN(REQ, GET "a b=c\n")}},
	{"4.2", "an empty name", 0, MESSAGE, 0, false, {H_FIN(REQ, GET "=c\n")}},
	{"10.3",
         "a control character in a value",
         0,
         MESSAGE,
         0,
         false,
         {H_FIN(REQ, GET "a=b\rc\n")}},
	{"10.3", "white space around a value", 0, MESSAGE, 0, false, {H_FIN(REQ, GET "a= b\n")}},
	{"4.2", "connection", 0, MESSAGE, 0, false, {H_FIN(REQ, GET "connection=close\n")}},
	{"4.2", "keep-alive", 0, MESSAGE, 0, false, {H_FIN(REQ, GET "keep-alive=1\n")}},
	{"4.2", "proxy-connection", 0, MESSAGE, 0, false, {H_FIN(REQ, GET "proxy-connection=x\n")}},
	{"4.2",
         "transfer-encoding",
         0,
         MESSAGE,
         0,
         false,
         {H_FIN(REQ, GET "transfer-encoding=chunked\n")}},
	{"4.2", "upgrade", 0, MESSAGE, 0, false, {H_FIN(REQ, GET "upgrade=h2c\n")}},
	{"4.2", "te that is not trailers", 0, MESSAGE, 0, false, {H_FIN(REQ, GET "te=gzip\n")}},
	{"4.2", "te: trailers", 0, 0, 200, false, {H_FIN(REQ, GET "te=trailers\n")}},
	{"4.1.2",
         "more DATA than content-length",
         0,
         MESSAGE,
         0,
         false,
         {H(REQ, POST "content-length=1\n"), B(REQ, "\0\x02xy")}},
	{"4.1.2",
         "less DATA than content-length",
         0,
         MESSAGE,
         0,
         false,
         {H(REQ, POST "content-length=3\n"), B_FIN(REQ, "\0\x02xy")}},
	{"4.1.2",
         "content-length and no DATA",
         0,
         MESSAGE,
         0,
         false,
         {H_FIN(REQ, POST "content-length=3\n")}},
	{"4.1.2",
         "DATA as content-length says",
         0,
         0,
         200,
         false,
         {H(REQ, POST "content-length=2\n"), B_FIN(REQ, "\0\x02xy")}},
	{"9110 8.6",
         "two lengths",
         0,
         MESSAGE,
         0,
         false,
         {H_FIN(REQ, GET "content-length=0\ncontent-length=0\n")}},
	{"9110 8.6",
         "a length that is none",
         0,
         MESSAGE,
         0,
         false,
         {H_FIN(REQ, GET "content-length=+1\n")}},
	{"9110 10.1.1", "another expectation", 0, 0, 417, false, {H_FIN(REQ, GET "expect=x\n")}},
	{"4.3.1",
         "a scheme of somebody else",
         0,
         0,
         400,
         false,
         {H_FIN(REQ, ":method=GET\n:scheme=ftp\n:path=/\n:authority=a\n")}},
	{"4.3.1",
         "asterisk without OPTIONS",
         0,
         MESSAGE,
         0,
         false,
         {H_FIN(REQ, ":method=GET\n:scheme=https\n:path=*\n:authority=a\n")}},

	/* ---- CONNECT ---- */
	{"4.4",
         "CONNECT with :path",
         0,
         MESSAGE,
         0,
         false,
         {H(REQ, ":method=CONNECT\n:path=/\n:authority=a\n")}},
	{"4.4", "CONNECT without :authority", 0, MESSAGE, 0, false, {H(REQ, ":method=CONNECT\n")}},
	{"9220 3",
         ":protocol without CONNECT",
         0,
         MESSAGE,
         0,
         false,
         {H_FIN(REQ, ":method=GET\n:protocol=x\n:scheme=https\n:path=/\n:authority=a\n")}},
	{"8441 4",
         "extended CONNECT without :path",
         0,
         MESSAGE,
         0,
         false,
         {H(REQ, ":method=CONNECT\n:protocol=x\n:scheme=https\n:authority=a\n")}},
	{"8441 4",
         "extended CONNECT that nobody takes",
         0,
         0,
         501,
         false,
         {H(REQ, ":method=CONNECT\n:protocol=x\n:scheme=https\n:path=/\n:authority=a\n")}},
	{"8441 4", "extended CONNECT that somebody takes", 0, 0, 200, false, {H(REQ, EXTENDED)}},
	{"4.4",
         "HEADERS in a tunnel",
         UNEXPECTED,
         0,
         0,
         false,
         {H(REQ, EXTENDED), H(REQ, "a=b\n")}},

	/* ---- Others are not concerned ---- */
	{"8",
         "a stream's error is that stream's",
         0,
         0,
         200,
         false,
         {H_FIN(REQ2, GET "connection=close\n"), H_FIN(REQ, GET)}},
};

static struct h3_rig rig;

static int hello(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "hello");
}

static int sink_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	(void)req, (void)data, (void)arg;
	return end ? tako_res_text(res, 200, "taken") : 0;
}

static int sink(tako_req *req, tako_res *res, void *arg)
{
	(void)res;
	return tako_req_on_body(req, sink_body, arg);
}

int take_it(tako_req *req, tako_res *res, void *arg);

static bool start(const tako_server_config *cfg)
{
	tako_router *r = tako_router_new();
	bool ok;

	tako_get(r, "/", hello, NULL);
	tako_post(r, "/", sink, NULL);
	tako_get(r, "/take", take_it, NULL);
	ok = h3_rig_start(&rig, r, cfg);
	tako_router_free(r);
	return ok;
}

/* ---- Saying it -------------------------------------------------------------------------------- */

static int64_t ids[REQ2 + 1];

static int64_t id_of(enum where where)
{
	if (ids[where] < 0)
		ids[where] = h3_rig_open(&rig, where < REQ);
	return ids[where];
}

static void say(const struct step *s, size_t cut)
{
	static char text[1 << 16];
	const char *p = s->p;
	size_t n = s->n;
	bool fin = s->how & FIN;

	if (s->how & RESET) {
		h3_rig_reset(&rig, id_of(s->where), CANCELLED);
		return;
	}
	if (s->how & LINES) {
		n = h3_rig_headers(text, s->p);
		p = text;
	}
	for (; n > cut; n -= cut, p += cut)
		h3_rig_send(&rig, id_of(s->where), p, cut, false);
	h3_rig_send(&rig, id_of(s->where), p, n, fin);
}

/* The first HEADERS frame of what came back, if it has an entry for its status. */
static int status_of(const struct h3_rig_stream *s)
{
	unsigned char index = s->got_n > 5 ? (unsigned char)s->got[4] : 0;
	const unsigned char *p = (const unsigned char *)s->got + 3;

	if (s->got_n < 6 || s->got[0] != 1)
		return 0;
	/* The length is one byte or two; then the prefix. */
	p = (s->got[1] & 0xc0) ? p + 2 : p + 1;
	if ((*p & 0xf0) == 0x50) {
		/* 15 and what is above it: the name's entry, then three digits. */
		return (p[3] - '0') * 100 + (p[4] - '0') * 10 + p[5] - '0';
	}
	index = *p & 0x3f;
	if (index == 0x3f)
		index = (unsigned char)(0x3f + p[1]);
	return index == 25 ? 200 : index == 67 ? 400 : index == 27 ? 404 : 999;
}

static void check(const struct row *row, size_t cut)
{
	const struct h3_rig_stream *s = ids[REQ] < 0 ? NULL : h3_rig_stream(&rig, ids[REQ]);
	int status = s && !s->reset ? status_of(s) : 0;
	int reset = s && s->reset ? (int)s->reset_code : 0;
	int close = rig.closed ? (int)rig.code : 0;

	if (rig.wrong)
		fail_msg("RFC %s, %s: %s", row->rfc, row->what, rig.wrong);
	if (close != row->close)
		fail_msg("RFC %s, %s (cut at %zu): closed by %#x (%s), not by %#x", row->rfc,
		         row->what, cut, (unsigned)close, rig.reason, (unsigned)row->close);
	if (row->close)
		return;
	if (reset != row->reset)
		fail_msg("RFC %s, %s (cut at %zu): reset by %#x, not by %#x", row->rfc, row->what,
		         cut, (unsigned)reset, (unsigned)row->reset);
	if (status != row->status)
		fail_msg("RFC %s, %s (cut at %zu): status %d, not %d", row->rfc, row->what, cut,
		         status, row->status);
	if (reset && !s->stopped && !s->ended)
		fail_msg("RFC %s, %s: reset, and read on", row->rfc, row->what);
}

static void run_row(const struct row *row, size_t cut)
{
	static const struct step usual = B(CTL, "\0\x04\0");

	assert_true(start(NULL));
	for (size_t i = 0; i <= REQ2; i++)
		ids[i] = -1;
	if (!row->bare)
		say(&usual, cut);
	for (size_t i = 0; i < 5 && (row->steps[i].p); i++) {
		say(&row->steps[i], cut);
		h3_rig_pump(&rig);
	}
	h3_rig_run(&rig, 1);
	check(row, cut);
	h3_rig_stop(&rig);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		run_row(&rows[i], 1 << 16);
		run_row(&rows[i], 1);
	}
}

/* ---- Limits -------------------------------------------------------------------------------------- */

static const struct step settings = B(CTL, "\0\x04\0");

static void begin(const tako_server_config *cfg)
{
	assert_true(start(cfg));
	for (size_t i = 0; i <= REQ2; i++)
		ids[i] = -1;
	say(&settings, 1 << 16);
}

static void end(void)
{
	h3_rig_stop(&rig);
	if (rig.wrong)
		fail_msg("%s", rig.wrong);
}

static int ask_large(size_t value_n, unsigned count)
{
	static char lines[1 << 16];
	static char frame[1 << 17];
	size_t n = (size_t)sprintf(lines, GET);
	int64_t id = h3_rig_open(&rig, false);

	for (unsigned i = 0; i < count; i++)
		n += (size_t)sprintf(lines + n, "x-%u=%0*u\n", i, (int)value_n, i);
	n = h3_rig_headers(frame, lines);
	h3_rig_send(&rig, id, frame, n, true);
	h3_rig_pump(&rig);
	return status_of(h3_rig_stream(&rig, id));
}

static void test_sections_too_large(void **state)
{
	(void)state;
	begin(TAKO_SERVER_CONFIG(.h3_max_header_list_bytes = 2000));
	assert_int_equal(ask_large(100, 5), 200);
	/* RFC 9114 section 4.2.2: by the sum, by the number, and by one that is not even decoded. */
	assert_int_equal(ask_large(1900, 1), 431);
	assert_int_equal(ask_large(1, 101), 431);
	assert_int_equal(ask_large(25000, 2), 431);
	/* The connection is as good as ever. */
	assert_int_equal(ask_large(100, 5), 200);
	assert_false(rig.closed);
	end();
}

static void test_target_too_long(void **state)
{
	static char lines[12000];
	static char frame[13000];
	int64_t id;

	(void)state;
	begin(NULL);
	sprintf(lines, ":method=GET\n:scheme=https\n:authority=a\n:path=/%09000d\n", 1);
	id = h3_rig_open(&rig, false);
	h3_rig_send(&rig, id, frame, h3_rig_headers(frame, lines), true);
	h3_rig_pump(&rig);
	assert_int_equal(status_of(h3_rig_stream(&rig, id)), 414);
	end();
}

/* Requests that are reset as soon as they are made, as many as there may be. */
static void test_rapid_resets(void **state)
{
	static char frame[200];
	size_t n = h3_rig_headers(frame, POST);

	(void)state;
	begin(TAKO_SERVER_CONFIG(.h3_max_reset_count = 20));
	for (int i = 0; i < 100 && !rig.closed; i++) {
		int64_t id = h3_rig_open(&rig, false);

		h3_rig_send(&rig, id, frame, n, false);
		h3_rig_reset(&rig, id, CANCELLED);
		h3_rig_pump(&rig);
		assert_true(i <= 20);
	}
	assert_true(rig.closed);
	assert_int_equal(rig.code, EXCESSIVE);
	end();
}

static void test_malformed_ones_count(void **state)
{
	static char frame[200];
	size_t n = h3_rig_headers(frame, GET "Upper=1\n");

	(void)state;
	begin(TAKO_SERVER_CONFIG(.h3_max_reset_count = 20));
	for (int i = 0; i < 100 && !rig.closed; i++) {
		h3_rig_send(&rig, h3_rig_open(&rig, false), frame, n, true);
		h3_rig_pump(&rig);
	}
	assert_int_equal(rig.code, EXCESSIVE);
	end();
}

/* Over and over the same, on a stream that is open already. */
static void flood(enum where where, const char *p, size_t n, const char *first)
{
	begin(TAKO_SERVER_CONFIG(.h3_max_control_count = 50));
	if (first)
		say(&(struct step)H(REQ, first), 1 << 16);
	for (int i = 0; i < 200 && !rig.closed; i++) {
		h3_rig_send(&rig, id_of(where), p, n, false);
		assert_true(i <= 51);
	}
	assert_true(rig.closed);
	assert_int_equal(rig.code, EXCESSIVE);
	end();
}

static void test_floods(void **state)
{
	(void)state;
	/* Unknown frames; PRIORITY_UPDATE; GOAWAY that says the same; MAX_PUSH_ID. */
	flood(CTL, "\x21\0", 2, NULL);
	flood(CTL, "\x80\x0f\x07\0\x01\0", 6, NULL);
	flood(CTL, "\x07\x01\0", 3, NULL);
	flood(CTL, "\x0d\x01\0", 3, NULL);
	/* Empty DATA; unknown frames among it. */
	flood(REQ, "\0\0", 2, POST);
	flood(REQ, "\x21\0", 2, POST);
}

/* RFC 9204 section 7.3: "Set Dynamic Table Capacity", again and again. */
static void test_instructions_nobody_needs(void **state)
{
	char many[256];

	(void)state;
	memset(many, 0x20, sizeof many);
	begin(TAKO_SERVER_CONFIG(.h3_max_control_count = 50));
	h3_rig_send(&rig, id_of(ENC), "\x02", 1, false);
	for (int i = 0; i < 200 && !rig.closed; i++) {
		h3_rig_send(&rig, id_of(ENC), many, sizeof many, false);
		assert_true(i <= 51);
	}
	assert_true(rig.closed);
	assert_int_equal(rig.code, EXCESSIVE);
	end();
}

static void test_unknown_streams_count(void **state)
{
	(void)state;
	begin(TAKO_SERVER_CONFIG(.h3_max_control_count = 50));
	for (int i = 0; i < 60 && !rig.closed; i++) {
		h3_rig_send(&rig, h3_rig_open(&rig, true), "\x21", 1, true);
		h3_rig_pump(&rig);
	}
	assert_int_equal(rig.code, EXCESSIVE);
	end();
}

/* ---- The decoder's table ---------------------------------------------------------------------------- */

/* Set the table to 220 bytes, then insert x: y. */
static const char insert[] = "\x02\x3f\xbd\x01\x41x\x01y";
/* GET, https, / from the static table; :authority and then the newest entry of one: post-base 0 with
 * Required Insert Count 1 of at most 128 entries (that is, 2), Base 1. */
static const char referring[] = "\x01\x09\x02\0\xd1\xd7\xc1\x50\x01"
				"a\x80";

static void test_waits_for_the_table(void **state)
{
	struct h3_rig_stream *s;

	(void)state;
	begin(NULL);
	h3_rig_send(&rig, id_of(REQ), referring, sizeof referring - 1, false);
	h3_rig_send(&rig, id_of(REQ), "\0\x01z", 3, true);
	h3_rig_pump(&rig);
	s = h3_rig_stream(&rig, ids[REQ]);
	assert_int_equal(s->got_n, 0);
	/* What waits is not paid for. */
	assert_true(s->consumed_bytes < s->sent_bytes);
	for (size_t i = 0; i < sizeof insert - 1; i++)
		h3_rig_send(&rig, id_of(ENC), insert + i, 1, false);
	h3_rig_pump(&rig);
	assert_int_equal(status_of(s), 200);
	assert_int_equal(s->consumed_bytes, s->sent_bytes);
	/* Our decoder stream: its type; the section acknowledged, which the entry is with it. */
	s = h3_rig_stream(&rig, 7);
	assert_memory_equal(s->got, "\x03\x80", 2);
	assert_false(rig.closed);
	end();
}

static void test_too_many_wait(void **state)
{
	(void)state;
	begin(TAKO_SERVER_CONFIG(.h3_qpack_blocked_streams = 2));
	for (int i = 0; i < 3; i++) {
		assert_false(rig.closed);
		h3_rig_send(&rig, h3_rig_open(&rig, false), referring, sizeof referring - 1, true);
	}
	assert_true(rig.closed);
	assert_int_equal(rig.code, DECOMPRESSION);
	end();
}

/* Who waits and is given up makes room, and its encoder is told. */
static void test_waits_and_is_given_up(void **state)
{
	struct h3_rig_stream *s;

	(void)state;
	begin(TAKO_SERVER_CONFIG(.h3_qpack_blocked_streams = 1));
	for (int i = 0; i < 3; i++) {
		int64_t id = h3_rig_open(&rig, false);

		h3_rig_send(&rig, id, referring, sizeof referring - 1, false);
		h3_rig_reset(&rig, id, CANCELLED);
		h3_rig_pump(&rig);
		assert_false(rig.closed);
	}
	s = h3_rig_stream(&rig, 7);
	assert_memory_equal(s->got, "\x03\x40\x44\x48", 4);
	end();
}

/* RFC 9204 section 4.2: what we acknowledge must be heard, as what we say must be. */
static void test_our_streams_are_refused(void **state)
{
	(void)state;
	begin(NULL);
	h3_rig_stop_sending(&rig, 7, CANCELLED);
	h3_rig_send(&rig, id_of(ENC), insert, sizeof insert - 1, false);
	h3_rig_pump(&rig);
	assert_true(rig.closed);
	assert_int_equal(rig.code, CLOSED_CRITICAL);
	end();
	begin(NULL);
	h3_rig_stop_sending(&rig, 3, CANCELLED);
	tako_server_stop(rig.server.srv);
	h3_rig_run(&rig, 2);
	assert_int_equal(rig.code, CLOSED_CRITICAL);
	end();
}

static void test_no_table(void **state)
{
	(void)state;
	begin(TAKO_SERVER_CONFIG(.h3_qpack_table_bytes = TAKO_OFF));
	/* No decoder stream of ours either. */
	assert_null(h3_rig_stream(&rig, 7));
	h3_rig_send(&rig, id_of(ENC), insert, sizeof insert - 1, false);
	assert_true(rig.closed);
	assert_int_equal(rig.code, ENCODER);
	end();
}

/* ---- What we say first --------------------------------------------------------------------------------- */

static void says(const tako_server_config *cfg, const char *text, size_t n)
{
	struct h3_rig_stream *s;

	begin(cfg);
	s = h3_rig_stream(&rig, 3);
	assert_memory_equal(s->got, text, n < s->got_n ? n : s->got_n);
	assert_int_equal(s->got_n, n);
	end();
}

static void test_settings(void **state)
{
	static const char bare[] = "\0\x04\x0c\x01\x50\0\x07\x10\x06\x80\0\x40\0\x08\x01";
	/* draft-ietf-webtrans-http3: H3_DATAGRAM, the second draft's setting, the seventh's. */
	static const char all[] = "\0\x04\x1c\x01\x50\0\x07\x10\x06\x80\0\x40\0\x08\x01"
				  "\x33\x01\xab\x60\x37\x42\x01\xc0\0\0\0\xc6\x71\x70\x6a\x10";

	(void)state;
	says(TAKO_SERVER_CONFIG(.wt_max_sessions = TAKO_OFF), bare, sizeof bare - 1);
	says(NULL, all, sizeof all - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_sections_too_large),
		cmocka_unit_test(test_target_too_long),
		cmocka_unit_test(test_rapid_resets),
		cmocka_unit_test(test_malformed_ones_count),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_instructions_nobody_needs),
		cmocka_unit_test(test_unknown_streams_count),
		cmocka_unit_test(test_waits_for_the_table),
		cmocka_unit_test(test_too_many_wait),
		cmocka_unit_test(test_waits_and_is_given_up),
		cmocka_unit_test(test_our_streams_are_refused),
		cmocka_unit_test(test_no_table),
		cmocka_unit_test(test_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* ---- Taking ----------------------------------------------------------------------------------------------- */

#include "core/exchange.h"

static int taken_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	(void)req, (void)arg, (void)data;
	return end ? tako_res_end(res) : 0;
}

static void taken_stop(tako_res *res, void *arg)
{
	(void)arg;
	(void)tako_res_end(res);
}

int take_it(tako_req *req, tako_res *res, void *arg)
{
	int rc = tako__exchange_take(tako__x(res), "x", taken_stop, NULL);

	(void)arg;
	return rc < 0 ? rc : tako_req_on_body(req, taken_body, NULL);
}
