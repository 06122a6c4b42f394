/* SPDX-License-Identifier: MIT
 *
 * load.c for HTTP/3: one thread, `--depth` streams on each connection, over the tests' QUIC client.  It
 * proves every response: status 200, and as long as the first one was.  QPACK's static table is all that it
 * knows, since it allows no other.
 * It must never spend per request what can be computed before; what is left is ngtcp2 itself.
 */
#include "load_hist.h"
#include "load_options.h"

#include "peer/quic_peer.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
	EVENTS_MAX = 256,
	OPENING_MAX = 32,
	ERRORS_MAX = 1000,
	STALL_SECONDS = 10,
	REQUEST_BYTES = 600,
	STREAM_WINDOW = 4 << 20,
	WINDOW = 16 << 20,
	IDLE_MS = 300000,
	FRAME_DATA = 0,
	FRAME_HEADERS = 1,
	H3_NO_ERROR = 0x100,
};

/* A stream, and how far its response has been read. */
struct ask {
	struct ask *next; /* in the connection's list of free ones, or of those to be sent */
	struct conn *c;
	int64_t id; /* -1: none */
	uint64_t start_ns;
	uint64_t body_bytes;
	uint64_t left;  /* of the frame */
	uint64_t value; /* of the varint that is being read */
	uint64_t kind;  /* of the frame */
	size_t sent;
	uint32_t head_bytes; /* of the first HEADERS, so far */
	uint8_t more;        /* bytes of that varint */
	bool has_kind;       /* it is the frame's length */
};

struct conn {
	struct quic_peer quic;
	bool open;
	bool ended; /* answered, in CLOSE mode */
	int64_t control;
	size_t control_sent;
	unsigned in_flight;
	struct ask *free;
	struct ask *first; /* to be sent */
	struct ask **last;
	struct ask *asks; /* opt.depth of them */
};

static const uint8_t control_bytes[] = {0x00, 0x04, 0x00}; /* an empty SETTINGS */

static struct {
	uint64_t target, issued, done, lost, bytes;
	uint64_t status_errors, length_errors, protocol_errors, end_errors, stalled;
	uint64_t opened;
	uint64_t body_bytes; /* of each response, UINT64_MAX: not known yet */
	uint64_t deadline_ns;
	unsigned used; /* of the connections, so far */
	bool parked;
	bool stop;
	int epoll_fd;
	struct conn *conns;
	struct sockaddr_in to;
	struct hist hist;
	uint8_t request[REQUEST_BYTES];
	size_t request_bytes;
} g = {.body_bytes = UINT64_MAX};

static uint64_t failures(void)
{
	return g.status_errors + g.length_errors + g.protocol_errors + g.end_errors;
}

static uint64_t errors(void)
{
	return failures() + g.stalled;
}

/* ---- Requests --------------------------------------------------------------------------------- */

/* RFC 7541 section 5.1, of what fits into two bytes. */
static size_t put_number(uint8_t *to, unsigned pattern, unsigned max, size_t value)
{
	if (value < max) {
		to[0] = (uint8_t)(pattern | value);
		return 1;
	}
	to[0] = (uint8_t)(pattern | max);
	to[1] = (uint8_t)(value - max);
	return 2;
}

/* With a name of the static table (RFC 9204 section 4.5.4). */
static size_t put_literal(uint8_t *to, size_t name, const char *value)
{
	size_t length = strlen(value);
	size_t n = put_number(to, 0x50, 15, name);

	n += put_number(to + n, 0, 127, length);
	memcpy(to + n, value, length);
	return n + length;
}

static void build_request(void)
{
	uint8_t section[REQUEST_BYTES] = {0, 0};
	size_t n = 2;

	if (strlen(opt.path) > 200) {
		fputs("load_h3: path too long\n", stderr);
		exit(2);
	}
	section[n++] = 0xc0 | 17; /* :method GET */
	section[n++] = 0xc0 | 23; /* :scheme https */
	n += put_literal(section + n, 0, "localhost");
	n += put_literal(section + n, 1, opt.path);
	g.request[0] = FRAME_HEADERS;
	g.request[1] = (uint8_t)(0x40 | n >> 8);
	g.request[2] = (uint8_t)n;
	memcpy(g.request + 3, section, n);
	g.request_bytes = 3 + n;
}

static bool may_ask(const struct conn *c)
{
	return c->open && c->quic.ready && !c->ended && !g.parked && !g.stop &&
	       g.issued < g.target && c->free;
}

/* As many as the server allows now. */
static void ask(struct conn *c)
{
	while (may_ask(c)) {
		struct ask *a = c->free;
		struct ask *next = a->next;
		int64_t id = quic_peer_stream(&c->quic, false, a);

		if (id < 0)
			return;
		c->free = next;
		*a = (struct ask){.c = c, .id = id, .start_ns = quic_peer_now()};
		*c->last = a;
		c->last = &a->next;
		c->in_flight++;
		g.issued++;
	}
}

/* ---- Responses ---------------------------------------------------------------------------------- */

static int fail(struct quic_peer *p, uint64_t *counter, const char *why)
{
	*counter += 1;
	if (failures() >= ERRORS_MAX)
		g.stop = true;
	return quic_peer_fail(p, H3_NO_ERROR, why);
}

/* False: the field section does not begin with ":status: 200". */
static bool check_head(struct ask *a, const uint8_t *p, size_t n)
{
	static const uint8_t ok[] = {0x00, 0x00, 0xc0 | 25};

	for (size_t i = 0; i < n && a->head_bytes < sizeof ok; i++) {
		if (p[i] != ok[a->head_bytes++])
			return false;
	}
	return true;
}

/* One byte of a frame's kind or length. */
static void take_varint(struct ask *a, uint8_t byte)
{
	if (!a->more) {
		a->more = (uint8_t)(1u << (byte >> 6));
		a->value = byte & 0x3f;
	} else {
		a->value = a->value << 8 | byte;
	}
	if (--a->more)
		return;
	if (a->has_kind)
		a->left = a->value;
	else
		a->kind = a->value;
	a->has_kind = !a->has_kind;
}

static bool read_frames(struct ask *a, const uint8_t *p, size_t n)
{
	while (n) {
		size_t step = n < a->left ? n : (size_t)a->left;

		if (!step) {
			take_varint(a, *p);
			step = 1;
		} else {
			if (a->kind == FRAME_HEADERS && !check_head(a, p, step))
				return false;
			if (a->kind == FRAME_DATA)
				a->body_bytes += step;
			a->left -= step;
		}
		p += step;
		n -= step;
	}
	return true;
}

static int done(struct conn *c, struct ask *a)
{
	if (!a->head_bytes)
		return fail(&c->quic, &g.protocol_errors, "no head");
	if (g.body_bytes == UINT64_MAX)
		g.body_bytes = a->body_bytes;
	if (a->body_bytes != g.body_bytes)
		return fail(&c->quic, &g.length_errors, "another length");
	hist_add(&g.hist, quic_peer_now() - a->start_ns, 1);
	g.done++;
	c->in_flight--;
	c->ended = opt.mode == CLOSE;
	a->id = -1;
	a->next = c->free;
	c->free = a;
	return 0;
}

static int on_data(struct quic_peer *p, int64_t id, void *stream, const uint8_t *b, size_t n,
                   bool fin)
{
	struct ask *a = stream;

	quic_peer_consumed(p, id, n);
	g.bytes += n;
	/* The server's own streams say nothing that matters here. */
	if (!a || a->id != id)
		return 0;
	if (!read_frames(a, b, n))
		return fail(p, &g.status_errors, "not 200");
	return fin ? done(p->user, a) : 0;
}

static int on_reset(struct quic_peer *p, int64_t id, void *stream, uint64_t code)
{
	(void)id, (void)stream, (void)code;
	return fail(p, &g.protocol_errors, "a reset");
}

static int on_ready(struct quic_peer *p)
{
	struct conn *c = p->user;

	c->control = quic_peer_stream(p, true, NULL);
	return 0;
}

static int on_closed(struct quic_peer *p, int64_t id, void *stream, uint64_t code)
{
	(void)p, (void)id, (void)stream, (void)code;
	return 0;
}

static int next(struct quic_peer *p, int64_t *id, bool *fin, struct iovec *vec)
{
	struct conn *c = p->user;

	if (c->control >= 0 && c->control_sent < sizeof control_bytes) {
		*id = c->control;
		vec->iov_base = (void *)(uintptr_t)(control_bytes + c->control_sent);
		vec->iov_len = sizeof control_bytes - c->control_sent;
		return 1;
	}
	if (!c->first)
		return 0;
	*id = c->first->id;
	*fin = true;
	vec->iov_base = g.request + c->first->sent;
	vec->iov_len = g.request_bytes - c->first->sent;
	return 1;
}

static void wrote(struct quic_peer *p, int64_t id, size_t n, bool fin)
{
	struct conn *c = p->user;

	if (id < 0)
		return;
	if (id == c->control) {
		c->control_sent += n;
		return;
	}
	c->first->sent += n;
	if (!fin)
		return;
	c->first = c->first->next;
	if (!c->first)
		c->last = &c->first;
}

/* No server here gives windows that a request does not fit into. */
static void on_blocked(struct quic_peer *p, int64_t id, bool shut)
{
	(void)id, (void)shut;
	(void)fail(p, &g.protocol_errors, "a request was not taken");
	quic_peer_close(p, H3_NO_ERROR);
}

static const struct quic_peer_ops ops = {
	.ready = on_ready,
	.data = on_data,
	.reset = on_reset,
	.closed = on_closed,
	.next = next,
	.wrote = wrote,
	.blocked = on_blocked,
};

/* ---- Connections ----------------------------------------------------------------------------------- */

static void open_conn(struct conn *c)
{
	const struct quic_peer_config cfg = {
		.remote = (const struct sockaddr *)&g.to,
		.remote_n = sizeof g.to,
		.ops = &ops,
		.user = c,
		.stream_window = STREAM_WINDOW,
		.window = WINDOW,
		.idle_ms = IDLE_MS,
	};
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

	*c = (struct conn){.control = -1, .open = true, .asks = c->asks};
	c->last = &c->first;
	for (unsigned i = 0; i < opt.depth; i++) {
		c->asks[i] = (struct ask){.next = c->free, .id = -1};
		c->free = &c->asks[i];
	}
	if (!quic_peer_open(&c->quic, &cfg))
		die("quic_peer_open");
	if (epoll_ctl(g.epoll_fd, EPOLL_CTL_ADD, c->quic.fd, &ev) < 0)
		die("epoll_ctl");
	g.opened++;
}

static void write_conn(struct conn *c)
{
	ask(c);
	quic_peer_write(&c->quic);
}

/* What was in flight is lost, never repeated: a request counts once, as done or as an error. */
static void look(struct conn *c)
{
	if (!c->quic.ended && c->ended && !c->in_flight)
		quic_peer_close(&c->quic, H3_NO_ERROR);
	else if (!c->quic.ended)
		write_conn(c);
	if (!c->quic.ended)
		return;
	if (!c->ended) {
		g.end_errors++;
		g.lost += c->in_flight;
		if (failures() >= ERRORS_MAX)
			g.stop = true;
	}
	quic_peer_free(&c->quic);
	c->open = false;
	if (!g.stop && !g.parked && g.issued < g.target) {
		open_conn(c);
		write_conn(c);
	}
}

static void serve(struct conn *c)
{
	if (!c->open)
		return;
	quic_peer_read(&c->quic);
	look(c);
}

/* ---- Turns ------------------------------------------------------------------------------------------ */

static uint64_t next_timer(void)
{
	uint64_t at = g.deadline_ns;

	for (unsigned i = 0; i < g.used; i++) {
		uint64_t due = g.conns[i].open ? quic_peer_next(&g.conns[i].quic) : UINT64_MAX;

		at = due < at ? due : at;
	}
	return at;
}

static void run_timers(void)
{
	uint64_t now = quic_peer_now();

	for (unsigned i = 0; i < g.used; i++) {
		if (g.conns[i].open && quic_peer_next(&g.conns[i].quic) <= now)
			serve(&g.conns[i]);
	}
}

static void turn(void)
{
	struct epoll_event events[EVENTS_MAX];
	uint64_t now = quic_peer_now();
	uint64_t at = next_timer();
	uint64_t wait = at > now ? at - now : 0;
	struct timespec ts;
	int n;

	if (wait > UINT64_C(1000000000))
		wait = UINT64_C(1000000000);
	ts = (struct timespec){.tv_sec = (time_t)(wait / 1000000000u),
	                       .tv_nsec = (long)(wait % 1000000000u)};
	n = epoll_pwait2(g.epoll_fd, events, EVENTS_MAX, &ts, NULL);
	for (int i = 0; i < n; i++)
		serve(events[i].data.ptr);
	run_timers();
}

/* Turns until no more than `left` requests are unanswered, or nothing moves for STALL_SECONDS. */
static void drain(uint64_t left)
{
	uint64_t before = UINT64_MAX;
	uint64_t moved_ns = quic_peer_now();

	while (g.target - g.done - g.lost > left && !g.stop) {
		uint64_t now;

		turn();
		now = quic_peer_now();
		if (now > g.deadline_ns)
			return;
		if (g.bytes != before) {
			before = g.bytes;
			moved_ns = now;
		} else if (now - moved_ns > STALL_SECONDS * UINT64_C(1000000000)) {
			g.stalled = g.issued - g.done - g.lost;
			g.stop = true;
		}
	}
}

static void run(uint64_t target, double seconds)
{
	g.stop = failures() >= ERRORS_MAX || g.stalled;
	g.parked = false;
	g.target = target;
	g.issued = g.done = g.lost = g.bytes = 0;
	g.hist = (struct hist){0};
	g.deadline_ns = seconds > 0 ? quic_peer_now() + (uint64_t)(seconds * 1e9) : UINT64_MAX;
	for (unsigned i = 0; i < opt.connections && !g.stop; i++) {
		if (i == g.used)
			g.used++;
		if (!g.conns[i].open)
			open_conn(&g.conns[i]);
		look(&g.conns[i]);
	}
	drain(0);
	g.parked = true;
}

/* Opens every connection and proves each with one request, a few at a time. */
static void open_all(void)
{
	unsigned depth = opt.depth;

	opt.depth = 1;
	g.deadline_ns = UINT64_MAX;
	for (g.used = 0; g.used < opt.connections && !g.stop;) {
		struct conn *c = &g.conns[g.used++];

		g.parked = false;
		g.target = g.used;
		open_conn(c);
		write_conn(c);
		drain(OPENING_MAX);
	}
	drain(0);
	g.parked = true;
	opt.depth = depth;
	/* The others, too. */
	for (unsigned i = 0; i < g.used; i++) {
		for (unsigned k = 1; k < depth; k++) {
			g.conns[i].asks[k] = (struct ask){.next = g.conns[i].free, .id = -1};
			g.conns[i].free = &g.conns[i].asks[k];
		}
	}
}

/* ---- Reports ------------------------------------------------------------------------------------------ */

static void report(double seconds)
{
	printf("{\"requests\":%llu,\"seconds\":%.6f,\"rps\":%.1f,\"bytes\":%llu,\"opened\":%llu,"
	       "\"errors\":%llu,\"status_errors\":%llu,\"length_errors\":%llu,"
	       "\"protocol_errors\":%llu,\"end_errors\":%llu,\"stalled\":%llu,"
	       "\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f}\n",
	       (unsigned long long)g.done, seconds, (double)g.done / seconds,
	       (unsigned long long)g.bytes, (unsigned long long)g.opened,
	       (unsigned long long)errors(), (unsigned long long)g.status_errors,
	       (unsigned long long)g.length_errors, (unsigned long long)g.protocol_errors,
	       (unsigned long long)g.end_errors, (unsigned long long)g.stalled,
	       (double)hist_percentile(&g.hist, 50) / 1000,
	       (double)hist_percentile(&g.hist, 99) / 1000, (double)g.hist.max_ns / 1000);
	fflush(stdout);
}

static unsigned count_alive(void)
{
	unsigned alive = 0;

	for (unsigned i = 0; i < g.used; i++) {
		if (g.conns[i].open)
			quic_peer_read(&g.conns[i].quic);
		alive += g.conns[i].open && !g.conns[i].quic.ended;
	}
	return alive;
}

static void run_idle(void)
{
	wait_for_line("ready", opt.sync);
	if (opt.seconds > 0)
		usleep((useconds_t)(opt.seconds * 1e6));
	printf("{\"opened\":%llu,\"alive\":%u,\"errors\":%llu}\n", (unsigned long long)g.opened,
	       count_alive(), (unsigned long long)errors());
}

static void run_load(void)
{
	uint64_t start_ns;

	if (opt.warmup)
		run(opt.warmup, 5);
	wait_for_line(opt.sync ? "ready" : NULL, opt.sync);
	start_ns = quic_peer_now();
	run(opt.requests, opt.seconds);
	report((double)(quic_peer_now() - start_ns) / 1e9);
	if (opt.sync)
		wait_for_line(NULL,
		              opt.sync); /* connections stay open until the server has been read */
}

static void set_up(void)
{
	raise_limit();
	g.to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(opt.port)};
	g.to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	g.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	g.conns = calloc(opt.connections, sizeof *g.conns);
	if (g.epoll_fd < 0 || !g.conns || !quic_peer_init("h3"))
		die("set-up");
	for (unsigned i = 0; i < opt.connections; i++) {
		g.conns[i].asks = calloc(opt.depth, sizeof *g.conns[i].asks);
		if (!g.conns[i].asks)
			die("set-up");
	}
	build_request();
}

int main(int argc, char **argv)
{
	read_options(argc, argv);
	if (opt.browser_head || opt.post_bytes || opt.no_request || opt.sources != 1)
		usage();
	set_up();
	if (opt.mode != CLOSE)
		open_all();
	if (opt.mode == IDLE)
		run_idle();
	else
		run_load();
	return errors() ? 1 : 0;
}
