/* SPDX-License-Identifier: MIT
 *
 * A server on QUIC and its clients, on one network in memory, in one thread, in time that passes when
 * everybody waits: what takes minutes takes microseconds, and the same run is the same to the byte
 * (but for what wolfSSL rolls dice for).  One of each; see quic_net.h and quic_client.h.
 */
#ifndef TAKO_TESTS_QUIC_RIG_H
#define TAKO_TESTS_QUIC_RIG_H

#include "core/server.h"
#include "unit/quic_client.h"
#include "unit/quic_net.h"

enum { QUIC_RIG_CLIENTS = 64 };

struct quic_rig {
	tako_server *srv;
	tako_cert *cert; /* for localhost */
	struct quic_client *clients[QUIC_RIG_CLIENTS];
	unsigned client_count;
	bool stopped; /* the server has, */
	int result;   /* with this */
};

extern struct quic_rig quic_rig;

/* Serve `transport` (with `router`, of which the reference is taken over; NULL: an empty one).  `cfg`
 * and `listen` may be NULL; the runtime is the network's, the certificate this one's where `listen`
 * names none.  Returns as tako_server_listen(). */
int quic_rig_start(const tako_transport *transport, tako_router *router,
                   const tako_server_config *cfg, const tako_listen_config *listen);
/* End everything; everything that was started must be able to. */
void quic_rig_stop(void);

/* Another client; NULL: as by default. */
struct quic_client *quic_rig_client(const struct quic_client_config *cfg);
void quic_rig_forget(struct quic_client *c);

/* Everybody takes a step, and time goes on to whatever is next. */
void quic_rig_step(void);
/* … until `done` says so; false: it did not within so much time. */
bool quic_rig_until(bool (*done)(void *arg), void *arg, uint64_t ns);
/* Let so much time pass. */
void quic_rig_pass(uint64_t ns);

/* Until the client's handshake is through, or it is closed; true: the former. */
bool quic_rig_connect(struct quic_client *c);
/* Until it is closed. */
bool quic_rig_closed(struct quic_client *c);
/* Until all of a stream has come. */
bool quic_rig_received(struct quic_client *c, int64_t id);

#define QUIC_RIG_SECOND UINT64_C(1000000000)
#define QUIC_RIG_MS UINT64_C(1000000)

#endif /* TAKO_TESTS_QUIC_RIG_H */
