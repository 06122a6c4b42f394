/* SPDX-License-Identifier: MIT
 *
 * Asking others from a handler: one answer that is made of somebody else's, and a body that is passed through as it
 * comes, at the pace of the slower side.  The server asks itself, for want of anybody else.
 *
 *   curl http://127.0.0.1:8080/shout
 *   curl -T /some/file http://127.0.0.1:8080/through
 *
 * "fetch 127.0.0.1:8080 h2" asks in HTTP/2, which this server is known to speak: as many at a time as there are, on one
 * connection of each worker.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <tako/tako.h>

enum { HIGH_BYTES = 256 << 10 };

static tako_client *client;
static char own[128]; /* "http://127.0.0.1:8080" */

/* ---- Whole: the response is collected, and an error is 502 ------------------------------- */

static int shout(tako_fetch *f, int err, void *arg)
{
	tako_res *res = tako_fetch_res(f);
	tako_str body = tako_fetch_body(f);
	char text[64];
	size_t n = 0;

	(void)arg;
	if (err < 0) {
		fprintf(stderr, "%s: %s\n", tako_strerror(err), tako_fetch_why(f));
		return tako_res_error(res, 502);
	}
	for (; n < body.n && n < sizeof text; n++)
		text[n] = (char)toupper((unsigned char)body.p[n]);
	return tako_res_send(res, 200, "text/plain", (tako_str){text, n});
}

static int get_shout(tako_req *req, tako_res *res, void *arg)
{
	char url[160];

	(void)req, (void)arg;
	snprintf(url, sizeof url, "%s/hello", own);
	return tako_fetch_start(NULL, client, res, TAKO_FETCH(.url = url, .on_end = shout));
}

/* ---- Through: both bodies in pieces ------------------------------------------------------------ */

struct passing {
	tako_req *req;
	tako_res *res;
	tako_fetch *fetch; /* NULL: it is over */
};

static int on_head(tako_fetch *f, void *arg)
{
	struct passing *p = arg;
	int rc = tako_res_status(p->res, tako_fetch_status(f));
	tako_str type = tako_fetch_header(f, "Content-Type");

	if (rc == 0 && type.p)
		rc = tako_res_header_str(p->res, TAKO_STR("Content-Type"), type);
	return rc;
}

static void on_drain(tako_res *res, void *arg)
{
	struct passing *p = arg;

	(void)res;
	if (p->fetch)
		tako_fetch_resume(p->fetch);
}

static int on_data(tako_fetch *f, tako_str data, void *arg)
{
	struct passing *p = arg;
	int64_t unsent = tako_res_write(p->res, data, NULL, NULL);

	if (unsent < HIGH_BYTES)
		return unsent < 0 ? (int)unsent : 0;
	tako_fetch_pause(f);
	return tako_res_on_drain(p->res, on_drain, p);
}

static void on_writable(tako_fetch *f, void *arg)
{
	struct passing *p = arg;

	(void)f;
	tako_req_resume(p->req);
}

static int on_end(tako_fetch *f, int err, void *arg)
{
	struct passing *p = arg;

	(void)f;
	p->fetch = NULL;
	return err < 0 ? tako_res_error(p->res, 502) : tako_res_end(p->res);
}

static int on_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	struct passing *p = arg;
	int64_t unsent;

	(void)res;
	if (!p->fetch)
		return 0; /* answered already: the rest is of no interest */
	unsent = tako_fetch_write(p->fetch, data);
	if (unsent < 0)
		return (int)unsent;
	if (end)
		return tako_fetch_finish(p->fetch);
	if (unsent >= HIGH_BYTES)
		tako_req_pause(req);
	return 0;
}

static int put_through(tako_req *req, tako_res *res, void *arg)
{
	struct passing *p = tako_req_alloc(req, sizeof *p);
	char url[160];
	int rc;

	(void)arg;
	if (!p)
		return TAKO_ENOMEM;
	*p = (struct passing){.req = req, .res = res};
	snprintf(url, sizeof url, "%s/echo", own);
	rc = tako_fetch_start(&p->fetch, client, res,
	                      TAKO_FETCH(.method = "POST", .url = url, .stream = 1,
	                                 .stream_bytes = TAKO_OFF64, .on_head = on_head,
	                                 .on_data = on_data, .on_writable = on_writable,
	                                 .on_end = on_end, .arg = p));
	return rc < 0 ? rc : tako_req_on_body(req, on_body, p);
}

/* ---- Who is asked ------------------------------------------------------------------------------------ */

static int get_hello(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "hello\n");
}

static int echo(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	int64_t rc = tako_res_write(res, data, NULL, NULL);

	(void)req, (void)arg;
	return rc < 0 ? (int)rc : end ? tako_res_end(res) : 0;
}

static int post_echo(tako_req *req, tako_res *res, void *arg)
{
	(void)res;
	return tako_req_on_body(req, echo, arg);
}

int main(int argc, char **argv)
{
	const char *addr = argc > 1 ? argv[1] : "127.0.0.1:8080";
	bool h2 = argc > 2 && strcmp(argv[2], "h2") == 0;
	tako_router *router;
	tako_server *srv = NULL;
	int rc;

	if (argc > 2 && !h2) {
		fprintf(stderr, "usage: fetch [ADDR [h2]]\n");
		return 2;
	}
	rc = tako_client_new(&client, TAKO_CLIENT_CONFIG(.http2 = h2 ? tako_client_http2() : NULL,
	                                                 .http2_prior_knowledge = h2));
	router = tako_router_new();
	snprintf(own, sizeof own, "http://%.100s", addr);
	tako_get(router, "/shout", get_shout, NULL);
	tako_put(router, "/through", put_through, NULL);
	tako_get(router, "/hello", get_hello, NULL);
	tako_post(router, "/echo", post_echo, NULL);
	if (rc == 0)
		rc = tako_server_new(&srv, router, NULL);
	tako_router_free(router);
	if (rc == 0)
		rc = tako_server_listen(srv, tako_http(), addr, NULL);
	if (rc == 0)
		rc = tako_server_stop_on_signals(srv);
	if (rc == 0)
		rc = tako_server_run(srv);
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", tako_strerror(rc), tako_last_error());
	tako_server_free(srv);
	tako_client_free(client);
	return rc < 0;
}
