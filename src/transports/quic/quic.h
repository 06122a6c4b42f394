/* SPDX-License-Identifier: MIT
 *
 * What the files of the QUIC transport share: an address, a worker's part of it, a connection.
 * Packets, streams, loss and congestion are ngtcp2's, handshakes wolfSSL's; whose a datagram is, when
 * and how the answers leave, and how long anything is kept are decided here (RFC 9000, 9001, 9002).
 */
#ifndef TAKO_QUIC_H
#define TAKO_QUIC_H

#include <pthread.h>

#include "core/conn.h"
#include "core/server.h"
#include "core/worker.h"
#include "transports/quic/quic_app.h"
#include "transports/quic/quic_cid.h"
#include "transports/quic/quic_mem.h"
#include "transports/quic/quic_ngtcp2.h"
#include "transports/quic/quic_qlog.h"
#include "transports/quic/quic_token.h"
#include "transports/quic/quic_tx.h"
#include "transports/quic/quic_whole.h"
#include "transports/tls/tls_layer.h"

enum {
	TAKO__QUIC_INBOX_MAX = 256,  /* datagrams on their way to one worker */
	TAKO__QUIC_TOMBS_MAX = 4096, /* ended connections that a worker still answers for */
	/* Answers a second, and as many at once, to those who are nobody's: they are for the peer, who
	 * has but one question, and of use to nobody if they are many. */
	TAKO__QUIC_STATELESS_PER_SECOND = 1000,
	/* Retry apart from those: with noise, which costs nothing to make, nobody shall keep others from
	 * proving their address.  A few microseconds each. */
	TAKO__QUIC_RETRIES_PER_SECOND = 20000,
	/* Connection ids that a peer may use up at once, and beyond that one a second: each move of its
	 * needs one, and what is given up must be made up for (RFC 9000 section 5.1.2). */
	TAKO__QUIC_CIDS_AT_ONCE = 32,
};

/* Datagrams that reached the wrong worker, for one that takes them. */
struct tako__quic_inbox {
	pthread_mutex_t lock;
	struct tako__mail mail;
	struct tako__worker *worker; /* NULL: takes none */
	struct tako__quic_parcel *first;
	struct tako__quic_parcel **last;
	struct tako__listener *ls;
	unsigned count;
	bool posted;
};

/* One address; nothing but the inboxes changes once it listens. */
struct tako__quic_shared {
	struct tako__tls_options *tls;
	const struct tako__quic_app *const *apps;
	struct tako__quic_qlogs *qlogs;
	struct tako__quic_secrets secrets;
	unsigned worker_count;
	unsigned inbox_count; /* of them set up */
	struct tako__quic_inbox inboxes[];
};

/* A datagram, as it came in. */
struct tako__quic_arrival {
	const uint8_t *p;
	size_t n;
	const struct sockaddr *from;
	const struct sockaddr *to;
	socklen_t from_n;
	socklen_t to_n;
	uint8_t ecn;
};

/* An address on one worker. */
struct tako__quic_worker {
	struct tako__listener *ls;
	struct tako__worker *worker;
	struct tako__quic_shared *shared;
	struct tako__tls_worker tls;
	struct tako_loop carrier; /* of its connections */
	struct tako__quic_mem mem;
	struct tako__quic_table table;
	struct tako__quic_tx tx;
	struct tako__pool conns;
	struct tako__list live;
	struct tako__list tombs; /* oldest first */
	struct tako__timer tomb_timer;
	unsigned tomb_count;
	unsigned stateless_left; /* in this second */
	unsigned retries_left;
	unsigned shaking;      /* handshakes that are not through */
	uint64_t stateless_ns; /* the second began then */
	bool draining;
};

struct tako__quic_dgram_out {
	struct tako__quic_dgram_out *next;
	size_t n;
	char data[];
};

#define TAKO__QUIC_OPENED 1u   /* app->open() was called */
#define TAKO__QUIC_SILENT 2u   /* ends without a word */
#define TAKO__QUIC_SHAKEN 4u   /* the handshake is through */
#define TAKO__QUIC_SETTLED 8u  /* … and the library has noticed */
#define TAKO__QUIC_CODED 16u   /* `error` says how it ends */
#define TAKO__QUIC_BY_PEER 32u /* … and is the peer's */

struct tako__quic {
	struct tako__tls_layer tls; /* on the connection's stack, where it goes last */
	struct tako__conn *c;
	struct tako__quic_worker *qw;
	struct tako__list link; /* of the worker's live ones */
	struct tako__quic_heap heap;
	ngtcp2_conn *conn;
	ngtcp2_crypto_conn_ref ref;      /* for wolfSSL's callbacks */
	struct tako__quic_whole message; /* of the handshake, while it is not complete */
	ngtcp2_encryption_level message_level;
	const struct tako__quic_app *app;
	struct tako__alarm alarm;
	struct tako__quic_cid *cids;
	struct tako__quic_qlog *qlog;
	struct tako__quic_wait wait; /* for room to send */
	struct tako__quic_dgram_out *dgrams;
	struct tako__quic_dgram_out **dgrams_last;
	struct tako__quic_packet *packet; /* begun, and not finished; NULL: none is */
	unsigned dgram_count;
	unsigned
		ended_unis; /* of the peer's: see quic_call.c; and whose bytes are being delivered */
	int64_t now_id;
	void *now_stream;
	uint32_t flags;
	uint64_t lost;    /* packets, of which the figures know */
	uint64_t granted; /* bidirectional streams of the peer's */
	uint64_t born_ns;
	uint64_t cid_count; /* of ours, that the peer was given */
	uint8_t keys;       /* a bit for each key that is installed */
	bool resumed;       /* this and the next two: once the TLS session is over */
	const char *cipher;
	char *server_name; /* NULL: none, or the session is not over */
	int why;           /* TAKO_E*, for fini() */
	ngtcp2_ccerr error;
	char reason[TAKO__QUIC_REASON_BYTES + 1];
};

/* What its worker counts. */
static inline struct tako__quic_stats *tako__quic_counts(const struct tako__quic_worker *qw)
{
	return &qw->worker->stats.quic;
}

static inline struct tako__quic *tako__quic_of(const struct tako__conn *c)
{
	struct tako__quic *q;

	memcpy(&q, c->proto_state, sizeof(void *));
	return q;
}

/* It ends at the end of the turn, and takes no calls any more. */
static inline bool tako__quic_ended(const struct tako__quic *q)
{
	return q->c->flags & TAKO__CONN_CLOSING;
}

/* ---- quic_in.c: whose a datagram is ------------------------------------------------------- */

void tako__quic_on_dgrams(struct tako_sock *s, const struct tako_dgram *v, unsigned count);
/* One of them; `handed`: by another worker. */
void tako__quic_input(struct tako__quic_worker *qw, const struct tako__quic_arrival *a,
                      bool handed);

/* ---- quic_inbox.c: datagrams for other workers -------------------------------------------- */

int tako__quic_inboxes_init(struct tako__quic_shared *s);
void tako__quic_inboxes_fini(struct tako__quic_shared *s);
void tako__quic_inbox_open(struct tako__quic_worker *qw);
void tako__quic_inbox_close(struct tako__quic_worker *qw);
/* Pass on a copy; false: it found no room, and is lost, as datagrams are. */
bool tako__quic_inbox_post(struct tako__quic_shared *s, unsigned worker,
                           const struct tako__quic_arrival *a);

/* ---- quic_accept.c: from a first packet to a connection ------------------------------------ */

/* False, of both: it was of no use. */
bool tako__quic_accept(struct tako__quic_worker *qw, const struct tako__quic_arrival *a,
                       const ngtcp2_version_cid *vc);
bool tako__quic_negotiate(struct tako__quic_worker *qw, const struct tako__quic_arrival *a,
                          const ngtcp2_version_cid *vc);

/* ---- quic_conn.c: a connection's life -------------------------------------------------------- */

struct tako__quic_birth {
	const struct tako__quic_arrival *a;
	const ngtcp2_pkt_hd *hd;
	const ngtcp2_cid *original; /* the one before a Retry; NULL: there was none */
	const uint8_t *token;       /* found good; NULL: none */
	size_t token_n;
};

/* From a client's first packet, whose place in the server's count is reserved.  NULL: no memory. */
struct tako__quic *tako__quic_new(struct tako__quic_worker *qw, const struct tako__quic_birth *b);
/* A packet of its. */
void tako__quic_read(struct tako__quic *q, const struct tako__quic_arrival *a);
/* A call to the library has failed with NGTCP2_ERR_*: end it accordingly. */
void tako__quic_failed(struct tako__quic *q, int err);
/* With this code of the application's, if nothing else has been said. */
void tako__quic_code(struct tako__quic *q, uint64_t code);
/* End it, for `why` (TAKO_E*); the first call counts. */
void tako__quic_cut(struct tako__quic *q, int why);
extern const struct tako_runtime tako__quic_carrier;

/* ---- quic_tomb.c: ended connections ------------------------------------------------------------ */

/* For as long as packets of it may still come, `close` (maybe none) is the answer to them; takes over
 * its connection ids. */
void tako__quic_bury(struct tako__quic *q, const uint8_t *close, size_t n);
void tako__quic_tomb_hit(struct tako__quic_worker *qw, struct tako__quic_tomb *t,
                         const struct tako__quic_arrival *a);
void tako__quic_tombs_fini(struct tako__quic_worker *qw);
void tako__quic_tombs_init(struct tako__quic_worker *qw);

/* ---- quic_call.c: what the library tells ------------------------------------------------------- */

extern const ngtcp2_callbacks tako__quic_callbacks;

/* ---- quic_write.c: packets ------------------------------------------------------------------------ */

/* Write what there is to say, as far as it may be said now, and set the alarm. */
void tako__quic_write(struct tako__quic *q);
/* Called where the library is asked for something while a packet may be half written. */
void tako__quic_finish_packet(struct tako__quic *q);
void tako__quic_drop_dgrams(struct tako__quic *q);

/* ---- quic_tls.c: handshakes ------------------------------------------------------------------------- */

/* For tako__tls_options_new(). */
void tako__quic_tls_apply(WOLFSSL_CTX *ctx);
void tako__quic_tls_init(struct tako__quic *q);
void tako__quic_tls_fini(struct tako__quic *q);
/* What ngtcp2's callback of that name gets, in whole messages. */
int tako__quic_tls_recv(ngtcp2_conn *conn, ngtcp2_encryption_level level, uint64_t offset,
                        const uint8_t *p, size_t n, void *arg);
/* The handshake is through, and nobody inside of it: the session is let go of, which is a quarter of an
 * idle connection.  What a handler may ask for of it is kept; where it is a certificate, all of it. */
void tako__quic_tls_done(struct tako__quic *q);
int tako__quic_tls_query(struct tako__layer *l, enum tako__fact what, void *out);
/* The application that was agreed on; NULL: none. */
const struct tako__quic_app *tako__quic_tls_agreed(struct tako__quic *q);
extern const struct tako__layer_ops tako__quic_layer_ops;

#endif /* TAKO_QUIC_H */
