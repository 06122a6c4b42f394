/* SPDX-License-Identifier: MIT
 *
 * What the files of gRPC share: a method as it was registered, and a call.  A call is an exchange whose
 * body is messages; nothing here knows which protocol carries it.
 */
#ifndef TAKO_GRPC_INT_H
#define TAKO_GRPC_INT_H

#include <tako/grpc.h>

#include "core/exchange.h"
#include "core/wheel.h"
#include "transports/grpc/grpc_base64.h"
#include "transports/grpc/grpc_frame.h"
#include "transports/grpc/grpc_head.h"

/* A route's; lives as long as its router. */
struct tako__grpc_method {
	tako_grpc_config cfg; /* without web_origins; its defaults are filled in */
	int kind;
	void *arg;
	bool web;
	bool any_origin;
	char *origins; /* each NUL-terminated, an empty one ends them */
	size_t origins_bytes;
};

#define TAKO__GRPC_FINISHED 1u    /* a status was said, or never will be */
#define TAKO__GRPC_HELD 2u        /* it holds a reference to its exchange: a stream that is open */
#define TAKO__GRPC_HEAD 4u        /* the response's head is on its way */
#define TAKO__GRPC_HAS_MESSAGE 8u /* the one of a method that takes one has come */
#define TAKO__GRPC_PLAINLY 0x10u  /* tako_grpc_compress(false) */
#define TAKO__GRPC_SQUEEZED 0x20u /* the message at hand came compressed */
#define TAKO__GRPC_PAUSED 0x40u   /* by tako_grpc_pause() */
#define TAKO__GRPC_CHOKED 0x80u   /* too much is unsent */
#define TAKO__GRPC_BODY_END 0x100u
#define TAKO__GRPC_HOOKED 0x200u  /* the end of the exchange is told */
#define TAKO__GRPC_FEEDING 0x400u /* messages are being handed up */
#define TAKO__GRPC_RELEASE 0x800u /* the timer gives the reference back */
#define TAKO__GRPC_FEED 0x1000u   /* the timer goes on with what waits */

struct tako_grpc {
	struct tako__exchange *x;
	const struct tako__grpc_method *m;
	uint32_t flags;
	int32_t status; /* -1 until it is known */
	uint8_t form_in;
	uint8_t form_out;
	uint8_t coding_in;
	uint8_t coding_out;
	struct tako__base64 base64; /* of a text body */
	uint64_t deadline_ns;       /* TAKO__NEVER: none */
	uint64_t cut_ns;            /* the server's drain ends */
	tako_str type;              /* of the response; NUL-terminated */
	tako_str message;           /* of a method that takes one: its own bytes */
	tako_str details;           /* encoded */
	tako_grpc_event_fn drain_fn;
	void *drain_arg;
	struct tako__grpc_reader in;
	char *waiting; /* received and not looked at, because of a pause */
	size_t waiting_n;
	size_t waiting_cap;
	size_t waiting_at;
	struct tako__timer timer;
	struct tako__field tail[3]; /* the trailers of most answers */
};

/* ---- grpc.c: a call's life --------------------------------------------------------------- */

/* The route's handler; `arg` is its method. */
int tako__grpc_serve(tako_req *req, tako_res *res, void *arg);
/* The call of an exchange, or NULL. */
tako_grpc *tako__grpc_call(const struct tako__exchange *x);
/* No more is to be said: it is over as far as its user goes. */
void tako__grpc_over(tako_grpc *call, int status);
/* Be called when the exchange ends. */
int tako__grpc_hook(tako_grpc *call);
/* Set the timer for whatever comes first. */
void tako__grpc_arm(tako_grpc *call);
/* Go on with what waits, from the loop. */
void tako__grpc_kick(tako_grpc *call, uint32_t why);
static inline bool tako__grpc_takes_one(const tako_grpc *call)
{
	return !(call->m->kind & TAKO_GRPC_CLIENT_STREAM);
}
static inline char tako__grpc_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}
static inline bool tako__grpc_gives_one(const tako_grpc *call)
{
	return !(call->m->kind & TAKO_GRPC_SERVER_STREAM);
}

/* ---- grpc_recv.c: messages in -------------------------------------------------------------- */

int tako__grpc_on_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg);
/* Hand up what waited, as far as it is taken. */
void tako__grpc_feed(tako_grpc *call);
/* Be told when less is unsent. */
int tako__grpc_want_drain(tako_grpc *call);
/* What a callback has returned. */
void tako__grpc_returned(tako_grpc *call, int rc);

/* ---- grpc_send.c: messages and statuses out -------------------------------------------------- */

/* Say the status, whatever may be missing before it. */
int tako__grpc_end(tako_grpc *call, int status, tako_str message);

/* ---- grpc_answer.c: statuses without a call ------------------------------------------------ */

/* The content type of a response, NUL-terminated. */
tako_str tako__grpc_type(struct tako__exchange *x, const struct tako__grpc_request *r);

/* Room for a status' fields. */
enum { TAKO__GRPC_STATUS_FIELDS = 3 };
/* Write grpc-status and grpc-message as fields into the exchange's arena.  How many; TAKO_ENOMEM. */
int tako__grpc_status_fields(struct tako__exchange *x, struct tako__field *to, int status,
                             tako_str message);
/* Tell a client that compresses what may be compressed with: "if it receives a message compressed in an
 * undisclosed but supported encoding, it MUST include said encoding in the response's
 * grpc-accept-encoding header" (compression.md). */
int tako__grpc_disclose(struct tako__exchange *x);
/* A response that is a status and nothing else. */
int tako__grpc_only(struct tako__exchange *x, int status, tako_str message, tako_str details,
                    tako_str type);

/* ---- grpc_web.c: what browsers need ----------------------------------------------------------- */

/* Middleware of a method's routes: answers a browser that asks before it calls, and refuses pages that may
 * not call. */
int tako__grpc_web(tako_req *req, tako_res *res, void *arg);
/* Let scripts see the fields that are set by now. */
int tako__grpc_expose(struct tako__exchange *x);

#endif /* TAKO_GRPC_INT_H */
