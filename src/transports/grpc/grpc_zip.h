/* SPDX-License-Identifier: MIT
 *
 * Messages compressed one by one, by zlib's streams, which a worker keeps.  Knows no call: bytes in,
 * bytes out, and a limit that what comes out stays under.
 */
#ifndef TAKO_GRPC_ZIP_H
#define TAKO_GRPC_ZIP_H

#include <tako/base.h>

struct tako__worker;

/* The names of message encodings (PROTOCOL-HTTP2.md); bits of TAKO_GRPC_GZIP, TAKO_GRPC_DEFLATE. */
enum { TAKO__GRPC_IDENTITY = 0, TAKO__GRPC_UNKNOWN_CODING = 0xff };
unsigned tako__grpc_coding(tako_str name);
const char *tako__grpc_coding_name(unsigned coding);
#define TAKO__GRPC_CODINGS "identity,deflate,gzip"

/* Decompress a whole message.  *ret is the worker's, until its next message.
 *   TAKO_ETOOBIG more than `limit` came out, which is known as soon as it has
 *   TAKO_EPROTO  not whole, not of that coding, or something behind it
 *   TAKO_ENOMEM */
int tako__grpc_inflate(struct tako__worker *w, unsigned coding, tako_str in, uint64_t limit,
                       tako_str *ret);
/* Compress one.  *ret is the worker's, until the next; its n is 0 if it would not be shorter.
 * TAKO_ENOMEM. */
int tako__grpc_deflate(struct tako__worker *w, unsigned coding, tako_str in, tako_str *ret);

#endif /* TAKO_GRPC_ZIP_H */
