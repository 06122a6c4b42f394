/* SPDX-License-Identifier: MIT
 *
 * A call's messages on their way in: out of the body, decompressed, handed to the method, held back when
 * it asks for that or does not get rid of its own.
 */
#include "core/res.h"
#include "core/server.h"
#include "core/worker.h"
#include "transports/grpc/grpc_int.h"
#include "transports/grpc/grpc_status.h"
#include "transports/grpc/grpc_zip.h"

static bool is_over(const tako_grpc *call)
{
	return call->flags & TAKO__GRPC_FINISHED;
}

static bool is_held_back(const tako_grpc *call)
{
	return call->flags & (TAKO__GRPC_PAUSED | TAKO__GRPC_CHOKED);
}

static void fail(tako_grpc *call, int status, const char *why)
{
	(void)tako__grpc_end(call, status, tako_str_z(why));
}

void tako__grpc_returned(tako_grpc *call, int rc)
{
	if (rc == 0 || is_over(call))
		return;
	if (rc < 0)
		fail(call, tako__grpc_status_of_error(rc), tako_strerror(rc));
	else
		(void)tako__grpc_end(call, tako__grpc_status_ok(rc) ? rc : TAKO_GRPC_INTERNAL,
		                     (tako_str){NULL, 0});
}

/* ---- One message --------------------------------------------------------------------------- */

static void cannot_read(tako_grpc *call, int rc)
{
	if (rc == TAKO_ETOOBIG)
		fail(call, TAKO_GRPC_RESOURCE_EXHAUSTED, "the message is over the limit");
	else if (rc == TAKO_ENOMEM)
		fail(call, TAKO_GRPC_RESOURCE_EXHAUSTED, "out of memory");
	else
		fail(call, TAKO_GRPC_INTERNAL, "malformed message");
}

static void hand_up(tako_grpc *call, tako_str msg)
{
	const tako_grpc_config *cfg = &call->m->cfg;

	if (TAKO__UNLIKELY(call->flags & TAKO__GRPC_SQUEEZED)) {
		int rc = tako__grpc_inflate(call->x->worker, call->coding_in, msg,
		                            cfg->max_receive_bytes, &msg);

		if (rc < 0) {
			cannot_read(call, rc);
			return;
		}
	}
	tako__grpc_returned(call, cfg->on_message(call, msg, call->m->arg));
}

/* Kept until the client has said that it is the only one; what it is a view of is not. */
static void keep_one(tako_grpc *call, tako_str msg)
{
	char *own = tako__arena_alloc(&call->x->arena, msg.n);

	if (!own) {
		cannot_read(call, TAKO_ENOMEM);
		return;
	}
	if (msg.n)
		memcpy(own, msg.p, msg.n);
	call->message = (tako_str){own, msg.n};
	call->flags |= TAKO__GRPC_HAS_MESSAGE;
}

/* Answers leave more slowly than messages come. */
static void look_at_unsent(tako_grpc *call)
{
	if (is_over(call) ||
	    tako_res_unsent(tako__res(call->x)) <= call->x->worker->srv->cfg.write_high_bytes)
		return;
	call->flags |= TAKO__GRPC_CHOKED;
	/* Without memory for that it is not told; then it goes on as it did. */
	if (tako__grpc_want_drain(call) < 0)
		call->flags &= ~TAKO__GRPC_CHOKED;
}

static void take_message(tako_grpc *call, tako_str msg)
{
	if (call->in.flags & TAKO__GRPC_COMPRESSED) {
		if (!call->coding_in) {
			fail(call, TAKO_GRPC_INTERNAL,
			     "a compressed message without grpc-encoding");
			return;
		}
		call->flags |= TAKO__GRPC_SQUEEZED;
	} else {
		call->flags &= ~TAKO__GRPC_SQUEEZED;
	}
	if (tako__grpc_takes_one(call)) {
		keep_one(call, msg);
		return;
	}
	hand_up(call, msg);
	look_at_unsent(call);
}

/* ---- All that have come ------------------------------------------------------------------------ */

/* A buffer of the reader's has to be given back at the end. */
static int read_one(tako_grpc *call, tako_str *in, tako_str *msg)
{
	int rc = tako__grpc_read(&call->in, in, call->m->cfg.max_receive_bytes, msg);

	if (TAKO__UNLIKELY(call->in.cap) && tako__grpc_hook(call) < 0) {
		tako__grpc_reader_fini(&call->in);
		return TAKO_ENOMEM;
	}
	return rc;
}

/* Up to a pause or an end; `in` is then what is left. */
static void consume(tako_grpc *call, tako_str *in)
{
	while (in->n && !is_over(call) && !is_held_back(call)) {
		tako_str msg;
		int rc;

		if (call->flags & TAKO__GRPC_HAS_MESSAGE) {
			fail(call, TAKO_GRPC_UNIMPLEMENTED, "more than one message");
			return;
		}
		rc = read_one(call, in, &msg);
		if (rc > 0)
			take_message(call, msg);
		else if (rc < 0)
			cannot_read(call, rc);
	}
}

static void end_stream(tako_grpc *call)
{
	const tako_grpc_config *cfg = &call->m->cfg;

	if (cfg->on_end)
		tako__grpc_returned(call, cfg->on_end(call, call->m->arg));
	else if (call->m->kind == TAKO_GRPC_BIDI)
		(void)tako__grpc_end(call, TAKO_GRPC_OK, (tako_str){NULL, 0});
	else
		fail(call, TAKO_GRPC_INTERNAL, "the method has not answered");
}

/* The client has said all, and all of it was handed up. */
static void end_messages(tako_grpc *call)
{
	call->flags &= ~TAKO__GRPC_BODY_END;
	if (!tako__grpc_reader_idle(&call->in))
		fail(call, TAKO_GRPC_INTERNAL, "the last message is not whole");
	else if (!tako__grpc_takes_one(call))
		end_stream(call);
	else if (call->flags & TAKO__GRPC_HAS_MESSAGE)
		hand_up(call, call->message);
	else
		fail(call, TAKO_GRPC_UNIMPLEMENTED, "no message");
}

/* ---- What waits ---------------------------------------------------------------------------------- */

/* At most what came with one delivery: a pause stops the next. */
static int keep_rest(tako_grpc *call, tako_str in)
{
	size_t have = call->waiting_n - call->waiting_at;
	char *grown;

	if (call->waiting_at && have)
		memmove(call->waiting, call->waiting + call->waiting_at, have);
	call->waiting_at = 0;
	call->waiting_n = have;
	if (call->waiting_cap - have < in.n) {
		grown = tako__resize(call->waiting, call->waiting_cap, have + in.n);
		if (!grown)
			return TAKO_ENOMEM;
		call->waiting = grown;
		call->waiting_cap = have + in.n;
	}
	memcpy(call->waiting + have, in.p, in.n);
	call->waiting_n += in.n;
	return 0;
}

static bool waits(const tako_grpc *call)
{
	return call->waiting_n > call->waiting_at;
}

static void drop_waiting(tako_grpc *call)
{
	tako__free(call->waiting, call->waiting_cap);
	call->waiting = NULL;
	call->waiting_n = call->waiting_at = call->waiting_cap = 0;
}

void tako__grpc_feed(tako_grpc *call)
{
	tako_str in = {call->waiting + call->waiting_at, call->waiting_n - call->waiting_at};

	consume(call, &in);
	call->waiting_at = call->waiting_n - in.n;
	if (!waits(call) || is_over(call))
		drop_waiting(call);
	if (is_over(call) || is_held_back(call))
		return;
	if (call->flags & TAKO__GRPC_BODY_END)
		end_messages(call);
	else
		tako_req_resume(tako__req(call->x));
}

static void take(tako_grpc *call, tako_str in)
{
	if (!waits(call))
		consume(call, &in);
	if (is_over(call))
		return;
	if (in.n && keep_rest(call, in) < 0)
		cannot_read(call, TAKO_ENOMEM);
	else if (is_held_back(call))
		tako_req_pause(tako__req(call->x));
	else if (call->flags & TAKO__GRPC_BODY_END)
		end_messages(call);
}

/* gRPC-Web's text form. */
static void take_text(tako_grpc *call, tako_str in)
{
	size_t bytes = in.n / 4 * 3 + 5;
	char *to = tako__alloc(bytes);
	size_t n = 0;
	size_t none;
	int rc = to ? tako__base64_decode(&call->base64, to, &n, in.p, in.n) : TAKO_ENOMEM;

	if (rc == 0 && (call->flags & TAKO__GRPC_BODY_END))
		rc = tako__base64_end(&call->base64, to, &none, false);
	if (rc < 0)
		cannot_read(call, rc);
	else
		take(call, (tako_str){to, n});
	tako__free(to, bytes);
}

int tako__grpc_on_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	tako_grpc *call = arg;

	(void)req, (void)res;
	if (is_over(call))
		return 0;
	if (end)
		call->flags |= TAKO__GRPC_BODY_END;
	if (TAKO__UNLIKELY(call->form_in == TAKO__GRPC_WEB_TEXT))
		take_text(call, data);
	else
		take(call, data);
	return 0;
}

/* ---- Pauses ------------------------------------------------------------------------------------------ */

void tako_grpc_pause(tako_grpc *call)
{
	if (is_over(call) || tako__grpc_takes_one(call))
		return;
	call->flags |= TAKO__GRPC_PAUSED;
	tako_req_pause(tako__req(call->x));
}

void tako_grpc_resume(tako_grpc *call)
{
	if (!(call->flags & TAKO__GRPC_PAUSED))
		return;
	call->flags &= ~TAKO__GRPC_PAUSED;
	if (is_over(call) || is_held_back(call))
		return;
	/* Never from inside this call, which may have come from on_message. */
	tako__grpc_kick(call, TAKO__GRPC_FEED);
}

/* Less than half of what is too much is unsent. */
static void on_drain(tako_res *res, void *arg)
{
	tako_grpc *call = arg;
	tako_grpc_event_fn fn = call->drain_fn;

	(void)res;
	if (is_over(call) || (call->x->flags & TAKO__X_GONE))
		return;
	call->drain_fn = NULL;
	if (fn)
		fn(call, call->drain_arg);
	if (is_over(call) || !(call->flags & TAKO__GRPC_CHOKED))
		return;
	call->flags &= ~TAKO__GRPC_CHOKED;
	if (!is_held_back(call))
		tako__grpc_feed(call);
}

int tako__grpc_want_drain(tako_grpc *call)
{
	return tako_res_on_drain(tako__res(call->x), on_drain, call);
}

int tako_grpc_on_drain(tako_grpc *call, tako_grpc_event_fn fn, void *arg)
{
	tako_grpc_event_fn old = call->drain_fn;
	int rc;

	if (is_over(call))
		return tako__fail(TAKO_ECLOSED, "the call is over");
	call->drain_fn = fn;
	call->drain_arg = arg;
	if (!fn)
		return 0;
	rc = tako__grpc_want_drain(call);
	if (rc < 0)
		call->drain_fn = old;
	return rc;
}
