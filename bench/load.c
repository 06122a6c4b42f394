/* SPDX-License-Identifier: MIT
 *
 * The load generator: one epoll thread, so lean that the server is what is measured. It proves every
 * response (status 200, whole by Content-Length) and prints one JSON line.
 * It must never spend per request what can be computed before; wrk, with its HTTP parser and Lua, is
 * itself the bottleneck before a fast server is.
 */
#include "load_hist.h"
#include "load_options.h"
#include "load_response.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	RX_BYTES = 256 * 1024,
	EVENTS_MAX = 500, /* libmicrohttpd 0.9.75 sleeps on exactly n x 128 ready requests */
	OPENING_MAX = 64, /* below any server's backlog: a dropped SYN costs a second */
	ERRORS_MAX = 1000,
	STALL_SECONDS = 5,
	TURN_MS = 1000,
};

struct conn {
	int fd;
	uint32_t in_flight;
	uint32_t part_bytes; /* of a head that came in pieces */
	uint32_t generation; /* of the descriptor: its number alone may be the old one again */
	bool ended;          /* answered; only the server's FIN is missing */
	size_t out_at;
	size_t out_bytes;
	uint64_t body_left;
	uint64_t start_ns;
	char *part;
};

static struct {
	uint64_t target, issued, done, lost, bytes;
	uint64_t connect_errors, status_errors, protocol_errors, eof_errors, stalled;
	uint64_t opened;
	uint64_t now_ns, deadline_ns;
	bool parked; /* answered connections wait instead of asking again */
	bool stop;
	int epoll_fd;
	struct conn *conns;
	struct shape shape;
	struct hist hist;
	char *out; /* `depth` copies of the request */
	size_t message_bytes;
} g;

static char rx[RX_BYTES];

static const char browser_fields[] =
	"Connection: keep-alive\r\nCache-Control: max-age=0\r\n"
	"sec-ch-ua: \"Chromium\";v=\"118\", \"Google Chrome\";v=\"118\", "
	"\"Not=A?Brand\";v=\"99\"\r\n"
	"sec-ch-ua-mobile: ?0\r\nUpgrade-Insecure-Requests: 1\r\n"
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
	"Chrome/118.0.0.0 Safari/537.36\r\n"
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
	"image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7\r\n"
	"Sec-Fetch-Site: same-origin\r\nAccept-Encoding: gzip, deflate, br\r\n"
	"Accept-Language: en-GB,en;q=0.9,de-DE;q=0.8,de;q=0.7,fr;q=0.6\r\n"
	"Cookie: session=0f1e2d3c4b5a69788796a5b4c3d2e1f0; theme=dark; consent=1\r\n";

static uint64_t failures(void)
{
	return g.connect_errors + g.status_errors + g.protocol_errors + g.eof_errors;
}

static void start_batch(struct conn *c);
static void reopen(struct conn *c);

/* What was in flight is lost, never repeated: a request counts once, as done or as an error. */
static void fail(struct conn *c, uint64_t *counter)
{
	*counter += 1;
	g.lost += c->in_flight;
	if (failures() >= ERRORS_MAX)
		g.stop = true;
	reopen(c);
}

static void flush_out(struct conn *c)
{
	ssize_t n = send(c->fd, g.out + c->out_at, c->out_bytes - c->out_at, MSG_NOSIGNAL);

	if (n >= 0)
		c->out_at += (size_t)n;
	else if (errno != EAGAIN)
		fail(c, &g.eof_errors);
}

/* The next batch leaves only when the last one is answered: every server gets the same batches. */
static void start_batch(struct conn *c)
{
	uint64_t left = g.target - g.issued;

	if (left == 0 || g.stop)
		return;
	c->in_flight = left < opt.depth ? (uint32_t)left : opt.depth;
	g.issued += c->in_flight;
	c->out_at = 0;
	c->out_bytes = c->in_flight * g.message_bytes;
	c->start_ns = clock_ns();
	flush_out(c);
}

static void bind_source(int fd, size_t index)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	int one = 1;

	if (opt.sources < 2)
		return;
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)(index % opt.sources));
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		die("bind");
}

static void open_conn(struct conn *c)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(opt.port)};
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	bind_source(fd, (size_t)(c - g.conns));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 && errno != EINPROGRESS)
		g.connect_errors++;
	*c = (struct conn){.fd = fd, .generation = c->generation + 1, .part = c->part};
	ev.data.ptr = c;
	if (epoll_ctl(g.epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		die("epoll_ctl");
	g.opened++;
}

static void reopen(struct conn *c)
{
	close(c->fd);
	c->fd = -1;
	c->in_flight = 0;
	if (g.stop || g.issued == g.target)
		return;
	open_conn(c);
	if (!g.parked)
		start_batch(c);
}

static void response_done(struct conn *c)
{
	c->in_flight--;
	g.done++;
	if (c->in_flight > 0)
		return;
	g.now_ns = clock_ns();
	hist_add(&g.hist, g.now_ns - c->start_ns, c->out_bytes / g.message_bytes);
	if (opt.mode == CLOSE)
		c->ended = true;
	else if (!g.parked)
		start_batch(c);
}

static bool keep_part(struct conn *c, const char *p, size_t n)
{
	if (!c->part)
		c->part = malloc(HEAD_MAX);
	if (!c->part || n > HEAD_MAX)
		return false;
	memmove(c->part, p, n);
	c->part_bytes = (uint32_t)n;
	return true;
}

/* Returns the counter of the error that the bytes show, or NULL. */
static uint64_t *consume(struct conn *c, const char *p, size_t n)
{
	while (n > 0) {
		size_t body;

		if (c->body_left == 0) {
			enum head_result r;

			if (c->in_flight == 0)
				return &g.protocol_errors; /* bytes nobody asked for */
			r = head_check(&g.shape, p, n);
			if (r == HEAD_PARTIAL)
				return keep_part(c, p, n) ? NULL : &g.protocol_errors;
			if (r != HEAD_OK)
				return r == HEAD_BAD_STATUS ? &g.status_errors : &g.protocol_errors;
			p += g.shape.head_bytes;
			n -= g.shape.head_bytes;
			c->body_left = g.shape.body_bytes;
		}
		body = n < c->body_left ? n : (size_t)c->body_left;
		p += body;
		n -= body;
		c->body_left -= body;
		if (c->body_left == 0)
			response_done(c);
	}
	return NULL;
}

/* One read. The inside of a large body is discarded by the kernel without copying it: the length is
 * what is proved, and the server stays the busier side. */
static ssize_t read_some(struct conn *c, size_t *room)
{
	size_t part = c->part_bytes;
	ssize_t n;

	if (c->body_left > RX_BYTES / 4) {
		*room = (size_t)c->body_left;
		n = recv(c->fd, rx, *room, MSG_TRUNC);
		if (n > 0)
			c->body_left -= (uint64_t)n;
		if (n > 0 && c->body_left == 0)
			response_done(c);
		return n;
	}
	*room = RX_BYTES - part;
	if (part > 0)
		memcpy(rx, c->part, part);
	n = recv(c->fd, rx + part, *room, 0);
	if (n > 0) {
		uint64_t *error;

		c->part_bytes = 0;
		error = consume(c, rx, part + (size_t)n);
		if (error) {
			fail(c, error);
			return -1;
		}
	}
	return n;
}

static void on_eof(struct conn *c)
{
	if (c->ended && c->in_flight == 0)
		reopen(c);
	else
		fail(c, &g.eof_errors);
}

static void on_readable(struct conn *c, bool hup)
{
	uint32_t generation = c->generation;

	for (;;) {
		size_t room;
		ssize_t n = read_some(c, &room);

		if (c->fd < 0 || c->generation != generation)
			return; /* failed, perhaps opened again */
		if (n > 0)
			g.bytes += (uint64_t)n;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			on_eof(c);
			return;
		}
		if (hup && c->ended) {
			reopen(c); /* the FIN is known: no read to learn it again */
			return;
		}
		if ((size_t)n < room && !hup)
			return;
	}
}

static void turn(int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(g.epoll_fd, events, EVENTS_MAX, timeout_ms);

	for (int i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;
		uint32_t ev = events[i].events;

		if (c->fd < 0)
			continue;
		if (ev & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			on_readable(c, (ev & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
		if (c->fd >= 0 && c->in_flight > 0 && c->out_at < c->out_bytes)
			flush_out(c);
	}
}

/* Turns until no more than `left` requests are unanswered, or nothing moves for STALL_SECONDS. */
static void drain(uint64_t left)
{
	uint64_t before = g.done + g.lost;
	uint64_t moved_ns = clock_ns();

	while (g.issued - g.done - g.lost > left) {
		uint64_t now;

		turn(TURN_MS);
		now = clock_ns();
		if (now > g.deadline_ns)
			g.stop = true;
		if (g.done + g.lost != before) {
			before = g.done + g.lost;
			moved_ns = now;
		} else if (now - moved_ns > STALL_SECONDS * 1000000000ull) {
			g.stalled = g.issued - g.done - g.lost;
			g.stop = true;
			return;
		}
	}
}

static void run(uint64_t target, double seconds)
{
	g.stop = g.stalled > 0 ||
	         failures() >= ERRORS_MAX; /* not for the time limit of a warm-up */
	g.target = target;
	g.issued = g.done = g.lost = g.bytes = 0;
	g.hist = (struct hist){0};
	g.deadline_ns = seconds > 0 ? clock_ns() + (uint64_t)(seconds * 1e9) : UINT64_MAX;
	for (unsigned i = 0; i < opt.connections && !g.stop; i++) {
		if (g.conns[i].fd < 0)
			open_conn(&g.conns[i]);
		if (!g.conns[i].in_flight)
			start_batch(&g.conns[i]);
	}
	drain(0);
}

/* Opens every connection and proves each with one request, a few at a time. */
static void open_all(void)
{
	unsigned depth = opt.depth;

	opt.depth = 1;
	g.parked = true;
	g.target = opt.connections;
	g.deadline_ns = UINT64_MAX;
	for (unsigned i = 0; i < opt.connections && !g.stop; i++) {
		open_conn(&g.conns[i]);
		if (!opt.no_request) {
			start_batch(&g.conns[i]);
			drain(OPENING_MAX);
		} else if (i % OPENING_MAX == 0) {
			usleep(2000); /* time to accept; there is no answer to wait for */
		}
	}
	if (!opt.no_request)
		drain(0);
	g.parked = false;
	opt.depth = depth;
}

static unsigned count_alive(void)
{
	unsigned alive = 0;

	for (unsigned i = 0; i < opt.connections; i++)
		alive += is_alive(g.conns[i].fd);
	return alive;
}

static uint64_t errors(void)
{
	return failures() + g.stalled;
}

static void report(double seconds)
{
	printf("{\"requests\":%llu,\"seconds\":%.6f,\"rps\":%.1f,\"bytes\":%llu,\"opened\":%llu,"
	       "\"errors\":%llu,\"connect_errors\":%llu,\"status_errors\":%llu,"
	       "\"protocol_errors\":%llu,\"eof_errors\":%llu,\"stalled\":%llu,"
	       "\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f}\n",
	       (unsigned long long)g.done, seconds, (double)g.done / seconds,
	       (unsigned long long)g.bytes, (unsigned long long)g.opened,
	       (unsigned long long)errors(), (unsigned long long)g.connect_errors,
	       (unsigned long long)g.status_errors, (unsigned long long)g.protocol_errors,
	       (unsigned long long)g.eof_errors, (unsigned long long)g.stalled,
	       (double)hist_percentile(&g.hist, 50) / 1000,
	       (double)hist_percentile(&g.hist, 99) / 1000, (double)g.hist.max_ns / 1000);
	fflush(stdout);
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
	start_ns = clock_ns();
	run(opt.requests, opt.seconds);
	report((double)(clock_ns() - start_ns) / 1e9);
	if (opt.sync)
		wait_for_line(NULL,
		              opt.sync); /* connections stay open until the server has been read */
}

static void build_request(void)
{
	char head[2048];
	char length[96] = "";
	const char *method = opt.post_bytes ? "POST" : "GET";
	int n;

	if (opt.post_bytes)
		snprintf(length, sizeof(length),
		         "Content-Type: application/octet-stream\r\nContent-Length: %llu\r\n",
		         (unsigned long long)opt.post_bytes);
	n = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s%s%s\r\n", method,
	             opt.path, opt.browser_head ? browser_fields : "", length,
	             opt.mode == CLOSE ? "Connection: close\r\n" : "");
	if (n < 0 || (size_t)n >= sizeof(head)) {
		fputs("load: path too long\n", stderr);
		exit(2);
	}
	g.message_bytes = (size_t)n + opt.post_bytes;
	g.out = malloc(g.message_bytes * opt.depth);
	if (!g.out)
		die("malloc");
	for (unsigned i = 0; i < opt.depth; i++) {
		memcpy(g.out + i * g.message_bytes, head, (size_t)n);
		memset(g.out + i * g.message_bytes + n, 'x', opt.post_bytes);
	}
}

static void set_up(void)
{
	raise_limit();
	signal(SIGPIPE, SIG_IGN);
	g.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	g.conns = calloc(opt.connections, sizeof(*g.conns));
	if (g.epoll_fd < 0 || !g.conns)
		die("set-up");
	for (unsigned i = 0; i < opt.connections; i++)
		g.conns[i].fd = -1;
	build_request();
}

int main(int argc, char **argv)
{
	read_options(argc, argv);
	set_up();
	if (opt.mode != CLOSE)
		open_all();
	if (opt.mode == IDLE)
		run_idle();
	else
		run_load();
	return errors() ? 1 : 0;
}
