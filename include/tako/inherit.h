/* SPDX-License-Identifier: MIT
 *
 * tako/inherit.h: a process and who started it: sockets that were open before it was, and
 * what its supervisor is told of it.
 *
 * The protocols are systemd's, without its library: sd_listen_fds(3) and sd_notify(3).  Most
 * programs need no function of this header: tako_server_config.inherit and .notify do it all, and
 * addresses "systemd:NAME" and "fd:3" name one socket.  See docs/restart.md.
 */
#ifndef TAKO_INHERIT_H
#define TAKO_INHERIT_H

#include <tako/base.h>
#include <tako/server.h>

TAKO_BEGIN

/* ---- What we were started with ------------------------------------------------ */

/* How many descriptors LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES leave to this process, from 3 on;
 * 0: none, or they are another process's.  The first call reads the environment, removes these
 * variables from it and sets close-on-exec on the descriptors, so that they end here.  Servers
 * call it themselves.  [setup]
 *   TAKO_EINVAL   the variables are malformed, or a descriptor is not open: all are left as they are
 *   TAKO_ETOOBIG  more than 1024
 *   TAKO_ENOMEM */
TAKO_API TAKO_CHECK int tako_listen_fds(void);

/* The name of the `index`th, from 0; "unknown" where it was given none.  NULL: there is none, or a
 * listener or a call of tako_listen_fd() has it already.  Borrowed until a server starts.  [setup] */
TAKO_API const char *tako_listen_fd_name(size_t index);

/* Take the `index`th: the descriptor is yours then, and no listener finds it any more.  What nobody
 * has taken is closed when a server with tako_server_config.inherit starts: a socket that listens
 * and is not accepted from keeps its peers waiting.  TAKO_ENOENT: there is none, or somebody has
 * it.  [setup] */
TAKO_API TAKO_CHECK int tako_listen_fd(size_t index);

/* ---- What our supervisor is told ----------------------------------------------- */

/* Send lines as "STATUS=12 users" or "READY=1\nSTATUS=up" to the supervisor that NOTIFY_SOCKET in the
 * environment names: a path, or "@name".  1: sent; 0: nobody wants to know.  Waits for a second at
 * most.  [any]
 *   TAKO_EINVAL   an empty or NULL state, or a NOTIFY_SOCKET that is no address
 *   TAKO_ENOTSUP  NOTIFY_SOCKET is one over vsock, as in virtual machines
 *   TAKO_ESYS     it could not be sent: tako_last_error() says why */
TAKO_API int tako_notify(const char *state);

/* "RELOADING=1" with the time that goes with it, for units of Type=notify-reload; to be followed by
 * "READY=1".  Returns as tako_notify().  [any] */
TAKO_API int tako_notify_reloading(void);

TAKO_END

#endif /* TAKO_INHERIT_H */
