/* SPDX-License-Identifier: MIT
 *
 * A QUIC client on the network of quic_net.h: ngtcp2 and wolfSSL's client.  It records what comes on
 * each stream and sends what it is given; whoever speaks a protocol on it replaces the former by
 * `ops` and gives the latter when it is asked.  It can also say what no client should.
 */
#ifndef TAKO_TESTS_QUIC_CLIENT_H
#define TAKO_TESTS_QUIC_CLIENT_H

#include <sys/uio.h>

#include "transports/quic/quic_ngtcp2.h"
#include "unit/quic_net.h"

struct quic_client;

enum { QUIC_CLIENT_STREAMS = 512, QUIC_CLIENT_DATAGRAMS = 128 };

/* One of either side's. */
struct quic_client_stream {
	int64_t id; /* -1: free */
	char *in;   /* received; NULL: nothing */
	size_t in_n;
	bool in_fin;
	bool reset; /* by the server, with this code: */
	uint64_t reset_code;
	bool closed;
	uint64_t close_code; /* 0: by two FINs */
	bool shut;           /* it takes no more of ours, as the server has said */
	char *out;           /* all of it, as it may have to be sent again */
	size_t out_n;
	size_t out_sent;
	size_t acked;
	bool out_fin;
	bool fin_sent;
	bool blocked;
	void *user; /* the protocol's */
};

/* Members may be NULL: then what the client does by itself is done. */
struct quic_client_ops {
	void (*data)(struct quic_client *c, int64_t id, const uint8_t *p, size_t n, bool fin);
	void (*acked)(struct quic_client *c, int64_t id, uint64_t n);
	void (*closed)(struct quic_client *c, int64_t id, uint64_t code);
	void (*reset)(struct quic_client *c, int64_t id, uint64_t code);
	void (*unblocked)(struct quic_client *c, int64_t id);
	/* The handshake is through. */
	void (*ready)(struct quic_client *c);
	/* As tako__quic_app's: *id -1: nothing.  How many of `vec` are filled in. */
	unsigned (*next)(struct quic_client *c, int64_t *id, bool *fin, struct iovec *vec,
	                 unsigned max);
	void (*wrote)(struct quic_client *c, int64_t id, size_t n, bool fin);
	void (*blocked)(struct quic_client *c, int64_t id);
};

/* Zero it, and set what should be otherwise. */
struct quic_client_config {
	const char *alpn;        /* NULL: "echo"; "": none is offered */
	const char *server_name; /* NULL: "localhost" */
	const struct quic_client_ops *ops;
	void *user;
	uint64_t stream_window; /* 0: 256 KiB; of what the server may send */
	uint64_t window;        /* 0: 1 MiB */
	uint64_t streams;       /* 0: 100, of the server's, each way */
	uint64_t idle_ns;       /* 0: none */
	uint32_t version;       /* 0: 1 */
	const uint8_t *token;   /* of an earlier connection's NEW_TOKEN */
	size_t token_n;
	void *session;         /* WOLFSSL_SESSION, to be resumed */
	const char *cert_file; /* with its key in key_file: to show */
	const char *key_file;
	const char *params; /* transport parameters in place of its own, behind its connection id */
	size_t params_n;
	bool params_bare;      /* … which is left out */
	bool no_datagrams;     /* else it takes them */
	bool no_window_growth; /* what is received stays counted until quic_client_consume() */
};

struct quic_client {
	struct quic_client_config cfg;
	ngtcp2_conn *conn;
	ngtcp2_crypto_conn_ref ref;
	void *ctx; /* WOLFSSL_CTX */
	void *ssl; /* WOLFSSL */
	struct sockaddr_in addr;
	ngtcp2_cid scid;
	struct quic_client_stream streams[QUIC_CLIENT_STREAMS];
	uint8_t datagrams[QUIC_CLIENT_DATAGRAMS][1500];
	size_t datagram_n[QUIC_CLIENT_DATAGRAMS];
	unsigned datagram_count;
	char *dgram_out;
	size_t dgram_out_n;
	uint8_t new_token[128];
	size_t new_token_n;
	bool ready;        /* the handshake is through */
	bool retried;      /* a Retry came */
	bool negotiated;   /* a version negotiation did */
	bool was_reset;    /* statelessly */
	bool closed;       /* no packet leaves any more */
	bool lost;         /* by a timeout */
	int error;         /* NGTCP2_ERR_* that closed it, 0: ngtcp2_ccerr says why */
	ngtcp2_ccerr end;  /* the server's, or ours */
	uint64_t stalled;  /* packets are held back until then */
	uint64_t ecn_seen; /* packets that came with ECT or CE */
	size_t largest;    /* datagram received */
};

/* A connection from a new address; it begins with the next step. */
struct quic_client *quic_client_new(const struct quic_client_config *cfg);
void quic_client_free(struct quic_client *c);

/* Take what is due, and send what may be sent. */
void quic_client_step(struct quic_client *c);
/* When to step next if nothing comes. */
uint64_t quic_client_next(struct quic_client *c);

/* A new stream's id, -1: the server allows none. */
int64_t quic_client_open(struct quic_client *c, bool uni);
void quic_client_send(struct quic_client *c, int64_t id, const void *p, size_t n, bool fin);
struct quic_client_stream *quic_client_stream(struct quic_client *c, int64_t id);
/* One with that id, made if there is none. */
struct quic_client_stream *quic_client_stream_make(struct quic_client *c, int64_t id);
void quic_client_consume(struct quic_client *c, int64_t id, size_t n);
void quic_client_reset(struct quic_client *c, int64_t id, uint64_t code);
void quic_client_stop(struct quic_client *c, int64_t id, uint64_t code);
void quic_client_datagram(struct quic_client *c, const void *p, size_t n);
/* CONNECTION_CLOSE with an application's code. */
void quic_client_close(struct quic_client *c, uint64_t code);
/* Come from another port, as behind a NAT that has forgotten; with `tell`, by a migration. */
void quic_client_move(struct quic_client *c, bool tell);
/* A packet of ours with these frames, sealed as it should be.  The library takes it for another. */
void quic_client_inject(struct quic_client *c, const void *frames, size_t n);
/* … in the next packet that is written, whoever writes it: the first one's of a connection. */
void quic_client_inject_next(const void *frames, size_t n);
/* A TLS handshake message in a CRYPTO frame of the 1-RTT level. */
void quic_client_inject_crypto(struct quic_client *c, const void *message, size_t n);

#endif /* TAKO_TESTS_QUIC_CLIENT_H */
