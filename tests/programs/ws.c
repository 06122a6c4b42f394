/* SPDX-License-Identifier: MIT
 *
 * A server for the tests of WebSocket.  Fields of tako_server_config are name=value arguments, as are
 * listen=ADDR and transport=http|h2c|http1; those of tako_ws_config and tako_ws_deflate are in the
 * query of the request, with subprotocols=a,b and origins=a,b.
 *
 *   /echo      sends messages back
 *   /stream    the same, part by part as they arrive
 *   /sink      says nothing
 *   /command   does what a message asks for, see command()
 *   /events    what callbacks were called so far, a line each; plain HTTP, as is /stats
 */
#include "noted.h"
#include "program.h"

enum { LIST_MAX = 8, SOCKETS_MAX = 64 };

static tako_server *server;

static int hello(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "hello\n");
}

static int stats(tako_req *req, tako_res *res, void *arg)
{
	tako_stats s = {.size = sizeof(s)};
	int rc = tako_server_stats(server, &s);

	(void)req, (void)arg;
	return rc < 0 ? rc
	              : tako_res_text(res, 200, "open %" PRIu64 "\ntimeouts %" PRIu64 "\n",
	                              s.connections_open, s.timeouts);
}

/* ---- Configuration by query --------------------------------------------------------------------- */

struct field {
	const char *name;
	size_t at;
	size_t bytes;
};
#define FIELD(type, f)                                                                             \
	{                                                                                          \
#f, offsetof(type, f), sizeof(((type *)0)->f)                                      \
	}
static const struct field ws_fields[] = {
	FIELD(tako_ws_config, max_message_bytes), FIELD(tako_ws_config, ping_interval_ms),
	FIELD(tako_ws_config, pong_timeout_ms),   FIELD(tako_ws_config, high_water_bytes),
	FIELD(tako_ws_config, max_unsent_bytes),  FIELD(tako_ws_config, slow),
	FIELD(tako_ws_config, max_frame_count),   FIELD(tako_ws_config, idle_timeout_ms),
	FIELD(tako_ws_config, max_lifetime_ms),   FIELD(tako_ws_config, close_timeout_ms),
	FIELD(tako_ws_config, reserved),          {NULL, 0, 0},
};
static const struct field deflate_fields[] = {
	FIELD(tako_ws_deflate, memory_bytes),       FIELD(tako_ws_deflate, level),
	FIELD(tako_ws_deflate, server_window_bits), FIELD(tako_ws_deflate, client_window_bits),
	FIELD(tako_ws_deflate, server_no_context),  FIELD(tako_ws_deflate, client_no_context),
	FIELD(tako_ws_deflate, threshold_bytes),    {NULL, 0, 0},
};
#undef FIELD

static void set_fields(tako_req *req, void *to, const struct field *f)
{
	for (; f->name; f++) {
		tako_str v = tako_req_query_value(req, f->name);
		bool off = tako_str_eq(v, TAKO_STR("off"));
		uint64_t big = off ? TAKO_OFF64 : program_number(req, f->name, 0);
		uint32_t small = (uint32_t)big;

		if (v.p)
			memcpy((char *)to + f->at,
			       f->bytes == sizeof big ? (void *)&big : (void *)&small, f->bytes);
	}
}

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

static void on_open(tako_ws *ws, void *arg);
static void on_close(tako_ws *ws, int code, void *arg);
static void on_ping(tako_ws *ws, tako_str payload, void *arg);
static void on_pong(tako_ws *ws, tako_str payload, void *arg);
static void on_high(tako_ws *ws, uint64_t unsent, void *arg);
static void on_drain(tako_ws *ws, void *arg);

static int accept_with(tako_req *req, tako_res *res, tako_ws_config *cfg)
{
	const char *protocols[LIST_MAX + 1], *origins[LIST_MAX + 1];
	tako_ws_deflate deflate = {.size = sizeof deflate};
	int rc;

	cfg->size = sizeof *cfg;
	cfg->on_open = on_open;
	cfg->on_close = on_close;
	cfg->on_ping = on_ping;
	cfg->on_pong = on_pong;
	cfg->on_high_water = on_high;
	cfg->on_drain = on_drain;
	set_fields(req, cfg, ws_fields);
	set_fields(req, &deflate, deflate_fields);
	cfg->subprotocols = get_list(req, "subprotocols", protocols);
	cfg->origins = get_list(req, "origins", origins);
	if (program_number(req, "deflate", 0))
		cfg->deflate = &deflate;
	tako_res_header(res, "X-Extra", "field");
	rc = tako_ws_accept(req, res, cfg, NULL);
	if (rc < 0)
		note("refused %s: %s\n", program_code(rc), tako_last_error());
	return rc;
}

/* ---- Callbacks --------------------------------------------------------------------------------------- */

static tako_ws *sockets[SOCKETS_MAX]; /* with one worker; of more, those of the first ones */
static pthread_mutex_t sockets_lock = PTHREAD_MUTEX_INITIALIZER;

static void replace(tako_ws *from, tako_ws *to)
{
	pthread_mutex_lock(&sockets_lock);
	for (size_t i = 0; i < SOCKETS_MAX; i++) {
		if (sockets[i] == from) {
			sockets[i] = to;
			break;
		}
	}
	pthread_mutex_unlock(&sockets_lock);
}

static void on_open(tako_ws *ws, void *arg)
{
	tako_str p = tako_ws_subprotocol(ws);

	(void)arg;
	replace(NULL, ws);
	note("open %.*s\n", p.p ? (int)p.n : 1, p.p ? p.p : "-");
}

static void on_close(tako_ws *ws, int code, void *arg)
{
	tako_str reason = tako_ws_close_reason(ws);

	(void)arg;
	replace(ws, NULL);
	note("close %d %.*s\n", code, TAKO_FMT(reason));
}

static void on_ping(tako_ws *ws, tako_str payload, void *arg)
{
	(void)ws, (void)arg;
	note("ping %.*s\n", TAKO_FMT(payload));
}

static void on_pong(tako_ws *ws, tako_str payload, void *arg)
{
	(void)ws, (void)arg;
	note("pong %.*s\n", TAKO_FMT(payload));
}

static void on_high(tako_ws *ws, uint64_t unsent, void *arg)
{
	(void)ws, (void)arg, (void)unsent;
	note("high\n");
}

static void on_drain(tako_ws *ws, void *arg)
{
	(void)ws, (void)arg;
	note("drain\n");
}

/* ---- Routes ---------------------------------------------------------------------------------------------- */

static void send_back(tako_ws *ws, int kind, tako_str msg, void *arg)
{
	(void)arg;
	tako_ws_send(ws, kind, msg);
}

static int echo(tako_req *req, tako_res *res, void *arg)
{
	tako_ws_config cfg = {.on_message = send_back};

	(void)arg;
	return accept_with(req, res, &cfg);
}

static void send_part_back(tako_ws *ws, int kind, tako_str part, int flags, void *arg)
{
	(void)arg;
	tako_ws_send_part(ws, kind, part, flags);
}

static int stream(tako_req *req, tako_res *res, void *arg)
{
	tako_ws_config cfg = {.on_fragment = send_part_back};

	(void)arg;
	return accept_with(req, res, &cfg);
}

static int sink(tako_req *req, tako_res *res, void *arg)
{
	tako_ws_config cfg = {.on_message = NULL};

	(void)arg;
	return accept_with(req, res, &cfg);
}

/* ---- Commands ------------------------------------------------------------------------------------------------ */

static tako_str result(const char *what, int64_t rc, char *to, size_t n)
{
	int len = snprintf(to, n, "%s %s", what, rc < 0 ? program_code((int)rc) : "ok");

	return (tako_str){to, (size_t)len};
}

static void say(tako_ws *ws, const char *what, int64_t rc)
{
	char text[64];

	tako_ws_send(ws, TAKO_WS_TEXT, result(what, rc, text, sizeof text));
}

/* So many messages of so many bytes at once; how many were taken, and what the next one got. */
static void flood(tako_ws *ws, unsigned long count, unsigned long bytes)
{
	char *text = calloc(1, bytes + 1);
	unsigned long done = 0;
	int64_t rc = 0;

	memset(text, 'f', bytes);
	for (; done < count && rc >= 0; done++)
		rc = tako_ws_send(ws, TAKO_WS_TEXT, (tako_str){text, bytes});
	free(text);
	note("flood %lu %s\n", rc < 0 ? done - 1 : done, rc < 0 ? program_code((int)rc) : "OK");
}

static void to_all(tako_str text)
{
	tako_ws_msg *msg = tako_ws_msg_new(TAKO_WS_TEXT, text);

	pthread_mutex_lock(&sockets_lock);
	for (size_t i = 0; msg && i < SOCKETS_MAX; i++) {
		if (sockets[i])
			(void)tako_ws_send_msg(sockets[i], msg);
	}
	pthread_mutex_unlock(&sockets_lock);
	tako_ws_msg_free(msg);
}

static void from_thread(tako_ws *ws, void *arg)
{
	(void)arg;
	if (ws)
		tako_ws_send(ws, TAKO_WS_TEXT, TAKO_STR("posted"));
	note("posted %s\n", ws ? "open" : "closed");
}

static void *thread(void *arg)
{
	tako_ws_handle *h = arg;
	tako_ws_msg *msg = tako_ws_msg_new(TAKO_WS_TEXT, TAKO_STR("shared"));

	if (msg)
		(void)tako_ws_post_msg(h, msg);
	tako_ws_msg_free(msg);
	(void)tako_ws_post(h, from_thread, NULL);
	tako_ws_release(h);
	return NULL;
}

static void start_thread(tako_ws *ws)
{
	tako_ws_handle *h = tako_ws_hold(ws);
	pthread_t t;

	if (h && pthread_create(&t, NULL, thread, h) == 0)
		pthread_detach(t);
	else
		tako_ws_release(h);
}

static void send_parts(tako_ws *ws, tako_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		int flags = (i == 0 ? TAKO_WS_FIRST : 0) | (i + 1 == text.n ? TAKO_WS_FIN : 0);

		tako_ws_send_part(ws, TAKO_WS_TEXT, (tako_str){text.p + i, 1}, flags);
	}
}

static void tell_conn(tako_ws *ws)
{
	tako_conn_info info = {.size = sizeof info};

	if (tako_ws_conn_info(ws, &info) == 0)
		tako_ws_send(ws, TAKO_WS_TEXT, tako_str_z(info.transport));
}

/* The rest of `text` if it begins with `word` and a space. */
static bool is(const char *text, const char *word, tako_str *rest)
{
	size_t n = strlen(word);

	if (strncmp(text, word, n) != 0 || (text[n] != ' ' && text[n] != '\0'))
		return false;
	*rest = tako_str_z(text + n + (text[n] == ' '));
	return true;
}

static void command(tako_ws *ws, int kind, tako_str msg, void *arg)
{
	unsigned long a, b;
	char text[512];
	tako_str rest;
	int n = 0;

	(void)arg;
	snprintf(text, sizeof text, "%.*s", TAKO_FMT(msg));
	if (sscanf(text, "flood %lu %lu", &a, &b) == 2)
		flood(ws, a, b);
	else if (sscanf(text, "close %lu %n", &a, &n) == 1)
		note("closing %s\n",
		     program_code(tako_ws_close(ws, (int)a, tako_str_z(text + (n ? n : 0)))));
	else if (is(text, "ping", &rest))
		say(ws, "ping", tako_ws_ping(ws, rest));
	else if (is(text, "parts", &rest))
		send_parts(ws, rest);
	else if (is(text, "all", &rest))
		to_all(rest);
	else if (is(text, "thread", &rest))
		start_thread(ws);
	else if (is(text, "conn", &rest))
		tell_conn(ws);
	else if (is(text, "kind", &rest))
		say(ws, "kind", tako_ws_send(ws, 7, rest));
	else
		tako_ws_send(ws, kind, msg);
}

static int commands(tako_req *req, tako_res *res, void *arg)
{
	tako_ws_config cfg = {.on_message = command};

	(void)arg;
	return accept_with(req, res, &cfg);
}

/* ---- The program ------------------------------------------------------------------------------------------- */

static tako_router *make_router(void)
{
	tako_router *r = tako_router_new();

	tako_any(r, "/echo", echo, NULL);
	tako_any(r, "/stream", stream, NULL);
	tako_any(r, "/sink", sink, NULL);
	tako_any(r, "/command", commands, NULL);
	tako_get(r, "/hello", hello, NULL);
	tako_get(r, "/events", tell_noted, NULL);
	tako_get(r, "/stats", stats, NULL);
	return r;
}

int main(int argc, char **argv)
{
	tako_server_config cfg = {.size = sizeof(cfg), .worker_count = 1};
	const tako_transport *transport = tako_http();
	tako_router *router = make_router();
	const char *addr = "127.0.0.1:0";
	int rc;

	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "listen=", 7) == 0)
			addr = argv[i] + 7;
		else if (!program_transport(&transport, argv[i]) && !program_set(&cfg, argv[i]))
			return program_refused(argv[i], TAKO_EINVAL);
	}
	rc = program_server_new(&server, router, &cfg);
	tako_router_free(router);
	if (rc == 0)
		rc = program_listen_on(server, transport, addr, NULL);
	if (rc == 0)
		rc = tako_server_stop_on_signals(server);
	if (rc < 0)
		return program_refused("ws", rc);
	program_tell_listeners(server);
	rc = tako_server_run(server);
	printf("%sstopped %s\n", noted.text, program_code(rc));
	tako_server_free(server);
	return program_exit(rc);
}
