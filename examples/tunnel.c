/* SPDX-License-Identifier: MIT
 *
 * What comes to one address goes on to another, and back: over TCP, a Unix socket, or TLS with verification.
 * Neither side is read faster than the other takes it; each one's end is passed on.
 *
 *   tunnel 127.0.0.1:8080 127.0.0.1:9008 127.0.0.1:22
 *   tunnel 127.0.0.1:8080 127.0.0.1:9008 example.org:443 system
 *
 * The first address has the figures, the last word says whom TLS believes: a file, or the system's.
 */
#include <stdio.h>
#include <string.h>
#include <tako/tako.h>

enum { HIGH_BYTES = 64 << 10 };

/* Either half of a pair; in its connection's own memory. */
struct half {
	tako_raw *other;       /* NULL: not yet, or not any more */
	tako_connecting *wait; /* the client's, while the other is being made */
};

static const char *to = "127.0.0.1:9007";
static tako_tls_client *tls;

static struct half *half_of(tako_raw *c)
{
	return tako_raw_user(c);
}

/* ---- Both halves ------------------------------------------------------------------------------ */

static int on_data(tako_raw *c, tako_str data, void *arg)
{
	tako_raw *other = half_of(c)->other;
	int64_t unsent = other ? tako_raw_send(other, data) : TAKO_ECLOSED;

	(void)arg;
	if (unsent >= HIGH_BYTES)
		tako_raw_pause(c);
	return unsent < 0 ? (int)unsent : 0;
}

static void on_writable(tako_raw *c, void *arg)
{
	(void)arg;
	if (half_of(c)->other)
		tako_raw_resume(half_of(c)->other);
}

static int on_end(tako_raw *c, void *arg)
{
	(void)arg;
	if (half_of(c)->other)
		tako_raw_end(half_of(c)->other);
	return 0;
}

/* What the one has lost the other shall not take for an end. */
static void part(tako_raw *c, int why)
{
	tako_raw *other = half_of(c)->other;

	if (!other)
		return;
	half_of(other)->other = NULL;
	half_of(c)->other = NULL;
	if (why)
		tako_raw_abort(other);
	else
		tako_raw_close(other);
}

/* ---- The other half, that we make ---------------------------------------------------------------- */

static int far_open(tako_raw *c, void *arg)
{
	tako_raw *near = arg;

	half_of(near)->wait = NULL;
	half_of(near)->other = c;
	half_of(c)->other = near;
	tako_raw_resume(near);
	return 0;
}

static void far_close(tako_raw *c, int why, void *arg)
{
	if (c) {
		part(c, why);
		return;
	}
	/* There never was one. */
	fprintf(stderr, "%s\n", tako_last_error());
	half_of(arg)->wait = NULL;
	tako_raw_abort(arg);
}

/* ---- The half that comes to us ------------------------------------------------------------------- */

/* Who is not connected through yet is not read from. */
static int near_open(tako_raw *c, void *arg)
{
	const tako_raw_config *far = TAKO_RAW_CONFIG(.on_open = far_open, .on_data = on_data,
	                                             .on_end = on_end, .on_writable = on_writable,
	                                             .on_close = far_close, .arg = c,
	                                             .user_bytes = sizeof(struct half),
	                                             .write_high_bytes = HIGH_BYTES);

	(void)arg;
	tako_raw_pause(c);
	return tako_raw_connect(&half_of(c)->wait, c, to,
	                        TAKO_CONNECT_CONFIG(.raw = far, .tls = tls));
}

static void near_close(tako_raw *c, int why, void *arg)
{
	(void)arg;
	if (half_of(c)->wait)
		tako_connect_cancel(half_of(c)->wait);
	part(c, why);
}

static int figures(tako_req *req, tako_res *res, void *arg)
{
	tako_stats s = {.size = sizeof(s)};

	(void)req;
	tako_server_stats(*(tako_server **)arg, &s);
	return tako_res_text(res, 200, "%llu made, %llu open, %llu failed\n",
	                     (unsigned long long)s.outgoing_connections,
	                     (unsigned long long)s.outgoing_open,
	                     (unsigned long long)s.outgoing_errors);
}

static int listen_on(tako_server *srv, const char *http, const char *from)
{
	const tako_raw_config *near = TAKO_RAW_CONFIG(.on_open = near_open, .on_data = on_data,
	                                              .on_end = on_end, .on_writable = on_writable,
	                                              .on_close = near_close,
	                                              .user_bytes = sizeof(struct half),
	                                              .write_high_bytes = HIGH_BYTES);
	bool is_unix = strncmp(from, "unix:", 5) == 0;
	int rc = tako_server_listen(srv, tako_http(), http, NULL);

	if (rc < 0)
		return rc;
	return tako_server_listen(srv, is_unix ? tako_raw_unix() : tako_raw_tcp(), from,
	                          TAKO_LISTEN_CONFIG(.raw = near));
}

int main(int argc, char **argv)
{
	const char *http = argc > 1 ? argv[1] : "127.0.0.1:8080";
	const char *from = argc > 2 ? argv[2] : "127.0.0.1:9008";
	const char *ca = argc > 4 && strcmp(argv[4], "system") != 0 ? argv[4] : NULL;
	tako_server *srv = NULL;
	tako_router *router = tako_router_new();
	int rc = 0;

	to = argc > 3 ? argv[3] : to;
	tako_get(router, "/", figures, &srv);
	if (argc > 4)
		rc = tako_tls_client_new(&tls, TAKO_TLS_CLIENT_CONFIG(.ca_file = ca));
	if (rc == 0)
		rc = tako_server_new(&srv, router, NULL);
	if (rc == 0)
		rc = listen_on(srv, http, from);
	if (rc == 0)
		rc = tako_server_stop_on_signals(srv);
	if (rc == 0)
		rc = tako_server_run(srv);
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", tako_strerror(rc), tako_last_error());
	tako_server_free(srv);
	tako_router_free(router);
	tako_tls_client_free(tls);
	return rc < 0;
}
