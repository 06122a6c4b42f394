/* SPDX-License-Identifier: MIT
 *
 * Datagrams, for tests/integration/test_udp.py:
 *
 *   udp listen=ADDR [send_queue_bytes=N] [udp_recv_buffer_bytes=N] [udp_send_buffer_bytes=N] [max_peers=N]
 *       [peer_idle_timeout_ms=N] [multicast=LIST] [multicast_…=…] [broadcast=N] [join=GROUP] [http=ADDR]
 *       [restarts=1] [next=ADDR] [FIELD=VALUE]...
 *
 * Whatever a peer sends comes back; but a first byte of
 *   'a'  is answered with where it came from and went to
 *   'e'  with an empty datagram; 'l' with what became of one that is too long
 *   'f'  "f COUNT BYTES": with so many datagrams of so many bytes, one call each; 't' the same, as a train;
 *        'd' the same as 'f', each to another port of 127.0.0.1, from the sixth number on
 *   'o'  "o PORT": "hello" goes to that port of 127.0.0.1, and what became of it comes back
 *   'h'  "h PORT ADDRESS": the same to that address
 *   'q'  "q COUNT BYTES": with so many datagrams, numbered, that another thread sends while the worker waits
 *        for it
 *   's'  "s MS": the worker is busy for so long
 *   'j'  "j GROUP": it is joined, and what became of that comes back; 'k' left
 *   'w'  with the number of this process
 *   'p'  with how many datagrams its peer has sent; 'c' closes the peer, which is told "bye"; 'n' is refused
 *        from somebody new
 * With join=GROUP every worker joins it when it starts.
 * An HTTP listener on http=ADDR, 127.0.0.1:0, has /stats.
 * With restarts=1 it starts itself again on SIGHUP; with next=ADDR it takes over from whoever waits there, and
 * then waits there itself.
 */
#include "program.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

static tako_server *server;
static atomic_ullong started;
static atomic_ullong stopped;
static atomic_ullong writable;
static atomic_ullong refused;
static atomic_ullong peers_opened;
static atomic_ullong peers_closed;
static atomic_ullong peers_timed_out;
static const char *join;
static _Atomic(tako_udp *) first; /* of the workers that had a datagram */
static atomic_ullong others;      /* that came to another one */
static char block[65536];

static void count_worker(tako_udp *u)
{
	tako_udp *none = NULL;

	if (!atomic_compare_exchange_strong(&first, &none, u) && none != u)
		atomic_fetch_add(&others, 1);
}

static void print_addr(char *buf, size_t n, const struct sockaddr *sa)
{
	char host[INET6_ADDRSTRLEN] = "";
	const struct sockaddr_in *in = (const void *)sa;
	const struct sockaddr_in6 *in6 = (const void *)sa;

	if (!sa)
		snprintf(buf, n, "-");
	else if (sa->sa_family == AF_INET)
		snprintf(buf, n, "%s:%u", inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host)),
		         ntohs(in->sin_port));
	else
		snprintf(buf, n, "[%s]:%u",
		         inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host)),
		         ntohs(in6->sin6_port));
}

static void say_addresses(tako_udp *u, const tako_udp_in *in)
{
	char from[80];
	char to[80];
	char text[200];
	int n;

	print_addr(from, sizeof(from), in->from);
	print_addr(to, sizeof(to), in->to);
	n = snprintf(text, sizeof(text), "from %s\nto %s\nifindex %u\n", from, to, in->ifindex);
	tako_udp_reply(u, in, (tako_str){text, (size_t)n}, 0);
}

static void say_code(tako_udp *u, const tako_udp_in *in, int64_t rc)
{
	tako_udp_reply(u, in, tako_str_z(program_code(rc < 0 ? (int)rc : 0)), 0);
}

static struct sockaddr_in loopback(unsigned long port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return in;
}

static void flood(tako_udp *u, const tako_udp_in *in, const char *args)
{
	unsigned long count = 0;
	unsigned long bytes = 0;
	unsigned long port = 0;

	sscanf(args + 1, "%lu %lu %lu", &count, &bytes, &port);
	if (args[0] == 't') {
		if (tako_udp_reply(u, in, (tako_str){block, count * bytes}, (uint32_t)bytes) < 0)
			atomic_fetch_add(&refused, count);
		return;
	}
	for (unsigned long i = 0; i < count; i++) {
		struct sockaddr_in to = loopback(port + i % 100);
		int64_t rc = args[0] == 'd' ? tako_udp_send(u, (void *)&to, sizeof(to),
		                                            (tako_str){block, bytes}, 0)
		                            : tako_udp_reply(u, in, (tako_str){block, bytes}, 0);

		if (rc < 0)
			atomic_fetch_add(&refused, 1);
	}
}

static void send_other(tako_udp *u, const tako_udp_in *in, const char *args)
{
	struct sockaddr_in to = loopback(strtoul(args + 1, NULL, 10));

	say_code(u, in, tako_udp_send(u, (void *)&to, sizeof(to), TAKO_STR("hello"), 0));
}

static void send_host(tako_udp *u, const tako_udp_in *in, const char *args)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct sockaddr_in6 to6 = {.sin6_family = AF_INET6};
	unsigned port = 0;
	char host[64] = "";

	sscanf(args + 1, "%u %63s", &port, host);
	to.sin_port = to6.sin6_port = htons((uint16_t)port);
	if (inet_pton(AF_INET, host, &to.sin_addr) == 1)
		say_code(u, in, tako_udp_send(u, (void *)&to, sizeof(to), TAKO_STR("hello"), 0));
	else if (inet_pton(AF_INET6, host, &to6.sin6_addr) == 1)
		say_code(u, in, tako_udp_send(u, (void *)&to6, sizeof(to6), TAKO_STR("hello"), 0));
}

/* What another thread sends while this one waits for it. */
struct errand {
	const struct sockaddr *to;
	uint32_t to_bytes;
	unsigned long count;
	unsigned long bytes;
};

static void *run_errand(void *arg)
{
	const struct errand *e = arg;
	char number[24];
	char text[2048];

	memset(text, 'q', sizeof(text));
	for (unsigned long i = 0; i < e->count; i++) {
		snprintf(number, sizeof(number), "%08lu", i);
		memcpy(text, number, 8);
		if (tako_server_udp_send(server, 0, e->to, e->to_bytes, (tako_str){text, e->bytes},
		                         0) < 0)
			atomic_fetch_add(&refused, 1);
	}
	return NULL;
}

static void send_from_elsewhere(const tako_udp_in *in, const char *args)
{
	struct errand e = {.to = in->from, .to_bytes = in->from_bytes};
	pthread_t thread;

	if (sscanf(args + 1, "%lu %lu", &e.count, &e.bytes) != 2 || e.bytes > 2048 ||
	    pthread_create(&thread, NULL, run_errand, &e) != 0)
		abort();
	pthread_join(thread, NULL);
}

static void say_who(tako_udp *u, const tako_udp_in *in)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%d", (int)getpid());

	tako_udp_reply(u, in, (tako_str){text, (size_t)n}, 0);
}

static void be_busy(const char *args)
{
	unsigned long ms = strtoul(args + 1, NULL, 10);
	struct timespec ts = {.tv_sec = (time_t)(ms / 1000),
	                      .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&ts, NULL);
}

/* What a peer has of its own. */
struct mine {
	uint64_t told;
	tako_udp_peer *itself;
};

static int on_peer_open(tako_udp_peer *p, const tako_udp_in *in, void *arg)
{
	struct mine *m = tako_udp_peer_user(p);
	uint32_t n;

	(void)arg;
	atomic_fetch_add(&peers_opened, 1);
	if (m->told || m->itself || tako_udp_peer_addr(p, &n)->sa_family != in->from->sa_family ||
	    n != in->from_bytes)
		return TAKO_EINVAL;
	m->itself = p;
	return in->data.n && in->data.p[0] == 'n' ? TAKO_EPROTO : 0;
}

static void on_peer_close(tako_udp_peer *p, int why, void *arg)
{
	struct mine *m = tako_udp_peer_user(p);

	(void)arg;
	if (m->itself != p)
		abort();
	m->itself = NULL;
	atomic_fetch_add(&peers_closed, 1);
	if (why == TAKO_ETIMEDOUT)
		atomic_fetch_add(&peers_timed_out, 1);
	if (why != TAKO_EPROTO)
		tako_udp_peer_send(p, TAKO_STR("bye"), 0);
}

static void say_count(const tako_udp_in *in)
{
	struct mine *m = tako_udp_peer_user(in->peer);
	char text[32];
	int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)m->told);

	tako_udp_peer_send(in->peer, (tako_str){text, (size_t)n}, 0);
}

static void close_peer(const tako_udp_in *in)
{
	tako_udp_peer_close(in->peer);
	tako_udp_peer_close(in->peer);
	if (tako_udp_peer_send(in->peer, TAKO_STR("x"), 0) != TAKO_ESTATE)
		abort();
}

static void on_datagram(tako_udp *u, const tako_udp_in *in, void *arg)
{
	char args[64];

	(void)arg;
	count_worker(u);
	if (in->peer)
		((struct mine *)tako_udp_peer_user(in->peer))->told++;
	snprintf(args, sizeof(args), "%.*s", in->data.n < 60 ? (int)in->data.n : 60, in->data.p);
	switch (args[0]) {
	case 'a':
		say_addresses(u, in);
		break;
	case 'e':
		tako_udp_reply(u, in, TAKO_STR(""), 0);
		break;
	case 'l':
		say_code(u, in, tako_udp_reply(u, in, (tako_str){block, sizeof(block)}, 0));
		break;
	case 'f':
	case 't':
	case 'd':
		flood(u, in, args);
		break;
	case 'o':
		send_other(u, in, args);
		break;
	case 'h':
		send_host(u, in, args);
		break;
	case 'q':
		send_from_elsewhere(in, args);
		break;
	case 's':
		be_busy(args);
		break;
	case 'j':
		say_code(u, in, tako_udp_join(u, args + 2));
		break;
	case 'k':
		say_code(u, in, tako_udp_leave(u, args + 2));
		break;
	case 'w':
		say_who(u, in);
		break;
	case 'p':
		say_count(in);
		break;
	case 'c':
		close_peer(in);
		break;
	default:
		tako_udp_reply(u, in, in->data, 0);
	}
}

static void on_start(tako_udp *u, void *arg)
{
	(void)arg;
	if (join && tako_udp_join(u, join) < 0)
		fprintf(stderr, "join: %s\n", tako_last_error());
	atomic_fetch_add(&started, tako_udp_unsent(u) == 0);
}

static void on_stop(tako_udp *u, void *arg)
{
	(void)u, (void)arg;
	atomic_fetch_add(&stopped, 1);
}

static void on_writable(tako_udp *u, void *arg)
{
	(void)u, (void)arg;
	atomic_fetch_add(&writable, 1);
}

static int print_stats(char *text, size_t n)
{
	tako_udp_stats u = {.size = sizeof(u)};
	tako_stats s = {.size = sizeof(s)};

	if (tako_server_udp_stats(server, 0, &u) < 0 || tako_server_stats(server, &s) < 0)
		return -1;
	return snprintf(text, n,
	                "received %" PRIu64 "\nsent %" PRIu64 "\ndropped %" PRIu64
	                "\nfailed %" PRIu64 "\nlost %" PRIu64 "\nerrors %" PRIu64
	                "\nstarted %llu\nstopped %llu\nwritable %llu\nrefused %llu\nothers %llu\n"
	                "received_bytes %" PRIu64 "\nsent_bytes %" PRIu64 "\nopened %" PRIu64
	                "\nclosed %" PRIu64 "\npeers_refused %" PRIu64 "\ntold_open %llu\n"
	                "told_closed %llu\ntimed_out %llu\nall_received %" PRIu64
	                "\nall_sent %" PRIu64 "\nall_dropped %" PRIu64 "\npeers %" PRIu64 "\n",
	                u.received, u.sent, u.dropped, u.failed, u.lost, u.errors,
	                atomic_load(&started), atomic_load(&stopped), atomic_load(&writable),
	                atomic_load(&refused), atomic_load(&others), s.received_bytes, s.sent_bytes,
	                u.peers_opened, u.peers_closed, u.peers_refused, atomic_load(&peers_opened),
	                atomic_load(&peers_closed), atomic_load(&peers_timed_out), s.udp_received,
	                s.udp_sent, s.udp_dropped, s.udp_peers);
}

static int stats(tako_req *req, tako_res *res, void *arg)
{
	char text[1024];

	(void)req, (void)arg;
	return print_stats(text, sizeof(text)) < 0 ? TAKO_EINVAL
	                                           : tako_res_text(res, 200, "%s", text);
}

struct args {
	tako_server_config cfg;
	tako_listen_config listen;
	tako_udp_config udp;
	const tako_transport *transport;
	const char *addr;
	const char *http;
	const char *next;
	bool restarts;
	char **argv;
};

#define UDP_KNOB(f)                                                                                \
	{                                                                                          \
#f, offsetof(tako_udp_config, f), sizeof(((tako_udp_config *)0)->f)                \
	}
static const struct program_knob udp_knobs[] = {
	UDP_KNOB(send_queue_bytes), UDP_KNOB(peer_idle_timeout_ms), UDP_KNOB(peer_user_bytes),
	UDP_KNOB(multicast_ttl),    UDP_KNOB(multicast_loop),       UDP_KNOB(broadcast),
};

static bool parse_udp(struct args *a, const char *arg)
{
	const char *v;

	if ((v = program_value(arg, "max_peers"))) {
		a->udp.max_peers = program_value_u32(v);
		a->udp.on_peer_open = on_peer_open;
		a->udp.on_peer_close = on_peer_close;
		a->udp.peer_user_bytes = sizeof(struct mine);
	} else if ((v = program_value(arg, "multicast"))) {
		a->udp.multicast = v;
	} else if ((v = program_value(arg, "multicast_interface"))) {
		a->udp.multicast_interface = v;
	} else if ((v = program_value(arg, "join"))) {
		join = v;
	} else {
		return program_set_by(udp_knobs, sizeof(udp_knobs) / sizeof(udp_knobs[0]), &a->udp,
		                      arg);
	}
	return true;
}

/* What belongs to other transports, to see it refused. */
static bool parse_foreign(struct args *a, const char *arg)
{
	static const tako_raw_config raw = {.size = sizeof(raw)};
	const char *v;

	if ((v = program_value(arg, "cert_file")))
		a->listen.cert_file = v;
	else if ((v = program_value(arg, "proxy_protocol")))
		a->listen.proxy_protocol = program_value_u32(v);
	else if ((v = program_value(arg, "backlog")))
		a->listen.backlog = program_value_u32(v);
	else if ((v = program_value(arg, "unix_mode")))
		a->listen.unix_mode = program_value_u32(v);
	else if ((v = program_value(arg, "h3_qlog_dir")))
		a->listen.h3_qlog_dir = v;
	else if (strcmp(arg, "raw") == 0)
		a->listen.raw = &raw;
	else if (strcmp(arg, "no_udp") == 0)
		a->listen.udp = NULL;
	else if (strcmp(arg, "no_callback") == 0)
		a->udp.on_datagram = NULL;
	else if (strcmp(arg, "http1") == 0)
		a->transport = tako_http1();
	else
		return program_set(&a->cfg, arg);
	return true;
}

static bool parse(struct args *a, const char *arg)
{
	const char *v;

	if ((v = program_value(arg, "listen")))
		a->addr = v;
	else if ((v = program_value(arg, "http")))
		a->http = v;
	else if ((v = program_value(arg, "next")))
		a->next = v;
	else if (strcmp(arg, "restarts=1") == 0)
		a->restarts = true;
	else if ((v = program_value(arg, "udp_recv_buffer_bytes")))
		a->udp.recv_buffer_bytes = program_value_u32(v);
	else if ((v = program_value(arg, "udp_send_buffer_bytes")))
		a->udp.send_buffer_bytes = program_value_u32(v);
	else
		return parse_udp(a, arg) || parse_foreign(a, arg);
	return true;
}

/* Until another process has taken our place, or SIGTERM. */
static int restart_on_signal(char **argv)
{
	sigset_t signals;
	int number = 0;

	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	if (tako_server_start(server) < 0)
		return program_refused("start", TAKO_EINVAL);
	program_tell_listeners(server);
	while (sigwait(&signals, &number) == 0 && number == SIGHUP) {
		if (tako_server_restart(server, TAKO_RESTART_CONFIG(.argv = argv)) > 0)
			return tako_server_wait(server);
		fprintf(stderr, "still here: %s\n", tako_last_error());
	}
	return tako_server_shutdown(server, 10000);
}

static int hand_over(const char *next)
{
	int rc = tako_server_stop_on_signals(server);

	if (rc == 0)
		rc = tako_server_start(server);
	if (rc < 0)
		return program_refused("start", rc);
	program_tell_listeners(server);
	/* Stopped meanwhile: there is no next one. */
	if (tako_server_hand_over(server, next, NULL) < 0)
		fprintf(stderr, "%s\n", tako_last_error());
	return tako_server_wait(server);
}

static int serve(const struct args *a)
{
	int rc;

	if (a->restarts)
		return restart_on_signal(a->argv);
	if (a->next)
		return hand_over(a->next);
	rc = tako_server_stop_on_signals(server);
	if (rc < 0)
		return program_refused("signals", rc);
	program_tell_listeners(server);
	return tako_server_run(server);
}

static int run(const struct args *a)
{
	tako_router *r = tako_router_new();
	char text[1024];
	int rc;

	tako_get(r, "/stats", stats, NULL);
	tako_get(r, "/metrics", tako_metrics, NULL);
	rc = program_server_new(&server, r, &a->cfg);
	tako_router_free(r);
	if (rc < 0)
		return program_refused("tako_server_new", rc);
	rc = tako_server_listen(server, a->transport, a->addr, &a->listen);
	if (rc == 0)
		rc = tako_server_listen(server, tako_http1(), a->http, NULL);
	if (rc < 0)
		return program_refused("listen", rc);
	rc = serve(a);
	if (print_stats(text, sizeof(text)) > 0)
		printf("%s", text);
	fflush(stdout);
	return program_exit(rc);
}

int main(int argc, char **argv)
{
	struct args a = {.cfg = {.size = sizeof(a.cfg)},
	                 .listen = {.size = sizeof(a.listen)},
	                 .udp = {.size = sizeof(a.udp),
	                         .on_datagram = on_datagram,
	                         .on_start = on_start,
	                         .on_writable = on_writable,
	                         .on_stop = on_stop},
	                 .transport = tako_raw_udp(),
	                 .addr = "127.0.0.1:0",
	                 .http = "127.0.0.1:0",
	                 .argv = argv};
	int rc;

	a.listen.udp = &a.udp;
	memset(block, 'b', sizeof(block));
	for (int i = 1; i < argc; i++) {
		if (!parse(&a, argv[i])) {
			fprintf(stderr, "what is '%s'?\n", argv[i]);
			return 1;
		}
	}
	a.cfg.inherit = a.restarts || a.next;
	rc = a.next ? tako_inherit_from(a.next) : 0;
	if (rc < 0 && rc != TAKO_ENOENT)
		return program_refused("inherit", rc);
	rc = run(&a);
	tako_server_free(server);
	return rc;
}
