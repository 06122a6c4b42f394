/* SPDX-License-Identifier: MIT
 *
 * A server for the tests of gRPC: the cases of the gRPC project's interoperability list, by messages that
 * need no protobuf.  A request is "name=value;name=value", then maybe a NUL and a payload:
 *   n=1,20,300   the sizes of the messages to answer with
 *   code=, message=, details=   the status to end with
 *   compressed=1 this message must have come compressed; squeeze=0|1 answer uncompressed, or compressed
 *   sleep=MS     before the answer; job=MS: on the pool's thread; defer=MS: by a deferral
 *
 *   /tako.test.Interop/Empty, /Unary           one, one
 *   /tako.test.Interop/Input                   many, one: how many bytes came, as text
 *   /tako.test.Interop/Output                  one, many
 *   /tako.test.Interop/Duplex                  many, many
 *   /tako.test.Interop/Flood                   one: as many messages of 64 bytes as n says
 *   /tako.test.Interop/Hang                    many: no answer
 *   /tako.test.Interop/Small                   one, one; takes 100 bytes, gives 100 at most
 *   /tako.test.Interop/Forgetful               one, one; gives nothing
 *   /tako.test.Guarded/Unary                   needs metadata "token: good", by middleware
 *   /said                                      over plain HTTP: what calls have ended how
 *   /health?service=&status=                   sets it, for grpc.health.v1
 *   descriptors=FILE                           an argument: what reflection answers from
 *   origin=URL                                 another: whose pages may call
 */
#include "program.h"

#include <pthread.h>
#include <unistd.h>

enum { SIZES_MAX = 16 };

struct want {
	size_t sizes[SIZES_MAX];
	size_t count;
	int code;
	char message[256];
	char details[64];
	int compressed;
	int squeeze; /* -1: as ever */
	unsigned sleep_ms;
	unsigned job_ms;
	unsigned defer_ms;
	tako_str payload;
};

/* ---- What calls have ended how --------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char said[8192];

static void say(const char *what, tako_grpc *call)
{
	tako_str path = tako_req_path(tako_grpc_req(call));
	size_t n;

	pthread_mutex_lock(&lock);
	n = strlen(said);
	snprintf(said + n, sizeof(said) - n, "%s %.*s %s\n", what, TAKO_FMT(path),
	         tako_grpc_status_name(tako_grpc_status(tako_grpc_req(call))));
	pthread_mutex_unlock(&lock);
}

static int tell(tako_req *req, tako_res *res, void *arg)
{
	int rc;

	(void)req, (void)arg;
	pthread_mutex_lock(&lock);
	rc = tako_res_text(res, 200, "%s", said);
	pthread_mutex_unlock(&lock);
	return rc;
}

static int forget(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	pthread_mutex_lock(&lock);
	said[0] = '\0';
	pthread_mutex_unlock(&lock);
	return tako_res_text(res, 200, "forgotten");
}

/* ---- What is asked for ----------------------------------------------------------------------- */

static void take_word(struct want *w, const char *name, const char *value)
{
	if (!strcmp(name, "n")) {
		for (char *at = (char *)(uintptr_t)value; *at && w->count < SIZES_MAX;
		     at += *at == ',')
			w->sizes[w->count++] = strtoul(at, &at, 10);
	} else if (!strcmp(name, "code")) {
		w->code = atoi(value);
	} else if (!strcmp(name, "message")) {
		snprintf(w->message, sizeof(w->message), "%s", value);
	} else if (!strcmp(name, "details")) {
		snprintf(w->details, sizeof(w->details), "%s", value);
	} else if (!strcmp(name, "compressed")) {
		w->compressed = atoi(value);
	} else if (!strcmp(name, "squeeze")) {
		w->squeeze = atoi(value);
	} else if (!strcmp(name, "sleep")) {
		w->sleep_ms = (unsigned)atoi(value);
	} else if (!strcmp(name, "job")) {
		w->job_ms = (unsigned)atoi(value);
	} else if (!strcmp(name, "defer")) {
		w->defer_ms = (unsigned)atoi(value);
	}
}

static struct want *parse(tako_grpc *call, tako_str msg)
{
	struct want *w = tako_req_alloc(tako_grpc_req(call), sizeof(*w));
	const char *end = msg.n ? memchr(msg.p, 0, msg.n) : NULL;
	size_t n = end ? (size_t)(end - msg.p) : msg.n;
	char text[1024];

	if (!w)
		return NULL;
	w->squeeze = -1;
	if (end)
		w->payload = (tako_str){end + 1, msg.n - n - 1};
	snprintf(text, sizeof(text), "%.*s", (int)n, n ? msg.p : "");
	for (char *at = NULL, *word = strtok_r(text, ";", &at); word;
	     word = strtok_r(NULL, ";", &at)) {
		char *equals = strchr(word, '=');

		if (equals) {
			*equals = '\0';
			take_word(w, word, equals + 1);
		}
	}
	return w;
}

static void echo_metadata(tako_grpc *call)
{
	tako_req *req = tako_grpc_req(call);
	tako_str initial = tako_grpc_metadata(req, "x-grpc-test-echo-initial");
	tako_str trailing = tako_grpc_metadata(req, "x-grpc-test-echo-trailing-bin");

	if (initial.p)
		(void)tako_grpc_header(call, "x-grpc-test-echo-initial", initial);
	if (trailing.p)
		(void)tako_grpc_trailer(call, "x-grpc-test-echo-trailing-bin", trailing);
}

static tako_str filler(size_t n)
{
	static char zeros[1 << 20];

	return (tako_str){zeros, n < sizeof(zeros) ? n : sizeof(zeros)};
}

static int check(tako_grpc *call, const struct want *w)
{
	if (w->compressed && !tako_grpc_was_compressed(call))
		return tako_grpc_finish(call, TAKO_GRPC_INVALID_ARGUMENT, "not compressed");
	if (w->squeeze >= 0)
		tako_grpc_compress(call, w->squeeze);
	if (w->details[0])
		(void)tako_grpc_details(call, tako_str_z(w->details));
	return 0;
}

/* ---- One, one ----------------------------------------------------------------------------------- */

static int answer(tako_grpc *call, const struct want *w)
{
	if (w->code)
		return tako_grpc_finish(call, w->code, w->message[0] ? w->message : NULL);
	return tako_grpc_reply(call, filler(w->count ? w->sizes[0] : 0));
}

static void answer_late(tako_res *res, void *arg)
{
	tako_grpc *call = tako_grpc_of(res);
	int rc = answer(call, arg);

	if (rc < 0)
		say(program_code(rc), call);
}

static void work(void *arg)
{
	usleep(((const struct want *)arg)->job_ms * 1000);
}

struct handed {
	tako_deferred *deferral;
	struct want *w;
};

static void *other_thread(void *arg)
{
	struct handed h = *(struct handed *)arg;

	free(arg);
	usleep(h.w->defer_ms * 1000);
	(void)tako_deferred_post(h.deferral, answer_late, h.w);
	tako_deferred_done(h.deferral);
	return NULL;
}

static int hand_over(tako_grpc *call, struct want *w)
{
	struct handed *h = malloc(sizeof(*h));
	pthread_t thread;

	if (!h)
		return TAKO_ENOMEM;
	h->w = w;
	h->deferral = tako_res_defer(tako_grpc_res(call));
	if (!h->deferral) {
		free(h);
		return TAKO_ENOMEM;
	}
	if (pthread_create(&thread, NULL, other_thread, h) != 0)
		abort();
	pthread_detach(thread);
	return 0;
}

static int unary(tako_grpc *call, tako_str msg, void *arg)
{
	struct want *w = parse(call, msg);

	(void)arg;
	if (!w)
		return TAKO_ENOMEM;
	echo_metadata(call);
	(void)check(call, w);
	if (!tako_grpc_is_open(call))
		return 0;
	if (w->sleep_ms)
		return tako_res_after(tako_grpc_res(call), w->sleep_ms, answer_late, w);
	if (w->job_ms)
		return tako_offload(tako_grpc_res(call), work, answer_late, w);
	return w->defer_ms ? hand_over(call, w) : answer(call, w);
}

static int empty(tako_grpc *call, tako_str msg, void *arg)
{
	(void)arg;
	return msg.n ? TAKO_GRPC_INVALID_ARGUMENT : tako_grpc_reply(call, (tako_str){"", 0});
}

static int forgetful(tako_grpc *call, tako_str msg, void *arg)
{
	(void)call, (void)msg, (void)arg;
	return 0;
}

/* ---- Many, one ---------------------------------------------------------------------------------- */

static const int sum_key;

static int input_open(tako_grpc *call, void *arg)
{
	uint64_t *sum = tako_req_alloc(tako_grpc_req(call), sizeof(*sum));

	(void)arg;
	echo_metadata(call);
	return sum ? tako_req_set(tako_grpc_req(call), &sum_key, sum) : TAKO_ENOMEM;
}

static int input(tako_grpc *call, tako_str msg, void *arg)
{
	const struct want *w = parse(call, msg);
	uint64_t *sum = tako_req_get(tako_grpc_req(call), &sum_key);

	(void)arg;
	if (!w)
		return TAKO_ENOMEM;
	*sum += w->payload.n;
	return check(call, w);
}

static int input_end(tako_grpc *call, void *arg)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%" PRIu64,
	                 *(uint64_t *)tako_req_get(tako_grpc_req(call), &sum_key));

	(void)arg;
	return tako_grpc_reply(call, (tako_str){text, (size_t)n});
}

/* ---- Many out ------------------------------------------------------------------------------------ */

static int send_all(tako_grpc *call, const struct want *w)
{
	for (size_t i = 0; i < w->count; i++) {
		int64_t rc = tako_grpc_send(call, filler(w->sizes[i]));

		if (rc < 0)
			return (int)rc;
	}
	return w->code ? tako_grpc_finish(call, w->code, w->message) : 0;
}

static int output(tako_grpc *call, tako_str msg, void *arg)
{
	const struct want *w = parse(call, msg);
	int rc;

	(void)arg;
	if (!w)
		return TAKO_ENOMEM;
	echo_metadata(call);
	rc = check(call, w);
	if (rc == 0 && tako_grpc_is_open(call))
		rc = send_all(call, w);
	return rc < 0 || !tako_grpc_is_open(call) ? rc : tako_grpc_finish(call, TAKO_GRPC_OK, NULL);
}

static int duplex_open(tako_grpc *call, void *arg)
{
	(void)arg;
	echo_metadata(call);
	return 0;
}

static int duplex(tako_grpc *call, tako_str msg, void *arg)
{
	const struct want *w = parse(call, msg);

	(void)arg;
	return w ? send_all(call, w) : TAKO_ENOMEM;
}

static void pour(tako_grpc *call, void *arg)
{
	uint64_t *left = arg;
	int64_t unsent = 0;

	while (*left && unsent >= 0 && unsent < 1 << 20) {
		unsent = tako_grpc_send(call, filler(64));
		--*left;
	}
	if (unsent >= 0 && *left)
		(void)tako_grpc_on_drain(call, pour, left);
	else if (unsent >= 0)
		(void)tako_grpc_finish(call, TAKO_GRPC_OK, NULL);
}

static int flood(tako_grpc *call, tako_str msg, void *arg)
{
	struct want *w = parse(call, msg);

	(void)arg;
	if (!w || !w->count)
		return TAKO_EINVAL;
	pour(call, &w->sizes[0]);
	return 0;
}

static int ignore(tako_grpc *call, tako_str msg, void *arg)
{
	(void)call, (void)msg, (void)arg;
	return 0;
}

static int never_end(tako_grpc *call, void *arg)
{
	(void)call, (void)arg;
	return 0;
}

/* ---- Ends ------------------------------------------------------------------------------------------- */

static void cancelled(tako_grpc *call, void *arg)
{
	(void)arg;
	say("cancelled", call);
}

static void over(tako_grpc *call, void *arg)
{
	(void)arg;
	say("over", call);
}

/* ---- An interceptor ---------------------------------------------------------------------------------- */

static void note_status(tako_req *req, int err, void *arg)
{
	tako_str path = tako_req_path(req);
	size_t n;

	(void)arg;
	pthread_mutex_lock(&lock);
	n = strlen(said);
	snprintf(said + n, sizeof(said) - n, "intercepted %.*s %s %s\n", TAKO_FMT(path),
	         tako_grpc_status_name(tako_grpc_status(req)), program_code(err));
	pthread_mutex_unlock(&lock);
}

static int intercept(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	if (!tako_grpc_is(req))
		return TAKO_NEXT;
	(void)tako_res_on_end(res, note_status, NULL);
	if (!tako_str_eq(tako_grpc_metadata(req, "token"), TAKO_STR("good")))
		return tako_grpc_refuse(req, res, TAKO_GRPC_UNAUTHENTICATED, "no good token");
	return TAKO_NEXT;
}

static int http_error(tako_req *req, tako_res *res, void *arg)
{
	tako_str want = tako_grpc_metadata(req, "http-status");

	(void)arg;
	return want.n == 3 ? tako_res_error(res, atoi(want.p)) : TAKO_NEXT;
}

static void tag(tako_req *req, tako_res *res, void *arg)
{
	char text[8];

	(void)arg;
	snprintf(text, sizeof(text), "%d", tako_grpc_status(req));
	(void)tako_res_header(res, "x-status-at-head", text);
}

static void add_guarded(tako_router *router)
{
	tako_router *group = tako_group(router, "");

	tako_before(group, TAKO_PHASE_AUTH, intercept, NULL);
	tako_before(group, TAKO_PHASE_ROUTE, http_error, NULL);
	tako_after(group, TAKO_PHASE_RESPONSE, tag, NULL);
	tako_grpc_unary(group, "/tako.test.Guarded/Unary", unary, NULL);
}

/* ---- The server ---------------------------------------------------------------------------------------- */

static const char *origins[] = {"https://app.example", NULL, NULL};

static void add_methods(tako_router *router)
{
	tako_grpc_config cfg = {.size = sizeof(cfg),
	                        .on_cancel = cancelled,
	                        .on_close = over,
	                        .web_origins = origins,
	                        .compress = TAKO_GRPC_GZIP | TAKO_GRPC_DEFLATE};

	cfg.on_message = empty;
	tako_grpc_method(router, "/tako.test.Interop/Empty", TAKO_GRPC_UNARY, &cfg, NULL);
	cfg.on_message = unary;
	tako_grpc_method(router, "/tako.test.Interop/Unary", TAKO_GRPC_UNARY, &cfg, NULL);
	cfg.on_message = output;
	tako_grpc_method(router, "/tako.test.Interop/Output", TAKO_GRPC_SERVER_STREAM, &cfg, NULL);
	cfg.on_message = flood;
	tako_grpc_method(router, "/tako.test.Interop/Flood", TAKO_GRPC_SERVER_STREAM, &cfg, NULL);
	cfg.on_message = input;
	cfg.on_open = input_open;
	cfg.on_end = input_end;
	tako_grpc_method(router, "/tako.test.Interop/Input", TAKO_GRPC_CLIENT_STREAM, &cfg, NULL);
	cfg.on_message = duplex;
	cfg.on_open = duplex_open;
	cfg.on_end = NULL;
	tako_grpc_method(router, "/tako.test.Interop/Duplex", TAKO_GRPC_BIDI, &cfg, NULL);
	cfg.on_message = ignore;
	cfg.on_open = NULL;
	cfg.on_end = never_end;
	tako_grpc_method(router, "/tako.test.Interop/Hang", TAKO_GRPC_BIDI, &cfg, NULL);
	tako_grpc_method(router, "/tako.test.Interop/Small", TAKO_GRPC_UNARY,
	                 TAKO_GRPC_CONFIG(.on_message = unary, .max_receive_bytes = 100,
	                                  .max_send_bytes = 100),
	                 NULL);
	tako_grpc_unary(router, "/tako.test.Interop/Forgetful", forgetful, NULL);
}

static tako_grpc_health *health;

static int set_health(tako_req *req, tako_res *res, void *arg)
{
	tako_str service = tako_req_query_value(req, "service");
	char name[64];

	(void)arg;
	snprintf(name, sizeof(name), "%.*s", TAKO_FMT(service));
	return tako_res_text(res, 200, "%s",
	                     program_code(tako_grpc_health_set(
				     health, name, (int)program_number(req, "status", 0))));
}

static void add_services(tako_router *router, const char *descriptors)
{
	static char set[1 << 16];
	FILE *f = descriptors ? fopen(descriptors, "rb") : NULL;

	health = tako_grpc_health_new();
	tako_grpc_health_add(router, health);
	tako_get(router, "/health", set_health, NULL);
	if (f) {
		tako_str all = {set, fread(set, 1, sizeof(set), f)};

		fclose(f);
		tako_grpc_reflection(router, &all, 1);
	}
}

static int fine(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "fine");
}

int main(int argc, char **argv)
{
	tako_server_config cfg = {.size = sizeof(cfg), .worker_count = 1};
	const char *addr = argc > 1 && strncmp(argv[1], "listen=", 7) == 0 ? argv[1] + 7 : "";
	tako_router *router = tako_router_new();
	const char *descriptors = NULL;
	tako_server *srv = NULL;
	int rc;

	for (int i = 2; i < argc; i++) {
		if (strncmp(argv[i], "descriptors=", 12) == 0)
			descriptors = argv[i] + 12;
		else if (strncmp(argv[i], "origin=", 7) == 0)
			origins[1] = argv[i] + 7;
		else if (!program_set(&cfg, argv[i]))
			return program_refused(argv[i], TAKO_EINVAL);
	}
	tako_on_error(router, tako_grpc_error, NULL);
	tako_get(router, "/hello", fine, NULL);
	tako_get(router, "/said", tell, NULL);
	tako_get(router, "/forget", forget, NULL);
	add_methods(router);
	add_guarded(router);
	add_services(router, descriptors);
	rc = program_server_new(&srv, router, &cfg);
	if (rc == 0)
		rc = program_listen(srv, addr, NULL);
	if (rc == 0)
		rc = tako_server_stop_on_signals(srv);
	if (rc < 0)
		return program_refused("grpc", rc);
	rc = tako_server_run(srv);
	tako_server_free(srv);
	tako_router_free(router);
	tako_grpc_health_free(health);
	return program_exit(rc);
}
