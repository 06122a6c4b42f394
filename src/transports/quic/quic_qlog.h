/* SPDX-License-Identifier: MIT
 *
 * qlog (draft-ietf-quic-qlog-main-schema): what a connection did, in a file of its own, for who asks
 * for it.  Of files and of their bytes there are only so many, and none of it ever ends a connection.
 */
#ifndef TAKO_QUIC_QLOG_H
#define TAKO_QUIC_QLOG_H

#include <tako/server.h>

#include "transports/quic/quic_ngtcp2.h"

/* A listener's; NULL: nobody asks. */
struct tako__quic_qlogs;
/* A connection's. */
struct tako__quic_qlog;

/* The directory, tried out: *ret NULL where `cfg` names none.  TAKO_EINVAL, TAKO_ESYS, TAKO_ENOMEM. */
int tako__quic_qlogs_new(struct tako__quic_qlogs **ret, const tako_listen_config *cfg);
void tako__quic_qlogs_free(struct tako__quic_qlogs *all);

/* One for the connection that its client began with this id.  NULL: it has none, since there are enough
 * of them, or no memory. */
struct tako__quic_qlog *tako__quic_qlog_new(struct tako__quic_qlogs *all, const ngtcp2_cid *odcid);
/* A record, whole.  It is kept, and written with others: never more than one write() a call, and that
 * into the system's own buffers. */
void tako__quic_qlog_write(struct tako__quic_qlog *log, const void *p, size_t n);
/* What is kept is written.  NULL is fine. */
void tako__quic_qlog_free(struct tako__quic_qlog *log);

#endif /* TAKO_QUIC_QLOG_H */
