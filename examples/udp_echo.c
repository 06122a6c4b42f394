/* SPDX-License-Identifier: MIT
 *
 * Datagrams: whatever comes to the UDP port goes back; an HTTP page on the TCP port beside it says how many
 * were told, answered and lost.
 *   build/examples/udp_echo 127.0.0.1:8080 127.0.0.1:9007
 *   echo hello | socat - UDP:127.0.0.1:9007
 */
#include <stdio.h>
#include <tako/tako.h>

static void on_datagram(tako_udp *u, const tako_udp_in *in, void *arg)
{
	(void)arg;
	/* No room to answer: the peer asks again, as it must over UDP. */
	(void)tako_udp_reply(u, in, in->data, 0);
}

static int figures(tako_req *req, tako_res *res, void *arg)
{
	tako_udp_stats s = {.size = sizeof(s)};
	int rc = tako_server_udp_stats(*(tako_server **)arg, 1, &s);

	(void)req;
	if (rc < 0)
		return rc;
	return tako_res_text(res, 200, "%llu received, %llu sent, %llu dropped, %llu lost\n",
	                     (unsigned long long)s.received, (unsigned long long)s.sent,
	                     (unsigned long long)s.dropped, (unsigned long long)s.lost);
}

int main(int argc, char **argv)
{
	const char *addr = argc > 1 ? argv[1] : "127.0.0.1:8080";
	const char *echo = argc > 2 ? argv[2] : "127.0.0.1:9007";
	tako_server *srv = NULL;
	tako_router *router = tako_router_new();
	int rc;

	tako_get(router, "/", figures, &srv);
	rc = tako_server_new(&srv, router, NULL);
	if (rc == 0)
		rc = tako_server_listen(srv, tako_http(), addr, NULL);
	if (rc == 0)
		rc = tako_server_listen(
			srv, tako_raw_udp(), echo,
			TAKO_LISTEN_CONFIG(.udp = TAKO_UDP_CONFIG(.on_datagram = on_datagram)));
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
