/* SPDX-License-Identifier: MIT
 *
 * tako/raw.h: connections without HTTP: bytes in, bytes out, by callbacks, over TCP, vsock, Unix sockets
 * and TLS.  What is around them is the server's: workers, limits, the PROXY protocol, figures, drain.
 *
 * A listener is tako_server_listen() with one of the transports below and tako_listen_config.raw.  A
 * connection belongs to one worker, on whose thread all its callbacks run; everything here is [loop]: from
 * a callback of a connection of the same worker.  docs/raw.md has examples.
 */
#ifndef TAKO_RAW_H
#define TAKO_RAW_H

#include <tako/base.h>
#include <tako/http.h>
#include <tako/proxy.h>
#include <tako/server.h>

TAKO_BEGIN

/* One connection.  Valid until its on_close() has returned. */
typedef struct tako_raw tako_raw;

/* What is done with the connections of a listener.  Copied by tako_server_listen(); `arg`, which every
 * callback gets, must live as long as the server.  NULL for what is of no interest; on_data is. */
typedef struct tako_raw_config {
	size_t size;
	/* It is there: accepted, its PROXY header read, its TLS handshake through.  A negative code
	 * closes it; on_close() follows. */
	int (*on_open)(tako_raw *c, void *arg);
	/* Bytes have come: some, as the network cuts them; borrowed for the call.  A negative code resets
	 * the connection. */
	int (*on_data)(tako_raw *c, tako_str data, void *arg);
	/* The peer sends no more, and may still read.  NULL: as if it called tako_raw_end(). */
	int (*on_end)(tako_raw *c, void *arg);
	/* After write_high_bytes were unsent: they are write_low_bytes or fewer now. */
	void (*on_writable)(tako_raw *c, void *arg);
	/* The server stops: come to an end within drain_timeout_ms.  NULL: as if it called
	 * tako_raw_close(), after on_data() has had what was there to read. */
	void (*on_drain)(tako_raw *c, void *arg);
	/* It is over, and freed when this returns: once for each on_open().  `why`: 0, both sides have
	 * ended in order; TAKO_ECLOSED, the peer or the server cut it; TAKO_ETIMEDOUT; or what a callback
	 * has returned. */
	void (*on_close)(tako_raw *c, int why, void *arg);
	void *arg;
	size_t user_bytes;         /* 0: none; to 1 MiB of zeroed memory for tako_raw_user() */
	uint64_t write_high_bytes; /* 0: 256 KiB; from 1 */
	uint64_t write_low_bytes;  /* 0: a quarter of that; less than it */
	uint64_t max_unsent_bytes; /* 0: four times that; not less.  More is refused: TAKO_EBUSY */
	/* TLS only: what a client that asks is answered (RFC 7301), "mqtt" or "a,b"; who asks for others
	 * only is refused.  NULL: asking is not answered. */
	const char *alpn;
	uint32_t idle_timeout_ms; /* 0: 60000 without a byte, either way; TAKO_OFF: none */
	uint32_t lifetime_ms;     /* 0: none */
	uint32_t max_connections; /* 0: the server's; of this listener, more are closed at once */
	uint32_t reserved;
} tako_raw_config;
#define TAKO_RAW_CONFIG(...) (&(tako_raw_config){.size = sizeof(tako_raw_config), __VA_ARGS__})

/* Transports for tako_server_listen(): over TCP and vsock, over Unix sockets, and over TLS on any of them,
 * which takes the certificates and clients' of tako_tls(), but no early data.  In a build without TLS
 * tako_server_listen() refuses the last with TAKO_ENOTSUP.  Static; never freed.  [any] */
TAKO_API const tako_transport *tako_raw_tcp(void);
TAKO_API const tako_transport *tako_raw_unix(void);
TAKO_API const tako_transport *tako_raw_tls(void);

/* Send: copied, and on its way before the loop sleeps.  Returns how many bytes are unsent now: with
 * write_high_bytes or more, send nothing until on_writable().  [loop]
 *   TAKO_EBUSY    max_unsent_bytes: nothing of it was taken
 *   TAKO_ESTATE   after tako_raw_end() or tako_raw_close()
 *   TAKO_ECLOSED  the connection is gone
 *   TAKO_ENOMEM   … and going, since some of it may have left */
TAKO_API int64_t tako_raw_send(tako_raw *c, tako_str data);

/* Bytes that were accepted and not taken by the kernel yet.  [loop] */
TAKO_API uint64_t tako_raw_unsent(const tako_raw *c);

/* End our side behind what was sent; the peer can send on.  When its side has ended, too, the connection
 * is over.  May be repeated.  [loop] */
TAKO_API void tako_raw_end(tako_raw *c);

/* End the connection when what was sent has left; what the peer sends from now on is thrown away, and its
 * end waited for no longer than linger_timeout_ms.  on_close() follows, after this call.  [loop] */
TAKO_API void tako_raw_close(tako_raw *c);

/* Cut it off, so that the peer sees a reset (on a Unix socket, which has none, an end); what is unsent is
 * lost.  on_close() follows, after this call, with TAKO_ECLOSED.  [loop] */
TAKO_API void tako_raw_abort(tako_raw *c);

/* Deliver nothing, the end included, until resumed; then the peer has to wait, too.  Over TLS what was
 * received already may still come.  [loop] */
TAKO_API void tako_raw_pause(tako_raw *c);
TAKO_API void tako_raw_resume(tako_raw *c);

/* The connection's user_bytes, aligned for anything; NULL: there are none.  [loop] */
TAKO_API void *tako_raw_user(const tako_raw *c);

/* As tako_req_conn_info(); the strings live as long as the connection, and each call takes memory for them
 * anew.  [loop] */
TAKO_API int tako_raw_conn_info(tako_raw *c, tako_conn_info *out);

/* As tako_req_proxy_info(), likewise.  [loop] */
TAKO_API int tako_raw_proxy_info(tako_raw *c, tako_proxy_info *out);

TAKO_END

#endif /* TAKO_RAW_H */
