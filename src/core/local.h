/* SPDX-License-Identifier: MIT
 *
 * Addresses that are not the Internet's: Unix sockets, by path or abstract, and vsock.  These have no
 * SO_REUSEPORT: one socket is everybody's, and each worker has a descriptor of it.
 */
#ifndef TAKO_CORE_LOCAL_H
#define TAKO_CORE_LOCAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <tako/server.h>

enum { TAKO__LOCAL_TEXT_BYTES = 128 }; /* whatever tako__local_format() writes */

/* What is left to do at the end of one. */
struct tako__local_sock {
	_Atomic bool listens; /* on a Unix socket, and nobody has ended it yet */
	dev_t dev;            /* of the file that we made */
	ino_t ino;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* "": there is none */
};

/* "unix:…" or "vsock:…"? */
bool tako__local_is(const char *addr);

/* Listen on one, by a socket of this type (SOCK_STREAM, SOCK_SEQPACKET), with cfg's backlog, owner and
 * mode.  Returns the descriptor.  The path of a socket that nobody listens on any more is taken over;
 * one of somebody who does, or of anything that is no socket, is left alone.
 *   TAKO_EINVAL   malformed, or an owner that there is not
 *   TAKO_EEXIST   the address is somebody's
 *   TAKO_ENOTSUP  the kernel lacks the family; a setting that the address has no use for
 *   TAKO_ESYS */
int tako__local_listen(struct tako__local_sock *ret, const char *addr, int type,
                       const tako_listen_config *cfg);
/* Refuse cfg's settings of Unix sockets on an address that is none: TAKO_ENOTSUP. */
int tako__local_refuse(const char *addr, const tako_listen_config *cfg);

/* A listening socket at this address (tako__local_format()'s) is ours from now on, its file included: whoever
 * made it has handed it to us. */
void tako__local_adopt(struct tako__local_sock *l, const char *addr);
/* … and whoever we have handed it to looks after it. */
void tako__local_disown(struct tako__local_sock *l);

/* From now on nobody can connect: the path is removed, if what is there is still ours.  Whoever is in
 * the backlog of `fd` can be accepted yet.  Does it once, whoever calls; NULL is fine. */
void tako__local_end(struct tako__local_sock *l, int fd);

/* The address of one, to connect to: `room` bytes at `ret`.  TAKO_EINVAL: malformed, or nobody's. */
int tako__local_address(struct sockaddr *ret, size_t room, socklen_t *ret_n, const char *addr);

/* "unix:/run/x", "unix:@name", "unix:" for one without a name, "vsock:2:80", or as
 * tako__addr_format().  Returns the length. */
size_t tako__local_format(const struct sockaddr *sa, socklen_t sa_n, char *buf, size_t n);

/* Who connected by that socket (SO_PEERCRED).  False: it does not say. */
bool tako__local_peer(tako_conn_info *info, int fd);

#endif /* TAKO_CORE_LOCAL_H */
