/* SPDX-License-Identifier: MIT
 *
 * Connections without HTTP beside one with: everything that comes to the second address goes back.  A
 * peer that sends and does not read is held up, instead of filling memory.
 *
 *   printf hello | nc -N 127.0.0.1 9007; curl http://127.0.0.1:8080/
 */
#include <stdio.h>
#include <string.h>
#include <tako/tako.h>

enum { HIGH_BYTES = 64 << 10 };

static int on_data(tako_raw *c, tako_str data, void *arg)
{
	int64_t unsent = tako_raw_send(c, data);

	(void)arg;
	if (unsent >= HIGH_BYTES)
		tako_raw_pause(c);
	return unsent < 0 ? (int)unsent : 0;
}

static void on_writable(tako_raw *c, void *arg)
{
	(void)arg;
	tako_raw_resume(c);
}

static int figures(tako_req *req, tako_res *res, void *arg)
{
	tako_stats s = {.size = sizeof(s)};

	(void)req;
	tako_server_stats(*(tako_server **)arg, &s);
	return tako_res_text(res, 200, "%llu connections\n",
	                     (unsigned long long)s.connections_open);
}

int main(int argc, char **argv)
{
	const char *addr = argc > 1 ? argv[1] : "127.0.0.1:8080";
	const char *echo = argc > 2 ? argv[2] : "127.0.0.1:9007";
	bool is_unix = strncmp(echo, "unix:", 5) == 0;
	tako_server *srv = NULL;
	tako_router *router = tako_router_new();
	int rc;

	tako_get(router, "/", figures, &srv);
	rc = tako_server_new(&srv, router, NULL);
	if (rc == 0)
		rc = tako_server_listen(srv, tako_http(), addr, NULL);
	if (rc == 0)
		rc = tako_server_listen(
			srv, is_unix ? tako_raw_unix() : tako_raw_tcp(), echo,
			TAKO_LISTEN_CONFIG(.raw = TAKO_RAW_CONFIG(.on_data = on_data,
		                                                  .on_writable = on_writable,
		                                                  .write_high_bytes = HIGH_BYTES)));
	if (rc == 0)
		rc = tako_server_stop_on_signals(srv);
	if (rc == 0)
		rc = tako_server_run(srv);
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", tako_strerror(rc), tako_last_error());
	tako_server_free(srv);
	tako_router_free(router);
	return rc < 0;
}
