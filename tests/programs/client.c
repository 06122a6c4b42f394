/* SPDX-License-Identifier: MIT
 *
 * A server that asks others, for tests/integration/test_client.py:
 *
 *   client [ca=FILE] [http2] [client_FIELD=VALUE]... [FIELD=VALUE]...
 *
 * /fetch?url=… asks as its other parameters say (see ask()), and answers with one "key value" a line about what
 * came of it, an empty line, and the body.  POST /pass?url=… streams both ways: what comes is sent on, and what
 * comes back is answered with.  POST /post?url=… asks without an exchange, from another thread; /posted says how
 * those ended.  /hello, /echo are for being asked; /stats has figures.
 */
#include "program.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static tako_server *server;
static tako_client *client;
static uint64_t program_high; /* the client's write_high_bytes */
static atomic_uint posted_ok;
static atomic_uint posted_failed;

/* ---- What to ask ----------------------------------------------------------------------- */

struct asked {
	tako_fetch_field fields[8];
	tako_res *res;
	uint64_t left;    /* of a stream to be sent */
	uint64_t bytes;   /* of the response, when it is not collected */
	uint64_t sum;     /* … and a checksum of them */
	uint64_t informs; /* status codes, the last in the lowest three digits */
	uint64_t heads;
	uint64_t ends;
	uint32_t pause_ms;
	bool cancels; /* … when its head is there */
	bool refuses; /* … by an error of on_head() */
	tako_fetch *fetch;
};

static void copy_text(char *to, size_t size, tako_str s)
{
	snprintf(to, size, "%.*s", TAKO_FMT(s));
}

static char *text_of(tako_req *req, const char *name)
{
	tako_str v = tako_req_query_value(req, name);
	char *to = v.p ? tako_req_alloc(req, v.n + 1) : NULL;

	if (to)
		copy_text(to, v.n + 1, v);
	return to;
}

/* ---- A stream to be sent: bytes that say where they are ---------------------------------------- */

static void send_more(tako_fetch *f, void *arg)
{
	struct asked *a = arg;
	char block[8192];

	while (a->left) {
		size_t n = a->left < sizeof(block) ? (size_t)a->left : sizeof(block);
		int64_t unsent;

		for (size_t i = 0; i < n; i++)
			block[i] = (char)('a' + (a->left - i) % 23);
		unsent = tako_fetch_write(f, (tako_str){block, n});
		if (unsent < 0)
			return;
		a->left -= n;
		if (unsent >= (int64_t)program_high)
			break;
	}
	if (!a->left)
		(void)!tako_fetch_finish(f);
}

/* ---- What comes of it ------------------------------------------------------------------------------ */

static int on_inform(tako_fetch *f, void *arg)
{
	struct asked *a = arg;

	a->informs = a->informs * 1000 + (uint64_t)tako_fetch_status(f);
	return 0;
}

static int on_head(tako_fetch *f, void *arg)
{
	struct asked *a = arg;

	a->heads++;
	if (a->cancels)
		tako_fetch_cancel(f);
	return a->refuses ? TAKO_EEXIST : 0;
}

static void resume(tako_res *res, void *arg)
{
	struct asked *a = arg;

	(void)res;
	if (!a->ends)
		tako_fetch_resume(a->fetch);
}

static int on_data(tako_fetch *f, tako_str data, void *arg)
{
	struct asked *a = arg;

	for (size_t i = 0; i < data.n; i++)
		a->sum = a->sum * 31 + (unsigned char)data.p[i];
	a->bytes += data.n;
	if (a->pause_ms) {
		tako_fetch_pause(f);
		a->fetch = f;
		return tako_res_after(a->res, a->pause_ms, resume, a);
	}
	return 0;
}

static int tell(tako_fetch *f, int err, void *arg)
{
	struct asked *a = arg;
	tako_res *res = a->res;
	tako_str body = tako_fetch_body(f);
	tako_str type = tako_fetch_header(f, "content-type");
	tako_str trailer = tako_fetch_trailer(f, "x-trailer");
	char text[1024];
	int n;

	a->ends++;
	if (tako_res_closed(res))
		return 0;
	n = snprintf(
		text, sizeof(text),
		"err %s\nwhy %s\nstatus %d\nversion %d\ntype %.*s\ntrailer %.*s\ninforms %" PRIu64
		"\nheads %" PRIu64 "\nends %" PRIu64 "\nbytes %" PRIu64 "\nsum %" PRIu64
		"\nlength %" PRId64 "\nredirected %.*s\n\n",
		program_code(err), tako_fetch_why(f), tako_fetch_status(f), tako_fetch_version(f),
		TAKO_FMT(type), TAKO_FMT(trailer), a->informs, a->heads, a->ends, a->bytes, a->sum,
		(int64_t)tako_fetch_content_length(f), TAKO_FMT(tako_fetch_redirected(f)));
	tako_res_header(res, "content-type", "text/plain");
	tako_res_write(res, (tako_str){text, (size_t)n}, NULL, NULL);
	if (body.n)
		tako_res_write(res, body, NULL, NULL);
	return tako_res_end(res);
}

/* "name:value" of h0 to h7. */
static size_t fields_of(tako_req *req, struct asked *a)
{
	size_t count = 0;

	for (; count < 8; count++) {
		char name[3] = {'h', (char)('0' + count), '\0'};
		const char *v = text_of(req, name);
		const char *colon = v ? strchr(v, ':') : NULL;

		if (!colon)
			break;
		a->fields[count] = (tako_fetch_field){{v, (size_t)(colon - v)},
		                                      tako_str_z(colon + 1)};
	}
	return count;
}

static int ask(tako_req *req, tako_res *res, void *arg)
{
	struct asked *a = tako_req_alloc(req, sizeof(*a));
	const char *body = text_of(req, "body");
	tako_fetch_config cfg = {.size = sizeof(cfg), .arg = a, .on_end = tell};
	tako_fetch *f;
	int rc;

	(void)arg;
	if (!a)
		return TAKO_ENOMEM;
	a->res = res;
	a->pause_ms = (uint32_t)program_number(req, "pause_ms", 0);
	a->cancels = program_number(req, "cancel", 0);
	a->refuses = program_number(req, "refuse", 0);
	a->left = program_number(req, "stream", 0);
	cfg.method = text_of(req, "method");
	cfg.url = text_of(req, "url");
	cfg.connect = text_of(req, "connect");
	cfg.fields = a->fields;
	cfg.field_count = fields_of(req, a);
	cfg.body = tako_str_z(body);
	cfg.max_body_bytes = program_number(req, "max_body", 0);
	cfg.on_inform = on_inform;
	cfg.on_head = on_head;
	cfg.on_data = a->pause_ms || program_number(req, "pieces", 0) ? on_data : NULL;
	cfg.expect_continue = (uint32_t)program_number(req, "expect", 0);
	cfg.no_retry = (uint32_t)program_number(req, "no_retry", 0);
	cfg.total_timeout_ms = (uint32_t)program_number(req, "total_ms", 0);
	cfg.max_redirects = (uint32_t)program_number(req, "redirects", 0);
	cfg.redirect_to_http = (uint32_t)program_number(req, "to_http", 0);
	if (a->left) {
		cfg.stream = 1;
		cfg.stream_bytes = program_number(req, "chunked", 0) ? TAKO_OFF64 : a->left;
		cfg.on_writable = send_more;
	}
	rc = tako_fetch_start(&f, client, res, &cfg);
	if (rc < 0)
		return tako_res_text(res, 200, "err %s\nwhy %s\nrefused 1\n\n", program_code(rc),
		                     tako_last_error());
	if (cfg.stream)
		send_more(f, a);
	return 0;
}

/* ---- Through and through ------------------------------------------------------------------------------ */

struct passing {
	tako_req *req;
	tako_res *res;
	tako_fetch *fetch;
};

static void pass_writable(tako_fetch *f, void *arg)
{
	struct passing *p = arg;

	(void)f;
	tako_req_resume(p->req);
}

static int pass_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	struct passing *p = arg;
	int64_t unsent;

	(void)res;
	if (!p->fetch)
		return 0;
	unsent = tako_fetch_write(p->fetch, data);
	if (unsent < 0)
		return (int)unsent;
	if (end)
		return tako_fetch_finish(p->fetch);
	if (unsent >= (int64_t)program_high)
		tako_req_pause(req);
	return 0;
}

static void pass_drained(tako_res *res, void *arg)
{
	struct passing *p = arg;

	(void)res;
	if (p->fetch)
		tako_fetch_resume(p->fetch);
}

static int pass_head(tako_fetch *f, void *arg)
{
	struct passing *p = arg;

	return tako_res_status(p->res, tako_fetch_status(f));
}

static int pass_data(tako_fetch *f, tako_str data, void *arg)
{
	struct passing *p = arg;
	int64_t unsent = tako_res_write(p->res, data, NULL, NULL);

	if (unsent < 0)
		return (int)unsent;
	if (unsent > 65536) {
		tako_fetch_pause(f);
		return tako_res_on_drain(p->res, pass_drained, p);
	}
	return 0;
}

static int pass_end(tako_fetch *f, int err, void *arg)
{
	struct passing *p = arg;

	(void)f;
	p->fetch = NULL;
	return err < 0 ? tako_res_error(p->res, 502) : tako_res_end(p->res);
}

static int pass(tako_req *req, tako_res *res, void *arg)
{
	struct passing *p = tako_req_alloc(req, sizeof(*p));
	int rc;

	(void)arg;
	if (!p)
		return TAKO_ENOMEM;
	p->req = req;
	p->res = res;
	rc = tako_fetch_start(&p->fetch, client, res,
	                      TAKO_FETCH(.method = "POST", .url = text_of(req, "url"), .stream = 1,
	                                 .stream_bytes = TAKO_OFF64, .on_head = pass_head,
	                                 .on_data = pass_data, .on_writable = pass_writable,
	                                 .on_end = pass_end, .arg = p));
	return rc < 0 ? rc : tako_req_on_body(req, pass_body, p);
}

/* ---- Without an exchange ---------------------------------------------------------------------------------- */

static int count(tako_fetch *f, int err, void *arg)
{
	(void)arg;
	atomic_fetch_add(err < 0 || tako_fetch_status(f) != 200 ? &posted_failed : &posted_ok, 1);
	return 0;
}

static void *post_all(void *arg)
{
	char *url = arg;

	for (int i = 0; i < 100; i++) {
		if (tako_fetch_post(client, server, TAKO_FETCH(.url = url, .on_end = count)) < 0)
			atomic_fetch_add(&posted_failed, 1);
	}
	free(url);
	return NULL;
}

static int post(tako_req *req, tako_res *res, void *arg)
{
	const char *url = text_of(req, "url");
	char *copy = url ? strdup(url) : NULL;
	pthread_t thread;

	(void)arg;
	if (!copy || pthread_create(&thread, NULL, post_all, copy) != 0) {
		free(copy);
		return TAKO_ENOMEM;
	}
	pthread_detach(thread);
	return tako_res_text(res, 200, "posted\n");
}

static int posted(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "%u %u", atomic_load(&posted_ok),
	                     atomic_load(&posted_failed));
}

/* ---- To be asked --------------------------------------------------------------------------------------------- */

static int hello(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "hello\n");
}

static int echo_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	int64_t rc = tako_res_write(res, data, NULL, NULL);

	(void)req, (void)arg;
	if (rc < 0)
		return (int)rc;
	return end ? tako_res_end(res) : 0;
}

static int echo(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	return tako_req_on_body(req, echo_body, res);
}

static int stats(tako_req *req, tako_res *res, void *arg)
{
	tako_stats s = {.size = sizeof(s)};

	(void)req, (void)arg;
	tako_server_stats(server, &s);
	return tako_res_text(res, 200, "%" PRIu64 " %" PRIu64 " %" PRIu64, s.outgoing_connections,
	                     s.outgoing_open, s.outgoing_errors);
}

/* ---- Settings --------------------------------------------------------------------------------------------------- */

#define KNOB(f)                                                                                    \
	{                                                                                          \
#f, offsetof(tako_client_config, f), sizeof(((tako_client_config *)0)->f)          \
	}
static const struct program_knob client_knobs[] = {
	KNOB(write_high_bytes),
	KNOB(max_connections),
	KNOB(max_connections_per_origin),
	KNOB(max_idle_per_origin),
	KNOB(max_queue_count),
	KNOB(keepalive_timeout_ms),
	KNOB(connect_timeout_ms),
	KNOB(head_timeout_ms),
	KNOB(idle_timeout_ms),
	KNOB(total_timeout_ms),
	KNOB(continue_timeout_ms),
	KNOB(max_header_bytes),
	KNOB(max_header_count),
	KNOB(max_retry_count),
	KNOB(http2_prior_knowledge),
	KNOB(http2_max_stream_count),
	KNOB(http2_stream_window_bytes),
	KNOB(http2_connection_window_bytes),
};
#undef KNOB

static tako_router *routes(void)
{
	tako_router *r = tako_router_new();

	tako_get(r, "/fetch", ask, NULL);
	tako_post(r, "/pass", pass, NULL);
	tako_post(r, "/post", post, NULL);
	tako_get(r, "/posted", posted, NULL);
	tako_get(r, "/hello", hello, NULL);
	tako_post(r, "/echo", echo, NULL);
	tako_put(r, "/echo", echo, NULL);
	tako_get(r, "/stats", stats, NULL);
	return r;
}

static int run(const tako_server_config *cfg, const tako_client_config *client_cfg)
{
	tako_router *r = routes();
	int rc = tako_client_new(&client, client_cfg);

	if (rc == 0)
		rc = program_server_new(&server, r, cfg);
	tako_router_free(r);
	if (rc == 0)
		rc = program_listen(server, "127.0.0.1:0", NULL);
	if (rc == 0)
		rc = tako_server_stop_on_signals(server);
	if (rc == 0)
		rc = tako_server_start(server);
	if (rc < 0)
		return program_refused("client", rc);
	program_tell_listeners(server);
	rc = tako_server_wait(server);
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", program_code(rc), tako_last_error());
	return rc < 0 ? EXIT_CUT : 0;
}

int main(int argc, char **argv)
{
	tako_server_config cfg = {.size = sizeof(cfg), .worker_count = 2};
	tako_client_config client_cfg = {.size = sizeof(client_cfg)};
	int status;

	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "ca=", 3) == 0) {
			int rc = tako_tls_client_new(
				&client_cfg.tls, TAKO_TLS_CLIENT_CONFIG(.ca_file = argv[i] + 3));

			if (rc < 0)
				return program_refused("ca", rc);
			continue;
		}
		if (strcmp(argv[i], "http2") == 0) {
			client_cfg.http2 = tako_client_http2();
			continue;
		}
		if (strncmp(argv[i], "client_", 7) == 0
		            ? !program_set_by(client_knobs,
		                              sizeof(client_knobs) / sizeof(*client_knobs),
		                              &client_cfg, argv[i] + 7)
		            : !program_set(&cfg, argv[i])) {
			fprintf(stderr, "what is '%s'?\n", argv[i]);
			return 1;
		}
	}
	program_high = client_cfg.write_high_bytes ? client_cfg.write_high_bytes : 256u << 10;
	status = run(&cfg, &client_cfg);
	tako_server_free(server);
	tako_client_free(client);
	tako_tls_client_free(client_cfg.tls);
	return status;
}
