/* SPDX-License-Identifier: MIT
 *
 * Echoes for bench/run.py, on one worker: whatever comes goes back.
 *
 *   echo PORT tcp|proxy|udp
 *
 * `proxy` is tcp behind a balancer, whose header each connection begins with.  TAKO_RUNTIME names the runtime.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tako/tako.h>

static int on_data(tako_raw *c, tako_str data, void *arg)
{
	int64_t unsent = tako_raw_send(c, data);

	(void)arg;
	return unsent < 0 ? (int)unsent : 0;
}

static void on_datagram(tako_udp *u, const tako_udp_in *in, void *arg)
{
	(void)arg;
	(void)tako_udp_reply(u, in, in->data, 0);
}

static int listen_as(tako_server *srv, const char *addr, const char *kind)
{
	const tako_raw_config *raw = TAKO_RAW_CONFIG(.on_data = on_data,
	                                             .idle_timeout_ms = TAKO_OFF);

	if (!strcmp(kind, "tcp"))
		return tako_server_listen(srv, tako_raw_tcp(), addr,
		                          TAKO_LISTEN_CONFIG(.raw = raw, .backlog = 4096));
	if (!strcmp(kind, "proxy"))
		return tako_server_listen(srv, tako_raw_tcp(), addr,
		                          TAKO_LISTEN_CONFIG(.raw = raw, .backlog = 4096,
		                                             .proxy_protocol = TAKO_PROXY_REQUIRED,
		                                             .proxy_trusted = "127.0.0.0/8"));
	if (!strcmp(kind, "udp"))
		return tako_server_listen(
			srv, tako_raw_udp(), addr,
			TAKO_LISTEN_CONFIG(.udp = TAKO_UDP_CONFIG(.on_datagram = on_datagram)));
	return TAKO_EINVAL;
}

int main(int argc, char **argv)
{
	tako_router *r = tako_router_new();
	tako_server *srv = NULL;
	char addr[32];
	int rc;

	if (argc != 3)
		return 2;
	snprintf(addr, sizeof(addr), "127.0.0.1:%s", argv[1]);
	rc = tako_server_new(&srv, r,
	                     TAKO_SERVER_CONFIG(.worker_count = 1, .max_connections = 16000));
	tako_router_free(r);
	if (rc == 0)
		rc = listen_as(srv, addr, argv[2]);
	if (rc == 0)
		rc = tako_server_stop_on_signals(srv);
	if (rc == 0)
		rc = tako_server_run(srv);
	if (rc < 0)
		fprintf(stderr, "echo: %s: %s\n", tako_strerror(rc), tako_last_error());
	tako_server_free(srv);
	return rc < 0;
}
