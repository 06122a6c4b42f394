/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: what a server says to a client over HTTP/2 that has several fetches out, in a simulated world that is
 * made anew for each input.  The first byte chooses settings, the second the world's chances; then come pieces: a byte
 * that says what and where it is cut, one with a length, and so many bytes.  What a piece is:
 *
 *	0 to 10  a frame of that type: its stream and its flags in one byte, and its payload
 *	11       bytes as they are
 *	12       the client's user does something, or time passes; the length says what
 *	13       the last frame as often again
 *	14       the client has no memory soon
 *	15       the connection ends, or the next pieces are for another one
 *
 * Each fetch ends once; one that ends well has, to the byte, the body of a stream that was ended, of the length that was
 * announced.  What the client says is as RFC 9113 has it (client_h2_peer.h), and at the end nothing is left.
 */
#include <stdio.h>

#include "core/base.h"
#include "core/clock.h"
#include "core/server.h"

/* What is explored is the client, and not the world around it. */
#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)

#include "fuzz/client_h2_peer.h"

/* libFuzzer's own clock must go on. */
#define clock_gettime sim_clock_gettime
#include "sim/sim_net.c"
#include "sim/sim_rand.c"
#include "sim/sim_runtime.c"
#include "sim/sim_send.c"
#include "sim/sim_sock.c"
#undef clock_gettime

#include <signal.h>
#include <tako/tako.h>

enum {
	KINDS = 6,
	FETCHES = 12,
	PEERS = 48,
	PIECES_MAX = 200,
	SAID_MAX = 32 << 10, /* bytes, to all connections */
	TURNS = 4,           /* until what is said is answered */
	END_TURNS_MAX = 20000,
	BODY_BYTES = 1500,
	BIG_BYTES = 50000,
	DELAY_NS = 1000,
	KEPT_S = 100, /* a connection that nobody uses, or nothing is heard on, at most */
	MS = 1000000,
};

enum { FRAME_MAX = 10, RAW, ACT, AGAIN, MEMORY, END };

enum kind { PLAIN, STREAMS, PAUSES, CANCELS, HEAD, EXPECTS };

struct fetch {
	tako_fetch *f; /* NULL: it has ended, or nobody has told us who it is */
	enum kind kind;
	bool begun;
	bool paused;
	bool cancelled;
	bool failed; /* one of its callbacks has said so */
	bool finished;
	unsigned heads;
	unsigned ends;
	int err;
	int status;
	uint64_t written;
	uint64_t bytes;
	uint32_t sum;
};

static struct fuzzed {
	struct sim sim;
	tako_server *srv;
	tako_client *client;
	tako_res *res;
	struct sim_link *asker;
	bool stopped;
	struct fetch fetches[FETCHES];
	unsigned fetch_count;
	unsigned left; /* of them */
	unsigned peer_count;
	unsigned talk; /* to the one before the last, and so on */
	bool greets;
	bool closes;         /* whoever connects */
	uint8_t waits[4096]; /* said, and not cut off yet */
	size_t waits_n;
	uint8_t again[PEER_HEAD_BYTES + 256]; /* the last frame */
	size_t again_n;
	size_t said;
	tako_client_config cfg;
	struct peer peers[PEERS]; /* last: too much to be cleared for each input */
} all;

/* ---- Memory --------------------------------------------------------------------------- */

/* In blocks of their exact size, which the sanitizer watches. */
static struct {
	size_t count;
	size_t bytes;
	size_t fail_in; /* 0: never */
} memory;

static void *allocate(void *p, size_t old_bytes, size_t new_bytes, void *arg)
{
	void *to = NULL;

	(void)arg;
	MUST(p || !old_bytes);
	if (new_bytes) {
		if (memory.fail_in && !--memory.fail_in)
			return NULL;
		to = malloc(new_bytes);
		MUST(to);
		if (p)
			memcpy(to, p, old_bytes < new_bytes ? old_bytes : new_bytes);
	}
	memory.count += (to != NULL) - (size_t)(p != NULL);
	memory.bytes += new_bytes - old_bytes;
	free(p);
	return to;
}

/* ---- Who asks -------------------------------------------------------------------------- */

static bool is_bodiless(const struct fetch *a)
{
	return a->kind == HEAD || a->status == 204 || a->status == 304;
}

static void stop_a_while(struct fetch *a, tako_fetch *f)
{
	a->f = f;
	a->paused = true;
	tako_fetch_pause(f);
}

static int on_inform(tako_fetch *f, void *arg)
{
	struct fetch *a = arg;

	MUST(!a->heads && !a->ends && !a->cancelled && !a->paused);
	MUST(tako_fetch_status(f) >= 100 && tako_fetch_status(f) < 200);
	if (a->kind == PAUSES && tako_fetch_status(f) == 103)
		stop_a_while(a, f);
	return 0;
}

static int on_head(tako_fetch *f, void *arg)
{
	struct fetch *a = arg;

	MUST(!a->heads++ && !a->ends && !a->cancelled && !a->paused);
	a->f = f;
	a->status = tako_fetch_status(f);
	MUST(a->status >= 200 && a->status < 600 && tako_fetch_version(f) == 20);
	if (a->kind == PAUSES)
		stop_a_while(a, f);
	return 0;
}

static int on_data(tako_fetch *f, tako_str data, void *arg)
{
	struct fetch *a = arg;
	uint64_t length = tako_fetch_content_length(f);

	MUST(a->heads && !a->ends && !a->cancelled && !a->paused && data.n && !is_bodiless(a));
	a->bytes += data.n;
	a->sum = peer_sum(a->sum, data.p, data.n);
	MUST(a->bytes <= length);
	if (a->kind == PAUSES && (a->bytes & 1))
		stop_a_while(a, f);
	if (a->kind != CANCELS || a->bytes < 4)
		return 0;
	a->cancelled = a->bytes & 1;
	a->failed = !a->cancelled;
	if (a->cancelled)
		tako_fetch_cancel(f);
	return a->failed ? TAKO_EBUSY : 0;
}

static void on_writable(tako_fetch *f, void *arg)
{
	struct fetch *a = arg;

	MUST(!a->ends && !a->cancelled && !a->finished);
	MUST(tako_fetch_unsent(f) <= a->written);
}

static bool is_an_end(const struct fetch *a, int err)
{
	if (a->cancelled || a->failed)
		return err == (a->cancelled ? TAKO_ECLOSED : TAKO_EBUSY);
	return err == 0 || err == TAKO_ECLOSED || err == TAKO_ETIMEDOUT || err == TAKO_EPROTO ||
	       err == TAKO_ETOOBIG || err == TAKO_ENOMEM || err == TAKO_ESYS;
}

static int on_end(tako_fetch *f, int err, void *arg)
{
	struct fetch *a = arg;
	tako_str body = tako_fetch_body(f);
	uint64_t length = tako_fetch_content_length(f);

	MUST(a->begun && !a->ends++ && is_an_end(a, err));
	MUST((err == 0) == !tako_fetch_why(f)[0]);
	a->f = NULL;
	a->err = err;
	if (a->kind == PLAIN || a->kind == EXPECTS) {
		a->status = tako_fetch_status(f);
		a->bytes = body.n;
		a->sum = peer_sum(0, body.p, body.n);
	}
	MUST(a->bytes <= length || is_bodiless(a));
	if (err == 0) {
		MUST(a->status >= 200 && a->status < 600 && !a->paused);
		MUST(is_bodiless(a) ? !a->bytes : length == TAKO_OFF64 || a->bytes == length);
	}
	all.left--;
	return tako_fetch_res(f) && !all.left
	               ? tako_res_send(tako_fetch_res(f), 204, NULL, (tako_str){NULL, 0})
	               : 0;
}

static char text[BIG_BYTES + PEER_PERIOD];

/* What is due in a body behind `from` bytes of it. */
static const char *text_at(uint64_t from)
{
	return text + from % PEER_PERIOD;
}

static tako_fetch_config config_of(enum kind kind)
{
	bool collects = kind == PLAIN || kind == EXPECTS;

	return (tako_fetch_config){
		.size = sizeof(tako_fetch_config),
		.method = kind == HEAD      ? "HEAD"
	                  : kind == EXPECTS ? "PUT"
	                                    : NULL,
		.body = kind == EXPECTS ? (tako_str){text_at(0), BODY_BYTES} : (tako_str){NULL, 0},
		.stream_bytes = kind == STREAMS ? TAKO_OFF64 : 0,
		.max_body_bytes = kind == PLAIN ? 3000 : 0,
		.on_inform = collects ? NULL : on_inform,
		.on_head = collects ? NULL : on_head,
		.on_data = collects ? NULL : on_data,
		.on_writable = kind == STREAMS ? on_writable : NULL,
		.on_end = on_end,
		.stream = kind == STREAMS,
		.expect_continue = kind == EXPECTS,
	};
}

/* Out of memory it may be refused, and is then none of ours. */
static void ask(enum kind kind)
{
	struct fetch *a = &all.fetches[all.fetch_count];
	tako_fetch_config c = config_of(kind);
	/* What asked for the first ones is over with the last of them. */
	bool posts = all.fetch_count >= KINDS && !all.left;
	char url[32];
	int rc;

	if (all.fetch_count == FETCHES || all.stopped)
		return;
	snprintf(url, sizeof url, "http://10.0.0.1/%u", all.fetch_count++);
	c.url = url;
	c.arg = a;
	*a = (struct fetch){.kind = kind, .begun = true};
	all.left++;
	rc = posts ? tako_fetch_post(all.client, all.srv, &c)
	           : tako_fetch_start(&a->f, all.client, all.res, &c);
	if (rc == 0)
		return;
	MUST(all.fetch_count > KINDS);
	a->begun = false;
	a->f = NULL;
	all.left--;
}

static int on_go(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	all.res = res;
	for (int kind = 0; kind < KINDS; kind++)
		ask((enum kind)kind);
	return 0;
}

static void write_some(struct fetch *a, size_t n)
{
	if (a->kind != STREAMS || a->finished)
		return;
	if (tako_fetch_write(a->f, (tako_str){text_at(a->written), n}) >= 0)
		a->written += n;
}

static void cancel(struct fetch *a)
{
	a->cancelled = true;
	tako_fetch_cancel(a->f);
}

/* ---- Time goes on ------------------------------------------------------------------------- */

static void hear(struct peer *q)
{
	uint8_t got[4096];
	size_t n;

	while (!q->deaf && (n = sim_read(q->link, (char *)got, sizeof got)))
		peer_hear(q, got, n);
	if (!q->over && sim_ended(q->link)) {
		sim_close(q->link);
		q->over = true;
	}
}

static void hear_all(void)
{
	struct sim_link *l;
	char got[512];

	while (all.peer_count < PEERS && (l = sim_dialled(&all.sim.net))) {
		struct peer *q = &all.peers[all.peer_count++];

		peer_open(q, l, all.cfg.http2_stream_window_bytes,
		          all.cfg.http2_connection_window_bytes);
		if (all.greets)
			peer_say(q, (const uint8_t *)"\0\0\0\4\0\0\0\0\0\0\0\0\4\1\0\0\0\0", 18);
		if (all.closes)
			sim_close(l);
		q->over = all.closes;
	}
	for (unsigned i = 0; i < all.peer_count; i++)
		hear(&all.peers[i]);
	while (sim_read(all.asker, got, sizeof got))
		continue;
}

/* A turn; time goes on to the next event, at most to `until`. */
static void turn(uint64_t until)
{
	all.sim.alarm_ns = until;
	if (tako_server_step(all.srv, TAKO_OFF) != 1)
		all.stopped = true;
	hear_all();
}

static void some_turns(void)
{
	uint64_t moved = 0;

	for (unsigned i = 0; i < TURNS && !all.stopped; i++) {
		uint64_t before = moved;

		turn(sim_now(&all.sim) + DELAY_NS);
		moved = all.sim.received_bytes + all.sim.sent_bytes;
		if (moved == before)
			return;
	}
}

static void pass(uint64_t ns)
{
	uint64_t until = sim_now(&all.sim) + ns;

	for (unsigned i = 0; i < 50 && !all.stopped && sim_now(&all.sim) < until; i++)
		turn(until);
}

/* ---- Pieces --------------------------------------------------------------------------------- */

static struct peer *whom(void)
{
	struct peer *q = all.peer_count
	                         ? &all.peers[(all.peer_count - 1 - all.talk % all.peer_count)]
	                         : NULL;

	return q && !q->over ? q : NULL;
}

/* All that waits but the last `keep` bytes are sent, and the client has turns, also for what its user did. */
static void cut(size_t keep)
{
	size_t n = all.waits_n > keep ? all.waits_n - keep : 0;
	struct peer *q = whom();

	if (q && n)
		peer_say(q, all.waits, n);
	all.waits_n -= n;
	memmove(all.waits, all.waits + n, all.waits_n);
	some_turns();
}

static void say(const uint8_t *p, size_t n)
{
	if (all.said + n > SAID_MAX)
		return;
	all.said += n;
	if (n > sizeof all.waits - all.waits_n)
		cut(0);
	memcpy(all.waits + all.waits_n, p, n);
	all.waits_n += n;
}

/* What is in the byte before a frame's payload: three bits of the stream, END_STREAM or ACK, not END_HEADERS, PADDED,
 * PRIORITY, and whether it is a later stream. */
static void say_frame(unsigned type, const uint8_t *p, size_t n)
{
	static const uint8_t streams[] = {0, 1, 3, 5, 7, 9, 11, 2};
	unsigned where = n ? *p : 0;
	uint8_t *to = all.again;
	bool block = type == NGHTTP2_HEADERS || type == NGHTTP2_CONTINUATION ||
	             type == NGHTTP2_PUSH_PROMISE;

	n -= n != 0;
	memset(to, 0, PEER_HEAD_BYTES);
	to[2] = (uint8_t)n;
	to[3] = (uint8_t)type;
	to[4] = (uint8_t)((where >> 3 & 1) |
	                  (block && !(where & 16) ? NGHTTP2_FLAG_END_HEADERS : 0) |
	                  (where & 32 ? NGHTTP2_FLAG_PADDED : 0) |
	                  (where & 64 ? NGHTTP2_FLAG_PRIORITY : 0));
	to[8] = (uint8_t)(streams[where & 7] + (where & 128 ? 12 : 0));
	if (n)
		memcpy(to + PEER_HEAD_BYTES, p + 1, n);
	all.again_n = PEER_HEAD_BYTES + n;
	say(to, all.again_n);
}

static void end_it(unsigned how)
{
	struct peer *q = whom();

	if (how & 4)
		all.talk = how >> 3;
	if ((how & 4) || !q)
		return;
	hear(q);
	if ((how & 3) == 3) {
		q->deaf = !q->deaf;
		return;
	}
	if ((how & 3) == 0)
		sim_close(q->link);
	else if ((how & 3) == 1)
		sim_reset(q->link);
	else
		sim_shut(q->link);
	q->over = (how & 3) != 2;
}

static void act(unsigned what)
{
	struct fetch *a = &all.fetches[(what & 15) % FETCHES];
	unsigned deed = what >> 4;

	if (deed == 8)
		ask((enum kind)(what % KINDS));
	else if (deed == 9 && what == 0x9f)
		tako_server_stop(all.srv);
	else if (deed >= 10)
		pass((uint64_t)MS << ((what & 15) + (deed & 1)));
	if (!a->f || a->cancelled || a->failed)
		return;
	if (deed == 0 || deed == 1) {
		a->paused = deed;
		(deed ? tako_fetch_pause : tako_fetch_resume)(a->f);
	} else if (deed == 2) {
		cancel(a);
	} else if (deed == 3 || deed == 4) {
		write_some(a, deed == 3 ? 7 : BIG_BYTES);
	} else if (deed == 5) {
		a->finished |= tako_fetch_finish(a->f) == 0;
	}
}

static void piece_of(const uint8_t *how, const uint8_t *p, size_t n)
{
	unsigned what = how[0] & 15;
	unsigned keep = how[0] >> 4;

	if (what <= FRAME_MAX)
		say_frame(what == FRAME_MAX ? 0x10 : what, p, n);
	else if (what == RAW)
		say(p, n);
	for (unsigned i = 0; what == AGAIN && i < how[1]; i++)
		say(all.again, all.again_n);
	if (what == ACT)
		act(how[1]);
	if (what == MEMORY)
		memory.fail_in = how[1] + 1u;
	if (what == END)
		cut(0);
	if (what == END)
		end_it(how[1]);
	/* 0: what follows comes with it. */
	if (keep)
		cut(keep == 15 ? 0 : keep);
}

static void run(const uint8_t *p, size_t n)
{
	for (unsigned i = 0; i < PIECES_MAX && n >= 2 && !all.stopped; i++) {
		unsigned what = p[0] & 15;
		size_t step = what <= RAW ? p[1] : 0;

		step = step < n - 2 ? step : n - 2;
		piece_of(p, p + 2, step);
		p += 2 + step;
		n -= 2 + step;
	}
	cut(0);
}

/* ---- Beginning and end ------------------------------------------------------------------------ */

static void set_up(uint8_t how)
{
	const tako_client_config c = {
		.size = sizeof c,
		.write_high_bytes = 1000,
		.max_header_bytes = 600,
		.max_header_count = 8,
		.max_retry_count = how & 64 ? TAKO_OFF : 2,
		.http2 = tako_client_http2(),
		.http2_prior_knowledge = 1,
		.http2_max_stream_count = how & 32 ? 2 : 100,
		.http2_stream_window_bytes = how & 16 ? 1024 : 65536,
		.http2_connection_window_bytes = how & 16 ? 65535 : 80000,
	};

	all.cfg = c;
	all.greets = how & 8;
	MUST(tako_client_new(&all.client, &c) == 0);
}

static void begin(uint8_t how, uint8_t seed)
{
	/* Everything in pieces, and little of it at a time. */
	static const struct sim_options unruly = {
		.net = {.delay_ns_max = DELAY_NS, .send_bytes = 700, .window_bytes = 900},
		.recv_bytes_max = 16,
		.send_bytes_max = 200,
		.late_send_permille = 200,
		.skip_permille = 200,
		.close_turns_max = 2,
	};
	tako_router *r;

	memory.fail_in = 0;
	sim_begin(&all.sim, seed, how & 128 ? &unruly : NULL);
	r = tako_router_new();
	tako_get(r, "/", on_go, NULL);
	MUST(tako_server_new(&all.srv, r,
	                     TAKO_SERVER_CONFIG(.runtime = sim_runtime(), .worker_count = 1)) == 0);
	tako_router_free(r);
	MUST(tako_server_listen(all.srv, tako_http1(), "127.0.0.1:0", NULL) == 0);
	MUST(tako_server_fd(all.srv) >= 0);
	set_up(how);
	all.asker = sim_connect(&all.sim.net);
	sim_write(all.asker, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
	for (unsigned i = 0; i < 1000 && !all.peer_count; i++)
		turn(SIM_NEVER);
	MUST(all.fetch_count == KINDS && all.peer_count == 1);
	some_turns();
}

static void resume_all(void)
{
	for (unsigned i = 0; i < all.fetch_count; i++) {
		struct fetch *a = &all.fetches[i];

		if (!a->f || a->cancelled || a->failed)
			continue;
		a->paused = false;
		tako_fetch_resume(a->f);
	}
}

static uint64_t connections(void)
{
	return tako__read(&all.srv->workers[0].stats.dialled_open);
}

/* What is never said is waited for, as long as anybody would. */
static void come_to_an_end(uint8_t how)
{
	bool silent = (how & 3) == 2;
	uint64_t until;

	for (unsigned i = 0; i < all.peer_count; i++) {
		struct peer *q = &all.peers[i];

		q->deaf &= silent;
		hear(q);
		if ((how & 3) == 1)
			sim_reset(q->link);
		else if (!silent)
			sim_close(q->link);
		q->over |= !silent;
	}
	all.closes = !silent;
	for (unsigned i = 0; i < END_TURNS_MAX && all.left && !all.stopped; i++) {
		if (how & 4)
			resume_all();
		turn(SIM_NEVER);
	}
	MUST(all.stopped || !all.left);
	until = sim_now(&all.sim) + KEPT_S * UINT64_C(1000) * MS;
	for (unsigned i = 0; i < END_TURNS_MAX && !all.stopped && connections(); i++)
		turn(until);
	MUST(all.stopped || !connections());
}

/* It was said as it was heard. */
static void compare_with(const struct peer *q)
{
	for (size_t i = 0; i < PEER_STREAMS; i++) {
		const struct peer_stream *s = &q->streams[i];
		const struct fetch *a;

		if (s->who == PEER_NOBODY)
			continue;
		MUST((unsigned)s->who < all.fetch_count);
		a = &all.fetches[s->who];
		MUST(a->begun);
		if (a->kind == STREAMS && s->ended && !s->reset)
			MUST(a->finished && s->sent == a->written);
		MUST(a->kind != EXPECTS || s->length == BODY_BYTES);
		MUST(a->kind == STREAMS || a->kind == EXPECTS || !s->sent);
	}
}

/* One of the streams that it was asked on, or of which nobody knows, as what was asked on it was lost by a reset. */
static bool was_answered(unsigned who)
{
	const struct fetch *a = &all.fetches[who];

	for (unsigned i = 0; i < all.peer_count; i++) {
		for (size_t k = 0; k < PEER_STREAMS; k++) {
			const struct peer_stream *s = &all.peers[i].streams[k];

			if ((s->who == (int)who || !s->opened) && s->done && s->body == a->bytes &&
			    s->sum == a->sum)
				return true;
		}
	}
	return false;
}

static void end(void)
{
	if (!all.stopped)
		tako_server_stop(all.srv);
	sim_close(all.asker);
	for (unsigned i = 0; i < END_TURNS_MAX && !all.stopped; i++)
		turn(SIM_NEVER);
	MUST(all.stopped);
	MUST(!all.srv->workers[0].conn_count && !all.srv->workers[0].exchange_count);
	tako_client_free(all.client);
	tako_server_free(all.srv);
	MUST(!all.left);
	for (unsigned i = 0; i < all.fetch_count; i++)
		MUST(!all.fetches[i].begun || all.fetches[i].err || was_answered(i));
	for (unsigned i = 0; i < all.peer_count; i++) {
		compare_with(&all.peers[i]);
		peer_close(&all.peers[i]);
	}
	sim_end(&all.sim);
	MUST(!all.sim.violation_count && !memory.count && !memory.bytes);
}

static void install(void)
{
	static bool done;
	sigset_t pipe_only;

	if (done)
		return;
	done = true;
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)(i % PEER_PERIOD);
	/* A turn need not look for one that it caused. */
	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	sigprocmask(SIG_BLOCK, &pipe_only, NULL);
	MUST(tako_set_allocator(allocate, NULL) == 0);
}

/* A world is small, and gone before the next: what it leaves behind need not be kept for long, which takes time. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=4";
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (n < 2)
		return 0;
	install();
	memset(&all, 0, offsetof(struct fuzzed, peers));
	begin(p[0], p[1]);
	run(p + 2, n - 2);
	come_to_an_end(p[0]);
	end();
	return 0;
}

#pragma clang attribute pop
