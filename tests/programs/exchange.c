/* SPDX-License-Identifier: MIT
 *
 * A server for the tests of the exchange: answers from other threads, in pieces, with trailers,
 * with interim responses, cut off; cookies, forms and multipart bodies.  What happened behind the
 * scenes is told by GET /counters.
 */
#include "framed.h"
#include "program.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_int ended_well;
static atomic_int ended_badly;
static atomic_int aborted;
static atomic_int done_calls;
static atomic_int closed_seen;
static atomic_int on_drain_inside;
static const char *file_path;

static int counters(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200,
	                     "ended_well %d\nended_badly %d\naborted %d\ndone_calls %d\n"
	                     "closed_seen %d\non_drain_inside %d\n",
	                     atomic_load(&ended_well), atomic_load(&ended_badly),
	                     atomic_load(&aborted), atomic_load(&done_calls),
	                     atomic_load(&closed_seen), atomic_load(&on_drain_inside));
}

static void count_end(tako_req *req, int err, void *arg)
{
	(void)req, (void)arg;
	atomic_fetch_add(err == 0 ? &ended_well : &ended_badly, 1);
}

static void count_abort(tako_res *res, void *arg)
{
	(void)res, (void)arg;
	atomic_fetch_add(&aborted, 1);
}

static void count_done(void *arg)
{
	(void)arg;
	atomic_fetch_add(&done_calls, 1);
}

static int hello(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "hello\n");
}

static int spaced_type(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_send(res, 200, "\ttext/plain ", TAKO_STR("spaced\n"));
}

static int spaced(tako_req *req, tako_res *res, void *arg)
{
	int rc = tako_res_header(res, "X-Spaced", " a  b\t");

	return rc < 0 ? rc : spaced_type(req, res, arg);
}

/* Before every handler: its end is counted. */
static int watch(tako_req *req, tako_res *res, void *arg)
{
	int rc = tako_res_on_end(res, count_end, NULL);

	(void)req, (void)arg;
	if (rc == 0)
		rc = tako_res_on_abort(res, count_abort, NULL);
	return rc < 0 ? rc : TAKO_NEXT;
}

/* ---- From another thread ------------------------------------------------------ */

struct later {
	tako_deferred *d;
	useconds_t us;
	int parts;
};

static void answer(tako_res *res, void *arg)
{
	(void)arg;
	if (tako_res_closed(res))
		atomic_fetch_add(&closed_seen, 1);
	tako_res_text(res, 200, "from a thread\n");
}

static void part(tako_res *res, void *arg)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%d\n", (int)(intptr_t)arg);

	tako_res_write(res, (tako_str){text, (size_t)n}, NULL, NULL);
}

static void end(tako_res *res, void *arg)
{
	(void)arg;
	tako_res_end(res);
}

static void *answer_later(void *arg)
{
	struct later *l = arg;

	usleep(l->us);
	for (int i = 0; i < l->parts; i++)
		tako_deferred_post(l->d, part, (void *)(intptr_t)i);
	tako_deferred_post(l->d, l->parts ? end : answer, NULL);
	tako_deferred_done(l->d);
	free(l);
	return NULL;
}

static int from_thread(tako_req *req, tako_res *res, void *arg)
{
	struct later *l = calloc(1, sizeof(*l));
	pthread_t thread;

	(void)arg;
	if (!l || !(l->d = tako_res_defer(res))) {
		free(l);
		return TAKO_ENOMEM;
	}
	l->us = (useconds_t)program_number(req, "ms", 0) * 1000;
	l->parts = (int)program_number(req, "parts", 0);
	if (pthread_create(&thread, NULL, answer_later, l) != 0) {
		tako_deferred_done(l->d);
		free(l);
		return TAKO_ESYS;
	}
	pthread_detach(thread);
	return 0;
}

/* The handle is given back and nobody has answered. */
static int abandon(tako_req *req, tako_res *res, void *arg)
{
	tako_deferred *d = tako_res_defer(res);

	(void)req, (void)arg;
	if (!d)
		return TAKO_ENOMEM;
	tako_deferred_done(d);
	return 0;
}

static void work(void *arg)
{
	*(pthread_t *)arg = pthread_self();
}

static void worked(tako_res *res, void *arg)
{
	bool elsewhere = !pthread_equal(*(pthread_t *)arg, pthread_self());

	tako_res_text(res, 200, "%s\n", elsewhere ? "on another thread" : "on the loop");
}

static int offload(tako_req *req, tako_res *res, void *arg)
{
	pthread_t *who = tako_req_alloc(req, sizeof(*who));

	(void)arg;
	return who ? tako_offload(res, work, worked, who) : TAKO_ENOMEM;
}

/* ---- What a handler may return --------------------------------------------------- */

static int nothing(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)res, (void)arg;
	return 0;
}

static int code(tako_req *req, tako_res *res, void *arg)
{
	(void)res, (void)arg;
	return -(int)program_number(req, "n", 0);
}

static int twice(tako_req *req, tako_res *res, void *arg)
{
	int first = tako_res_text(res, 200, "first\n");
	int second = tako_res_text(res, 200, "second\n");
	int third = tako_res_header(res, "X", "y");

	(void)req, (void)arg;
	fprintf(stdout, "twice %s %s %s\n", program_code(first), program_code(second),
	        program_code(third));
	fflush(stdout);
	return 0;
}

/* Each attempt's code, so that a test sees which are refused. */
static int bad_fields(tako_req *req, tako_res *res, void *arg)
{
	int rc[] = {
		tako_res_header(res, "X", "a\r\nInjected: yes"),
		tako_res_header(res, "X", "a\nb"),
		tako_res_header(res, "X\r\nInjected", "yes"),
		tako_res_header(res, "", "x"),
		tako_res_header(res, "X Y", "x"),
		tako_res_header_str(res, TAKO_STR("X"), TAKO_STR("a\0b")),
		tako_res_header(res, "Content-Length", "5"),
		tako_res_header(res, "Transfer-Encoding", "chunked"),
		tako_res_header(res, "Connection", "close"),
		tako_res_status(res, 100),
		tako_res_status(res, 600),
		tako_res_redirect(res, 302, "/\r\nInjected: yes"),
		tako_res_redirect(res, 200, "/"),
		tako_res_inform(res, 100),
		tako_res_inform(res, 200),
		tako_res_set_header(res, "Fine", "a\tb"),
	};
	char text[512];
	size_t n = 0;

	(void)req, (void)arg;
	for (size_t i = 0; i < sizeof(rc) / sizeof(rc[0]); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s ", program_code(rc[i]));
	return tako_res_text(res, 200, "%s\n", text);
}

static int many_fields(tako_req *req, tako_res *res, void *arg)
{
	int rc = 0;
	int count = 0;

	(void)req, (void)arg;
	for (; rc == 0 && count < 100; count += rc == 0)
		rc = tako_res_header(res, "X", "y");
	return tako_res_text(res, 200, "%d %s\n", count, program_code(rc));
}

static int status(tako_req *req, tako_res *res, void *arg)
{
	int n = (int)program_number(req, "n", 200);

	(void)arg;
	if (program_number(req, "body", 0))
		return tako_res_text(res, n, "a body\n");
	int rc = tako_res_status(res, n);
	return rc < 0 ? rc : tako_res_end(res);
}

/* ---- Interim, trailers, lengths, cuts --------------------------------------------- */

static int inform(tako_req *req, tako_res *res, void *arg)
{
	int rc = tako_res_header(res, "Link", "</style.css>; rel=preload");

	(void)req, (void)arg;
	if (rc == 0)
		rc = tako_res_inform(res, 103);
	return rc < 0 ? rc : tako_res_text(res, 200, "informed\n");
}

static int trailers(tako_req *req, tako_res *res, void *arg)
{
	int64_t rc = program_number(req, "length", 0) ? tako_res_length(res, 10) : 0;

	(void)arg;
	if (rc == 0)
		rc = tako_res_write(res, TAKO_STR("hello"), NULL, NULL);
	if (rc >= 0)
		rc = tako_res_write(res, TAKO_STR("world"), count_done, NULL);
	if (rc >= 0)
		rc = tako_res_trailer(res, "X-Sum", "42");
	return rc < 0 ? (int)rc : tako_res_end(res);
}

/* Announces ten bytes, and writes as many as the query says. */
static int announced(tako_req *req, tako_res *res, void *arg)
{
	int rc = tako_res_length(res, 10);

	(void)arg;
	if (rc < 0)
		return rc;
	for (uint64_t i = program_number(req, "bytes", 10); i > 0 && rc >= 0; i--)
		rc = (int)tako_res_write(res, TAKO_STR("x"), NULL, NULL);
	if (rc < 0) {
		printf("announced %s\n", program_code(rc));
		fflush(stdout);
	}
	return tako_res_end(res);
}

static int cut(tako_req *req, tako_res *res, void *arg)
{
	int64_t rc = tako_res_write(res, TAKO_STR("some"), count_done, NULL);

	(void)req, (void)arg;
	return rc < 0 ? (int)rc : tako_res_error(res, 500);
}

static int send_file(tako_req *req, tako_res *res, void *arg)
{
	int fd = open(file_path, O_RDONLY | O_CLOEXEC);

	(void)arg;
	if (fd < 0)
		return TAKO_ENOENT;
	return tako_res_send_fd(res, fd, program_number(req, "from", 0),
	                        program_number(req, "bytes", 10));
}

static int by_reference(tako_req *req, tako_res *res, void *arg)
{
	static const char text[] = "static bytes\n";

	(void)req, (void)arg;
	return tako_res_send_ref(res, 200, "text/plain", (tako_str){text, sizeof(text) - 1},
	                         count_done, NULL);
}

/* One that waits until another has written: it is then answered amid the other's bytes. */
static tako_res *held;

static void answer_held(void *arg)
{
	tako_res *res = held;

	(void)arg;
	held = NULL;
	if (res)
		tako_res_text(res, 200, "held\n");
}

static void hold_no_more(tako_res *res, void *arg)
{
	(void)arg;
	if (held == res)
		answer_held(NULL);
}

static int hold(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	held = res;
	return tako_res_after(res, 500, hold_no_more, NULL);
}

static int release(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	tako_res_write(res, TAKO_STR("abc"), answer_held, NULL);
	tako_res_write(res, TAKO_STR("def"), NULL, NULL);
	return tako_res_end(res);
}

/* A body held back until a timer lets it flow. */
static void let_flow(tako_res *res, void *arg)
{
	(void)res;
	tako_req_resume(arg);
}

struct sum {
	uint64_t bytes;
	int calls;
};

static int sum_body(tako_req *req, tako_res *res, tako_str data, bool last, void *arg)
{
	struct sum *s = arg;

	s->bytes += data.n;
	if (last)
		return tako_res_text(res, 200, "%" PRIu64 "\n", s->bytes);
	if (s->calls++ == 0) {
		tako_req_pause(req);
		return tako_res_after(res, 50, let_flow, req);
	}
	return 0;
}

static int paused(tako_req *req, tako_res *res, void *arg)
{
	struct sum *s = tako_req_alloc(req, sizeof(*s));

	(void)res, (void)arg;
	return s ? tako_req_on_body(req, sum_body, s) : TAKO_ENOMEM;
}

/* The body is asked for when the handler is long gone. */
static int answer_count(tako_req *req, tako_res *res, tako_str data, bool last, void *arg)
{
	(void)req, (void)arg;
	return last ? tako_res_text(res, 200, "%zu\n", data.n) : TAKO_EPROTO;
}

static void ask_late(tako_res *res, void *arg)
{
	int rc = tako_req_whole_body(arg, answer_count, NULL);

	if (rc < 0)
		tako_res_fail(res, rc);
}

static int late_body(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	return tako_res_after(res, 50, ask_late, req);
}

/* The answer is given with the first byte; what follows is not wanted any more. */
static int answer_first(tako_req *req, tako_res *res, tako_str data, bool last, void *arg)
{
	bool *answered = arg;

	(void)req, (void)data, (void)last;
	if (*answered)
		return 0;
	*answered = true;
	return tako_res_text(res, 200, "early\n");
}

static int early(tako_req *req, tako_res *res, void *arg)
{
	bool *answered = tako_req_alloc(req, sizeof(*answered));

	(void)res, (void)arg;
	return answered ? tako_req_on_body(req, answer_first, answered) : TAKO_ENOMEM;
}

static int asked_twice(tako_req *req, tako_res *res, void *arg)
{
	int first = tako_req_whole_body(req, answer_count, NULL);
	int second = tako_req_whole_body(req, answer_count, NULL);

	(void)res, (void)arg;
	return first == 0 && second == TAKO_ESTATE ? 0 : TAKO_EPROTO;
}

static int stop_body(tako_req *req, tako_res *res, tako_str data, bool last, void *arg)
{
	(void)req, (void)res, (void)data, (void)last, (void)arg;
	return TAKO_EINVAL;
}

static int refuse_body(tako_req *req, tako_res *res, void *arg)
{
	(void)res, (void)arg;
	return tako_req_on_body(req, stop_body, NULL);
}

static int whole_trailer(tako_req *req, tako_res *res, tako_str data, bool last, void *arg)
{
	tako_str t = tako_req_trailer(req, "X-Sum");

	(void)last, (void)arg;
	return tako_res_text(res, 200, "%zu %.*s\n", data.n, TAKO_FMT(t));
}

static int request_trailer(tako_req *req, tako_res *res, void *arg)
{
	(void)res, (void)arg;
	return tako_req_whole_body(req, whole_trailer, NULL);
}

/* ---- Cookies, queries, forms -------------------------------------------------------- */

static int cookies(tako_req *req, tako_res *res, void *arg)
{
	tako_str c = tako_req_cookie(req, "c");
	int rc = tako_res_cookie(res, TAKO_COOKIE(.name = "a", .value = "1"));
	int bad[] = {
		tako_res_cookie(res, TAKO_COOKIE(.name = "a;b", .value = "1")),
		tako_res_cookie(res, TAKO_COOKIE(.name = "a", .value = "1\r\nX: y")),
		tako_res_cookie(res, TAKO_COOKIE(.name = "a", .value = "1", .path = "/;x")),
		tako_res_cookie(res, TAKO_COOKIE(.name = "a", .value = "1", .same_site = "None")),
	};

	(void)arg;
	if (rc == 0)
		rc = tako_res_cookie(res, TAKO_COOKIE(.name = "b", .value = "2", .path = "/x",
		                                      .domain = "example.com", .max_age_s = 60,
		                                      .secure = 1, .script_readable = 1,
		                                      .same_site = "None"));
	if (rc < 0)
		return rc;
	return tako_res_text(res, 200, "%s[%.*s] %s %s %s %s\n", c.p ? "" : "absent", TAKO_FMT(c),
	                     program_code(bad[0]), program_code(bad[1]), program_code(bad[2]),
	                     program_code(bad[3]));
}

struct text {
	char p[4096];
	size_t n;
};

static int add_pair(tako_str name, tako_str value, void *arg)
{
	struct text *t = arg;
	int n = snprintf(t->p + t->n, sizeof(t->p) - t->n, "%.*s=%.*s\n", TAKO_FMT(name),
	                 TAKO_FMT(value));

	if (n < 0 || (size_t)n >= sizeof(t->p) - t->n)
		return TAKO_ETOOBIG;
	t->n += (size_t)n;
	return 0;
}

static int query(tako_req *req, tako_res *res, void *arg)
{
	struct text t = {.n = 0};
	int rc = tako_req_query_each(req, add_pair, &t);

	(void)arg;
	return rc < 0 ? rc : tako_res_text(res, 200, "%.*s", (int)t.n, t.p);
}

static int form_there(tako_req *req, tako_res *res, const tako_form *form, void *arg)
{
	struct text t = {.n = 0};
	int rc = tako_form_each(form, add_pair, &t);

	(void)req, (void)arg;
	return rc < 0 ? rc : tako_res_text(res, 200, "%.*s", (int)t.n, t.p);
}

static int form(tako_req *req, tako_res *res, void *arg)
{
	(void)res, (void)arg;
	return tako_req_form(req, form_there, NULL);
}

static int on_part(tako_req *req, const tako_part *p, void *arg)
{
	struct text *t = arg;

	(void)req;
	t->n += (size_t)snprintf(t->p + t->n, sizeof(t->p) - t->n, "[%.*s|%.*s|%.*s]",
	                         TAKO_FMT(p->name), TAKO_FMT(p->filename), TAKO_FMT(p->type));
	return t->n < sizeof(t->p) ? 0 : TAKO_ETOOBIG;
}

static int on_data(tako_req *req, tako_str data, bool last, void *arg)
{
	struct text *t = arg;

	(void)req;
	if (data.n >= sizeof(t->p) - t->n - 1)
		return TAKO_ETOOBIG;
	if (data.n)
		memcpy(t->p + t->n, data.p, data.n);
	t->n += data.n;
	if (last)
		t->p[t->n++] = '\n';
	return 0;
}

static int on_done(tako_req *req, tako_res *res, void *arg)
{
	struct text *t = arg;

	(void)req;
	return tako_res_send(res, 200, "text/plain", (tako_str){t->p, t->n});
}

static int multipart(tako_req *req, tako_res *res, void *arg)
{
	struct text *t = tako_req_alloc(req, sizeof(*t));

	(void)res, (void)arg;
	if (!t)
		return TAKO_ENOMEM;
	return tako_req_multipart(req,
	                          TAKO_MULTIPART_CONFIG(.on_part = on_part, .on_data = on_data,
	                                                .on_done = on_done, .max_part_bytes = 1000,
	                                                .max_part_count = 3),
	                          t);
}

/* ---- Back-pressure ------------------------------------------------------------------- */

struct drain {
	uint64_t left;
	bool inside;
};

static void drained(tako_res *res, void *arg)
{
	static const char block[16384];
	struct drain *d = arg;

	if (d->inside)
		atomic_fetch_add(&on_drain_inside, 1);
	d->inside = true;
	while (d->left > 0) {
		int64_t queued = tako_res_write(res, (tako_str){block, sizeof(block)}, count_done,
		                                NULL);
		if (queued < 0)
			break;
		d->left--;
		if (queued >= 65536 && d->left > 0) {
			tako_res_on_drain(res, drained, d);
			d->inside = false;
			return;
		}
	}
	tako_res_end(res);
	d->inside = false;
}

static int drain(tako_req *req, tako_res *res, void *arg)
{
	struct drain *d = tako_req_alloc(req, sizeof(*d));

	(void)arg;
	if (!d)
		return TAKO_ENOMEM;
	d->left = program_number(req, "blocks", 100);
	drained(res, d);
	return 0;
}

static tako_router *make_router(void)
{
	tako_router *r = tako_router_new();

	tako_get(r, "/hello", hello, NULL);
	tako_get(r, "/spaced", spaced, NULL);
	tako_get(r, "/spaced-type", spaced_type, NULL);
	tako_get(r, "/counters", counters, NULL);

	tako_router *w = tako_group(r, "");
	tako_before(w, TAKO_PHASE_EARLY, watch, NULL);
	tako_get(w, "/thread", from_thread, NULL);
	tako_get(w, "/abandon", abandon, NULL);
	tako_router *limited = tako_group(w, "/limited");
	tako_timeout(limited, 50);
	tako_get(limited, "/thread", from_thread, NULL);
	tako_post(limited, "/thread", from_thread, NULL);
	tako_get(w, "/offload", offload, NULL);
	tako_get(w, "/nothing", nothing, NULL);
	tako_get(w, "/code", code, NULL);
	tako_get(w, "/twice", twice, NULL);
	tako_get(w, "/bad-fields", bad_fields, NULL);
	tako_get(w, "/many-fields", many_fields, NULL);
	tako_get(w, "/status", status, NULL);
	tako_get(w, "/inform", inform, NULL);
	tako_get(w, "/trailers", trailers, NULL);
	tako_get(w, "/announced", announced, NULL);
	tako_get(w, "/cut", cut, NULL);
	tako_get(w, "/file", send_file, NULL);
	tako_get(w, "/ref", by_reference, NULL);
	tako_get(w, "/hold", hold, NULL);
	tako_get(w, "/release", release, NULL);
	tako_post(w, "/paused", paused, NULL);
	tako_post(w, "/refuse-body", refuse_body, NULL);
	tako_post(w, "/late-body", late_body, NULL);
	tako_post(w, "/early", early, NULL);
	tako_post(w, "/asked-twice", asked_twice, NULL);
	tako_post(w, "/request-trailer", request_trailer, NULL);
	tako_get(w, "/cookies", cookies, NULL);
	tako_get(w, "/query", query, NULL);
	tako_post(w, "/form", form, NULL);
	tako_post(w, "/multipart", multipart, NULL);
	tako_get(w, "/drain", drain, NULL);
	return r;
}

int main(int argc, char **argv)
{
	tako_server *srv = NULL;
	const char *addr = argc > 1 && strncmp(argv[1], "listen=", 7) == 0 ? argv[1] + 7 : "";
	tako_router *router = make_router();
	int rc = program_server_new(
		&srv, router, TAKO_SERVER_CONFIG(.worker_count = 1, .write_high_bytes = 65536));

	file_path = argc > 2 ? argv[2] : "";
	tako_router_free(router);
	if (rc == 0)
		rc = program_listen(srv, addr, NULL);
	if (rc == 0 && argc > 3)
		rc = framed_listen(srv, argv[3]);
	if (rc == 0)
		rc = tako_server_stop_on_signals(srv);
	if (rc == 0)
		rc = tako_server_run(srv);
	if (rc < 0)
		program_refused("exchange", rc);
	tako_server_free(srv);
	return rc < 0 ? EXIT_REFUSED : 0;
}
