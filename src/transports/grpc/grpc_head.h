/* SPDX-License-Identifier: MIT
 *
 * What the fields of a request say of a call, found in one pass over them.  Knows no method and
 * decides nothing.
 */
#ifndef TAKO_GRPC_HEAD_H
#define TAKO_GRPC_HEAD_H

#include <tako/base.h>

#include "core/header.h"

/* By content type. */
enum tako__grpc_form {
	TAKO__GRPC_NOT,
	TAKO__GRPC_PLAIN,    /* application/grpc */
	TAKO__GRPC_WEB,      /* application/grpc-web */
	TAKO__GRPC_WEB_TEXT, /* application/grpc-web-text */
};

struct tako__grpc_request {
	enum tako__grpc_form form;
	enum tako__grpc_form answer; /* the form of the response */
	uint8_t coding;              /* of its messages, or TAKO__GRPC_UNKNOWN_CODING */
	uint8_t accepts;             /* bits of TAKO_GRPC_GZIP, TAKO_GRPC_DEFLATE */
	bool has_coding;
	bool has_timeout;
	const char *bad; /* why it cannot be answered, or NULL */
	uint64_t timeout_ns;
	tako_str type; /* of the response, without parameters */
	tako_str origin;
};

/* What most clients send, and NUL-terminated: in one place, so that it need not be looked at again. */
extern const char tako__grpc_plain_type[];

/* "application/grpc", with "-web", "-web-text" (or "-web-text-base64", which is the same) or without, and
 * "+proto" or any other format behind it. */
enum tako__grpc_form tako__grpc_form(tako_str type);
void tako__grpc_request(struct tako__grpc_request *ret, const struct tako__field *fields,
                        unsigned count);

#endif /* TAKO_GRPC_HEAD_H */
