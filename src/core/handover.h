/* SPDX-License-Identifier: MIT
 *
 * A server's sockets, on their way to the process that comes after it.
 */
#ifndef TAKO_CORE_HANDOVER_H
#define TAKO_CORE_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/inherit.h"

struct tako_server;

/* Descriptors of our own, each of another socket, with the names that they are handed on under. */
struct tako__parcel {
	unsigned count;
	int fds[TAKO__INHERIT_MAX];
	const char *names[TAKO__INHERIT_MAX]; /* the server's */
};

/* Every socket that the server accepts from or reads from, by descriptors that are `above` or more and
 * close-on-exec.  TAKO_ESTATE: it is about to end; TAKO_ETOOBIG; TAKO_ESYS.  [any] */
int tako__parcel_pack(struct tako__parcel *ret, struct tako_server *srv, int above);
void tako__parcel_free(struct tako__parcel *p);

/* Send it over a SOCK_SEQPACKET of family AF_UNIX, in messages of bounded size.  TAKO_ESYS. */
int tako__parcel_send(const struct tako__parcel *p, int fd);

/* The most that there may be in one. */
unsigned tako__parcel_max(const struct tako_server *srv);

/* Defaults filled in, `cfg` may be NULL. */
int tako__restart_import(tako_restart_config *ret, const tako_restart_config *cfg);

/* Somebody else accepts now: end, and leave to him what is his. */
void tako__hand_over(struct tako_server *srv, uint32_t last_call_ms);

#endif /* TAKO_CORE_HANDOVER_H */
