/* SPDX-License-Identifier: MIT
 *
 * A server for the tests of limits, timeouts and the end of a server's life: every field of
 * tako_server_config is a name=value argument, and the routes take as long, or send as much, as
 * the query says.  Further arguments: listen=ADDR (any number), backlog=N, cert_file=F, key_file=F,
 * proxy_protocol=1, mode=run|start|step, transport=http|h2c|http1.
 */
#include "program.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BLOCK_BYTES = 64 * 1024, HIGH_BYTES = 256 * 1024, MAX_LISTENERS = 8 };
#define BIG_BYTES ((size_t)1 << 30)

static char block[BLOCK_BYTES];
static const char *big; /* untouched pages: costs no memory */
static tako_server *server;
static atomic_ullong handled;

/* ---- Routes that answer at once ---------------------------------------------- */

static int hello(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	atomic_fetch_add(&handled, 1);
	return tako_res_text(res, 200, "hello\n");
}

static int stats(tako_req *req, tako_res *res, void *arg)
{
	tako_stats s = {.size = sizeof(s)};
	int rc = tako_server_stats(server, &s);

	(void)req, (void)arg;
	if (rc < 0)
		return rc;
	return tako_res_text(res, 200,
	                     "accepted %" PRIu64 "\nopen %" PRIu64 "\nrefused %" PRIu64
	                     "\naccept_errors %" PRIu64 "\nrequests %" PRIu64 "\nactive %" PRIu64
	                     "\naborted %" PRIu64 "\ntimeouts %" PRIu64 "\n4xx %" PRIu64
	                     "\nreceived_bytes %" PRIu64 "\nsent_bytes %" PRIu64 "\nmoved %" PRIu64
	                     "\n",
	                     s.connections_accepted, s.connections_open, s.connections_refused,
	                     s.accept_errors, s.requests, s.requests_active, s.aborted, s.timeouts,
	                     s.responses_4xx, s.received_bytes, s.sent_bytes, s.connections_moved);
}

/* Which worker serves this connection: each thread has the number in which it came here. */
static int worker(tako_req *req, tako_res *res, void *arg)
{
	static _Thread_local unsigned number;
	static atomic_uint workers;

	(void)req, (void)arg;
	if (!number)
		number = atomic_fetch_add(&workers, 1) + 1;
	return tako_res_text(res, 200, "%u\n", number);
}

static int runtime(tako_req *req, tako_res *res, void *arg)
{
	tako_stats s = {.size = sizeof(s)};
	int rc = tako_server_stats(server, &s);

	(void)req, (void)arg;
	return rc < 0 ? rc : tako_res_text(res, 200, "%s", s.runtime);
}

static int send_big(tako_req *req, tako_res *res, void *arg)
{
	size_t n = (size_t)program_number(req, "bytes", 1024);

	(void)arg;
	if (n > BIG_BYTES)
		return TAKO_EINVAL;
	return tako_res_send_ref(res, 200, "application/octet-stream", (tako_str){big, n}, NULL,
	                         NULL);
}

/* Up to BLOCK_BYTES in one piece, with a field of some length. */
static int plain(tako_req *req, tako_res *res, void *arg)
{
	size_t n = (size_t)program_number(req, "bytes", 13);
	size_t field = (size_t)program_number(req, "field", 0);
	char value[256];

	(void)arg;
	if (n > BLOCK_BYTES || field >= sizeof value)
		return TAKO_EINVAL;
	if (field) {
		memset(value, 'b', field);
		value[field] = 0;
		tako_res_header(res, "X-Field", value);
	}
	return tako_res_send(res, 200, "text/plain", (tako_str){block, n});
}

/* ---- Bodies ---------------------------------------------------------------------- */

static int whole_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	(void)req, (void)arg;
	return end ? tako_res_text(res, 200, "%zu\n", data.n) : TAKO_ESTATE;
}

static int whole(tako_req *req, tako_res *res, void *arg)
{
	(void)res, (void)arg;
	return tako_req_whole_body(req, whole_body, NULL);
}

static int count_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	uint64_t *total = arg;

	(void)req;
	*total += data.n;
	return end ? tako_res_text(res, 200, "%" PRIu64 "\n", *total) : 0;
}

static int sink(tako_req *req, tako_res *res, void *arg)
{
	uint64_t *total = tako_req_alloc(req, sizeof(*total));

	(void)res, (void)arg;
	return total ? tako_req_on_body(req, count_body, total) : TAKO_ENOMEM;
}

static int echo_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	int64_t queued = data.n ? tako_res_write(res, data, NULL, NULL) : 0;

	(void)req, (void)arg;
	if (queued < 0)
		return (int)queued;
	return end ? tako_res_end(res) : 0;
}

static int echo(tako_req *req, tako_res *res, void *arg)
{
	(void)res, (void)arg;
	return tako_req_on_body(req, echo_body, NULL);
}

/* ---- Answers in pieces -------------------------------------------------------------- */

static void flood_more(tako_res *res, void *arg)
{
	uint64_t *left = arg;

	while (*left > 0) {
		size_t n = *left < BLOCK_BYTES ? (size_t)*left : BLOCK_BYTES;
		int64_t queued = tako_res_write(res, (tako_str){block, n}, NULL, NULL);
		if (queued < 0)
			return;
		*left -= n;
		if (queued >= HIGH_BYTES && *left > 0) {
			if (tako_res_on_drain(res, flood_more, left) < 0)
				tako_res_error(res, 500);
			return;
		}
	}
	tako_res_end(res);
}

static int flood(tako_req *req, tako_res *res, void *arg)
{
	uint64_t *left = tako_req_alloc(req, sizeof(*left));

	(void)arg;
	if (!left)
		return TAKO_ENOMEM;
	*left = program_number(req, "bytes", 1024 * 1024);
	if (program_number(req, "length", 0)) {
		int rc = tako_res_length(res, *left);
		if (rc < 0)
			return rc;
	}
	flood_more(res, left);
	return 0;
}

/* ---- Answers later -------------------------------------------------------------------- */

static void slow_done(tako_res *res, void *arg)
{
	(void)arg;
	if (!tako_res_closed(res))
		tako_res_text(res, 200, "slow\n");
}

static int slow(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	atomic_fetch_add(&handled, 1);
	return tako_res_after(res, (uint32_t)program_number(req, "ms", 100), slow_done, NULL);
}

static void nap(void *arg)
{
	usleep(*(const useconds_t *)arg);
}

static int offload(tako_req *req, tako_res *res, void *arg)
{
	useconds_t *us = tako_req_alloc(req, sizeof(*us));

	(void)arg;
	if (!us)
		return TAKO_ENOMEM;
	*us = (useconds_t)program_number(req, "ms", 100) * 1000;
	return tako_offload(res, nap, slow_done, us);
}

/* Deferrals nobody ends before the peer leaves or the server has stopped. */
enum { MAX_HUNG = 1024 };
static pthread_mutex_t hung_lock = PTHREAD_MUTEX_INITIALIZER;
static tako_deferred *hung[MAX_HUNG];

static void unhang(tako_deferred **slot)
{
	pthread_mutex_lock(&hung_lock);
	tako_deferred *d = *slot;
	*slot = NULL;
	pthread_mutex_unlock(&hung_lock);
	if (d)
		tako_deferred_done(d);
}

static void hang_aborted(tako_res *res, void *arg)
{
	(void)res;
	unhang(arg);
}

static int hang(tako_req *req, tako_res *res, void *arg)
{
	tako_deferred **slot = NULL;

	(void)req, (void)arg;
	pthread_mutex_lock(&hung_lock);
	for (size_t i = 0; i < MAX_HUNG && !slot; i++)
		slot = hung[i] ? NULL : &hung[i];
	tako_deferred *d = slot ? tako_res_defer(res) : NULL;
	if (d)
		*slot = d;
	pthread_mutex_unlock(&hung_lock);
	return d ? tako_res_on_abort(res, hang_aborted, slot) : TAKO_ENOMEM;
}

/* ---- Running ---------------------------------------------------------------------------- */

static tako_router *make_router(void)
{
	tako_router *r = tako_router_new();

	tako_get(r, "/", hello, NULL);
	tako_get(r, "/hello", hello, NULL);
	tako_get(r, "/stats", stats, NULL);
	tako_get(r, "/worker", worker, NULL);
	tako_get(r, "/runtime", runtime, NULL);
	tako_get(r, "/big", send_big, NULL);
	tako_get(r, "/plain", plain, NULL);
	tako_post(r, "/whole", whole, NULL);
	tako_post(r, "/sink", sink, NULL);
	tako_post(r, "/echo", echo, NULL);
	tako_get(r, "/flood", flood, NULL);
	tako_any(r, "/slow", slow, NULL);
	tako_get(r, "/offload", offload, NULL);
	tako_get(r, "/hang", hang, NULL);
	tako_post(r, "/ignore", hello, NULL);
	return r;
}

/* A host's own loop, as small as it can be. */
static int step_until_stopped(tako_server *srv)
{
	int fd = tako_server_fd(srv);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int rc = 1;

	if (fd < 0)
		return fd;
	while (rc == 1) {
		poll(&p, 1, -1);
		rc = tako_server_step(srv, 0);
	}
	return rc;
}

static int serve(tako_server *srv, const char *mode)
{
	if (strcmp(mode, "step") == 0)
		return step_until_stopped(srv);
	if (strcmp(mode, "start") == 0) {
		int rc = tako_server_start(srv);
		return rc < 0 ? rc : tako_server_wait(srv);
	}
	return tako_server_run(srv);
}

struct args {
	tako_server_config cfg;
	tako_listen_config listen;
	const char *addrs[MAX_LISTENERS];
	size_t addr_count;
	const char *mode;
	const tako_transport *transport;
};

static bool parse(struct args *a, const char *arg)
{
	if (strncmp(arg, "listen=", 7) == 0 && a->addr_count < MAX_LISTENERS)
		a->addrs[a->addr_count++] = arg + 7;
	else if (strncmp(arg, "mode=", 5) == 0)
		a->mode = arg + 5;
	else if (strncmp(arg, "backlog=", 8) == 0)
		a->listen.backlog = (uint32_t)strtoul(arg + 8, NULL, 10);
	else if (strncmp(arg, "cert_file=", 10) == 0)
		a->listen.cert_file = arg + 10;
	else if (strncmp(arg, "key_file=", 9) == 0)
		a->listen.key_file = arg + 9;
	else if (strncmp(arg, "proxy_protocol=", 15) == 0)
		a->listen.proxy_protocol = (uint32_t)strtoul(arg + 15, NULL, 10);
	else
		return program_transport(&a->transport, arg) || program_set(&a->cfg, arg);
	return true;
}

static int run(const struct args *a)
{
	tako_router *router = make_router();
	char why[256];
	int rc = program_server_new(&server, router, &a->cfg);

	tako_router_free(router); /* the server holds its own reference */
	if (rc < 0)
		return program_refused("tako_server_new", rc);
	for (size_t i = 0; i < a->addr_count; i++) {
		rc = program_listen_on(server, a->transport, a->addrs[i], &a->listen);
		if (rc < 0)
			return program_refused("tako_server_listen", rc);
	}
	rc = tako_server_stop_on_signals(server);
	if (rc < 0)
		return program_refused("tako_server_stop_on_signals", rc);
	program_tell_listeners(server);
	rc = serve(server, a->mode);
	/* Before anything else is called. */
	snprintf(why, sizeof why, "%s", tako_last_error());
	printf("handled %llu\nstopped %s\n", atomic_load(&handled), program_code(rc));
	for (size_t i = 0; i < MAX_HUNG; i++)
		unhang(&hung[i]);
	if (rc == TAKO_ETIMEDOUT)
		printf("because %s\n", why);
	if (rc == 0 || rc == TAKO_ETIMEDOUT)
		return rc == 0 ? EXIT_SUCCESS : EXIT_CUT;
	return program_refused(a->mode, rc);
}

int main(int argc, char **argv)
{
	struct args a = {.cfg = {.size = sizeof(a.cfg)},
	                 .listen = {.size = sizeof(a.listen)},
	                 .mode = "run",
	                 .transport = tako_http()};

	for (int i = 1; i < argc; i++) {
		if (!parse(&a, argv[i])) {
			fprintf(stderr, "what is '%s'?\n", argv[i]);
			return 1;
		}
	}
	memset(block, 'b', sizeof(block));
	big = mmap(NULL, BIG_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (big == MAP_FAILED)
		return 1;

	int status = run(&a);

	tako_server_free(server);
	return status;
}
