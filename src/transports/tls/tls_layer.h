/* SPDX-License-Identifier: MIT
 *
 * TLS as a layer, and the protocol that a connection speaks until the layer is ready for
 * another.
 */
#ifndef TAKO_TLS_LAYER_H
#define TAKO_TLS_LAYER_H

#include "core/layer.h"
#include "core/proto.h"
#include "core/worker.h"
#include "transports/tls/tls_ctx.h"
#include "transports/tls/tls_lib.h"

/* What the connections of one listener on one worker share. */
struct tako__tls_worker {
	const struct tako__tls_options *options;
	struct tako__tls_contexts contexts;
	WOLFSSL_CTX *nameless; /* to begin with where only names have certificates; or NULL */
	struct tako__timer watch;
	struct tako__worker *worker;
	char *plain; /* what is decrypted lands here and goes up at once */
};

enum {
	/* A few records, so that what was sent together goes up together. */
	TAKO__TLS_PLAIN_BYTES = 64 << 10,
	/* The payload of a record that fills one segment with its head, tag and TCP's options. */
	TAKO__TLS_SHORT_BYTES = 1400,
	/* … used until this much has left since the connection was idle, so that the first bytes
	 * can be decrypted as they arrive. */
	TAKO__TLS_SHORT_UNTIL_BYTES = 32 << 10,
	TAKO__TLS_IDLE_NS = 1000000000,
	/* Ciphertext on its way; beyond it the rest waits in plain text, which nobody copied. */
	TAKO__TLS_FLIGHT_BYTES = 256 << 10,
};

enum tako__tls_state {
	TAKO__TLS_FIRST, /* no byte yet, and no session: one that only connects costs little */
	TAKO__TLS_HANDSHAKE,
	TAKO__TLS_EARLY, /* our half is through, and the client speaks before its own is */
	TAKO__TLS_READY,
	TAKO__TLS_OVER, /* failed, or was never TLS: what comes is thrown away */
};

struct tako__tls_block;
struct tako__tls_dialled;
struct tako__tls_early;

struct tako__tls_layer {
	struct tako__layer l;
	struct tako__tls_worker *tls;
	WOLFSSL *ssl;
	struct tako__cert_version *version; /* presented; until the handshake is through */
	struct tako__tls_early *early;      /* where it is offered; until then too */
	struct tako__tls_dialled *dialled;  /* NULL: it was accepted; else tls_client.h's */
	const char *in;                     /* received, borrowed for the call of up */
	size_t in_n;
	struct tako__tls_block *tail; /* queued last, and not sent yet */
	struct tako_send *ops;        /* taken from above, not all encrypted */
	struct tako_send *ops_tail;
	uint64_t flight_bytes;
	uint64_t last_ns; /* when we last wrote */
	uint32_t burst_bytes;
	uint8_t state;
	bool eof;       /* the peer sends no more: told, or held back for a pause */
	bool no_memory; /* in a callback of wolfSSL's */
	bool named;     /* the session began with the certificate for its name */
};

/* The protocol of connections whose handshake is not through. */
extern const struct tako__proto_ops tako__tls_handshake_ops;

/* Put one on a connection. */
void tako__tls_layer_put(struct tako__conn *c, struct tako__tls_layer *t);

/* Callbacks of the sessions that a context makes. */
void tako__tls_layer_apply(WOLFSSL_CTX *ctx);

/* wolfSSL's, for contexts whose certificate has a response to staple. */
int tako__tls_status_cb(WOLFSSL *ssl, void *arg);

/* A worker's share of the options; what it has made by the time it fails, fini() ends. */
int tako__tls_worker_init(struct tako__tls_worker *tls, const struct tako__tls_options *o,
                          struct tako__worker *w);
void tako__tls_worker_fini(struct tako__tls_worker *tls);

/* The context that presents `cert`, whose files are watched from now on; NULL without memory. */
struct tako__tls_context *tako__tls_present(struct tako__tls_worker *tls, struct tako_cert *cert);

/* For layers: what a handler may know. */
int tako__tls_query(struct tako__layer *l, enum tako__fact what, void *out);

/* Make the session, with what has come of its ClientHello in `in`; false: without memory. */
bool tako__tls_begin(struct tako__tls_layer *t);
/* The handshake is through: count it, and let go of what was for it only. */
void tako__tls_ready(struct tako__tls_layer *t);
/* Step the handshake with what is in `in`. */
void tako__tls_shake(struct tako__tls_layer *t);
/* Become the protocol that was agreed on; false: the connection is being closed. */
bool tako__tls_speak(struct tako__tls_layer *t);
/* It ends here; `told`: an alert or an answer is on its way, which the peer shall get. */
void tako__tls_over(struct tako__tls_layer *t, bool told);

static inline struct tako__tls_layer *tako__tls_of(struct tako__layer *l)
{
	return TAKO__CONTAINER(l, struct tako__tls_layer, l);
}

/* ---- The sending half: tls_out.c -------------------------------------------------------- */

/* wolfSSL's: take ciphertext. */
int tako__tls_send_cb(WOLFSSL *ssl, char *p, int n, void *arg);
int tako__tls_down(struct tako__layer *l, struct tako_send *op);
/* Bytes that are not TLS, as they are. */
int tako__tls_write_plain(struct tako__tls_layer *t, const char *p, size_t n);
/* Go on with what waits. */
void tako__tls_pump(struct tako__tls_layer *t);
/* Complete what never went down. */
void tako__tls_drop_ops(struct tako__tls_layer *t);

#endif /* TAKO_TLS_LAYER_H */
