/* SPDX-License-Identifier: MIT
 *
 * Descriptors that were open before this process was, until listeners take them.  One table a process, as
 * there is one environment.
 */
#ifndef TAKO_CORE_INHERIT_H
#define TAKO_CORE_INHERIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <tako/inherit.h>

#include "core/local.h"

enum {
	TAKO__INHERIT_FIRST = 3, /* SD_LISTEN_FDS_START */
	TAKO__INHERIT_MAX = 1024,
	TAKO__INHERIT_NAME_BYTES = 256, /* 255 characters, as systemd has it */
};

/* What a listener has got: the sockets of one address, as each worker of its last owner had one. */
struct tako__taken {
	unsigned count;
	char name[TAKO__INHERIT_NAME_BYTES];
	char text[TAKO__LOCAL_TEXT_BYTES]; /* the address */
	int fds[TAKO__INHERIT_MAX];
};

/* "fd:3" or "systemd:NAME"? */
bool tako__inherit_is(const char *addr);

/* Take what `addr` names, for transports with sockets of this type (SOCK_*): close-on-exec and
 * non-blocking from now on.
 *   TAKO_EINVAL   malformed, or it is no such socket: the sentence says what is wrong with it
 *   TAKO_ENOENT   there is none */
int tako__inherit_named(struct tako__taken *ret, const char *addr, int type);
/* Take the sockets that are bound to the address `text` (tako__local_format()).  Returns how many there
 * are, 0 or more; errors of tako_listen_fds(). */
int tako__inherit_bound(struct tako__taken *ret, const char *text, int type);

/* How long tako_inherit_from() waits for all of it.  For tests. */
extern uint32_t tako__inherit_patience_ms;

/* What a server that hands its sockets over says: a message has a letter, the names of its descriptors,
 * divided by colons, and the descriptors themselves. */
enum {
	TAKO__PARCEL_PIECE = 'S',
	TAKO__PARCEL_END = 'E',
	TAKO__PARCEL_FDS = 32, /* in a message */
	TAKO__PARCEL_BYTES = 1 + TAKO__PARCEL_FDS * TAKO__INHERIT_NAME_BYTES,
};

/* Close what nobody took, forget the rest, and tell the process that left it to us that we serve. */
void tako__inherit_end(void);

/* The name of sockets that a server has bound itself and hands on: with their files, if they have any. */
#define TAKO__INHERIT_OWN "tako-own"
/* In the environment, the descriptor of a pipe on which that process waits for a line. */
#define TAKO__INHERIT_READY "TAKO_READY_FD"

#endif /* TAKO_CORE_INHERIT_H */
