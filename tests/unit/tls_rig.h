/* SPDX-License-Identifier: MIT
 *
 * A TLS server that is turned by hand, and a client of wolfSSL's without a socket: its bytes are
 * carried by the test that drives both.  One of each.
 */
#ifndef TAKO_TESTS_TLS_RIG_H
#define TAKO_TESTS_TLS_RIG_H

#include "core/server.h"
#include "transports/tls/tls_lib.h"
#include "unit/stepped.h"

enum { TLS_RIG_OUT_MAX = 1 << 18 };

struct tls_rig {
	struct stepped server;
	struct peer peer;
	tako_cert *cert;           /* for localhost */
	tako_listen_config listen; /* for the next start; `cert` is used where it has none */
	uint32_t timeout_ms;       /* of handshakes, for the next start; 0: the default */
	WOLFSSL_CTX *ctx;          /* the client's */
	WOLFSSL *ssl;
	size_t used;  /* of what the peer received */
	size_t sent;  /* bytes of the client's so far */
	size_t cut;   /* send the byte at this place, and what follows, later */
	size_t out_n; /* waits in out */
	char out[TLS_RIG_OUT_MAX];
};

extern struct tls_rig tls_rig;

/* Make the certificate and the client's context; for a group's set-up and tear-down. */
int tls_rig_up(void);
void tls_rig_down(void);

/* Serve `r`, of which the reference is taken over, with one worker. */
int tls_rig_start(tako_router *r);
int tls_rig_stop(void);

/* A connection and a session for it; false: not even that. */
bool tls_rig_open(size_t cut);
void tls_rig_close(void);
/* Hand over what the client wrote; at the cut the server gets two turns to look at one half. */
bool tls_rig_deliver(void);
/* Step both until `what` has said something other than "wait"; its answer. */
int tls_rig_drive(int (*what)(void *arg), void *arg);
/* The client's handshake. */
bool tls_rig_connect(void);
/* What comes until it ends or `n` are there. */
size_t tls_rig_receive(char *to, size_t n);
bool tls_rig_ask(const char *text);
/* Turn the server `n` times. */
void tls_rig_turn(unsigned n);

#endif /* TAKO_TESTS_TLS_RIG_H */
