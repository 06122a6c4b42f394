/* SPDX-License-Identifier: MIT
 *
 * A QUIC client on a real socket, for what is tested and measured with one: a connection, a socket, no
 * thread, no loop.  Its user polls quic_peer.fd and calls.  It knows no application: that is `ops`.
 * It must never call into the server under test.
 */
#ifndef TAKO_TESTS_QUIC_PEER_H
#define TAKO_TESTS_QUIC_PEER_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "transports/quic/quic_ngtcp2.h"

struct quic_peer;

enum { QUIC_PEER_VEC = 16 };

/* What is said on it.  `stream` is what quic_peer_stream() was given, NULL on the server's own.  Where
 * an int is returned, a negative one ends the connection with the code of that internal error. */
struct quic_peer_ops {
	int (*ready)(struct quic_peer *p); /* the handshake is through */
	/* Nothing of it is given back to the windows by itself: quic_peer_consumed(). */
	int (*data)(struct quic_peer *p, int64_t id, void *stream, const uint8_t *bytes, size_t n,
	            bool fin);
	/* The next three may be NULL. */
	int (*acked)(struct quic_peer *p, int64_t id, void *stream, uint64_t n);
	int (*reset)(struct quic_peer *p, int64_t id, void *stream, uint64_t code);
	int (*unblocked)(struct quic_peer *p, int64_t id, void *stream);
	int (*closed)(struct quic_peer *p, int64_t id, void *stream, uint64_t code);
	/* What to send next: how many of `vec` are filled in; *id -1: nothing. */
	int (*next)(struct quic_peer *p, int64_t *id, bool *fin, struct iovec *vec);
	void (*wrote)(struct quic_peer *p, int64_t id, size_t n, bool fin);
	/* It has no window (`shut`: and never will): it is not to be offered until it is unblocked. */
	void (*blocked)(struct quic_peer *p, int64_t id, bool shut);
	/* RFC 9221; NULL: the server is told that there are none. */
	int (*datagram)(struct quic_peer *p, const uint8_t *bytes, size_t n);
};

struct quic_peer_config {
	const struct sockaddr *remote;
	socklen_t remote_n;
	const struct quic_peer_ops *ops;
	void *user;
	uint64_t stream_window; /* what the server may send before more is consumed */
	uint64_t window;
	uint64_t idle_ms;      /* 0: none */
	uint64_t bidi_streams; /* that the server may open; of those that go one way 8 */
};

/* How it ended. */
struct quic_peer_end {
	bool by_peer;
	bool app; /* `code` is the application's, else the transport's */
	uint64_t code;
	const char *why; /* of ours; NULL: nothing but the code */
	char reason[128];
};

struct quic_peer {
	int fd;
	bool ready;
	bool ended;
	struct quic_peer_end end;
	void *user;
	/* Below: its own. */
	const struct quic_peer_ops *ops;
	ngtcp2_conn *conn;
	ngtcp2_crypto_conn_ref ref;
	void *ssl; /* WOLFSSL */
	struct sockaddr_storage local;
	socklen_t local_n;
	struct sockaddr_storage remote;
	socklen_t remote_n;
	uint64_t app_error; /* the application's, with which a callback has failed */
	bool app_failed;
	uint8_t dgram[1200];
	size_t dgram_n;
	bool dgram_waits;
	bool more; /* there was more to write than one call may */
};

/* Once a process, before and after everything else.  `alpn` is what all of them ask for. */
bool quic_peer_init(const char *alpn);
void quic_peer_fini(void);

/* Connect: the first packet leaves with quic_peer_write().  False, and errno: it could not be. */
bool quic_peer_open(struct quic_peer *p, const struct quic_peer_config *cfg);
/* The peer hears nothing of it. */
void quic_peer_free(struct quic_peer *p);

/* All that the socket has now, and what is due by now.  Whatever ends the connection sets `ended`. */
void quic_peer_read(struct quic_peer *p);
/* All that may be said now. */
void quic_peer_write(struct quic_peer *p);
/* When to call both though nothing has come, by quic_peer_now(); UINT64_MAX: never. */
uint64_t quic_peer_next(const struct quic_peer *p);
uint64_t quic_peer_now(void);

/* A new stream's id, -1: the server allows none now. */
int64_t quic_peer_stream(struct quic_peer *p, bool uni, void *stream);
void quic_peer_consumed(struct quic_peer *p, int64_t id, uint64_t n);
/* RESET_STREAM and STOP_SENDING. */
void quic_peer_cancel(struct quic_peer *p, int64_t id, uint64_t code);
/* False: it does not fit, or the server takes none.  It leaves with quic_peer_write(), the last one given only. */
bool quic_peer_datagram(struct quic_peer *p, const void *bytes, size_t n);
/* From inside of a callback, before it fails: the code that the server is to be told. */
int quic_peer_fail(struct quic_peer *p, uint64_t code, const char *why);
/* CONNECTION_CLOSE with an application's code; and with a reason for people. */
void quic_peer_close(struct quic_peer *p, uint64_t code);
void quic_peer_close_saying(struct quic_peer *p, uint64_t code, const char *reason, size_t n);
/* Go on from another port, as behind a NAT that has forgotten.  False, and errno. */
bool quic_peer_move(struct quic_peer *p);

/* A session for the library's helper: quic_peer_tls.c. */
bool quic_peer_tls_init(const char *alpn);
void quic_peer_tls_fini(void);
bool quic_peer_tls_open(struct quic_peer *p);
void quic_peer_tls_free(struct quic_peer *p);

#endif /* TAKO_TESTS_QUIC_PEER_H */
