/* SPDX-License-Identifier: MIT
 *
 * A server for the tests of WebTransport: over TLS, and over HTTP/3 at the same port.  Fields of
 * tako_server_config are name=value arguments, as are listen=ADDR, cert_file= and key_file=; those of
 * tako_wt_config are in the query of the request, with origins=a,b.  With raw_echo=ADDR and so on the same is at
 * another address over QUIC alone, by the name "raw/1".
 *
 *   /echo      sends streams and datagrams back; one that goes one way, on one of ours
 *   /push      opens a stream of each kind by itself, says "pushed" on both, and by a datagram
 *              when a stream ends
 *   /close     is closed at once, with the query's code and reason (over QUIC alone: 2^40, "enough")
 *   /hold      says nothing and reads nothing until a datagram comes
 *   /break     resets every stream with the code that is its first byte, and stops it with one more
 *   /events    what callbacks were called so far, a line each; plain HTTP, as is /
 */
#include "noted.h"
#include "program.h"

enum { LIST_MAX = 8 };

static int page(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_send(res, 200, "text/html", TAKO_STR("<!doctype html><title>t</title>"));
}

/* ---- Sessions --------------------------------------------------------------------------------- */

static const char *kind(const tako_wt_stream *s)
{
	static const char *const kinds[] = {"bidi", "uni", "our bidi", "our uni"};

	return kinds[tako_wt_stream_is_ours(s) * 2 + tako_wt_stream_is_uni(s)];
}

static void on_open(tako_wt *wt, void *arg)
{
	tako_conn_info info = {.size = sizeof info};

	(void)arg;
	(void)tako_wt_conn_info(wt, &info);
	note("open %s\n", info.transport);
}

static void on_stream(tako_wt *wt, tako_wt_stream *s, void *arg)
{
	tako_wt_stream *answer = s;

	(void)arg;
	note("stream %s\n", kind(s));
	if (tako_wt_stream_is_uni(s) && tako_wt_open(wt, true, &answer) < 0)
		answer = NULL;
	tako_wt_stream_set_arg(s, answer);
	if (answer != s)
		tako_wt_stream_set_arg(answer, s);
}

static void on_data(tako_wt_stream *s, tako_str data, bool end, void *arg)
{
	if (end)
		note("end %s\n", kind(s));
	if (arg && tako_wt_send(arg, data, end) > (256 << 10))
		tako_wt_pause(s);
}

static void on_writable(tako_wt_stream *s, void *arg)
{
	(void)s;
	if (arg)
		tako_wt_resume(arg);
}

static void on_reset(tako_wt_stream *s, uint64_t code, void *arg)
{
	note("reset %s %" PRIu64 "\n", kind(s), code);
	if (arg)
		tako_wt_reset(arg, code);
}

static void on_stop(tako_wt_stream *s, void *arg)
{
	(void)arg;
	note("stop %s\n", kind(s));
}

static void on_stream_close(tako_wt_stream *s, int why, uint64_t code, void *arg)
{
	if (code == TAKO_WT_NO_CODE)
		note("stream closed %s %s\n", kind(s), program_code(why));
	else
		note("stream closed %s %s %" PRIu64 "\n", kind(s), program_code(why), code);
	if (arg && arg != s && tako_wt_stream_session(s))
		tako_wt_stream_set_arg(arg, NULL);
}

static void on_datagram(tako_wt *wt, tako_str data, void *arg)
{
	(void)arg;
	tako_wt_datagram(wt, data);
}

static void on_drain(tako_wt *wt, void *arg)
{
	(void)wt, (void)arg;
	note("drain\n");
}

static void on_close(tako_wt *wt, int why, uint64_t code, void *arg)
{
	tako_str reason = tako_wt_reason(wt);

	(void)arg;
	note("closed %s %" PRIu64 " %.*s\n", program_code(why), code, TAKO_FMT(reason));
}

/* ---- … of other kinds ----------------------------------------------------------------------------- */

static void push_open(tako_wt *wt, void *arg)
{
	const tako_str said = TAKO_STR("pushed");
	tako_wt_stream *s;

	on_open(wt, arg);
	for (int uni = 0; uni < 2; uni++) {
		if (tako_wt_open(wt, uni, &s) == 0)
			tako_wt_send(s, said, true);
	}
}

/* Sooner it might overtake the answer, and come to nobody. */
static void push_data(tako_wt_stream *s, tako_str data, bool end, void *arg)
{
	(void)data, (void)arg;
	if (end)
		tako_wt_datagram(tako_wt_stream_session(s), TAKO_STR("pushed"));
}

static void close_open(tako_wt *wt, void *arg)
{
	tako_req *req = arg; /* NULL: over QUIC alone */
	tako_str reason = req ? tako_req_query_value(req, "reason") : TAKO_STR("enough");

	on_open(wt, arg);
	tako_wt_close(wt, req ? program_number(req, "code", 0) : UINT64_C(1) << 40,
	              reason.p ? reason : TAKO_STR(""));
	tako_wt_set_arg(wt, NULL);
}

static void hold_stream(tako_wt *wt, tako_wt_stream *s, void *arg)
{
	on_stream(wt, s, arg);
	tako_wt_pause(s);
	tako_wt_set_arg(wt, s);
}

static void hold_datagram(tako_wt *wt, tako_str data, void *arg)
{
	(void)wt, (void)data;
	if (arg)
		tako_wt_resume(arg);
}

static void break_data(tako_wt_stream *s, tako_str data, bool end, void *arg)
{
	uint64_t code = data.n ? (unsigned char)data.p[0] : 0;

	(void)arg, (void)end;
	tako_wt_reset(s, code);
	tako_wt_stop(s, code + 1);
}

/* ---- Configuration by query --------------------------------------------------------------------- */

/* "a,b" as a list that ends with NULL. */
static const char *const *get_list(tako_req *req, const char *name, const char *list[LIST_MAX + 1])
{
	tako_str v = tako_req_query_value(req, name);
	char *text = v.p ? tako_req_alloc(req, v.n + 1) : NULL;
	size_t n = 0;

	if (!text)
		return NULL;
	memcpy(text, v.p, v.n);
	for (char *at = NULL, *word = strtok_r(text, ",", &at); word && n < LIST_MAX;
	     word = strtok_r(NULL, ",", &at))
		list[n++] = word;
	list[n] = NULL;
	return list;
}

/* With what is the same for all. */
static tako_wt_config whole(const tako_wt_config *part)
{
	tako_wt_config cfg = *part;

	cfg.size = sizeof cfg;
	cfg.on_reset = on_reset;
	cfg.on_stop = on_stop;
	cfg.on_stream_close = on_stream_close;
	cfg.on_writable = on_writable;
	cfg.on_close = on_close;
	return cfg;
}

static int accept_it(tako_req *req, tako_res *res, void *arg)
{
	const char *origins[LIST_MAX + 1];
	tako_wt_config cfg = whole(arg);
	int rc;

	cfg.high_water_bytes = program_number(req, "high_water_bytes", 0);
	cfg.max_unsent_bytes = program_number(req, "max_unsent_bytes", 0);
	cfg.max_stream_count = (uint32_t)program_number(req, "max_stream_count", 0);
	cfg.idle_timeout_ms = (uint32_t)program_number(req, "idle_timeout_ms", 0);
	cfg.max_lifetime_ms = (uint32_t)program_number(req, "max_lifetime_ms", 0);
	if (program_number(req, "drain", 0))
		cfg.on_drain = on_drain;
	cfg.drain_timeout_ms = (uint32_t)program_number(req, "drain", 0);
	cfg.origins = get_list(req, "origins", origins);
	rc = tako_wt_accept(req, res, &cfg, cfg.on_open == close_open ? req : NULL);
	if (rc < 0)
		note("refused %s\n", program_code(rc));
	return rc;
}

static const tako_wt_config echo_cfg = {
	.on_open = on_open, .on_stream = on_stream, .on_data = on_data, .on_datagram = on_datagram};
static const tako_wt_config push_cfg = {
	.on_open = push_open, .on_stream = on_stream, .on_data = push_data};
static const tako_wt_config close_cfg = {.on_open = close_open};
static const tako_wt_config hold_cfg = {.on_open = on_open,
                                        .on_stream = hold_stream,
                                        .on_data = on_data,
                                        .on_datagram = hold_datagram};
static const tako_wt_config break_cfg = {
	.on_open = on_open, .on_stream = on_stream, .on_data = break_data};

enum { KINDS = 5 };
static const struct {
	const char *path;
	const char *raw;
	const tako_wt_config *cfg;
} kinds_of[KINDS] = {{"/echo", "raw_echo", &echo_cfg},
                     {"/push", "raw_push", &push_cfg},
                     {"/close", "raw_close", &close_cfg},
                     {"/hold", "raw_hold", &hold_cfg},
                     {"/break", "raw_break", &break_cfg}};

static tako_router *make_routes(void)
{
	tako_router *r = tako_router_new();

	tako_get(r, "/", page, NULL);
	tako_get(r, "/events", tell_noted, NULL);
	for (size_t i = 0; i < KINDS; i++)
		tako_get(r, kinds_of[i].path, accept_it, (void *)(uintptr_t)kinds_of[i].cfg);
	return r;
}

static const char *raw_at[KINDS];

static bool parse_raw(const char *arg)
{
	for (size_t i = 0; i < KINDS; i++) {
		const char *v = program_value(arg, kinds_of[i].raw);

		if (v) {
			raw_at[i] = v;
			return true;
		}
	}
	return false;
}

static int listen_raw(tako_server *server, const tako_listen_config *from)
{
	int rc = 0;

	for (size_t i = 0; i < KINDS && rc == 0; i++) {
		tako_listen_config listen = *from;
		tako_wt_config cfg = whole(kinds_of[i].cfg);

		listen.quic_alpn = "raw/1";
		listen.wt = &cfg;
		if (raw_at[i])
			rc = tako_server_listen(server, tako_quic_raw(), raw_at[i], &listen);
	}
	return rc;
}

static bool parse(char *arg, tako_server_config *cfg, tako_listen_config *listen, const char **addr)
{
	const char *v;

	if (parse_raw(arg))
		return true;
	if ((v = program_value(arg, "listen")))
		*addr = v;
	else if ((v = program_value(arg, "cert_file")))
		listen->cert_file = v;
	else if ((v = program_value(arg, "key_file")))
		listen->key_file = v;
	else
		return program_set(cfg, arg);
	return true;
}

int main(int argc, char **argv)
{
	tako_server_config cfg = {.size = sizeof(cfg)};
	tako_listen_config listen = {.size = sizeof(listen)};
	const char *addr = "127.0.0.1:0";
	tako_router *router = make_routes();
	tako_server *server = NULL;
	int rc;

	for (int i = 1; i < argc; i++) {
		if (!parse(argv[i], &cfg, &listen, &addr)) {
			fprintf(stderr, "wt: %s\n", argv[i]);
			return EXIT_REFUSED;
		}
	}
	rc = program_server_new(&server, router, &cfg);
	tako_router_free(router);
	if (rc == 0)
		rc = tako_server_listen(server, tako_tls(), addr, &listen);
	if (rc == 0)
		rc = tako_server_listen(server, tako_h3(), addr, &listen);
	if (rc == 0)
		rc = listen_raw(server, &listen);
	if (rc == 0)
		rc = tako_server_stop_on_signals(server);
	if (rc < 0)
		return program_refused("wt", rc);
	rc = tako_server_run(server);
	tako_server_free(server);
	return program_exit(rc);
}
