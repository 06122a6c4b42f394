/* SPDX-License-Identifier: MIT
 *
 * Connections that keep what is sent apart (SOCK_SEQPACKET, unix(7)): each record is received whole, and one
 * send is one record.  To a runtime they are datagrams with an end.
 */
#ifndef TAKO_CORE_RECORD_H
#define TAKO_CORE_RECORD_H

#include "core/conn.h"

enum {
	TAKO__RECORD_BYTES_MAX = 64 << 10, /* as much as is received at once */
	TAKO__RECORD_OVERHEAD = 128,       /* what one counts beside its bytes while it is unsent */
};

/* As the runtime's start(): the descriptor is its to close, also on failure. */
int tako__records_start(struct tako__conn *c, int fd);
/* What has arrived, for the connection's on_recv(); an end as that has it. */
void tako__records_arrive(struct tako_sock *s, const struct tako_dgram *v, unsigned count);
/* Queue a copy, of no more bytes than that.  TAKO_ENOMEM: nothing was. */
int tako__record_send(struct tako__conn *c, tako_str data);

#endif /* TAKO_CORE_RECORD_H */
