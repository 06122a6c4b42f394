/* SPDX-License-Identifier: MIT
 *
 * Statuses: which one an error of ours is, which one of HTTP's is, and how their message is written in
 * a field.  No call, no allocation.
 */
#ifndef TAKO_GRPC_STATUS_H
#define TAKO_GRPC_STATUS_H

#include <tako/base.h>

enum {
	TAKO__GRPC_STATUSES = 17,
	TAKO__GRPC_MESSAGE_BYTES = 1024, /* of a status' message before it is encoded */
};

static inline bool tako__grpc_status_ok(int status)
{
	return status >= 0 && status < TAKO__GRPC_STATUSES;
}

/* Of a callback's TAKO_E*. */
int tako__grpc_status_of_error(int err);
/* http-grpc-status-mapping.md, and what tako answers by itself. */
int tako__grpc_status_of_http(int status);

/* Percent-encode a grpc-message: all but printable ASCII, and "%".  Up to 3 bytes for each of `message`,
 * of which no more than TAKO__GRPC_MESSAGE_BYTES are looked at.  Returns how many. */
size_t tako__grpc_message(char *to, tako_str message);

#endif /* TAKO_GRPC_STATUS_H */
