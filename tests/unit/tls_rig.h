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

/* First in main(): allocations are counted, and fail on demand.  0, or it comes too late. */
int tls_rig_install(void);
/* A group's set-up and tear-down: make the certificate and the client's context; give them up, and
 * assert that nothing else is left. */
int tls_rig_up(void **state);
int tls_rig_down(void **state);

/* From here on the nth allocation and all later ones fail; 0: none does any more. */
void tls_rig_starve(size_t nth);
/* Bytes that are allocated now. */
size_t tls_rig_live_bytes(void);
/* Start a server and talk to it (true: the client has an answer), over and over, until each allocation
 * has failed once: nothing crashes, nothing is left, and the client sees an answer or the end.
 * There must be more than `least` of them, or they were not those that were meant. */
void tls_rig_each_allocation(int (*start)(void), bool (*talk)(void), size_t least);

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
