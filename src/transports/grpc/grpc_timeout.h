/* SPDX-License-Identifier: MIT
 *
 * The value of grpc-timeout: bytes in, a duration out.  No clock.
 */
#ifndef TAKO_GRPC_TIMEOUT_H
#define TAKO_GRPC_TIMEOUT_H

#include <tako/base.h>

/* "TimeoutValue TimeoutUnit" of PROTOCOL-HTTP2.md: one to eight digits and one of H M S m u n.
 * TAKO_EINVAL: anything else; *ret_ns is then unchanged. */
int tako__grpc_timeout(tako_str value, uint64_t *ret_ns);

#endif /* TAKO_GRPC_TIMEOUT_H */
