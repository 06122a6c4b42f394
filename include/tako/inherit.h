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

/* ---- Who comes after us ---------------------------------------------------------- */

typedef struct tako_restart_config {
	size_t size;
	char *const
		*argv;    /* main()'s, or another command: what the new process is called with, NULL
			    * at its end.  Without a slash argv[0] is looked for along PATH */
	const char *path; /* NULL: argv[0]; else the program's file */
	uint32_t ready_timeout_ms; /* 0: 30000 until the new process serves; then it is ended */
	uint32_t
		last_call_ms; /* 0: 2000: how long connections of HTTP/1 without a request may still
				* send one; its response says "Connection: close" */
} tako_restart_config;
#define TAKO_RESTART_CONFIG(...)                                                                   \
	(&(tako_restart_config){.size = sizeof(tako_restart_config), __VA_ARGS__})

/* Start the program anew, with the listening sockets of this server; when the new process serves, stop
 * this server as tako_server_stop() does, except that sockets stay open and files of Unix sockets
 * where they are.  Until then both accept, so that no connection is refused or lost.  If the new
 * process does not come to serve, nothing has changed: this server goes on.
 *
 * The new process needs nothing but tako_server_config.inherit: it gets the sockets by the protocol of
 * tako_listen_fds(), finds each by its address or name, and tells us when its first server has
 * started.  Connections over QUIC are closed when it has: their datagrams now come to it.
 * With .notify the supervisor is told RELOADING, and the new process's number when that serves.
 *
 * Waits for the new process: not from a handler or callback, nor while another thread changes the
 * environment.  Signals that a handler has are the new process's default ones, and none is
 * blocked; of descriptors it has 0 to 2, the sockets from 3 on, and what is not
 * close-on-exec beyond them.  [any]
 * Returns its process id, or
 *   TAKO_EINVAL    no server, no argv, or no such program
 *   TAKO_ESTATE    not serving, or stopped meanwhile
 *   TAKO_EBUSY     another thread restarts it already
 *   TAKO_ECLOSED   the new process ended: tako_last_error() says how
 *   TAKO_ETIMEDOUT it did not serve in time
 *   TAKO_ENOTSUP, TAKO_ENOMEM, TAKO_ESYS */
TAKO_API TAKO_CHECK int tako_server_restart(tako_server *srv, const tako_restart_config *cfg);

/* ---- … and is no child of ours ---------------------------------------------------------- */

/* Hand the server's sockets to a process that somebody else starts, over a Unix socket: listens at
 * `addr`, "unix:/path" (mode 0600) or "unix:@name", until a process of this user has fetched them by
 * tako_inherit_from() and serves; then stops this server, as tako_server_restart() does.  Others
 * are turned away, and one that fetches them and does not come to serve within cfg->ready_timeout_ms
 * changes nothing: it waits for the next one.  `cfg` may be NULL; argv and path are of no use.
 *
 * Waits as long as the server runs: for a thread of its own.  0: the other one serves, and this
 * server drains.  [any]
 *   TAKO_ESTATE   the server was stopped, or does not serve
 *   TAKO_EINVAL, TAKO_EEXIST, TAKO_ESYS   the address, as for tako_server_listen() */
TAKO_API TAKO_CHECK int tako_server_hand_over(tako_server *srv, const char *addr,
                                              const tako_restart_config *cfg);

/* Fetch the sockets of the server that waits at `addr`; servers with tako_server_config.inherit then find
 * them, as those of tako_listen_fds(), and tell it when the first one has started.  Waits for five
 * seconds at most.  Returns how many there are.  [setup]
 *   TAKO_ENOENT   nobody waits there: listen as ever
 *   TAKO_ESTATE   this process has inherited others already
 *   TAKO_EPROTO   whoever is there is another user's process, or says something else
 *   TAKO_ETIMEDOUT  … or has not said all of it by then
 *   TAKO_EINVAL, TAKO_ETOOBIG, TAKO_ENOMEM, TAKO_ESYS */
TAKO_API TAKO_CHECK int tako_inherit_from(const char *addr);

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
